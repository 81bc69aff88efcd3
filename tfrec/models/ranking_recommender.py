"""Retrieval, then ranking, as the evaluation wants it."""

import numpy as np
import tensorflow as tf

from tfrec.datasets.ragged import Ragged
from tfrec.features.sequences import pad_histories
from tfrec.features.vocabulary import NUM_SPECIAL
from tfrec.indices.exact import top_items
from tfrec.models.retrieval_model import RetrievalRecommender


class RankingRecommender:
    """A trained model that retrieves by the dot product, and ranks what it has retrieved by its head.

    As in the exported model, the items of the history are not retrieved, and a user without any history is given the
    items by their popularity.

    Args:
        retrieval: A model with a head, as it retrieves.
        num_candidates: How many items are retrieved and ranked.
        candidates: The item codes that may be recommended, int [num_codes]; None: the whole catalogue.
    """

    def __init__(
        self, retrieval: RetrievalRecommender, num_candidates: int, candidates: np.ndarray | None = None
    ) -> None:
        model = retrieval.model
        assert model.head is not None
        self.name = f"{model.name} + {model.head.name}"
        self._retrieval = retrieval
        self._head = tf.function(model.head, autograph=False, reduce_retracing=True)
        self._num_candidates = min(num_candidates, model.num_items)
        allowed = np.arange(model.num_items) if candidates is None else candidates
        self._barred = np.setdiff1d(np.arange(model.num_items), allowed).astype(np.int32) + NUM_SPECIAL

    def score(self, users: np.ndarray, histories: Ragged) -> np.ndarray:
        """The head's logits of what is retrieved; below them all, the dot products of what is not.

        Args:
            users: User codes, int32 [batch_size].
            histories: What each user did before, oldest first.

        Returns:
            float32 [batch_size, num_items]
        """
        item_vectors = self._retrieval.item_vectors
        history, queries = self._retrieval.read(users, histories)
        products = tf.matmul(queries, item_vectors, transpose_b=True)  # [batch_size, num_rows]
        seen = pad_histories(histories, int(np.diff(histories.offsets).max(initial=0)))
        barred = np.broadcast_to(self._barred, (len(users), len(self._barred)))
        excluded = tf.constant(np.concatenate([seen, barred], axis=1), tf.int32)
        _, retrieved = top_items(products, excluded, self._num_candidates)
        vectors, mask = tf.gather(item_vectors, history), tf.constant(history >= NUM_SPECIAL)
        logits = self._head(queries, vectors, mask, tf.gather(item_vectors, retrieved)).numpy()

        found = retrieved.numpy() >= NUM_SPECIAL
        scores = products.numpy()
        # Unit vectors' products lie within 1 of 0.
        scores += np.where(found, logits, np.inf).min(axis=1, initial=0, keepdims=True) - 2
        rows, places = np.nonzero(found)
        scores[rows, retrieved.numpy()[rows, places]] = logits[rows, places]
        scores = scores[:, NUM_SPECIAL:]
        scores[(history < NUM_SPECIAL).all(axis=1)] = self._retrieval.popularity
        return scores
