"""What every model is that predicts the click."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tfrec.config import Config, FeaturesConfig, RankerConfig
from tfrec.datasets.splits import TRAINING, VALIDATION
from tfrec.evaluation.clicks import evaluate_clicks
from tfrec.features.impression_rows import CONTEXT, HistoryConfig, ImpressionRows
from tfrec.features.prepared_impressions import PreparedImpressions
from tfrec.features.vocabulary import NUM_SPECIAL, PADDING, UNKNOWN
from tfrec.layers.field_embeddings import Field, FieldEmbeddings
from tfrec.layers.weighted_sum import weighted_sum
from tfrec.models.batch_model import BatchModel
from tfrec.tasks.ranking import RankingTask

USER = "user/"
"""Before the names of the users' attributes, as CONTEXT before those of the context."""
LABEL = "label"
"""The task that every model has."""
COUNT_BINS, RATE_BINS = 12, 10
"""Of how long a history is, in powers of two, and of how much of it was liked."""


class ItemTable(NamedTuple):
    """What the model makes of some items, or of all.

    Attributes:
        vectors: float32 [num_items, num_item_fields, embedding_size]
        weights: float32 [num_items], the sum of their fields' weights.
    """

    vectors: tf.Tensor
    weights: tf.Tensor


class Impression(NamedTuple):
    """What an architecture sees of a batch of impressions.

    Attributes:
        fields: float32 [batch_size, num_fields, embedding_size], one vector a feature; see RankingModel.
        weight: float32 [batch_size], the sum of all features' weights; 0 in an architecture without.
        candidate: float32 [batch_size, embedding_size], the sum of the item's fields.
        history: float32 [batch_size, history_length, embedding_size], what `read_history` makes of these sums for the
            items of the history.
        labels: float32 [batch_size, history_length], whether they were liked.
        mask: bool [batch_size, history_length], where an item is.
    """

    fields: tf.Tensor
    weight: tf.Tensor
    candidate: tf.Tensor
    history: tf.Tensor
    labels: tf.Tensor
    mask: tf.Tensor


class Past(NamedTuple):
    """What is known of users, whatever the candidate; the shapes are those of an Impression.

    Attributes:
        fields: [batch_size, num_other_fields, embedding_size], of users, context and histories.
        weight: Of these.
        history: What `read_history` makes of it.
        labels: As of an Impression.
        mask: As of an Impression.
    """

    fields: tf.Tensor
    weight: tf.Tensor
    history: tf.Tensor
    labels: tf.Tensor
    mask: tf.Tensor


