"""What a request allows of a catalogue."""

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from tfrec.artifacts.item_filters import ItemFilters, item_columns
from tfrec.config import ExportConfig
from tfrec.datasets.dataset import Roles
from tfrec.errors import InputError
from tfrec.training.catalogue import Catalogue

TABLE = pd.DataFrame(
    {
        "title": ["a", "b", "c", "d"],
        "Brand": ["acme", "bolt", None, "acme"],
        "genres": ["war | drama", "drama", "comedy|war", None],
        "price": np.array([10, 20, np.nan, 30], np.float32),
    }
)
ROLES = Roles(text=("title",), categorical=("Brand", "genres"), numeric=("price",), separators={"genres": "|"})
CATALOGUE = Catalogue(TABLE, ROLES)
NOTHING = {"filter_brand": [""], "filter_genres": [""], "filter_price_min": np.nan, "filter_price_max": np.nan}


@pytest.fixture(scope="module")
def filters() -> ItemFilters:
    config = ExportConfig(filters=("Brand", "genres", "price"))
    columns = item_columns(CATALOGUE, config)
    return ItemFilters([columns[name] for name in config.filters], TABLE)


def allowed(filters: ItemFilters, *requests: dict[str, object]) -> list[str]:
    """The titles that each request allows, in one batch."""
    rows = [{**NOTHING, **request} for request in requests]
    inputs = {}
    for name, spec in filters.inputs.items():
        values = [row[name] for row in rows]
        if spec.dtype == tf.string:
            width = max(map(len, values))
            values = [[*value, *[""] * (width - len(value))] for value in values]
        inputs[name] = tf.constant(values, spec.dtype)
    mask = filters.allowed(inputs).numpy()
    assert mask.shape == (len(rows), 6)
    return ["".join(TABLE["title"][row[2:]]) for row in mask]


def test_inputs_are_in_small_letters(filters: ItemFilters) -> None:
    assert {name: (spec.dtype, spec.shape.rank) for name, spec in filters.inputs.items()} == {
        "filter_brand": (tf.string, 2),
        "filter_genres": (tf.string, 2),
        "filter_price_min": (tf.float32, 1),
        "filter_price_max": (tf.float32, 1),
    }


def test_categories_are_alternatives_and_columns_are_not(filters: ItemFilters) -> None:
    assert allowed(
        filters,
        {},
        {"filter_brand": ["acme"]},
        {"filter_brand": ["bolt", "acme"]},
        {"filter_genres": ["war"]},
        {"filter_genres": ["drama", "comedy"]},
        {"filter_brand": ["acme"], "filter_genres": ["", "war"]},
    ) == ["abcd", "ad", "abd", "ac", "abc", "a"]


def test_a_category_of_no_item_allows_none(filters: ItemFilters) -> None:
    assert allowed(filters, {"filter_brand": ["no such brand"]}, {"filter_brand": ["", "bolt", "none"]}) == ["", "b"]


def test_limits_are_included_and_a_missing_number_is_outside(filters: ItemFilters) -> None:
    assert allowed(
        filters,
        {"filter_price_min": 20},
        {"filter_price_max": 20},
        {"filter_price_min": 11, "filter_price_max": 29.5},
        {"filter_price_min": 40},
    ) == ["bd", "ab", "b", ""]


def test_limits_that_are_no_numbers_or_leave_nothing(filters: ItemFilters) -> None:
    assert allowed(
        filters,
        {"filter_price_min": np.nan, "filter_price_max": np.nan},
        {"filter_price_min": 21, "filter_price_max": 20},
        {"filter_price_min": -np.inf},
        {"filter_price_max": np.inf},
        {"filter_price_min": np.inf},
        {"filter_price_min": 20, "filter_price_max": 20},
    ) == ["abcd", "", "abd", "abd", "", "b"]


def test_a_limit_is_compared_as_the_table_holds_it() -> None:
    # 19.99 is no float32: table and request are rounded alike. Days since 1970 are exact.
    table = pd.DataFrame({"price": np.array([19.99, 20, np.nan], np.float32), "until": [19843.0, 19844.0, 2932896.0]})
    columns = item_columns(
        Catalogue(table, Roles(numeric=("price", "until"))), ExportConfig(filters=("price", "until"))
    )
    priced = ItemFilters(list(columns.values()), table)
    inputs = {name: tf.constant(row) for name, row in priced.missing().items()}
    for asked, expected in (
        ({"filter_price_max": 19.99}, [True, False, False]),
        ({"filter_until_min": 19844.0}, [False, True, True]),
        ({"filter_until_max": 19843.5}, [True, False, False]),
    ):
        given = {**inputs, **{name: tf.constant([limit], tf.float32) for name, limit in asked.items()}}
        assert priced.allowed(given).numpy()[0, 2:].tolist() == expected


def test_columns_without_any_value() -> None:
    table = pd.DataFrame({"brand": [None, None], "tags": [None, ""], "price": np.array([np.nan] * 2, np.float32)})
    roles = Roles(categorical=("brand", "tags"), numeric=("price",), separators={"tags": "|"})
    config = ExportConfig(filters=("brand", "tags", "price"))
    empty = ItemFilters(list(item_columns(Catalogue(table, roles), config).values()), table)
    nothing = {name: tf.constant(row) for name, row in empty.missing().items()}
    assert empty.allowed(nothing).numpy()[0, 2:].tolist() == [True, True]
    for asked in ({"filter_brand": tf.constant([["acme"]])}, {"filter_price_min": tf.constant([0.0])}):
        assert empty.allowed({**nothing, **asked}).numpy()[0, 2:].tolist() == [False, False]
    assert not empty.are_asked({name: tf.constant(rows) for name, rows in empty.examples(2).items()})


def test_inputs_of_one_name_are_refused() -> None:
    table = TABLE.assign(price_min=["a", "b", "c", "d"])
    columns = item_columns(
        Catalogue(table, Roles(categorical=("price_min",), numeric=("price",))),
        ExportConfig(filters=("price", "price_min")),
    )
    with pytest.raises(InputError, match=r"Received: \['filter_price_min'\] more than once"):
        ItemFilters(list(columns.values()), table)


def test_whether_anything_is_asked(filters: ItemFilters) -> None:
    nothing = {name: tf.constant(row) for name, row in filters.missing().items()}
    assert not filters.are_asked(nothing)
    assert filters.are_asked({**nothing, "filter_price_min": tf.constant([1.0])})
    assert filters.are_asked({name: tf.constant(rows) for name, rows in filters.examples(3).items()})
    assert filters.examples(3)["filter_brand"].tolist() == [["acme"], [""], [""]]


def test_what_can_not_be_filtered_or_capped_is_refused() -> None:
    with pytest.raises(InputError, match=r"which are \['Brand', 'genres', 'price'\]\. Received: \['title', 'colour'\]"):
        item_columns(CATALOGUE, ExportConfig(filters=("title", "price"), caps={"colour": 1}))
    with pytest.raises(InputError, match=r"one category in a value\. Received: \['genres', 'price'\]"):
        item_columns(CATALOGUE, ExportConfig(caps={"genres": 1, "price": 2, "Brand": 1}))
    spaced = TABLE.rename(columns={"price": "list price"})
    with pytest.raises(InputError, match=r"Received: \['list price'\]\. Rename"):
        item_columns(Catalogue(spaced, Roles(numeric=("list price",))), ExportConfig(filters=("list price",)))
