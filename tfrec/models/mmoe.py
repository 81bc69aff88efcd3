"""MMoE: experts for all tasks, a gate for each."""

import tensorflow as tf

from tfrec.layers.gated_experts import Gate
from tfrec.models.multi_task_model import MultiTaskModel
from tfrec.models.ranking_model import build_hidden, build_mlp


class MMoE(MultiTaskModel):
    r"""Experts $f_i$ that all tasks share, which each task $k$ weighs by its own gate.

    $$ z_k = b_k + \mathrm{MLP}_k\Big(\sum_i \mathrm{softmax}(W_k v)_i \, f_i(v)\Big) $$

    Ma et al. 2018, "Modeling Task Relationships in Multi-task Learning with Multi-gate Mixture-of-Experts", equations 5
    to 7.
    """

    def build_architecture(self) -> None:
        settings, num_inputs = self.settings, self.num_fields * self.settings.embedding_size
        self.experts = [
            build_hidden(num_inputs, settings.hidden_sizes, settings.dropout) for _ in range(settings.num_experts)
        ]
        self.gates = [Gate(settings.num_experts) for _ in range(self.num_tasks)]
        for gate in self.gates:
            gate.build((None, num_inputs))
        self.towers = [
            build_mlp(settings.hidden_sizes[-1], settings.tower_sizes, settings.dropout) for _ in range(self.num_tasks)
        ]

    def task_outputs(self, inputs: tf.Tensor, training: bool) -> list[tf.Tensor]:
        said = [expert(inputs, training=training) for expert in self.experts]
        return [
            tower(gate(inputs, said), training=training) for gate, tower in zip(self.gates, self.towers, strict=True)
        ]
