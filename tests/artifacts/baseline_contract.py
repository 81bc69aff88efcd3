"""What every exported baseline promises. A test class inherits it and says how to build one."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.baselines.random_data import random_rows
from tfrec.artifacts.baseline_signatures import BaselineSignatures
from tfrec.artifacts.scorers import build_scorer
from tfrec.artifacts.version import write_version
from tfrec.datasets.ragged import Ragged
from tfrec.evaluation import Recommender

NUM_ITEMS, NUM_USERS, TOP_K, HISTORY_LENGTH = 15, 30, 12, 8
TRAIN = random_rows(NUM_USERS, NUM_ITEMS - 1)
"""Of the last item nothing is known."""

COUNTS = np.bincount(TRAIN.values, minlength=NUM_ITEMS)
IDS = np.array([f"item-{code}" for code in range(NUM_ITEMS)], object)
USERS = np.array([f"user-{code}" for code in range(NUM_USERS)], object)
CODES = {"no such item": None, "": None} | {id: code for code, id in enumerate(IDS)}

# Users (of whom the code NUM_USERS is nobody), what they did, and what else they are not to get.
REQUESTS: list[tuple[int, list[str], list[str]]] = [
    (NUM_USERS, ["item-3", "item-7", "item-1"], []),
    (NUM_USERS, ["item-7"], ["item-0", "item-5", "no such item"]),
    (NUM_USERS, ["item-2", "item-2", "item-9", "item-2"], []),
    (NUM_USERS, ["no such item", "item-4", "", "item-6"], []),
    (NUM_USERS, [], ["item-3"]),
    (NUM_USERS, ["no such item"], []),
    (NUM_USERS, ["item-14"], []),
    (NUM_USERS, [f"item-{code}" for code in (0, 11, 4, 8, 2, 13, 10, 5)], ["item-1"]),
    (4, ["item-1", "item-12"], []),
    (4, [], []),
]


class ServedBaselineContract:
    """Inherit and define a fixture `recommender`, of class scope, fitted to TRAIN.

    Attributes:
        has_similar: Whether there is a signature similar_items.
        knows_users: Whether there is an input user_id.
    """

    has_similar = True
    knows_users = False

    @pytest.fixture(scope="class")
    @classmethod
    def folder(cls, recommender: Recommender, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """Answers are compared after reload, in Python and through a v1 Session, before the version is there."""
        signatures = BaselineSignatures(build_scorer(recommender), IDS, USERS, COUNTS, HISTORY_LENGTH)
        signatures.top_k = signatures.num_retrieved = TOP_K
        examples = signatures.examples([history for _, history, _ in REQUESTS if history])
        return write_version(signatures, examples, IDS, {}, tmp_path_factory.mktemp("saved_models") / "shop")

    @pytest.fixture(scope="class")
    @classmethod
    def served(cls, folder: Path):
        return tf.saved_model.load(str(folder)).signatures

    def test_answers_what_it_scores(self, served, recommender: Recommender) -> None:
        answer = self.ask(served, REQUESTS)
        for row, request in enumerate(REQUESTS):
            self.assert_is_ranked(answer, row, self.expected(recommender, request), request)

    def test_rows_of_a_batch_do_not_mix(self, served) -> None:
        together = self.ask(served, REQUESTS)
        for row, request in enumerate(REQUESTS):
            alone = self.ask(served, [request])
            np.testing.assert_allclose(alone["scores"][0], together["scores"][row], atol=1e-5)

    def test_signatures(self, served) -> None:
        assert ("similar_items" in served) == self.has_similar
        inputs = served["serving_default"].structured_input_signature[1]
        users = {"user_id"} if self.knows_users else set()
        assert set(inputs) == {"history_item_ids", "exclude_item_ids", *users}
        assert inputs["history_item_ids"].shape.as_list() == [None, HISTORY_LENGTH]

    def test_similar_items(self, served, recommender: Recommender) -> None:
        if not self.has_similar:
            return
        answer = served["similar_items"](item_ids=tf.constant(["item-3", "no such item", "item-7"]))
        ids, scores = (answer[name].numpy() for name in ("item_ids", "scores"))
        assert ids[1].tolist() == [b""] * TOP_K
        assert scores[1].tolist() == [0.0] * TOP_K
        for row, code in ((0, 3), (2, 7)):
            alike = np.array(self.similar(recommender, code), np.float64)
            alike[code] = -np.inf
            np.testing.assert_allclose(scores[row], np.sort(alike)[::-1][:TOP_K], atol=1e-5)
            found = [CODES[id.decode()] for id in ids[row]]
            np.testing.assert_allclose(alike[found], scores[row], atol=1e-5)

    def similar(self, recommender: Recommender, code: int) -> np.ndarray:
        """What comes after the item alone: [num_items]."""
        return self.score(recommender, NUM_USERS, [code])

    def score(self, recommender: Recommender, user: int, codes: list[int]) -> np.ndarray:
        """The library's: float64 [num_items]."""
        history = Ragged(np.array(codes, np.int32), np.array([0, len(codes)]))
        user = user if self.knows_users else NUM_USERS
        return recommender.score(np.array([user]), history)[0].astype(np.float64)

    def expected(self, recommender: Recommender, request: tuple[int, list[str], list[str]]) -> np.ndarray:
        """The scores of all items, -inf for what is seen or excluded."""
        user, history, excluded = request
        codes = [CODES[id] for id in history if CODES[id] is not None]
        scores = self.score(recommender, user, codes)
        is_told = bool(codes) or (self.knows_users and user < NUM_USERS)
        if not is_told or np.ptp(scores) == 0:
            scores = COUNTS / COUNTS.max()
        barred = [*codes, *(CODES[id] for id in excluded if CODES[id] is not None)]
        scores = scores.copy()
        scores[barred] = -np.inf
        return scores

    @staticmethod
    def assert_is_ranked(answer: dict[str, np.ndarray], row: int, expected: np.ndarray, request: object) -> None:
        order = np.argsort(-expected, kind="stable")[:TOP_K]
        order = order[np.isfinite(expected[order])]
        ids, scores = answer["item_ids"][row], answer["scores"][row]
        assert ids[len(order) :].tolist() == [b""] * (TOP_K - len(order)), request
        assert scores[len(order) :].tolist() == [0.0] * (TOP_K - len(order)), request
        found = np.array([CODES[id.decode()] for id in ids[: len(order)]])
        assert len(set(found.tolist())) == len(order), request
        np.testing.assert_allclose(scores[: len(order)], expected[order], rtol=1e-4, atol=1e-5, err_msg=str(request))
        np.testing.assert_allclose(expected[found], expected[order], rtol=1e-4, atol=1e-5, err_msg=str(request))
        # Of scores that are equal, and not only but for rounding, the first item in the catalogue is first.
        for value in np.unique(scores[: len(order)]):
            alike = found[scores[: len(order)] == value]
            assert alike.tolist() == sorted(alike.tolist()), request

    def ask(self, served, requests: list[tuple[int, list[str], list[str]]]) -> dict[str, np.ndarray]:
        def rows(lists: list[list[str]], width: int) -> tf.Tensor:
            return tf.constant([ids + [""] * (width - len(ids)) for ids in lists])

        inputs = {
            "history_item_ids": rows([history for _, history, _ in requests], HISTORY_LENGTH),
            "exclude_item_ids": rows([excluded for _, _, excluded in requests], 3),
        }
        if self.knows_users:
            inputs["user_id"] = tf.constant([f"user-{user}" for user, _, _ in requests])
        return {name: value.numpy() for name, value in served["serving_default"](**inputs).items()}
