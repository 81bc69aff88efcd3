"""YouTube's candidate generation."""

from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from tfrec.backbones.text_encoder import TextEncoder
from tfrec.config import FeaturesConfig, YouTubeDNNConfig
from tfrec.features.epochs import EpochBatches
from tfrec.features.prepared import Prepared
from tfrec.features.sequence_shards import next_item_examples
from tfrec.features.vocabulary import NUM_SPECIAL
from tfrec.models.retrieval_model import RetrievalModel, build_item_tower, build_user_tower
from tfrec.tasks.devices import num_devices
from tfrec.tasks.next_item import sampled_softmax
from tfrec.towers.youtube_user_tower import YouTubeUserTower


class YouTubeDNN(RetrievalModel):
    r"""Recommending as a classification among all items, with an MLP over the history's mean.

    With $x$ the user's vector and $v_j$ the items', the next item is $i$ with the probability

    $$ P(i \mid x) = \frac{e^{x \cdot v_i / \tau}}{\sum_j e^{x \cdot v_j / \tau}} $$

    learned with a sample of the items, corrected for the sampling (Covington et al. 2016, "Deep Neural Networks for
    YouTube Recommendations", section 3.1). An item has one vector in histories and as a candidate, made by the item
    tower; the paper has two, of ids alone.

    Args:
        settings: The architecture and its loss.
        features: The history's length.
        prepared: The data. Where its histories have times, examples have an age.
        text_encoder: For data with tokens of texts.

    Call arguments:
        inputs: `history` int32 [batch_size, history_length], `user` and `target` int32 [batch_size], and perhaps
            `example_age` float32 [batch_size], as NextItemExamples makes them.

    Returns:
        `query` and `positive`, each float32 [batch_size, embedding_size]; `negative` float32 [num_negatives,
        embedding_size] and `negative_ids` int32 [num_negatives].
    """

    def __init__(
        self,
        settings: YouTubeDNNConfig,
        features: FeaturesConfig,
        prepared: Prepared,
        text_encoder: TextEncoder | None = None,
    ) -> None:
        user_tower = build_user_tower(YouTubeUserTower, settings, features, prepared)
        item_tower = build_item_tower(settings, prepared, text_encoder)
        super().__init__(
            item_tower, user_tower, prepared, text_encoder, "youtube_dnn", context_dropout=settings.attribute_dropout
        )
        self.settings = settings
        # An item without any interaction would never be right, and learn nothing but that.
        self.seen = tf.constant(NUM_SPECIAL + np.flatnonzero(prepared.counts), tf.int32)
        self.seed_generator = keras.random.SeedGenerator()

    @staticmethod
    def examples(features: FeaturesConfig, prepared: Prepared) -> EpochBatches:
        """What it trains on."""
        return next_item_examples(prepared.split.train, features)

    def call(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> dict[str, tf.Tensor]:
        history = inputs["history"]
        drawn = keras.random.randint([self.settings.num_negatives], 0, len(self.seen), seed=self.seed_generator)
        negative_ids = tf.gather(self.seen, drawn)
        vectors, positive, negative = self.encode_distinct(history, inputs["target"], negative_ids, training=training)
        query = self.encode_users(
            vectors,
            history >= NUM_SPECIAL,
            inputs["user"],
            training=training,
            context=inputs,
            example_age=inputs.get("example_age"),
        )
        return {"query": query, "positive": positive, "negative": negative, "negative_ids": negative_ids}

    def batch_loss(self, batch: Mapping[str, tf.Tensor], outputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """The mean over the global batch; under tf.distribute this device's share of it."""
        hits = batch["target"][:, tf.newaxis] == outputs["negative_ids"]
        sample = (outputs["query"], outputs["positive"], outputs["negative"], hits)
        loss = sampled_softmax(*sample, len(self.seen), self.settings.temperature)
        return loss / (tf.cast(tf.shape(hits)[0], tf.float32) * num_devices())
