"""Deep & Cross Network, version 2."""

import keras
import tensorflow as tf
from keras_rs.layers import FeatureCross

from tfrec.models.ranking_model import Impression, RankingModel, build_hidden, flattened


class DCNv2(RankingModel):
    r"""Explicit crosses beside an MLP, and a linear layer over both.

    With $x_0 = [v_1; \dots; v_m]$,

    $$ x_{l+1} = x_0 \odot (W_l x_l + b_l) + x_l $$

    Wang et al. 2021, "DCN V2: Improved Deep & Cross Network", equation 1 and figure 1b (the parallel structure).
    """

    def build_architecture(self) -> None:
        size = self.num_fields * self.settings.embedding_size
        self.crosses = [FeatureCross() for _ in range(self.settings.num_cross_layers)]
        self.hidden = build_hidden(size, self.settings.hidden_sizes, self.settings.dropout)
        self.output_layer = keras.layers.Dense(1)
        self.output_layer.build((None, size + self.settings.hidden_sizes[-1]))
        nothing = tf.zeros([1, size])
        for cross in self.crosses:  # FeatureCross makes its weights when it is first called.
            cross(nothing, nothing)

    def logit(self, impression: Impression, training: bool) -> tf.Tensor:
        inputs = crossed = flattened(impression.fields)
        for cross in self.crosses:
            crossed = cross(inputs, crossed)
        deep = self.hidden(inputs, training=training)
        return tf.squeeze(self.output_layer(tf.concat([crossed, deep], axis=1)), axis=1)
