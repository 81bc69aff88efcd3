"""PLE: experts of one task's own beside those of all, in levels."""

import tensorflow as tf

from tfrec.layers.gated_experts import Gate
from tfrec.models.multi_task_model import MultiTaskModel
from tfrec.models.ranking_model import build_hidden, build_mlp


class PLE(MultiTaskModel):
    r"""Levels of experts, some of which belong to one task and some to all.

    With $x_k^0 = v$ for each task $k$ and $k = s$ for what is shared, level $l$ has experts $E$ over its own input,

    $$ x_k^l = g_k^l(x_k^{l-1})^\top [E_k^l(x_k^{l-1}), E_s^l(x_s^{l-1})], \qquad
       x_s^l = g_s^l(x_s^{l-1})^\top [E_1^l(x_1^{l-1}), \dots, E_s^l(x_s^{l-1})], \qquad
       z_k = b_k + \mathrm{MLP}_k(x_k^L) $$

    where the gates $g$ are softmaxes of a linear layer. The last level makes nothing shared.

    Tang et al. 2020, "Progressive Layered Extraction (PLE): A Novel Multi-Task Learning (MTL) Model for Personalized
    Recommendations", equations 3 to 8.
    """

    def build_architecture(self) -> None:
        settings, num_owners = self.settings, self.num_tasks + 1  # The last owner is all tasks together.
        sizes = [self.num_fields * settings.embedding_size, *[settings.hidden_sizes[-1]] * settings.num_expert_levels]
        self.experts, self.gates = [], []
        for level, num_inputs in enumerate(sizes[:-1]):
            self.experts.append(
                [
                    [
                        build_hidden(num_inputs, settings.hidden_sizes, settings.dropout)
                        for _ in range(settings.num_experts)
                    ]
                    for _ in range(num_owners)
                ]
            )
            is_last = level == len(sizes) - 2
            gates = [Gate(2 * settings.num_experts) for _ in range(self.num_tasks)]
            gates += [] if is_last else [Gate(num_owners * settings.num_experts)]
            for gate in gates:
                gate.build((None, num_inputs))
            self.gates.append(gates)
        self.towers = [build_mlp(sizes[-1], settings.tower_sizes, settings.dropout) for _ in range(self.num_tasks)]

    def task_outputs(self, inputs: tf.Tensor, training: bool) -> list[tf.Tensor]:
        states = [inputs] * (self.num_tasks + 1)
        for experts, gates in zip(self.experts, self.gates, strict=True):
            said = [
                [expert(state, training=training) for expert in own] for state, own in zip(states, experts, strict=True)
            ]
            heard = [own + said[-1] for own in said[:-1]] + [[each for own in said for each in own]]
            states = [gate(state, each) for gate, state, each in zip(gates, states, heard, strict=False)]
        return [tower(state, training=training) for tower, state in zip(self.towers, states, strict=True)]
