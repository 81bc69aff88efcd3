"""What every model is that predicts the click and what comes of it, in one pass."""

from abc import abstractmethod
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tfrec.config import FeaturesConfig, RankerConfig
from tfrec.datasets.splits import TRAINING
from tfrec.features.prepared_impressions import PreparedImpressions
from tfrec.models.ranking_model import Impression, RankingModel, flattened, log_odds


class MultiTaskModel(RankingModel):
    r"""The same fields for several tasks: the label, and each outcome, of which every impression is an example.

    So the probability of an outcome is that of an impression, clicked or not; that of an outcome after a click is it
    divided by that of the click. The loss is the sum of the tasks' cross-entropies, the outcomes' times
    `outcome_weight`.

    Call arguments:
        inputs: What ImpressionRows makes.

    Returns:
        `logits` float32 [batch_size, num_tasks], the label first.
    """

    def __init__(self, settings: RankerConfig, features: FeaturesConfig, prepared: PreparedImpressions) -> None:
        self.outcomes = prepared.outcomes
        self.num_tasks = 1 + len(self.outcomes)
        super().__init__(settings, features, prepared)

    @property
    def num_positions(self) -> int:  # type: ignore[override]
        """The position adds to every task."""
        return self.num_tasks

    @abstractmethod
    def task_outputs(self, inputs: tf.Tensor, training: bool) -> list[tf.Tensor]:
        """From all fields' vectors, [batch_size, num_fields * embedding_size], to an output [batch_size, 1] a task."""

    def initial_bias(self, prepared: PreparedImpressions) -> np.ndarray:
        trained = prepared.impressions.parts == TRAINING
        return log_odds(np.array([labels[trained].mean() for labels in self.tasks(prepared).values()]))

    def logit(self, impression: Impression, training: bool) -> tf.Tensor:
        return tf.concat(self.task_outputs(flattened(impression.fields), training), axis=1)

    def batch_loss(self, batch: Mapping[str, tf.Tensor], outputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """The sum over tasks of the mean binary cross-entropy of the global batch; see RankingModel."""
        labels = tf.concat([batch["label"][:, tf.newaxis], batch["outcomes"]], axis=1)
        weights = [1.0] + [self.settings.outcome_weight] * len(self.outcomes)
        loss = self._task(labels, outputs["logits"], tf.ones_like(labels) * weights)
        return loss * sum(weights)  # The task took their mean.
