"""What an exported baseline answers."""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from tfrec.artifacts.item_filters import filters_and_caps
from tfrec.artifacts.rank_signatures import USER
from tfrec.artifacts.scorers import History, Scorer
from tfrec.artifacts.selection import Cap, select
from tfrec.artifacts.served import example_histories, with_a_row_each
from tfrec.artifacts.signatures import EXCLUDED, HISTORY, Inputs
from tfrec.config import DEFAULT_STAGES, ExportConfig
from tfrec.datasets.ragged import Ragged
from tfrec.features.sequences import pad_histories
from tfrec.features.vocabulary import NUM_SPECIAL, Vocabulary
from tfrec.indices.exact import top_items
from tfrec.models.retrieval_model import popularity_scores
from tfrec.training.catalogue import Catalogue


class BaselineSignatures(tf.Module):
    """The signatures of a baseline, as functions of named tensors: those that `Signatures` has, where it has the form.

    Every input and output has the batch as its first dimension.

    - `recommend` (and `serving_default`): `history_item_ids` string [batch, history_length], padded with "";
      `exclude_item_ids` string [batch, any], padded with ""; and, of a baseline that learned a vector for each user,
      `user_id` string [batch], "" if unknown -> `item_ids` string [batch, top_k], `scores` float32 [batch, top_k]. The
      scores are the baseline's own. Items of the history are not recommended again; of equal scores the item that
      comes first in the catalogue is first. A history that says nothing gets the most popular items, with their share
      of the most popular one's interactions as scores: one without any known item, or after which the baseline scores
      all items alike. With filters there are inputs for them; with caps the answer is chosen by `select`.
    - `similar_items`, of all but popularity: `item_ids` string [batch] -> `item_ids`, `scores` [batch, top_k], by what
      `Scorer.similar` says; nothing for an unknown id.

    Where fewer than top_k items are left, the id is "" and the score 0.

    Args:
        scorer: The baseline.
        item_ids: In the order of its codes: object [num_items].
        user_ids: In the order of its codes: object [num_users].
        counts: Training interactions of each item, [num_items].
        history_length: The most recent items that a request tells.
        config: The stages and their limits.
        catalogue: What items are filtered and capped by; None, if there are neither filters nor caps.

    Attributes:
        optional: Input -> what says that nothing is known or asked, one row.
        may_widen: See `Served`.

    Raises:
        InputError: A column does not fit a filter or cap.
    """

    may_widen = True

    def __init__(
        self,
        scorer: Scorer,
        item_ids: np.ndarray,
        user_ids: np.ndarray,
        counts: np.ndarray,
        history_length: int,
        config: ExportConfig = DEFAULT_STAGES,
        catalogue: Catalogue | None = None,
    ) -> None:
        super().__init__(name="baseline_signatures")
        self.scorer = scorer
        self.ids = item_ids
        self.history_length = history_length
        self.config = config
        self.top_k = min(config.top_k, len(item_ids))
        self.num_retrieved = min(config.num_pool, len(item_ids))
        self.vocabulary = Vocabulary(item_ids.tolist(), name="item_vocabulary")
        self.user_ids = user_ids
        self.user_vocabulary = None
        if scorer.user_vectors is not None:
            self.user_vocabulary = Vocabulary(user_ids.tolist(), name="user_vocabulary")
        # Variables, not constants: a graph must stay below 2 GB.
        self.item_ids = tf.Variable(["", "", *item_ids], trainable=False, name="item_ids")
        self.popularity = tf.Variable(popularity_scores(counts), trainable=False, name="popularity")
        self.filters, self.caps = filters_and_caps(catalogue, config, item_ids)
        self.optional = {
            EXCLUDED: np.array([[""]], object),
            **({} if self.user_vocabulary is None else {USER: np.array([""], object)}),
            **({} if self.filters is None else self.filters.missing()),
        }

    def endpoints(self) -> dict[str, tuple[Callable[..., dict[str, tf.Tensor]], Inputs]]:
        """Name -> function of named tensors, and what they are."""
        recommend = {
            HISTORY: tf.TensorSpec([None, self.history_length], tf.string),
            EXCLUDED: tf.TensorSpec([None, None], tf.string),
            **({} if self.user_vocabulary is None else {USER: tf.TensorSpec([None], tf.string)}),
            **({} if self.filters is None else self.filters.inputs),
        }
        similar = {"item_ids": tf.TensorSpec([None], tf.string)}
        return {
            "serving_default": (self.recommend, recommend),
            "recommend": (self.recommend, recommend),
            **({"similar_items": (self.similar_items, similar)} if self.scorer.has_similar else {}),
        }

    @property
    def lookup_tables(self) -> Sequence[tf.Module]:
        """What an export must track beside the variables."""
        users = [] if self.user_vocabulary is None else [self.user_vocabulary]
        return [self.vocabulary, *users, *([] if self.filters is None else self.filters.vocabularies)]

    def recommend(self, **inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        inputs = with_a_row_each(inputs, self.optional, HISTORY)
        indices = self.vocabulary(inputs[HISTORY])
        users = tf.zeros(tf.shape(indices)[:1], tf.int32)
        if self.user_vocabulary is not None:
            users = self.user_vocabulary(inputs[USER])
        scores = self._scores(indices, users)
        excluded = tf.concat([indices, self.vocabulary(inputs[EXCLUDED])], axis=1)
        allowed = None if self.filters is None else self.filters.allowed(inputs)
        scores, items = top_items(_with_special(scores), excluded, self.num_retrieved, allowed)
        if self.config.chooses:
            caps = [Cap(tf.gather(codes.value(), items), self.config.caps[name]) for name, codes in self.caps.items()]
            vectors = tf.zeros([*tf.unstack(tf.shape(items)), 1])  # Of use for diversity alone.
            scores, items = select(scores, items, vectors, caps, 0.0, self.top_k)
        return self._answer(scores, items)

    def score(self, users: np.ndarray, histories: Ragged) -> np.ndarray:
        """What the answers are ranked by, so that it can be evaluated: float32 [batch_size, num_items]."""
        nobody = self.user_vocabulary is None
        rows = np.zeros(len(users), np.int32) if nobody else users.astype(np.int32) + NUM_SPECIAL
        scores: np.ndarray = self._scores(tf.constant(pad_histories(histories, self.history_length)), rows).numpy()
        return scores

    def _scores(self, indices: tf.Tensor, users: tf.Tensor) -> tf.Tensor:
        """float32 [batch_size, num_items]"""
        history = History.read(indices, users, len(self.ids))
        scores = self.scorer(history)
        says_nothing = (history.lengths == 0) & (users < NUM_SPECIAL)
        says_nothing |= tf.reduce_max(scores, axis=1) == tf.reduce_min(scores, axis=1)
        return tf.where(says_nothing[:, tf.newaxis], self.popularity.value(), scores)

    def similar_items(self, item_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        indices = self.vocabulary(item_ids)[:, tf.newaxis]
        nobody = tf.zeros(tf.shape(item_ids), tf.int32)
        scores = self.scorer.similar(History.read(indices, nobody, len(self.ids)))
        scores, similar = top_items(_with_special(scores), indices, self.top_k)
        is_known = indices >= NUM_SPECIAL
        return self._answer(tf.where(is_known, scores, 0.0), tf.where(is_known, similar, 0))

    def _answer(self, scores: tf.Tensor, items: tf.Tensor) -> dict[str, tf.Tensor]:
        scores, items = (tf.ensure_shape(each, [None, self.top_k]) for each in (scores, items))
        return {"item_ids": tf.gather(self.item_ids.value(), items), "scores": scores}

    def examples(self, histories: Sequence[Sequence[str]]) -> dict[str, dict[str, np.ndarray]]:
        """Requests for every signature, to compare and to warm up with.

        Args:
            histories: Real histories, oldest first. An empty one and one of unknown ids are added.

        Returns:
            Signature -> inputs of len(histories) + 2 rows.
        """
        padded, last = example_histories(histories, self.history_length)
        recommend = {
            HISTORY: padded,
            EXCLUDED: np.array([[id] for id in last], object),
            **({} if self.filters is None else self.filters.examples(len(last))),
        }
        if self.user_vocabulary is not None:
            recommend[USER] = np.resize(np.array([self.user_ids[0], "", "no such user"], object), len(last))
        similar = {"item_ids": np.array(last, object)}
        return {name: similar if name == "similar_items" else recommend for name in self.endpoints()}


def _with_special(scores: tf.Tensor) -> tf.Tensor:
    """Behind columns for padding and unknown, which `top_items` never takes."""
    return tf.pad(scores, [[0, 0], [NUM_SPECIAL, 0]])
