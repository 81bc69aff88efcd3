"""What every retrieval model is: two towers over one catalogue."""

import keras
import numpy as np
import tensorflow as tf

from tfrec.config import TowersConfig
from tfrec.datasets.dataset import Ragged
from tfrec.features.prepared import Prepared
from tfrec.features.sequences import pad_histories, target_counts
from tfrec.features.vocabulary import NUM_SPECIAL
from tfrec.heads import RankingHead
from tfrec.towers.item_tower import ItemTower

ROWS_AT_ONCE = 8192


class RetrievalModel(keras.Model):
    """An item tower, a user tower over the history's item vectors, and their dot product.

    The history is made of item vectors from the same item tower, so whatever it can read of a new item, the user tower
    can read in a history. What the towers gather their features from are constants and not weights: they are derived
    from the data and would only swell every checkpoint.

    A subclass says how a batch becomes vectors (`call`) and a loss (`compute_loss`).

    Args:
        item_tower: Features of items -> [rows, embedding_size].
        user_tower: Histories' item vectors and users' features -> [batch_size, embedding_size].
        prepared: The tables; `prepared.counts` is the order in which a user without any known history is recommended
            items.
        head: Ranks what the dot product retrieves; None: the dot product does both.
    """

    def __init__(
        self,
        item_tower: ItemTower,
        user_tower: keras.layers.Layer,
        prepared: Prepared,
        name: str,
        head: RankingHead | None = None,
    ) -> None:
        super().__init__(name=name)
        self.item_tower = item_tower
        self.user_tower = user_tower
        self.head = head
        item_tower.build()
        user_tower.build()
        if head is not None:
            head.build()
        self.counts = prepared.counts
        self.num_items = len(prepared.counts)
        self._item_features = {name: tf.constant(array) for name, array in prepared.items.arrays.items()}
        self._user_features = {name: tf.constant(array) for name, array in prepared.users.arrays.items()}
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

    def encode_items(self, indices: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Item indices, int32 [rows], to vectors [rows, embedding_size]."""
        features = {name: tf.gather(array, indices) for name, array in self._item_features.items()}
        return self.item_tower(features, training=training)

    def encode_distinct(self, *indices: tf.Tensor, training: bool = False) -> list[tf.Tensor]:
        """Item indices, int32 of any shapes, to vectors [*shape, embedding_size]; each distinct one encoded once."""
        distinct, places = tf.unique(tf.concat([tf.reshape(each, [-1]) for each in indices], axis=0))
        vectors = self.encode_items(distinct, training=training)
        parts = tf.split(places, [tf.size(each) for each in indices])
        return [tf.gather(vectors, tf.reshape(part, tf.shape(each))) for part, each in zip(parts, indices, strict=True)]

    def encode_users(
        self, history: tf.Tensor, mask: tf.Tensor, users: tf.Tensor, training: bool = False, **options: object
    ) -> tf.Tensor:
        """Histories' item vectors [batch_size, history_length, embedding_size] and user indices to vectors."""
        features = {name: tf.gather(array, users) for name, array in self._user_features.items()}
        return self.user_tower(history, mask, features, training=training, **options)

    def item_vectors(self) -> np.ndarray:
        """The vectors of the whole catalogue, by index: float32 [NUM_SPECIAL + num_items, embedding_size]."""
        indices = tf.range(self.num_items + NUM_SPECIAL)
        parts = [self._encode_items(indices[low : low + ROWS_AT_ONCE]) for low in range(0, len(indices), ROWS_AT_ONCE)]
        return np.concatenate([part.numpy() for part in parts])

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


class RetrievalRecommender:
    """A trained model as the evaluation wants it: the item vectors are computed once.

    A user without any history is given the items by their popularity, as the exported model does.
    """

    def __init__(self, model: RetrievalModel) -> None:
        self.name = model.name
        self._model = model
        self._vectors = tf.constant(model.item_vectors())
        self._popularity = popularity_scores(model.counts)
        self._history_length = model.user_tower.history_length

    def score(self, users: np.ndarray, histories: Ragged) -> np.ndarray:
        """Dot product of each user and each item: float32 [batch_size, num_items]."""
        history = pad_histories(histories, self._history_length)
        queries = self._model.user_vectors(self._vectors, history, users + NUM_SPECIAL)
        scores = tf.matmul(queries, self._vectors[NUM_SPECIAL:], transpose_b=True).numpy()
        scores[(history < NUM_SPECIAL).all(axis=1)] = self._popularity
        return scores


def popularity_scores(counts: np.ndarray) -> np.ndarray:
    """Interaction counts as scores between 0 and 1, the range of the positive cosines: float32 [num_items]."""
    return (counts / max(counts.max(initial=0), 1)).astype(np.float32)


def sampling_probabilities(prepared: Prepared) -> tf.Tensor:
    """How probable each item is as a target, for the log-Q correction: float32 [NUM_SPECIAL + num_items].

    In units of the most frequent item's: a common factor leaves the softmax as it is, and TFRS takes whatever is below
    1e-6 for 1e-6.
    """
    targets = target_counts(prepared.split.train, len(prepared.counts))
    return tf.constant(np.concatenate([np.ones(NUM_SPECIAL), targets / max(targets.max(initial=0), 1)]), tf.float32)


def build_item_tower(settings: TowersConfig, prepared: Prepared) -> ItemTower:
    """The item tower that a model's settings and the data ask for."""
    text = prepared.items.arrays.get("text")
    return ItemTower(
        columns=prepared.items.columns,
        num_ids=prepared.items.num_rows if settings.use_id else 0,
        text_size=0 if text is None else text.shape[1],
        embedding_size=settings.embedding_size,
        hidden_sizes=settings.hidden_sizes,
        dropout=settings.dropout,
        attribute_dropout=settings.attribute_dropout,
        id_dropout=settings.id_dropout,
    )
