"""A text's tokens, pooled by learned attention."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="tfrec")
class AttentionPooling(keras.layers.Layer):
    r"""A mean over the places, weighted by how well each one's vector answers a learned query.

    The weight of place $t$ is $\mathrm{softmax}_t(q \cdot h_t / \sqrt{d})$ over the places that are filled (Yang et al.
    2016, "Hierarchical attention networks for document classification", equations 5 to 7, without the hidden layer:
    what comes out of a Transformer has been through many). $q$ starts at zero: the plain mean.

    Args:
        size: Dimensions of the vectors, $d$.

    Call arguments:
        vectors: float32 [rows, length, size]
        mask: bool [rows, length]; True where something is.

    Returns:
        float32 [rows, size]; zero for a row without anything.
    """

    def __init__(self, size: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.size = size

    def build(self, input_shape: object = None) -> None:
        self.query = self.add_weight(
            shape=(self.size,), initializer="zeros", name="query", dtype="float32", autocast=False
        )
        self.built = True

    def call(self, vectors: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        logits = tf.linalg.matvec(vectors, self.query) / self.size**0.5  # [rows, length]
        # The softmax of the filled places alone.
        weights = tf.nn.softmax(tf.where(mask, logits, logits.dtype.min), axis=1)
        return tf.einsum("rl,rld->rd", tf.where(mask, weights, 0.0), vectors)

    def get_config(self) -> dict[str, object]:
        return {**super().get_config(), "size": self.size}
