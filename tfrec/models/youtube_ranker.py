"""YouTube's ranking network: what showing an item is worth, by weighted logistic regression."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tfrec.config import Config, FeaturesConfig, RankerConfig
from tfrec.datasets.splits import TRAINING, VALIDATION
from tfrec.evaluation.values import evaluate_values
from tfrec.features.prepared_impressions import PreparedImpressions
from tfrec.models.dnn import DNN
from tfrec.tasks.devices import num_devices


class YouTubeRanker(DNN):
    r"""The same network as DNN, whose odds are the expected value of an impression, such as the seconds watched.

    A clicked impression counts as much as it was worth, $t$, one that was not clicked 1; so the odds that are learned
    are $\sum t / (N - k)$ with $k$ clicks among $N$ impressions, near to the mean $E[t]$ if clicks are rare (Covington
    et al. 2016, "Deep Neural Networks for YouTube Recommendations", section 4.2). Here a clicked one counts once as not
    clicked besides, which makes the odds the mean itself, however many clicks there are:

    $$ \ell = -t \log \sigma(u) - \log (1 - \sigma(u)), \qquad e^z = s \, e^u $$

    with $t$ in units of $s$, the mean of training, and $u$ the MLP's output.

    Call arguments:
        inputs: What ImpressionRows makes.

    Returns:
        `logits` float32 [batch_size], the logarithms of the expected values.
    """

    predicts_values = True

    def __init__(self, settings: RankerConfig, features: FeaturesConfig, prepared: PreparedImpressions) -> None:
        impressions = prepared.impressions
        self._unit = float(impressions.values[impressions.parts == TRAINING].mean(dtype=np.float64))
        super().__init__(settings, features, prepared)

    def initial_bias(self, prepared: PreparedImpressions) -> np.ndarray:
        """The logarithm of the mean value in training."""
        return np.asarray(np.log(self._unit), np.float32)

    def batch_loss(self, batch: Mapping[str, tf.Tensor], outputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """The mean over the impressions of the global batch; see RankingModel."""
        value = batch["value"] / self._unit
        # Both terms as one: a label between 0 and 1, with the weight of both.
        weight = 1 + value
        num_examples = tf.cast(tf.shape(value)[0], tf.float32) * num_devices()
        return self._task(value / weight, outputs["logits"] - np.float32(np.log(self._unit)), weight, num_examples)

    def tasks(self, prepared: PreparedImpressions) -> dict[str, np.ndarray]:
        """None: it predicts no probabilities."""
        return {}

    def validate(self, prepared: PreparedImpressions, config: Config) -> dict[str, float]:
        """The metrics of the validation impressions."""
        impressions = prepared.impressions
        inside = impressions.parts == VALIDATION
        settings = config.evaluation.model_copy(update={"bootstrap_samples": 0})
        report = evaluate_values(
            self.name,
            impressions.labels[inside],
            impressions.values[inside],
            np.exp(self.validation_logits(prepared).astype(np.float64)),
            impressions.users[inside],
            settings,
        )
        return {name: metric.mean for name, metric in report.metrics.items()}
