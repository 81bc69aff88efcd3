"""A pretrained BERT that turns texts into vectors."""

import hashlib
import json
from pathlib import Path

import keras
import keras_hub
import numpy as np
import tensorflow as tf


class TextEncoder(keras.layers.Layer):
    """Raw UTF-8 texts in, unit vectors out: WordPiece, BERT, mean over the tokens, L2 normalisation.

    The mean over the tokens, and not BERT's [CLS] state, is what the sentence encoders were trained with
    (Reimers & Gurevych 2019, "Sentence-BERT", section 3). A batch is padded to its own longest text, not to
    `sequence_length`, so short titles cost what short titles cost.

    Args:
        backbone: A KerasHub BERT-like backbone with `token_ids`, `segment_ids` and `padding_mask` inputs.
        tokenizer: The KerasHub tokenizer that belongs to it.
        sequence_length: Tokens that are read, [CLS] and [SEP] included; the rest of the text is cut.

    Raises:
        ValueError: The backbone is no BERT, or has no room for the sequence_length.

    Call arguments:
        texts: string [batch_size]

    Returns:
        float32 [batch_size, output_size]

    Example:
        >>> encoder = TextEncoder.from_preset("all_minilm_l6_v2_en")
        >>> encoder(tf.constant(["Toy Story (1995)"])).shape
        TensorShape([1, 384])
    """

    def __init__(
        self,
        backbone: keras.Model,
        tokenizer: keras.layers.Layer,
        sequence_length: int = 64,
        name: str = "text_encoder",
    ) -> None:
        super().__init__(name=name, trainable=False, dtype="float32")
        positions = getattr(backbone, "max_sequence_length", sequence_length)
        if not 3 <= sequence_length <= positions:
            raise ValueError(
                "Expected sequence_length of at least 3 ([CLS], one token, [SEP]) and at most the backbone's "
                f"{positions} positions. Received: {sequence_length}"
            )
        if set(backbone.input) != {"token_ids", "segment_ids", "padding_mask"}:
            raise ValueError(
                "Expected a BERT backbone with inputs token_ids, segment_ids and padding_mask. "
                f"Received: {type(backbone).__name__} with {sorted(backbone.input)}"
            )
        self.backbone = backbone
        self.tokenizer = tokenizer
        self.sequence_length = sequence_length
        self.output_size = int(backbone.hidden_dim)
        self.built = True

    @classmethod
    def from_preset(cls, preset: str | Path, sequence_length: int = 64) -> "TextEncoder":
        """Loads a KerasHub preset handle or a folder in KerasHub's or Hugging Face's layout."""
        return cls(
            # Frozen vectors are kept on disk: they must not depend on a run's precision.
            keras_hub.models.Backbone.from_preset(str(preset), dtype="float32"),
            keras_hub.tokenizers.Tokenizer.from_preset(str(preset)),
            sequence_length,
        )

    def tokenize(self, texts: tf.Tensor) -> tf.Tensor:
        """Token ids, [CLS] and [SEP] added, padded: int32 [batch_size, longest text of the batch]."""
        tokens = self.tokenizer(texts)
        if not isinstance(tokens, tf.RaggedTensor):  # Outside a tf.function KerasHub answers with lists.
            tokens = tf.ragged.constant(tokens, tf.int32, ragged_rank=1)
        tokens = tokens[:, : self.sequence_length - 2]
        ends = tf.ones_like(texts, dtype=tokens.dtype)[:, tf.newaxis]  # [batch_size, 1]
        tokens = tf.concat([ends * self.tokenizer.cls_token_id, tokens, ends * self.tokenizer.sep_token_id], axis=1)
        return tokens.to_tensor(self.tokenizer.pad_token_id)

    def call(self, texts: tf.Tensor) -> tf.Tensor:
        token_ids = self.tokenize(texts)
        mask = tf.not_equal(token_ids, self.tokenizer.pad_token_id)
        states = self.backbone(
            {"token_ids": token_ids, "segment_ids": tf.zeros_like(token_ids), "padding_mask": mask}, training=False
        )["sequence_output"]  # [batch_size, length, output_size]
        weights = tf.cast(mask, tf.float32)[:, :, tf.newaxis]
        mean = tf.reduce_sum(tf.cast(states, tf.float32) * weights, axis=1) / tf.reduce_sum(weights, axis=1)
        return tf.math.l2_normalize(mean, axis=-1)

    def key(self) -> str:
        """Names what decides the vectors: weights, vocabulary, settings."""
        digest = hashlib.sha256()
        for weight in self.backbone.weights:
            digest.update(np.ascontiguousarray(weight).tobytes())
        settings = [self.tokenizer.get_config().get("lowercase"), self.sequence_length]
        digest.update(json.dumps([self.tokenizer.get_vocabulary(), settings]).encode())
        return digest.hexdigest()[:16]
