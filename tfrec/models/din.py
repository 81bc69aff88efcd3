"""Deep Interest Network."""

import tensorflow as tf

from tfrec.layers.target_attention import TargetAttention
from tfrec.models.ranking_model import Impression, RankingModel, build_mlp, flattened


class DIN(RankingModel):
    r"""The history as the candidate sees it, and an MLP.

    $$ z = b + \mathrm{MLP}\Big(\Big[v_1; \dots; v_m; \sum_j a(e_j, v) e_j\Big]\Big) $$

    Zhou et al. 2018, "Deep Interest Network for Click-Through Rate Prediction", section 4.3; with ReLU instead of Dice,
    and with the means of the history beside what attention finds. TargetAttention has the equation of $a$.
    """

    def build_architecture(self) -> None:
        settings = self.settings
        self.attention = TargetAttention(
            settings.embedding_size, self.history_config.length, settings.attention_hidden_sizes, name="attention"
        )
        self.attention.build()
        size = (self.num_fields + 1) * settings.embedding_size
        self.mlp = build_mlp(size, settings.hidden_sizes, settings.dropout)

    def logit(self, impression: Impression, training: bool) -> tf.Tensor:
        interest = self.attention(impression.candidate, impression.history, impression.labels, impression.mask)
        inputs = tf.concat([flattened(impression.fields), interest], axis=1)
        return tf.squeeze(self.mlp(inputs, training=training), axis=1)
