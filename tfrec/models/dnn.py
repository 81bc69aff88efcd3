"""An MLP over the fields' vectors."""

import tensorflow as tf

from tfrec.models.ranking_model import Impression, RankingModel, build_mlp, flattened


class DNN(RankingModel):
    r"""$z = b + \mathrm{MLP}([v_1; \dots; v_m])$.

    Covington et al. 2016, "Deep Neural Networks for YouTube Recommendations", section 4: the vectors side
    by side, and layers of ReLU. Its watch time is YouTubeRanker's.
    """

    def build_architecture(self) -> None:
        size = self.num_fields * self.settings.embedding_size
        self.mlp = build_mlp(size, self.settings.hidden_sizes, self.settings.dropout)

    def logit(self, impression: Impression, training: bool) -> tf.Tensor:
        return tf.squeeze(self.mlp(flattened(impression.fields), training=training), axis=1)
