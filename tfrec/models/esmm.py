"""ESMM: what comes of a click, learned from all impressions."""

import tensorflow as tf

from tfrec.models.ranking_model import build_mlp
from tfrec.models.staged_model import StagedModel


class ESMM(StagedModel):
    r"""The probability of an outcome is that of the click times that of the outcome after a click.

    $$ p_0 = \sigma(b_0 + \mathrm{MLP}_0(v)), \qquad p_k = p_0 \, \sigma(b_k + \mathrm{MLP}_k(v)) $$

    The embeddings are shared, the MLPs are not.

    Ma et al. 2018, "Entire Space Multi-Task Model: An Effective Approach for Estimating Post-Click Conversion Rate",
    equations 2 and 3.
    """

    @staticmethod
    def before(stage: int) -> int:
        return 0

    def build_architecture(self) -> None:
        settings, size = self.settings, self.num_fields * self.settings.embedding_size
        self.towers = [build_mlp(size, settings.hidden_sizes, settings.dropout) for _ in range(self.num_tasks)]

    def task_outputs(self, inputs: tf.Tensor, training: bool) -> list[tf.Tensor]:
        return [tower(inputs, training=training) for tower in self.towers]
