"""What an item is, as one vector."""

from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from tfrec.features.columns import Column
from tfrec.features.vocabulary import PADDING, UNKNOWN
from tfrec.layers.feature_projection import FeatureProjection, ZeroRows
from tfrec.layers.residual_mlp import ResidualMLP


class ItemTower(keras.layers.Layer):
    """Text, id and attributes of items -> unit vectors.

    Args:
        columns: The items' attributes.
        num_ids: Rows of the id embedding, padding and unknown included; 0: no id embedding.
        text_size: Dimensions of the text vectors; 0: no text.
        embedding_size: Dimensions of the item vectors.
        hidden_sizes: Widths of the MLP's hidden layers.
        dropout: Share of the hidden units dropped in training.
        id_dropout: Share of the ids that training replaces by the unknown id, so that the tower learns to place an
            item by its text and attributes alone, and learns a vector for the unknown id.
        attribute_dropout: Share of the rows whose attributes training hides.

    Call arguments:
        features: Name -> [rows, …]: `id` int32, `text` float32 [rows, text_size], and the encoded columns.
            `id_vector` float32 [rows, embedding_size] in place of `id` saves an export the table of all ids.

    Returns:
        float32 [rows, embedding_size], of length 1.

    Raises:
        ValueError: There is nothing to read: no id, no text, no attribute.
    """

    def __init__(
        self,
        columns: tuple[Column, ...],
        num_ids: int,
        text_size: int,
        embedding_size: int,
        hidden_sizes: tuple[int, ...] = (),
        dropout: float = 0.0,
        id_dropout: float = 0.0,
        attribute_dropout: float = 0.0,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        if not (columns or num_ids or text_size):
            raise ValueError("Expected an item tower with text, ids or attributes to read. Received: none of them")
        self.columns = tuple(columns)
        self.num_ids = num_ids
        self.text_size = text_size
        self.embedding_size = embedding_size
        self.hidden_sizes = tuple(hidden_sizes)
        self.dropout = dropout
        self.id_dropout = id_dropout
        # Without id_dropout training never sees the unknown id: it says nothing.
        initializer = "uniform" if id_dropout else ZeroRows("uniform", rows=(PADDING, UNKNOWN))
        self.id_embedding = keras.layers.Embedding(num_ids, embedding_size, initializer) if num_ids else None
        self.text_projection = keras.layers.Dense(embedding_size) if text_size else None
        self.attribute_dropout = attribute_dropout
        self.attributes = FeatureProjection(self.columns, embedding_size, attribute_dropout) if columns else None
        self.mlp = ResidualMLP(embedding_size, self.hidden_sizes, dropout)
        self.seed_generator = keras.random.SeedGenerator()

    def build(self, input_shape: object = None) -> None:
        if self.id_embedding is not None:
            self.id_embedding.build(None)
        if self.text_projection is not None:
            self.text_projection.build((None, self.text_size))
        if self.attributes is not None:
            self.attributes.build()
        self.mlp.build()
        self.built = True

    def start_from_texts(self, vectors: np.ndarray) -> None:
        """Lets the projection of the text begin with what tells the items' texts apart: their whitened components.

        A sentence encoder's vectors all point the same way, and vary along a few directions. The principal components,
        each scaled to the same variance, are a better start than random directions (Zhang et al. 2024, "Are ID
        embeddings necessary? Whitening pre-trained text embeddings for effective sequential recommendation", whiten
        for good; here training goes on from there).

        Args:
            vectors: float32 [num_items, text_size]
        """
        assert self.text_projection is not None
        mean = vectors.mean(axis=0, dtype=np.float64)
        covariance = np.cov(vectors, rowvar=False, bias=True, dtype=np.float64)
        variances, directions = np.linalg.eigh(covariance)  # in ascending order
        # Few texts vary along few directions; along the others there is nothing to begin with.
        rounding = 1e-12 * np.square(vectors, dtype=np.float64).mean()
        size = min(self.embedding_size, int((variances > max(variances[-1] * 1e-6, rounding)).sum()))
        if not size:
            return
        scales = np.sqrt(variances[::-1][:size])
        kernel = np.zeros((self.text_size, self.embedding_size))
        kernel[:, :size] = directions[:, ::-1][:, :size] / scales / np.sqrt(size)  # vectors of length 1 on average
        self.text_projection.kernel.assign(kernel)
        self.text_projection.bias.assign(-mean @ kernel)

    def call(self, features: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        parts = []
        if "id_vector" in features:
            parts.append(features["id_vector"])
        elif self.id_embedding is not None:
            ids = features["id"]
            if training and self.id_dropout:
                hidden = keras.random.uniform(tf.shape(ids), seed=self.seed_generator) < self.id_dropout
                ids = tf.where(hidden, UNKNOWN, ids)
            parts.append(self.id_embedding(ids))
        if self.text_projection is not None:
            parts.append(self.text_projection(features["text"]))
        if self.attributes is not None:
            parts.append(self.attributes(features, training=training))
        outputs = self.mlp(sum(parts), training=training)
        return tf.math.l2_normalize(tf.cast(outputs, tf.float32), axis=-1)
