"""The two-tower retrieval model."""

from collections.abc import Mapping

import tensorflow as tf

from tfrec.backbones.text_encoder import TextEncoder
from tfrec.config import FeaturesConfig, TwoTowerConfig
from tfrec.features.epochs import EpochBatches
from tfrec.features.prepared import Prepared
from tfrec.features.sequence_shards import next_item_examples
from tfrec.features.vocabulary import NUM_SPECIAL
from tfrec.models.retrieval_model import RetrievalModel, build_item_tower, build_user_tower, sampling_probabilities
from tfrec.tasks.retrieval import RetrievalTask
from tfrec.towers.user_tower import UserTower


class TwoTower(RetrievalModel):
    """The mean of the history's item vectors, an item tower over text, id and attributes, and their cosine.

    Trained to pick the next item out of the batch (Yi et al. 2019, "Sampling-bias-corrected neural modeling for
    large corpus item recommendations").

    Args:
        settings: The architecture and its loss.
        features: The history's length.
        prepared: The data.
        text_encoder: For data with tokens of texts.

    Call arguments:
        inputs: `history` int32 [batch_size, history_length], `user` and `target` int32 [batch_size], as
            NextItemExamples makes them.

    Returns:
        `query` and `candidate`, each float32 [batch_size, embedding_size].
    """

    def __init__(
        self,
        settings: TwoTowerConfig,
        features: FeaturesConfig,
        prepared: Prepared,
        text_encoder: TextEncoder | None = None,
    ) -> None:
        user_tower = build_user_tower(UserTower, settings, features, prepared)
        item_tower = build_item_tower(settings, prepared, text_encoder)
        super().__init__(
            item_tower, user_tower, prepared, text_encoder, "two_tower", context_dropout=settings.attribute_dropout
        )
        self.log_q_correction = settings.log_q_correction
        self._task = RetrievalTask(settings.temperature, settings.remove_accidental_hits)
        self._sampling_probability = sampling_probabilities(prepared)

    @staticmethod
    def examples(features: FeaturesConfig, prepared: Prepared) -> EpochBatches:
        """What it trains on."""
        return next_item_examples(prepared.split.train, features)

    def call(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> dict[str, tf.Tensor]:
        history = inputs["history"]
        vectors, candidate = self.encode_distinct(history, inputs["target"], training=training)
        query = self.encode_users(vectors, history >= NUM_SPECIAL, inputs["user"], training=training, context=inputs)
        return {"query": query, "candidate": candidate}

    def batch_loss(self, batch: Mapping[str, tf.Tensor], outputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """The retrieval loss; under tf.distribute this device's share of it."""
        target = batch["target"]
        probability = tf.gather(self._sampling_probability, target) if self.log_q_correction else None
        return self._task(outputs["query"], outputs["candidate"], target, probability)
