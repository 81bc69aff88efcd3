"""Tables of encoded features."""

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from tfrec.datasets.dataset import Roles
from tfrec.errors import InputError
from tfrec.features.table import FeatureTable, attribute_names, build_attributes, id_rows

ROLES = Roles(text=("title",), categorical=("genre",), numeric=("price",), vector=("image",))
TABLE = pd.DataFrame(
    {
        "title": ["Heat", "Alien", "Solaris"],
        "genre": pd.Series(["crime", None, "space"], dtype="str"),
        "price": np.array([2, 4, np.nan], np.float32),
        "image": [np.array([1, 2], np.float32), np.zeros(2, np.float32), np.array([-3, 4], np.float32)],
    }
)


def test_attributes_are_all_that_are_declared_or_the_chosen_ones() -> None:
    assert attribute_names(ROLES, None, "item") == ("genre", "price", "image")
    assert attribute_names(ROLES, ("image",), "item") == ("image",)
    assert attribute_names(ROLES, (), "item") == ()


def test_a_chosen_attribute_must_be_declared() -> None:
    with pytest.raises(InputError, match=r"features.user_columns from.*\['genre', 'price', 'image'\].*\['title'\]"):
        attribute_names(ROLES, ("genre", "title"), "user")


@pytest.mark.parametrize("name", ["id", "id_vector", "text"])
def test_an_item_attribute_cannot_take_the_place_of_the_id_or_the_text(name: str) -> None:
    roles = Roles(categorical=("genre", name))
    with pytest.raises(InputError, match="Rename"):
        attribute_names(roles, None, "item")
    assert attribute_names(roles, ("genre",), "item") == ("genre",)
    assert attribute_names(roles, None, "user") == ("genre", name)


def test_arrays_by_hand() -> None:
    columns, arrays = build_attributes(TABLE, ROLES, ("image", "genre", "price"))
    assert [column.name for column in columns] == ["image", "genre", "price"]
    # Two rows of padding and unknown come first: all is missing there.
    assert arrays["genre"].tolist() == [0, 0, 2, 0, 3]
    # Prices 2 and 4: mean 3, standard deviation 1.
    assert arrays["price"].tolist() == [[0, 1], [0, 1], [-1, 0], [1, 0], [0, 1]]
    assert arrays["image"].tolist() == [[0, 0], [0, 0], [1, 2], [0, 0], [-3, 4]]


def test_serving_encodes_raw_values_as_training_did() -> None:
    generator = np.random.default_rng(0)
    num_rows = 50
    table = pd.DataFrame(
        {
            "genre": pd.Series(generator.choice(["war", "sea", "spy", "", "Ärger"], num_rows), dtype="str"),
            "price": np.where(generator.random(num_rows) < 0.2, np.nan, generator.lognormal(3, 2, num_rows)),
            "image": list(generator.normal(size=(num_rows, 4)).astype(np.float32)),
        }
    ).astype({"price": "float32"})
    columns, arrays = build_attributes(table, ROLES, ("genre", "price", "image"))
    requests = {
        "genre": tf.constant(table["genre"].tolist()),
        "price": tf.constant(table["price"].tolist(), tf.float32),
        "image": tf.constant(np.stack(table["image"].tolist())),
    }
    for column in columns:
        serve = tf.function(column.encoder(), input_signature=[column.raw_spec()])
        np.testing.assert_array_equal(serve(requests[column.name]).numpy(), arrays[column.name][2:])


def test_items_without_training_data_share_the_unknown_id() -> None:
    rows = id_rows(np.array([3, 0, 1, 0]))
    assert rows.dtype == np.int32
    assert rows.tolist() == [0, 1, 2, 1, 4, 1]


def test_rows_count_padding_and_unknown() -> None:
    assert FeatureTable(np.array(["a", "b", "c"], object), (), {}).num_rows == 5


@pytest.mark.parametrize(
    "name", ["age group", "geo.country", "2fa", "_x", "größe", "class", "self", "candidate_item_ids"]
)
def test_a_user_attribute_that_cannot_be_an_input_is_refused_before_training(name: str) -> None:
    with pytest.raises(InputError, match=r"features\.user_columns"):
        attribute_names(Roles(categorical=(name, "country")), None, "user")
    assert attribute_names(Roles(categorical=(name, "country")), ("country",), "user") == ("country",)
