"""The two-tower retrieval model."""

from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from tfrec.config import Config
from tfrec.datasets.dataset import Ragged
from tfrec.features.prepared import Prepared
from tfrec.features.sequences import pad_histories, target_counts
from tfrec.features.table import FeatureTable
from tfrec.features.vocabulary import NUM_SPECIAL
from tfrec.tasks.retrieval import RetrievalTask
from tfrec.towers.item_tower import ItemTower
from tfrec.towers.user_tower import UserTower

ROWS_AT_ONCE = 8192


class TwoTower(keras.Model):
    """A user tower over the history's item vectors, an item tower over text, id and attributes, and their cosine.

    Trained to pick the next item out of the batch (Yi et al. 2019, "Sampling-bias-corrected neural modeling for
    large corpus item recommendations"). The history is made of item vectors from the same item tower, so whatever
    it can read of a new item, the user tower can read in a history.

    Args:
        item_tower: Features of items -> [rows, embedding_size].
        user_tower: Histories' item vectors and users' features -> [batch_size, embedding_size].
        items: What the item tower gathers its features from.
        users: What the user tower gathers its features from.
        counts: Training interactions of each item, int64 [num_items]: the order in which a user without any known
            history is recommended items.
        targets: How often each item is an example's target, int64 [num_items]: the log-Q correction's probabilities.
        temperature: Divides the cosine before the softmax.
        log_q_correction: Correct the logits for the negatives' sampling probability.
        remove_accidental_hits: Drop in-batch negatives that are the example's positive.

    Call arguments:
        inputs: `history` int32 [batch_size, history_length], `user` and `target` int32 [batch_size], as
            NextItemExamples makes them.

    Returns:
        `query` and `candidate`, each float32 [batch_size, embedding_size].
    """

    def __init__(
        self,
        item_tower: ItemTower,
        user_tower: UserTower,
        items: FeatureTable,
        users: FeatureTable,
        counts: np.ndarray,
        targets: np.ndarray,
        temperature: float,
        log_q_correction: bool,
        remove_accidental_hits: bool,
    ) -> None:
        super().__init__(name="two_tower")
        self.item_tower = item_tower
        self.user_tower = user_tower
        item_tower.build()
        user_tower.build()
        self.counts = counts
        self.num_items = len(counts)
        self.log_q_correction = log_q_correction
        self._task = RetrievalTask(temperature, remove_accidental_hits)
        # Constants, not weights: they are derived from the data and would only swell every checkpoint.
        self._item_features = {name: tf.constant(array) for name, array in items.arrays.items()}
        self._user_features = {name: tf.constant(array) for name, array in users.arrays.items()}
        probability = np.concatenate([np.ones(NUM_SPECIAL), targets / max(targets.sum(), 1)])
        self._sampling_probability = tf.constant(probability, tf.float32)
        rows = tf.TensorSpec([None], tf.int32)
        self._encode_items = tf.function(self.encode_items, input_signature=[rows])
        self._encode_histories = tf.function(
            lambda vectors, history, users: self.encode_users(
                tf.gather(vectors, history), history >= NUM_SPECIAL, users
            ),
            input_signature=[
                tf.TensorSpec([None, item_tower.embedding_size], tf.float32),
                tf.TensorSpec([None, user_tower.history_length], tf.int32),
                rows,
            ],
        )
        self.built = True

    @classmethod
    def from_config(cls, config: Config, prepared: Prepared) -> "TwoTower":
        """The model that a run's configuration and data ask for."""
        settings = config.model
        text = prepared.items.arrays.get("text")
        item_tower = ItemTower(
            columns=prepared.items.columns,
            num_ids=prepared.items.num_rows if settings.use_id else 0,
            text_size=0 if text is None else text.shape[1],
            embedding_size=settings.embedding_size,
            hidden_sizes=settings.hidden_sizes,
            dropout=settings.dropout,
            id_dropout=settings.id_dropout,
        )
        user_tower = UserTower(
            columns=prepared.users.columns,
            history_length=config.features.history_length,
            embedding_size=settings.embedding_size,
            hidden_sizes=settings.hidden_sizes,
            dropout=settings.dropout,
        )
        return cls(
            item_tower,
            user_tower,
            prepared.items,
            prepared.users,
            prepared.counts,
            target_counts(prepared.split.train, len(prepared.counts)),
            settings.temperature,
            settings.log_q_correction,
            settings.remove_accidental_hits,
        )

    def encode_items(self, indices: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Item indices, int32 [rows], to vectors [rows, embedding_size]."""
        features = {name: tf.gather(array, indices) for name, array in self._item_features.items()}
        return self.item_tower(features, training=training)

    def encode_users(self, history: tf.Tensor, mask: tf.Tensor, users: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Histories' item vectors [batch_size, history_length, embedding_size] and user indices to vectors."""
        features = {name: tf.gather(array, users) for name, array in self._user_features.items()}
        return self.user_tower(history, mask, features, training=training)

    def call(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> dict[str, tf.Tensor]:
        history, target = inputs["history"], inputs["target"]
        # Each distinct item of the batch is encoded once.
        distinct, places = tf.unique(tf.concat([tf.reshape(history, [-1]), target], axis=0))
        vectors = self.encode_items(distinct, training=training)
        history_places, target_places = places[: tf.size(history)], places[tf.size(history) :]
        query = self.encode_users(
            tf.gather(vectors, tf.reshape(history_places, tf.shape(history))),  # [batch_size, history_length, size]
            history >= NUM_SPECIAL,
            inputs["user"],
            training=training,
        )
        return {"query": query, "candidate": tf.gather(vectors, target_places)}

    def compute_loss(
        self,
        x: Mapping[str, tf.Tensor],
        y: object,
        y_pred: Mapping[str, tf.Tensor],
        sample_weight: object = None,
        training: bool = True,
    ) -> tf.Tensor:
        """The retrieval loss; under tf.distribute this device's share of it."""
        target = x["target"]
        probability = tf.gather(self._sampling_probability, target) if self.log_q_correction else None
        return self._task(y_pred["query"], y_pred["candidate"], target, probability)

    def item_vectors(self) -> np.ndarray:
        """The vectors of the whole catalogue, by index: float32 [NUM_SPECIAL + num_items, embedding_size]."""
        indices = tf.range(self.num_items + NUM_SPECIAL)
        return np.concatenate(
            [
                self._encode_items(indices[low : low + ROWS_AT_ONCE]).numpy()
                for low in range(0, len(indices), ROWS_AT_ONCE)
            ]
        )

    def user_vectors(self, item_vectors: tf.Tensor, history: np.ndarray, users: np.ndarray) -> tf.Tensor:
        """The vectors of users, given the catalogue's.

        Args:
            item_vectors: What `item_vectors` returned.
            history: int32 [batch_size, history_length] item indices, as pad_histories makes them.
            users: int32 [batch_size] user indices.

        Returns:
            float32 [batch_size, embedding_size]
        """
        return self._encode_histories(item_vectors, tf.constant(history), tf.constant(users, tf.int32))


class TwoTowerRecommender:
    """A trained TwoTower as the evaluation wants it: the item vectors are computed once.

    A user without any history is given the items by their popularity, as the exported model does.
    """

    def __init__(self, model: TwoTower) -> None:
        self.name = model.name
        self._model = model
        self._vectors = tf.constant(model.item_vectors())
        self._popularity = popularity_scores(model.counts)
        self._history_length = model.user_tower.history_length

    def score(self, users: np.ndarray, histories: Ragged) -> np.ndarray:
        """Cosine of each user and each item: float32 [batch_size, num_items]."""
        history = pad_histories(histories, self._history_length)
        queries = self._model.user_vectors(self._vectors, history, users + NUM_SPECIAL)
        scores = tf.matmul(queries, self._vectors[NUM_SPECIAL:], transpose_b=True).numpy()
        scores[(history < NUM_SPECIAL).all(axis=1)] = self._popularity
        return scores


def popularity_scores(counts: np.ndarray) -> np.ndarray:
    """Interaction counts as scores between 0 and 1, the range of the positive cosines: float32 [num_items]."""
    return (counts / max(counts.max(initial=0), 1)).astype(np.float32)
