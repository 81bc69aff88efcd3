"""What every model is whose outcomes need something before them: a click, or another outcome."""

import numpy as np
import tensorflow as tf

from tfrec.datasets.splits import TRAINING
from tfrec.features.prepared_impressions import PreparedImpressions
from tfrec.models.multi_task_model import MultiTaskModel
from tfrec.models.ranking_model import log_odds


class StagedModel(MultiTaskModel):
    r"""Tasks whose probabilities are products: with $b(k)$ the stage before $k$,

    $$ p_0 = \sigma(z_0), \qquad p_k = p_{b(k)} \, \sigma(z_k) $$

    and the losses are those of the $p_k$: over all impressions, so that $\sigma(z_k)$ is not learned from those alone
    that came as far. A subclass says what $b$ is.
    """

    num_positions = 1

    @staticmethod
    def before(stage: int) -> int:
        """The stage that another one, not the first, needs."""
        raise NotImplementedError

    def initial_bias(self, prepared: PreparedImpressions) -> np.ndarray:
        trained = prepared.impressions.parts == TRAINING
        rates = [labels[trained].mean() for labels in self.tasks(prepared).values()]
        after = [rate / rates[self.before(stage)] for stage, rate in enumerate(rates) if stage]
        return log_odds(np.array([rates[0], *after]))

    def with_bias(self, logits: tf.Tensor, training: bool = False) -> tf.Tensor:
        logits = super().with_bias(logits, training)
        first, *others = tf.unstack(tf.math.log_sigmoid(logits), axis=-1)
        logs = [first]
        for stage, alone in enumerate(others, 1):
            logs.append(logs[self.before(stage)] + alone)
        joint = tf.minimum(tf.stack(logs[1:], axis=-1), -1e-6)  # Certainty has no log-odds.
        return tf.concat([logits[..., :1], joint - tf.math.log(-tf.math.expm1(joint))], axis=-1)