class RankingModel(BatchModel):
    """Fields with a vector each, and an architecture that makes a logit of them.

    The fields are the item's id, attributes and text; the user's id and attributes; the impression's context; how long
    the history is and how much of it was liked; and the mean of the items in the history that were liked, and of those
    that were not, if histories hold them. Numbers are quantiles, and what is missing is a value of its own.

    What the item's fields are gathered from are constants and not weights: see RetrievalModel.

    A subclass says whether features have vectors, weights or both, and makes a logit of an Impression in `logit`; or,
    if it can do more for all candidates of a user at once, logits in `candidate_logits`. One with several tasks makes a
    logit for each: see MultiTaskModel.

    Call arguments:
        inputs: What ImpressionRows makes.

    Returns:
        `logits` float32 [batch_size], of several tasks [batch_size, num_tasks].

    Args:
        settings: The architecture.
        features: The histories.
        prepared: The data.
    """

    has_vectors, has_weights = True, False
    """Whether each feature has a vector, and a weight as in a logistic regression."""
    outcomes: tuple[str, ...] = ()
    """What it predicts beside the label."""
    num_positions = 1
    """To how many of the tasks, from the first, the position adds."""
    predicts_values = False
    """Whether its logit is the logarithm of what an impression is worth on average, and not the log-odds of a click."""

    text_encoder = None
    encodes_catalogue = False

    def __init__(self, settings: RankerConfig, features: FeaturesConfig, prepared: PreparedImpressions) -> None:
        # Labels and counts are float32 under every precision policy; the layers cast what they read.
        super().__init__(name=settings.name, autocast=False)
        self.settings = settings
        self.history_config = HistoryConfig(features.history_length, features.history_labels)
        self.num_items = len(prepared.items.ids)
        self._item_arrays = {name: tf.constant(array) for name, array in prepared.items.arrays.items()}
        self._user_arrays = {name: tf.constant(array) for name, array in prepared.users.arrays.items()}
        item_fields = [Field.of(column) for column in prepared.items.columns]
        if settings.use_id:
            item_fields.append(Field("id", prepared.items.num_rows))
        if "text" in self._item_arrays:
            item_fields.append(Field("text", size=self._item_arrays["text"].shape[1]))
        other_fields = [Field.of(column, USER) for column in prepared.users.columns]
        other_fields += [Field.of(column, CONTEXT) for column in prepared.context_columns]
        self.optional_names = [field.name for field in other_fields]
        self._crossed = {
            CONTEXT + column.name: [CONTEXT + part for part in column.crossed]
            for column in prepared.context_columns
            if column.crossed
        }
        position = [field for field in other_fields if field.name == f"{CONTEXT}{features.position_column}"]
        other_fields = [field for field in other_fields if field not in position]
        if settings.use_user_id:
            other_fields.append(Field("user_id", prepared.users.num_rows))
        other_fields.append(Field("history_count", COUNT_BINS, num_special=0, is_ordered=True))
        if features.history_labels:
            other_fields.append(Field("history_rate", RATE_BINS + 2, num_special=1, is_ordered=True))
        self.item_features, self.other_features = tuple(item_fields), tuple(other_fields)
        size = settings.embedding_size
        has_vectors = self.has_vectors
        self.item_embeddings = FieldEmbeddings(item_fields if has_vectors else [], size, name="item_embeddings")
        self.other_embeddings = FieldEmbeddings(other_fields if has_vectors else [], size, name="other_embeddings")
        # See position_logits.
        self.position_weight = FieldEmbeddings(position, self.num_positions, name="position_weight")
        layers = [self.item_embeddings, self.other_embeddings, self.position_weight]
        if self.has_weights:
            self.item_weights = FieldEmbeddings(item_fields, 1, name="item_weights")
            self.other_weights = FieldEmbeddings(other_fields, 1, name="other_weights")
            layers += [self.item_weights, self.other_weights]
        for layer in layers:
            layer.build()
        num_means = 1 + features.history_labels
        self.num_fields = (len(item_fields) + len(other_fields) + num_means) if has_vectors else 0
        start = self.initial_bias(prepared)
        self.bias = self.add_weight(
            shape=start.shape, initializer=keras.initializers.Constant(start), name="bias", dtype="float32"
        )
        self.seed_generator = keras.random.SeedGenerator()
        self._task = RankingTask()
        self.build_architecture()
        self.built = True
        self._table = tf.function(self.item_table, input_signature=[tf.TensorSpec([None], tf.int32)])
        self._scores = tf.function(self.score)

    @abstractmethod
    def build_architecture(self) -> None:
        """Makes and builds the layers that `logit` needs."""

    def logit(self, impression: Impression, training: bool) -> tf.Tensor:
        """The log-odds of a click, without the bias: float32 [batch_size]; of several tasks [batch_size, num_tasks]."""
        raise NotImplementedError

    def initial_bias(self, prepared: PreparedImpressions) -> np.ndarray:
        """The log-odds of the rate of clicks in training; of several tasks, of each: float32 [num_tasks]."""
        impressions = prepared.impressions
        return log_odds(impressions.labels[impressions.parts == TRAINING].mean())

    def with_bias(self, logits: tf.Tensor, training: bool = False) -> tf.Tensor:
        r"""From what the architecture makes to log-odds, of the same shape.

        Where only a share $w$ of the negatives is learned from, the odds are $1 / w$ times as high there: training adds
        $-\log w$ (He et al. 2014, "Practical Lessons from Predicting Clicks on Ads at Facebook", section 6.3).
        """
        logits = self.bias + logits
        return logits - np.float32(np.log(self.settings.keep_negatives)) if training else logits

    def read_history(self, vectors: tf.Tensor, labels: tf.Tensor, mask: tf.Tensor, training: bool) -> tf.Tensor:
        """What an architecture makes of histories, once for all candidates of a user.

        Args:
            vectors: float32 [batch_size, history_length, embedding_size], the sums of the items' fields.
            labels, mask: As of an Impression.
            training: As in a call.
        """
        return vectors

    def examples(self, features: FeaturesConfig, prepared: PreparedImpressions) -> ImpressionRows:
        """What it trains on."""
        thinned = prepared.impressions.thinned(self.settings.keep_negatives)
        return ImpressionRows(thinned, prepared.context, self.history_config, TRAINING)

    def rows(self, prepared: PreparedImpressions, part: int) -> ImpressionRows:
        """The impressions of a part of the data, as the model reads them."""
        return ImpressionRows(prepared.impressions, prepared.context, self.history_config, part)

    def step_sizes(self, config: Config) -> list[tuple[keras.Variable, float]]:
        """No weights are pretrained."""
        return []

    def item_table(self, indices: tf.Tensor, training: bool = False) -> ItemTable:
        """What the model makes of items, int32 [num_items] indices."""
        features = {name: tf.gather(array, indices) for name, array in self._item_arrays.items()}
        if training and self.settings.use_id:
            features["id"] = self._hide(features["id"])
        rows = tf.shape(indices)[0]
        weights = tf.zeros([rows])
        if self.has_weights:
            weights = tf.reduce_sum(tf.cast(self.item_weights(features, num_rows=rows), tf.float32), axis=[1, 2])
        return ItemTable(self.item_embeddings(features, num_rows=rows), weights)

    def user_features(self, users: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        """The encoded features of users, int32 [num_users] indices, by name."""
        arrays = dict(self._user_arrays)
        ids = arrays.pop("user_id", None)
        features = {USER + name: tf.gather(array, users) for name, array in arrays.items()}
        if ids is not None:
            rows = tf.gather(ids, users)
            features["user_id"] = self._hide(rows) if training else rows
        return features

    def hide_some(self, features: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """What training sees: of attributes and context some values are missing."""
        seen: dict[str, tf.Tensor] = {}
        for name in self.optional_names:
            if name in self._crossed:  # Where a part is missing, so is the whole.
                seen[name] = tf.reduce_all([seen[part] for part in self._crossed[name]], axis=0)
                continue
            drawn = keras.random.uniform(tf.shape(features[name])[:1], seed=self.seed_generator)
            seen[name] = drawn >= self.settings.attribute_dropout
        hidden = dict(features)
        for name, kept in seen.items():
            values = features[name]
            kept = tf.reshape(kept, [-1] + [1] * (values.shape.rank - 1))
            hidden[name] = tf.where(kept, values, tf.zeros([], values.dtype))
        return hidden

    def _hide(self, ids: tf.Tensor) -> tf.Tensor:
        drawn = keras.random.uniform(tf.shape(ids), seed=self.seed_generator)
        return tf.where(drawn < self.settings.id_dropout, UNKNOWN, ids)

    def call(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> dict[str, tf.Tensor]:
        history = inputs["history"]
        # Each item of the batch is looked at once.
        shown = tf.concat([inputs["item"], tf.reshape(history, [-1])], axis=0)
        distinct, places = tf.unique(shown)
        item, past = tf.split(places, [tf.size(inputs["item"]), tf.size(history)])
        encoded = self.user_features(inputs["user"], training)
        placed = {**inputs, **encoded, "item_place": item, "history_place": tf.reshape(past, tf.shape(history))}
        return {"logits": self.score(self.item_table(distinct, training=training), placed, training=training)}

    def score(self, table: ItemTable, inputs: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """The log-odds of a click: float32, of the shape of `item_place`; of several tasks one dimension more.

        Args:
            table: Of some items.
            inputs: `item_place` int32 [batch_size] or [batch_size, num_candidates] and `history_place` int32
                [batch_size, history_length], rows of the table; `history` and `history_label` [batch_size,
                history_length]; and the encoded features of users and context, [batch_size, …], by their names behind
                USER and CONTEXT.
            training: As in a call.
        """
        labels, mask = inputs["history_label"], inputs["history"] >= NUM_SPECIAL
        others = self.with_statistics(self.hide_some(inputs) if training else inputs)
        sums = tf.reduce_sum(table.vectors, axis=1)
        history = tf.gather(sums, inputs["history_place"])
        fields, weight = self.other_fields(others, tf.shape(mask)[0])
        if self.has_vectors:
            fields = tf.concat([fields, _mean(history, mask & (labels > 0))[:, tf.newaxis]], axis=1)
            if self.history_config.labels:
                fields = tf.concat([fields, _mean(history, mask & (labels <= 0))[:, tf.newaxis]], axis=1)
        past = Past(fields, weight, self.read_history(history, labels, mask, training), labels, mask)
        items = inputs["item_place"]
        candidates = items[:, tf.newaxis] if items.shape.rank == 1 else items
        logits = tf.cast(self.candidate_logits(table, candidates, past, training), tf.float32)
        logits += self.position_logits(others, logits)
        logits = self.with_bias(logits, training)
        return tf.squeeze(logits, axis=1) if items.shape.rank == 1 else logits

    def candidate_logits(self, table: ItemTable, items: tf.Tensor, past: Past, training: bool) -> tf.Tensor:
        """The log-odds of each candidate, without the bias: [batch_size, num_candidates] or [batch_size,
        num_candidates, num_tasks].

        Args:
            table: Of some items.
            items: Rows of the table, int32 [batch_size, num_candidates].
            past: What is known of the users.
            training: As in a call.
        """
        # A row for each candidate: [batch_size * num_candidates, …]
        of_rows = past
        if items.shape[1] != 1:
            of_rows = Past(*(tf.repeat(each, tf.shape(items)[1], axis=0) for each in past))
        chosen = tf.reshape(items, [-1])
        vectors = tf.gather(table.vectors, chosen)
        impression = Impression(
            fields=self.all_fields(vectors, of_rows.fields),
            weight=tf.gather(table.weights, chosen) + of_rows.weight,
            candidate=tf.reduce_sum(vectors, axis=1),
            history=of_rows.history,
            labels=of_rows.labels,
            mask=of_rows.mask,
        )
        logits = self.logit(impression, training)
        return tf.reshape(logits, tf.concat([tf.shape(items), tf.shape(logits)[1:]], axis=0))

    def position_logits(self, features: Mapping[str, tf.Tensor], logits: tf.Tensor) -> tf.Tensor:
        """What the place adds at which an item is shown, whatever the item is.

        Zhao et al. 2019, "Recommending What Video to Watch Next: A Multitask Ranking System", section 4.2: a shallow
        tower, whose input is missing now and then in training, and when the model is asked.

        Args:
            features: Encoded, [batch_size].
            logits: float32 [batch_size, num_candidates] or [batch_size, num_candidates, num_tasks].

        Returns:
            What to add to them: float32, of a shape that can be.
        """
        if not self.position_weight.fields:
            return tf.zeros([])
        # [batch_size, 1, num_positions]
        weights = tf.cast(self.position_weight(features, num_rows=tf.shape(logits)[0]), tf.float32)
        if logits.shape.rank == 2:
            return weights[:, :, 0]
        return tf.pad(weights, [[0, 0], [0, 0], [0, tf.shape(logits)[2] - self.num_positions]])

    def with_statistics(self, inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The inputs, and what `history_statistics` tells of their histories."""
        counts = _counts(inputs["history"] >= NUM_SPECIAL, inputs["history_label"])
        return {**inputs, **history_statistics(*counts)}

    def other_fields(self, features: Mapping[str, tf.Tensor], num_rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Of users, context and histories: vectors [num_rows, num_other_fields, embedding_size], weights [num_rows]."""
        weight = tf.zeros([num_rows])
        if self.has_weights:
            weight = tf.reduce_sum(tf.cast(self.other_weights(features, num_rows=num_rows), tf.float32), axis=[1, 2])
        return self.other_embeddings(features, num_rows=num_rows), weight

    def all_fields(self, item: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
        """Both side by side: [num_rows, num_fields, embedding_size]."""
        return tf.ensure_shape(tf.concat([item, others], axis=1), [None, self.num_fields, None])

    def batch_loss(self, batch: Mapping[str, tf.Tensor], outputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """The mean binary cross-entropy of the global batch; under tf.distribute this device's share of it."""
        return self._task(batch["label"], outputs["logits"])

    def predict_logits(self, rows: ImpressionRows) -> np.ndarray:
        """The log-odds of a click for each of the impressions, in order: float32 [num_rows]; of several tasks
        [num_rows, num_tasks]."""
        table = self._table(tf.range(self.num_items + NUM_SPECIAL))
        parts = []
        for batch in rows.in_order():
            encoded = self.user_features(batch["user"])
            placed = {**batch, **encoded, "item_place": batch["item"], "history_place": batch["history"]}
            parts.append(self._scores(table, placed).numpy())
        return np.concatenate(parts)

    def validation_logits(self, prepared: PreparedImpressions) -> np.ndarray:
        """Those of the validation impressions, which pick the epoch."""
        return self.predict_logits(self.rows(prepared, VALIDATION))

    def validate(self, prepared: PreparedImpressions, config: Config) -> dict[str, float]:
        """The metrics of the validation impressions; of several tasks their means, and each task's own."""
        inside = prepared.impressions.parts == VALIDATION
        users = prepared.impressions.users[inside]
        settings = config.evaluation.model_copy(update={"bootstrap_samples": 0})
        logits = self.validation_logits(prepared).reshape(len(users), -1)
        of_tasks = {}
        for number, (task, labels) in enumerate(self.tasks(prepared).items()):
            report = evaluate_clicks(task, labels[inside], logits[:, number], users, settings)
            of_tasks[task] = {name: metric.mean for name, metric in report.metrics.items()}
        if len(of_tasks) == 1:
            return of_tasks[LABEL]
        means = {}
        for name in of_tasks[LABEL]:
            known = [each[name] for each in of_tasks.values() if not np.isnan(each[name])]
            means[name] = float(np.mean(known)) if known else float("nan")
        return means | {f"{task}/{name}": value for task, each in of_tasks.items() for name, value in each.items()}

    def tasks(self, prepared: PreparedImpressions) -> dict[str, np.ndarray]:
        """What it predicts the probability of: LABEL, then its outcomes -> 0 or 1 for each impression, float32
        [num_impressions]."""
        columns = dict(zip(prepared.outcomes, prepared.impressions.outcomes.T, strict=True))
        return {LABEL: prepared.impressions.labels, **{name: columns[name] for name in self.outcomes}}


def build_hidden(num_inputs: int, hidden_sizes: tuple[int, ...], dropout: float) -> keras.Sequential:
    """Hidden layers with ReLU and dropout."""
    layers: list[keras.layers.Layer] = [keras.Input((num_inputs,))]
    for size in hidden_sizes:
        layers += [keras.layers.Dense(size, activation="relu"), keras.layers.Dropout(dropout)]
    return keras.Sequential(layers, name="hidden")


def build_mlp(num_inputs: int, hidden_sizes: tuple[int, ...], dropout: float) -> keras.Sequential:
    """Hidden layers, and a linear output."""
    hidden = build_hidden(num_inputs, hidden_sizes, dropout)
    return keras.Sequential([keras.Input((num_inputs,)), *hidden.layers, keras.layers.Dense(1)], name="mlp")


def flattened(fields: tf.Tensor) -> tf.Tensor:
    """[batch_size, num_fields, embedding_size] -> [batch_size, num_fields * embedding_size]"""
    return tf.reshape(fields, [-1, fields.shape[1] * fields.shape[2]])


def log_odds(rate: np.ndarray) -> np.ndarray:
    """$\\log(p / (1 - p))$, finite for rates of 0 and 1 too."""
    clipped = np.clip(rate, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(clipped / (1 - clipped)), np.float32)


def _counts(mask: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """How many items a history has, and how many of them were liked: float32 [batch_size]."""
    return tf.reduce_sum(tf.cast(mask, tf.float32), axis=1), tf.reduce_sum(tf.where(mask, labels, 0.0), axis=1)


def history_statistics(count: tf.Tensor, liked: tf.Tensor) -> dict[str, tf.Tensor]:
    """How long histories are and how much of them was liked, as categories: int32, of the same shape."""
    doublings = tf.cast(tf.math.floor(tf.math.log(count + 1.0) * (1 / np.log(2.0)) + 1e-4), tf.int32)
    rate = 1 + tf.cast(tf.math.floor(RATE_BINS * tf.math.divide_no_nan(liked, count) + 0.5), tf.int32)
    return {
        "history_count": tf.minimum(doublings, COUNT_BINS - 1),
        "history_rate": tf.where(count > 0, rate, PADDING),
    }


def _mean(vectors: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """The mean of those that the mask keeps, [batch_size, embedding_size]; zero where there are none."""
    kept = tf.cast(mask, vectors.dtype)
    return tf.math.divide_no_nan(weighted_sum(kept, vectors), tf.reduce_sum(kept, axis=1, keepdims=True))
