"""ESMM: what comes of a click, learned from all impressions."""

import numpy as np
import tensorflow as tf

from tfrec.datasets.splits import TRAINING
from tfrec.features.prepared_impressions import PreparedImpressions
from tfrec.models.multi_task_model import MultiTaskModel
from tfrec.models.ranking_model import build_mlp, log_odds


class ESMM(MultiTaskModel):
    r"""The probability of an outcome is that of the click times that of the outcome after a click.

    With $z_0 = b_0 + \mathrm{MLP}_0(v)$ of the click and $z_k = b_k + \mathrm{MLP}_k(v)$ of an outcome after it,

    $$ p_0 = \sigma(z_0), \qquad p_k = \sigma(z_0) \, \sigma(z_k) $$

    and the losses are those of $p_0$ and $p_k$: over all impressions, so that $\sigma(z_k)$ is not learned from clicked
    ones alone. The embeddings are shared, the MLPs are not.

    Ma et al. 2018, "Entire Space Multi-Task Model: An Effective Approach for Estimating Post-Click Conversion Rate",
    equations 2 and 3.
    """

    def initial_bias(self, prepared: PreparedImpressions) -> np.ndarray:
        trained = prepared.impressions.parts == TRAINING
        click, *outcomes = (labels[trained].mean() for labels in self.tasks(prepared).values())
        return log_odds(np.array([click, *(rate / click for rate in outcomes)]))

    def build_architecture(self) -> None:
        settings, size = self.settings, self.num_fields * self.settings.embedding_size
        self.towers = [build_mlp(size, settings.hidden_sizes, settings.dropout) for _ in range(self.num_tasks)]

    def task_outputs(self, inputs: tf.Tensor, training: bool) -> list[tf.Tensor]:
        return [tower(inputs, training=training) for tower in self.towers]

    def with_bias(self, logits: tf.Tensor, training: bool = False) -> tf.Tensor:
        logits = super().with_bias(logits, training)
        logs = tf.math.log_sigmoid(logits)
        return tf.concat([logits[..., :1], joint_log_odds(logs[..., :1] + logs[..., 1:])], axis=-1)


def joint_log_odds(logs: tf.Tensor) -> tf.Tensor:
    """From the logarithms of probabilities to their log-odds."""
    logs = tf.minimum(logs, -1e-6)  # Certainty has none.
    return logs - tf.math.log(-tf.math.expm1(logs))
