"""JD-Tower: GPT reads the user, BERT reads the item."""

from collections.abc import Mapping

import tensorflow as tf

from tfrec.config import FeaturesConfig, JDTowerConfig
from tfrec.features.prepared import Prepared
from tfrec.features.vocabulary import NUM_SPECIAL
from tfrec.features.windows import SequenceWindows
from tfrec.models.retrieval_model import RetrievalModel, build_item_tower
from tfrec.tasks.catalogue_softmax import catalogue_softmax
from tfrec.towers.gpt_user_tower import GPTUserTower


class JDTower(RetrievalModel):
    """A causal GPT over the item vectors of the history, BERT in the item tower, and their cosine.

    Every place of a history is asked for the next item, out of the whole catalogue.

    Args:
        settings: The architecture and its loss.
        features: The history's length.
        prepared: The data.

    Call arguments:
        inputs: `history` and `target` int32 [batch_size, history_length], `user` int32 [batch_size], as SequenceWindows
            makes them.

    Returns:
        `query` float32 [num_targets, embedding_size], for the places that have a target, row by row; `items` float32
        [num_rows, embedding_size], the catalogue.
    """

    def __init__(self, settings: JDTowerConfig, features: FeaturesConfig, prepared: Prepared) -> None:
        user_tower = GPTUserTower(
            columns=prepared.users.columns,
            history_length=features.history_length,
            embedding_size=settings.embedding_size,
            num_layers=settings.num_layers,
            num_heads=settings.num_heads,
            dropout=settings.dropout,
            attribute_dropout=settings.attribute_dropout,
        )
        super().__init__(build_item_tower(settings, prepared), user_tower, prepared, name="jd_tower")
        self.temperature = settings.temperature

    @staticmethod
    def examples(features: FeaturesConfig, prepared: Prepared) -> SequenceWindows:
        """What it trains on."""
        return SequenceWindows(prepared.split.train, features.history_length)

    def call(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> dict[str, tf.Tensor]:
        history = inputs["history"]
        # The softmax needs every item anyway; each is encoded once.
        items = self.encode_items(tf.range(self.num_items + NUM_SPECIAL), training=training)
        states = self.encode_users(
            tf.gather(items, history), history >= NUM_SPECIAL, inputs["user"], training=training, every_place=True
        )
        return {"query": tf.boolean_mask(states, inputs["target"] >= NUM_SPECIAL), "items": items}

    def compute_loss(
        self,
        x: Mapping[str, tf.Tensor],
        y: object,
        y_pred: Mapping[str, tf.Tensor],
        sample_weight: object = None,
        training: bool = True,
    ) -> tf.Tensor:
        """The mean over the targets of the global batch; under tf.distribute this device's share of it."""
        targets = tf.boolean_mask(x["target"], x["target"] >= NUM_SPECIAL)
        losses = catalogue_softmax(y_pred["query"], y_pred["items"], targets, self.temperature)
        count = tf.cast(tf.size(targets), tf.float32)
        context = tf.distribute.get_replica_context()
        if context is not None and context.num_replicas_in_sync > 1:
            count = context.all_reduce("sum", count)
        return tf.math.divide_no_nan(tf.reduce_sum(losses), count)
