"""What every retrieval model is: two towers over one catalogue."""

from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from tfrec import console
from tfrec.backbones.text_encoder import TextEncoder
from tfrec.config import Config, FeaturesConfig, TowersConfig
from tfrec.datasets.ragged import Ragged
from tfrec.evaluation.report import evaluate
from tfrec.features.prepared import Prepared
from tfrec.features.sequences import pad_context, pad_histories, target_counts
from tfrec.features.vocabulary import NUM_SPECIAL
from tfrec.heads import RankingHead
from tfrec.layers.interaction_context import InteractionContext
from tfrec.models.batch_model import BatchModel
from tfrec.towers.item_tower import ItemTower
from tfrec.towers.user_tower import UserTower
from tfrec.towers.youtube_user_tower import YouTubeUserTower

ROWS_AT_ONCE = 8192
TEXTS_AT_ONCE = 256
MANY_TEXTS = 2000
"""More than so many texts take long enough to encode for a progress bar."""


class RetrievalModel(BatchModel):
    """An item tower, a user tower over the history's item vectors, and their dot product.

    The history is made of item vectors from the same item tower, so whatever it can read of a new item, the user tower
    can read in a history. What the towers gather their features from are constants and not weights: they are derived
    from the data and would only swell every checkpoint.

    Where the texts' encoder is trained, the tables hold tokens, and the encoder is a part of the model. Where they hold
    variants of the texts, training draws among them; nothing else reads them.

    A subclass says how a batch becomes vectors (`call`) and a loss (`batch_loss`).

    Attributes:
        encodes_catalogue: Whether each training step encodes all items, and not only those of its batch.
        words: Of the items, int32 [num_rows, item_tokens], if the user tower reads them; else None.

    Args:
        item_tower: Features of items -> [rows, embedding_size].
        user_tower: Histories' item vectors and users' features -> [batch_size, embedding_size].
        prepared: The tables; `prepared.counts` is the order in which a user without any known history is recommended
            items. What its histories tell beside the items is added to the item vectors before the user tower.
        text_encoder: Tokens of texts -> vectors; None: the tables hold the vectors, or there is no text.
        context_dropout: Share of the histories of which training hides what they tell beside the items.
        head: Ranks what the dot product retrieves; None: the dot product does both.

    Raises:
        ValueError: The tables hold tokens, and there is no encoder for them.
    """

    encodes_catalogue = False

    def __init__(
        self,
        item_tower: ItemTower,
        user_tower: keras.layers.Layer,
        prepared: Prepared,
        text_encoder: TextEncoder | None,
        name: str,
        context_dropout: float = 0.0,
        head: RankingHead | None = None,
    ) -> None:
        super().__init__(name=name)
        if (text_encoder is not None) != ("text_tokens" in prepared.items.arrays):
            raise ValueError(
                "Expected a text_encoder for tables with text_tokens, and none for others. "
                f"Received: {text_encoder} and tables with {sorted(prepared.items.arrays)}"
            )
        self.item_tower = item_tower
        self.user_tower = user_tower
        self.text_encoder = text_encoder
        self.head = head
        item_tower.build()
        user_tower.build()
        self.interaction_context = build_interaction_context(prepared, item_tower.embedding_size, context_dropout)
        if head is not None:
            head.build()
        self.counts = prepared.counts
        self.num_items = len(prepared.counts)
        features = {name: tf.constant(array) for name, array in prepared.items.arrays.items()}
        self._text_tokens = features.pop("text_tokens", None)
        self._text_variants = features.pop("text_variants", None)
        if self._text_variants is not None:
            self.variant_generator = keras.random.SeedGenerator()
        self._text = features.pop("text", tf.zeros([prepared.items.num_rows, 0]))
        if self._text.shape[1]:
            self.start_from_texts()
        self.words = features.pop("words", None)
        self._item_features = features
        self._user_features = {name: tf.constant(array) for name, array in prepared.users.arrays.items()}
        rows = tf.TensorSpec([None], tf.int32)
        if text_encoder is not None:
            tokens = tf.TensorSpec([None, None], tf.int32)
            self._encode_tokens = tf.function(text_encoder.encode_tokens, input_signature=[tokens])
        self._encode_items = tf.function(
            self._items_with_text, input_signature=[rows, tf.TensorSpec([None, item_tower.text_size], tf.float32)]
        )
        self._encode_histories = tf.function(
            lambda vectors, history, users, context: self.encode_users(
                self.readable(history, tf.gather(vectors, history)), history >= NUM_SPECIAL, users, context=context
            ),
            input_signature=[
                tf.TensorSpec([None, item_tower.embedding_size], tf.float32),
                tf.TensorSpec([None, user_tower.history_length], tf.int32),
                rows,
                {
                    name: tf.TensorSpec([None, user_tower.history_length], dtype, name)
                    for name, dtype in self.context_specs.items()
                },
            ],
        )
        self.built = True

    def encode_items(self, indices: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Item indices, int32 [rows], to vectors [rows, embedding_size]."""
        text = self._read_texts(indices, training)
        if self.text_encoder is not None:
            text = self.text_encoder.encode_by_length(text, training=training)
        return self._items_with_text(indices, text, training=training)

    def _read_texts(self, indices: tf.Tensor, training: bool) -> tf.Tensor:
        """The texts' vectors, or their tokens; where texts have variants, training draws one for each item."""
        if training and self._text_variants is not None:
            drawn = keras.random.randint(
                tf.shape(indices), 0, self._text_variants.shape[1], seed=self.variant_generator
            )
            return tf.gather_nd(self._text_variants, tf.stack([indices, drawn], axis=1))
        return tf.gather(self._text if self.text_encoder is None else self._text_tokens, indices)

    def _items_with_text(self, indices: tf.Tensor, text: tf.Tensor, training: bool = False) -> tf.Tensor:
        features = {name: tf.gather(array, indices) for name, array in self._item_features.items()}
        return self.item_tower({**features, "text": text}, training=training)

    def encode_distinct(self, *indices: tf.Tensor, training: bool = False) -> list[tf.Tensor]:
        """Item indices, int32 of any shapes, to vectors [*shape, embedding_size]; each distinct one encoded once."""
        distinct, places = tf.unique(tf.concat([tf.reshape(each, [-1]) for each in indices], axis=0))
        vectors = self.encode_items(distinct, training=training)
        parts = tf.split(places, [tf.size(each) for each in indices])
        return [tf.gather(vectors, tf.reshape(part, tf.shape(each))) for part, each in zip(parts, indices, strict=True)]

    def readable(self, history: tf.Tensor, vectors: tf.Tensor) -> tf.Tensor:
        """What the user tower reads of histories, int32 [batch_size, history_length]: item vectors, or words."""
        return vectors if self.words is None else tf.gather(self.words, history)

    def step_sizes(self, config: Config) -> list[tuple[keras.Variable, float]]:
        """The pretrained weights that are trained, and with which learning rate each."""
        if self.text_encoder is None:
            return []
        return [(variable, config.backbone.step_size) for variable in self.text_encoder.backbone.trainable_variables]

    @property
    def context_specs(self) -> dict[str, tf.DType]:
        """What histories must tell beside their items, by name, and its types."""
        return {} if self.interaction_context is None else self.interaction_context.specs

    def encode_users(
        self,
        history: tf.Tensor,
        mask: tf.Tensor,
        users: tf.Tensor,
        training: bool = False,
        *,
        context: Mapping[str, tf.Tensor],
        **options: object,
    ) -> tf.Tensor:
        """Histories, as `readable` gives them, and user indices to vectors.

        The context is what histories tell beside their items, [batch_size, history_length] each; other names than those
        of `context_specs` are passed over.
        """
        if self.interaction_context is not None:
            history = self.interaction_context(history, mask, context, training=training)
        features = {name: tf.gather(array, users) for name, array in self._user_features.items()}
        return self.user_tower(history, mask, features, training=training, **options)

    def text_vectors(self) -> np.ndarray:
        """The vectors of all items' texts, by index: float32 [NUM_SPECIAL + num_items, text_size].

        Texts of like length are encoded together, so that little of it is padding.
        """
        if self.text_encoder is None:
            return self._text.numpy()
        tokens = self._text_tokens.numpy()
        order = np.argsort((tokens != self.text_encoder.tokenizer.pad_token_id).sum(axis=1), kind="stable")
        vectors = np.empty((len(order), self.text_encoder.output_size), np.float32)
        shown = len(order) if len(order) > MANY_TEXTS else 0
        with console.progress("encoding texts", shown) as advance:
            for low in range(0, len(order), TEXTS_AT_ONCE):
                rows = order[low : low + TEXTS_AT_ONCE]
                vectors[rows] = self._encode_tokens(tf.constant(tokens[rows])).numpy()
                advance(len(rows))
        return vectors

    def start_from_texts(self) -> None:
        """Lets the item tower begin with what tells the texts apart, as the encoder has them before it is trained."""
        self.item_tower.start_from_texts(self.text_vectors()[NUM_SPECIAL:])

    def item_vectors(self, text_vectors: np.ndarray | None = None) -> np.ndarray:
        """The vectors of the whole catalogue, by index: float32 [NUM_SPECIAL + num_items, embedding_size].

        Args:
            text_vectors: What `text_vectors` returned, if it was called already.
        """
        text = tf.constant(self.text_vectors() if text_vectors is None else text_vectors)
        indices = tf.range(self.num_items + NUM_SPECIAL)
        parts = [
            self._encode_items(indices[low : low + ROWS_AT_ONCE], text[low : low + ROWS_AT_ONCE]).numpy()
            for low in range(0, len(indices), ROWS_AT_ONCE)
        ]
        return np.concatenate(parts)

    def user_vectors(
        self,
        item_vectors: tf.Tensor,
        history: np.ndarray,
        users: np.ndarray,
        context: Mapping[str, np.ndarray] | None = None,
    ) -> tf.Tensor:
        """The vectors of users, given the catalogue's.

        Args:
            item_vectors: What `item_vectors` returned.
            history: int32 [batch_size, history_length] item indices, as pad_histories makes them.
            users: int32 [batch_size] user indices.
            context: What `context_specs` names, as pad_context makes it.

        Returns:
            float32 [batch_size, embedding_size]

        Raises:
            ValueError: The context lacks something.
        """
        given = context or {}
        if missing := sorted(self.context_specs.keys() - given.keys()):
            raise ValueError(
                f"Expected histories with {missing} beside their items, which this model reads. Received: "
                f"{sorted(given)}. Take them from the run's Prepared."
            )
        read = {name: tf.constant(given[name], dtype) for name, dtype in self.context_specs.items()}
        return self._encode_histories(item_vectors, tf.constant(history), tf.constant(users, tf.int32), read)

    def validate(self, prepared: Prepared, config: Config) -> dict[str, float]:
        """The metrics of the validation cases."""
        report = evaluate(
            RetrievalRecommender(self),
            prepared.split.validation,
            self.num_items,
            # No interval is shown, and what is sampled chooses nothing.
            config.evaluation.model_copy(update={"bootstrap_samples": 1, "num_negatives": None}),
            candidates=prepared.split.candidates,
        )
        return {name: metric.mean for name, metric in report.metrics.items()}


class RetrievalRecommender:
    """A trained model as the evaluation wants it: the item vectors are computed once.

    A user without any history is given the items by their popularity, as the exported model does.
    """

    def __init__(self, model: RetrievalModel) -> None:
        self.name = model.name
        self.model = model
        self.item_vectors = tf.constant(model.item_vectors())
        self.popularity = popularity_scores(model.counts)

    def score(self, users: np.ndarray, histories: Ragged) -> np.ndarray:
        """Dot product of each user and each item: float32 [batch_size, num_items]."""
        history, queries = self.read(users, histories)
        scores = tf.matmul(queries, self.item_vectors[NUM_SPECIAL:], transpose_b=True).numpy()
        scores[(history < NUM_SPECIAL).all(axis=1)] = self.popularity
        return scores

    def read(self, users: np.ndarray, histories: Ragged) -> tuple[np.ndarray, tf.Tensor]:
        """What the model sees of the histories, int32 [batch_size, history_length], and the users' vectors."""
        length = self.model.user_tower.history_length
        history, context = pad_histories(histories, length), pad_context(histories, length)
        return history, self.model.user_vectors(self.item_vectors, history, users + NUM_SPECIAL, context)


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


def build_item_tower(settings: TowersConfig, prepared: Prepared, text_encoder: TextEncoder | None) -> ItemTower:
    """The item tower that a model's settings and the data ask for."""
    text = prepared.items.arrays.get("text")
    text_size = 0 if text is None else text.shape[1]
    return ItemTower(
        columns=prepared.items.columns,
        num_ids=(prepared.num_ids or prepared.items.num_rows) if settings.use_id else 0,
        text_size=text_size if text_encoder is None else text_encoder.output_size,
        embedding_size=settings.embedding_size,
        hidden_sizes=settings.hidden_sizes,
        dropout=settings.dropout,
        attribute_dropout=settings.attribute_dropout,
        id_dropout=settings.id_dropout,
    )


def build_user_tower(
    tower: type[UserTower] | type[YouTubeUserTower],
    settings: TowersConfig,
    features: FeaturesConfig,
    prepared: Prepared,
) -> UserTower | YouTubeUserTower:
    """The user tower, of those that pool histories, that a model's settings and the data ask for."""
    return tower(
        columns=prepared.users.columns,
        history_length=features.history_length,
        embedding_size=settings.embedding_size,
        hidden_sizes=settings.hidden_sizes,
        dropout=settings.dropout,
        attribute_dropout=settings.attribute_dropout,
    )


def build_interaction_context(prepared: Prepared, embedding_size: int, dropout: float) -> InteractionContext | None:
    """What reads the context of the prepared histories; None: they have none."""
    num_events = 0 if prepared.event is None else len(prepared.event.vocabulary) + NUM_SPECIAL
    if not num_events and not prepared.has_time_gaps:
        return None
    context = InteractionContext(num_events, prepared.has_time_gaps, embedding_size, dropout)
    context.build()
    return context
