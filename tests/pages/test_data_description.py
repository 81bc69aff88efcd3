"""The data's description, by hand."""

import numpy as np

from tests.evaluation.examples import cases
from tfrec.datasets.dataset import Split
from tfrec.datasets.impressions import Impressions
from tfrec.datasets.ragged import Ragged
from tfrec.datasets.splits import TEST, TRAINING, VALIDATION
from tfrec.pages.data_description import describe_impressions, describe_split, doublings, lorenz


def test_the_lorenz_curve() -> None:
    # In rising order 1, 1, 2, 4 of 8.
    assert lorenz(np.array([4, 1, 2, 1])) == ((0.0, 0.0), (0.25, 0.125), (0.5, 0.25), (0.75, 0.5), (1.0, 1.0))
    assert lorenz(np.zeros(0, int))[0] == (0.0, 0.0)
    many = lorenz(np.arange(10_000))
    assert len(many) == 101 and many[-1] == (1.0, 1.0)


def test_lengths_by_doublings() -> None:
    assert doublings(np.array([0, 0, 1, 3, 2, 4, 16])) == (
        ("0", 2), ("1", 1), ("2-3", 2), ("4-7", 1), ("8-15", 0), ("16-31", 1)
    )  # fmt: skip
    assert doublings(np.array([5])) == (("4-7", 1),)


def test_a_split() -> None:
    train = Ragged.from_lengths(np.array([0, 1, 0], np.int32), np.array([2, 1, 0]))
    held_out = cases([[0, 1], []], [[2], [0, 1]])
    found = describe_split(Split(train, held_out, held_out, np.array([0, 1, 2]), ("a note",)), num_items=4)
    assert found.parts["training"] == {"interactions": 3, "users": 2}
    assert found.parts["test"] == {"cases": 2, "targets": 3, "items that may be recommended": 3}
    assert found.facts["items never seen"] == 2
    assert found.history_lengths == (("0", 1), ("1", 0), ("2-3", 1))
    assert found.notes == ("a note",)


def test_impressions() -> None:
    # User 0 saw items 0, 1, 0 and then, tested, 1; user 1 saw item 1, and it was validated.
    parts = np.array([TRAINING, TRAINING, TRAINING, TEST, VALIDATION], np.int8)
    impressions = Impressions(
        users=np.array([0, 0, 0, 0, 1], np.int32),
        items=np.array([0, 1, 0, 1, 1], np.int32),
        labels=np.array([1, 0, 0, 1, 0], np.float32),
        outcomes=np.zeros((5, 0), np.float32),
        values=np.zeros(5, np.float32),
        parts=parts,
        past=np.array([0, 1, 2, 3, 4]),
        remembered=np.ones(5, bool),
        rows=np.arange(5),
    )
    found = describe_impressions(impressions, num_users=2, num_items=2)
    assert found.parts["training"]["rate of clicks"] == np.float32(1 / 3)
    assert found.parts["test"] == {"impressions": 1, "users": 1, "rate of clicks": 1.0}
    assert found.facts["interactions"] == 3
    assert found.lorenz == ((0.0, 0.0), (0.5, 0.33333), (1.0, 1.0))
    assert found.history_lengths == (("2-3", 1),)
