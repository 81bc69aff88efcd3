import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tfrec.config import Config
from tfrec.datasets.assemble import assemble
from tfrec.datasets.dataset import Dataset, Roles
from tfrec.datasets.negatives import draw_negatives
from tfrec.errors import InputError


@pytest.fixture
def dataset() -> Dataset:
    """One user takes items 0 and 1 at once, then 2; there are ten items."""
    interactions = pa.table(
        {
            "user_id": ["ann", "ann", "ann"],
            "item_id": ["0", "1", "2"],
            "timestamp": [5, 5, 9],
            "bought": np.array([1, 0, 1], np.float32),
            "device": ["phone", "phone", "desktop"],
        }
    )
    items = pd.DataFrame({"item_id": [str(number) for number in range(10)]}, dtype="str")
    roles = Roles(categorical=("device",))
    return assemble("baskets", interactions, items, context_roles=roles, outcomes=("bought",))


def test_each_purchase_is_followed_by_what_was_not_taken_then(dataset: Dataset) -> None:
    rows = draw_negatives(dataset, 50).interactions
    assert len(rows) == 3 * 51
    assert rows["label"].tolist() == ([1.0] + [0.0] * 50) * 3
    assert rows["timestamp"].tolist() == [5] * 102 + [9] * 51
    assert rows["device"].tolist() == ["phone"] * 102 + ["desktop"] * 51
    negatives = rows[rows["label"] == 0]
    assert not negatives["bought"].any()
    first, last = negatives[negatives["timestamp"] == 5], negatives[negatives["timestamp"] == 9]
    assert set(first["item_id"]) == set("23456789")
    assert set(last["item_id"]) == set("013456789")  # What was taken at another time may be drawn.


def test_the_same_seed_draws_the_same(dataset: Dataset) -> None:
    first, second, other = (draw_negatives(dataset, 8, seed).interactions for seed in (1, 1, 2))
    assert first.equals(second)
    assert not first.equals(other)


def test_where_nearly_all_was_taken_some_are_missing(dataset: Dataset) -> None:
    everything = pa.table({"user_id": ["ann"] * 10, "item_id": list("0123456789"), "timestamp": [1] * 10})
    rows = draw_negatives(assemble("all", everything, dataset.items), 3).interactions
    assert rows["label"].tolist() == [1.0] * 10


def test_histories_hold_no_drawn_items() -> None:
    settings = {"data.interactions.path": "orders.csv", "data.negatives": 2, "model.name": "dnn"}
    Config.load(None, settings)
    with pytest.raises(InputError, match=r"data\.negatives is for models that predict the click from what was liked"):
        Config.load(None, {**settings, "features.history_labels": True})
