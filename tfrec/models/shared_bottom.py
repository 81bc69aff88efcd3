"""One hidden body, a tower for each task."""

import tensorflow as tf

from tfrec.models.multi_task_model import MultiTaskModel
from tfrec.models.ranking_model import build_hidden, build_mlp


class SharedBottom(MultiTaskModel):
    r"""$z_k = b_k + \mathrm{MLP}_k(h(v))$, with the same hidden layers $h$ for all tasks $k$.

    Caruana 1997, "Multitask Learning", section 1.2, as in Ma et al. 2018, "Modeling Task Relationships in Multi-task
    Learning with Multi-gate Mixture-of-Experts", equation 1.
    """

    def build_architecture(self) -> None:
        settings = self.settings
        self.body = build_hidden(self.num_fields * settings.embedding_size, settings.hidden_sizes, settings.dropout)
        self.towers = [
            build_mlp(settings.hidden_sizes[-1], settings.tower_sizes, settings.dropout) for _ in range(self.num_tasks)
        ]

    def task_outputs(self, inputs: tf.Tensor, training: bool) -> list[tf.Tensor]:
        hidden = self.body(inputs, training=training)
        return [tower(hidden, training=training) for tower in self.towers]
