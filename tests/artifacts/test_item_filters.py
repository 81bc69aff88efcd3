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
