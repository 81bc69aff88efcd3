"""JD-Tower as a ranker: GPT reads what was shown and liked, and the candidate asks it."""

from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from tfrec.config import FeaturesConfig, RankerConfig
from tfrec.datasets.splits import VALIDATION
from tfrec.features.impression_rows import CONTEXT
from tfrec.features.impression_windows import ImpressionWindows
from tfrec.features.prepared_impressions import PreparedImpressions
from tfrec.features.vocabulary import NUM_SPECIAL
from tfrec.layers.gpt_blocks import GPTBlocks, new_gpt
from tfrec.layers.running_mean import running_mean
from tfrec.models.ranking_model import ItemTable, Past, RankingModel, build_mlp, history_statistics
from tfrec.tasks.devices import num_devices


class JDRanker(RankingModel):
    r"""A causal GPT over the history, attention of the candidate over it, and an MLP.

    With $e_j$ the items of the history, $t_j = e_j + l_j$ with the embedding $l_j$ of whether each was liked, and $v$
    the candidate,

    $$ s_{1 \dots n} = \mathrm{GPT}(t_1, \dots, t_n), \qquad
       z = b + \mathrm{MLP}\big([v_1; \dots; v_m; s_n; A(v, s, s); A(v, e, t)]\big) $$

    where $A(q, k, v)$ is attention with queries, keys and values (Vaswani et al. 2017, "Attention is all you need",
    section 3.2). The GPT is SASRec's use of it (Kang and McAuley 2018, "Self-attentive sequential recommendation"),
    with feedback among the tokens as in Zhai et al. 2024, "Actions speak louder than words: trillion-parameter
    sequential transducers for generative recommendations", section 2.2. The second attention is what neighbours do: how
    were items liked that are like the candidate?

    It is trained on whole histories at once, every place an example: what other rankers see once for each impression
    that follows, it reads once for all of them.

    Call arguments:
        inputs: What ImpressionWindows makes.

    Returns:
        `logits` float32 [num_asked], row by row.
    """

    def __init__(self, settings: RankerConfig, features: FeaturesConfig, prepared: PreparedImpressions) -> None:
        super().__init__(settings, features, prepared)
        windows = self.examples(features, prepared)
        self._asked_per_window = windows.num_asked / len(windows)

    def build_architecture(self) -> None:
        settings, size = self.settings, self.settings.embedding_size
        gpt = new_gpt(settings.num_layers, settings.num_heads, size, self.history_config.length)
        self.gpt = GPTBlocks(gpt, settings.dropout)
        self.label_embedding = keras.layers.Embedding(2, size, name="label_embedding")
        self.candidate_norm = keras.layers.LayerNormalization(name="candidate_norm")
        self.item_norm = keras.layers.LayerNormalization(name="item_norm")
        heads = (settings.num_heads, size // settings.num_heads)
        self.state_attention = keras.layers.MultiHeadAttention(*heads, name="state_attention")
        self.item_attention = keras.layers.MultiHeadAttention(*heads, name="item_attention")
        shape = (None, None, size)
        self.label_embedding.build()
        for norm in (self.candidate_norm, self.item_norm):
            norm.build(shape)
        for attention in (self.state_attention, self.item_attention):
            attention.build(shape, shape, shape)
        self._windows = tf.function(self.call, reduce_retracing=True)
        self.mlp = build_mlp((self.num_fields + 3) * size, settings.hidden_sizes, settings.dropout)

    def examples(self, features: FeaturesConfig, prepared: PreparedImpressions) -> ImpressionWindows:  # type: ignore[override]
        """What it trains on."""
        thinned = prepared.impressions.thinned(self.settings.keep_negatives)
        return ImpressionWindows(thinned, prepared.context, self.history_config)

    def validation_logits(self, prepared: PreparedImpressions) -> np.ndarray:
        """Through windows, as in training, which takes a fraction of the time; where a history is longer than a window
        it is cut elsewhere than a server would."""
        impressions = prepared.impressions
        if not impressions.remembered[impressions.parts == VALIDATION].all():
            return super().validation_logits(prepared)
        windows = ImpressionWindows(impressions, prepared.context, self.history_config, VALIDATION)
        return np.concatenate([self._windows(batch)["logits"].numpy() for batch in windows.in_order()])

    def call(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> dict[str, tf.Tensor]:
        items, labels, past = (inputs[name] for name in ("item", "label", "past"))
        shape = tf.shape(items)  # [batch_size, longest]
        distinct, places = tf.unique(tf.reshape(items, [-1]))
        table = self.item_table(distinct, training=training)
        sums = tf.gather(tf.reduce_sum(table.vectors, axis=1), places)
        sums = tf.reshape(sums, [shape[0], shape[1], self.settings.embedding_size])
        # What each place knows of the places before it.
        is_known = items >= NUM_SPECIAL
        seen = is_known[:, tf.newaxis] & (tf.range(shape[1]) < past[..., tf.newaxis])  # [batch_size, longest, longest]
        liked = tf.reduce_sum(tf.where(seen, labels[:, tf.newaxis], 0.0), axis=-1)
        statistics = history_statistics(tf.cast(past, tf.float32), liked)
        of_users = {
            name: tf.repeat(values, shape[1], axis=0)
            for name, values in self.user_features(inputs["user"], training).items()
        }
        # One row a place: [batch_size * longest, …]
        of_places = {name: tf.reshape(values, [-1]) for name, values in statistics.items()}
        of_places |= {name: _rows(values, shape) for name, values in inputs.items() if name.startswith(CONTEXT)}
        features = {**of_users, **of_places}
        features = self.hide_some(features) if training else features
        others, _ = self.other_fields(features, shape[0] * shape[1])
        for chosen in (labels > 0, labels <= 0):
            # Of the first `past` places: nothing, then what the mean is up to each.
            means = tf.pad(running_mean(sums, is_known & chosen), [[0, 0], [1, 0], [0, 0]])
            means = tf.gather(means, past, batch_dims=1)[:, :, tf.newaxis]
            others = tf.concat([others, _rows(means, shape)], axis=1)
        read = self.read_history(sums, labels, is_known, training)
        logits = self._logits(self.all_fields(tf.gather(table.vectors, places), others), sums, read, seen, training)
        by_place = tf.reshape(logits, [-1, 1])
        logits = tf.reshape(by_place + self.position_logits(features, by_place), tf.shape(logits))
        return {"logits": tf.boolean_mask(self.with_bias(logits, training), inputs["asked"] > 0)}

    def read_history(self, vectors: tf.Tensor, labels: tf.Tensor, mask: tf.Tensor, training: bool) -> tf.Tensor:
        """The states of the GPT, the items, and the items with what was thought of them, side by side."""
        tokens = vectors + self.label_embedding(tf.cast(labels > 0, tf.int32))
        return tf.concat([self.gpt(tokens, training=training), self.item_norm(vectors), tokens], axis=-1)

    def candidate_logits(self, table: ItemTable, items: tf.Tensor, past: Past, training: bool) -> tf.Tensor:
        """As of every ranker; but the history is read once for all candidates."""
        num_candidates = tf.shape(items)[1]
        vectors = tf.gather(table.vectors, items)  # [batch_size, num_candidates, num_item_fields, embedding_size]
        fields = self.all_fields(_rows(vectors, tf.shape(items)), tf.repeat(past.fields, num_candidates, axis=0))
        seen = tf.repeat(past.mask[:, tf.newaxis], num_candidates, axis=1)
        return self._logits(fields, tf.reduce_sum(vectors, axis=2), past.history, seen, training)

    def _logits(
        self, fields: tf.Tensor, candidates: tf.Tensor, read: tf.Tensor, seen: tf.Tensor, training: bool
    ) -> tf.Tensor:
        """float32 [batch_size, num_candidates].

        Args:
            fields: [batch_size * num_candidates, num_fields, embedding_size]
            candidates: [batch_size, num_candidates, embedding_size]
            read: [batch_size, history_length, 3 * embedding_size], what `read_history` makes of histories.
            seen: Which of its places each candidate may see, the first so and so many: bool [batch_size,
                num_candidates, history_length].
            training: As in a call.
        """
        states, items, tokens = tf.split(read, 3, axis=-1)
        length = tf.reduce_sum(tf.cast(seen, tf.int32), axis=-1)  # [batch_size, num_candidates]
        latest = tf.gather(states, tf.maximum(length - 1, 0), batch_dims=1)
        query = self.candidate_norm(candidates)
        found = [
            latest,
            self.state_attention(query, states, attention_mask=seen),
            self.item_attention(query, tokens, items, attention_mask=seen),
        ]
        # Without a history there is nothing to be known of it; a softmax over nothing is something.
        known = tf.concat(found, axis=-1) * tf.cast(length > 0, states.dtype)[..., tf.newaxis]
        size = self.settings.embedding_size
        inputs = [tf.reshape(fields, [-1, self.num_fields * size]), tf.reshape(known, [-1, 3 * size])]
        outputs = self.mlp(tf.concat(inputs, axis=1), training=training)
        return tf.reshape(tf.cast(outputs, tf.float32), tf.shape(length))

    def batch_loss(self, batch: Mapping[str, tf.Tensor], outputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """The binary cross-entropy, on average over batches the mean over impressions; see JDTower."""
        labels = tf.boolean_mask(batch["label"], batch["asked"] > 0)
        num_windows = tf.cast(tf.shape(batch["item"])[0], tf.float32) * num_devices()
        return self._task(labels, outputs["logits"], num_examples=self._asked_per_window * num_windows)


def _rows(values: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
    """[batch_size, longest, …] -> [batch_size * longest, …]"""
    return tf.reshape(values, tf.concat([[shape[0] * shape[1]], tf.shape(values)[2:]], axis=0))
