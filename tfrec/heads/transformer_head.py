"""Cross-attention of the candidates over the history as ranking head."""

import keras
import tensorflow as tf

from tfrec.heads.ranking_head import RankingHead, Vectors


@keras.saving.register_keras_serializable(package="tfrec")
class TransformerHead(RankingHead):
    """A decoder block in which each candidate attends to the history: it finds what of it speaks for that candidate.

    The idea is that of target attention (Zhou et al. 2018, "Deep interest network for click-through rate prediction",
    equation 3); the block is that of Vaswani et al. 2017, "Attention is all you need", sections 3.2 and 3.3, with the
    normalisation before each part, as GPT-2 has it. There is no self-attention, for candidates don't see each other.

    The history's places are item vectors, of the candidates' own space, so that what is alike can be found. They have
    no order; that is the query's part, which stands beside them as one more place. So a candidate always has something
    to attend to, even if there is no history.

    Args:
        embedding_size, temperature: As of RankingHead.
        num_heads: Attention heads; they divide embedding_size.
        dropout: Share of the units that training drops.

    Call arguments and shapes are those of RankingHead.

    Raises:
        ValueError: num_heads does not divide embedding_size.
    """

    def __init__(
        self,
        embedding_size: int,
        temperature: float = 1.0,
        num_heads: int = 2,
        dropout: float = 0.0,
        **kwargs: object,
    ) -> None:
        super().__init__(embedding_size, temperature, **kwargs)
        if embedding_size % num_heads:
            raise ValueError(f"Expected num_heads to divide embedding_size, {embedding_size}. Received: {num_heads}")
        self.num_heads = num_heads
        self.dropout = dropout
        self.memory_norm = keras.layers.LayerNormalization()
        self.attention_norm = keras.layers.LayerNormalization()
        self.attention = keras.layers.MultiHeadAttention(num_heads, embedding_size // num_heads, dropout=dropout)
        self.feedforward_norm = keras.layers.LayerNormalization()
        self.expansion = keras.layers.Dense(4 * embedding_size, activation="gelu")
        self.contraction = keras.layers.Dense(embedding_size)
        self.drop = keras.layers.Dropout(dropout)
        self.logit_norm = keras.layers.LayerNormalization()

    def build_features(self) -> int:
        shape = (None, None, self.embedding_size)
        for norm in (self.memory_norm, self.attention_norm, self.feedforward_norm, self.logit_norm):
            norm.build(shape)
        self.attention.build(shape, shape)
        self.expansion.build(shape)
        self.contraction.build((None, None, 4 * self.embedding_size))
        return self.embedding_size

    def features(self, vectors: Vectors, seen: tf.Tensor, training: bool) -> tf.Tensor:
        query, history, candidates = vectors
        shape = tf.shape(candidates)
        num_candidates = tf.shape(candidates)[-2]
        if query.shape.rank == 2:
            query = query[:, tf.newaxis]
        batch_size, num_places = tf.shape(query)[0], tf.shape(query)[1]
        own = tf.broadcast_to(tf.eye(num_places, dtype=tf.bool), [batch_size, num_places, num_places])
        seen = tf.repeat(tf.concat([seen, own], axis=-1), num_candidates, axis=1)
        memory = self.memory_norm(tf.concat([history, query], axis=1))
        # [batch_size, num_places, num_candidates, size] -> [batch_size, num_places * num_candidates, size]
        states = tf.reshape(candidates, [batch_size, -1, self.embedding_size])
        attended = self.attention(self.attention_norm(states), memory, attention_mask=seen, training=training)
        states += self.drop(attended, training=training)
        outputs = self.contraction(self.expansion(self.feedforward_norm(states)))
        states += self.drop(outputs, training=training)
        # [batch_size, num_places * num_candidates, size] -> [batch_size, num_places, num_candidates, size]
        return tf.reshape(self.logit_norm(states), shape)
