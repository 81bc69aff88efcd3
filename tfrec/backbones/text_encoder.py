"""A pretrained BERT that turns texts into vectors."""

import hashlib
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import keras
import keras_hub
import numpy as np
import tensorflow as tf

from tfrec.layers.attention_pooling import AttentionPooling

NUM_LENGTHS = 4
"""Parts of like length that the texts of a training step are divided into."""


class TextEncoder(keras.layers.Layer):
    """Raw UTF-8 texts in, unit vectors out: WordPiece, BERT, pooling over the tokens, L2 normalisation.

    The mean over the tokens, and not BERT's [CLS] state, is what the sentence encoders were trained with
    (Reimers & Gurevych 2019, "Sentence-BERT", section 3). A batch is padded to its own longest text, not to
    `sequence_length`, so short titles cost what short titles cost.

    With LoRA (Hu et al. 2022, "LoRA: Low-rank adaptation of large language models") the pretrained weights stay, and
    low-rank matrices beside the query and value projections of each block are trained; one of each pair starts at zero,
    so that at first nothing changes. In Keras they are of rank `lora_rank` for each attention head.

    Args:
        backbone: A KerasHub BERT-like backbone with `token_ids`, `segment_ids` and `padding_mask` inputs. Its weights
            are made trainable or not, as `tuning` says.
        tokenizer: The KerasHub tokenizer that belongs to it.
        sequence_length: Tokens that are read, [CLS] and [SEP] included; the rest of the text is cut.
        pooling: `mean` over the tokens, `cls` (the first token's state), or `attention` (AttentionPooling, trained).
        tuning: What is trained of the backbone: nothing (`frozen`), `lora` matrices, or all (`full`).
        lora_rank: Rank of the `lora` matrices.

    Raises:
        ValueError: The backbone is no BERT, has no room for the sequence_length, or nothing that takes LoRA.

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
        pooling: Literal["mean", "cls", "attention"] = "mean",
        tuning: Literal["frozen", "lora", "full"] = "frozen",
        lora_rank: int = 8,
        name: str = "text_encoder",
    ) -> None:
        is_trained = tuning != "frozen" or pooling == "attention"
        super().__init__(name=name, trainable=is_trained, dtype="float32")
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
        if not tokenizer.built:  # Keras's fit would try to build what holds it, and fails on several devices.
            tokenizer.build(None)
        self.sequence_length = sequence_length
        self.pooling = pooling
        self.tuning = tuning
        self.lora_rank = lora_rank
        self.output_size = int(backbone.hidden_dim)
        self._key = self._pretrained_key()  # Now, before LoRA and training change what it is made of.
        self._choose_trained_weights()
        self.attention_pooling = None
        if pooling == "attention":
            self.attention_pooling = AttentionPooling(self.output_size, dtype="float32", name="attention_pooling")
            self.attention_pooling.build()
        self.built = True

    @classmethod
    def from_preset(
        cls,
        preset: str | Path,
        sequence_length: int = 64,
        pooling: Literal["mean", "cls", "attention"] = "mean",
        tuning: Literal["frozen", "lora", "full"] = "frozen",
        lora_rank: int = 8,
    ) -> "TextEncoder":
        """Loads a KerasHub preset handle or a folder in KerasHub's or Hugging Face's layout."""
        return cls(*load_preset(preset, tuning), sequence_length, pooling, tuning, lora_rank)

    def _choose_trained_weights(self) -> None:
        self.backbone.trainable = self.tuning != "frozen"
        if self.tuning == "lora":
            self.backbone.enable_lora(self.lora_rank)
            for weight in self.backbone.weights:  # Keras would train the projections' biases, too.
                weight.trainable = weight.name.startswith("lora_kernel")
            if not self.backbone.trainable_weights:
                received = type(self.backbone).__name__
                raise ValueError(f"Expected a backbone with attention layers that take LoRA. Received: {received}")
        elif self.tuning == "full" and hasattr(self.backbone, "pooled_dense"):
            self.backbone.pooled_dense.trainable = False  # Of the next-sentence task; no pooling here reads it.

    @property
    def frozen_weights(self) -> Sequence[keras.Variable]:
        """The pretrained weights that stay as they are: no checkpoint needs them."""
        weights: Sequence[keras.Variable] = self.backbone.non_trainable_weights
        return weights

    def tokenize(self, texts: tf.Tensor) -> tf.Tensor:
        """Token ids, [CLS] and [SEP] added, padded: int32 [batch_size, longest text of the batch]."""
        tokens = self.tokenizer(texts)
        if not isinstance(tokens, tf.RaggedTensor):  # Outside a tf.function KerasHub answers with lists.
            tokens = tf.ragged.constant(tokens, tf.int32, ragged_rank=1)
        tokens = tokens[:, : self.sequence_length - 2]
        ends = tf.ones_like(texts, dtype=tokens.dtype)[:, tf.newaxis]  # [batch_size, 1]
        tokens = tf.concat([ends * self.tokenizer.cls_token_id, tokens, ends * self.tokenizer.sep_token_id], axis=1)
        return tokens.to_tensor(self.tokenizer.pad_token_id)

    def call(self, texts: tf.Tensor, training: bool = False) -> tf.Tensor:
        return self.encode_tokens(self.tokenize(texts), training=training)

    def encode_tokens(self, token_ids: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Tokens, as `tokenize` makes them, to vectors.

        Args:
            token_ids: int32 [rows, any length]; it is trimmed to its own longest row. A row without any token, as of
                padding, has the vector zero.
            training: Use the backbone's dropout, unless it is frozen.

        Returns:
            float32 [rows, output_size]
        """
        filled = tf.not_equal(token_ids, self.tokenizer.pad_token_id)
        # At least one place: there are operations that do not take tensors without any.
        longest = tf.maximum(tf.reduce_sum(tf.cast(tf.reduce_any(filled, axis=0), tf.int32)), 1)
        token_ids, mask = token_ids[:, :longest], filled[:, :longest]
        inputs = {"token_ids": token_ids, "segment_ids": tf.zeros_like(token_ids), "padding_mask": mask}
        states = self.backbone(inputs, training=training and self.tuning != "frozen")["sequence_output"]
        states = tf.cast(states, tf.float32)  # [rows, length, output_size]
        if self.tuning == "frozen":
            states = tf.stop_gradient(states)
        return tf.math.l2_normalize(self._pool(states, mask), axis=-1)

    def _pool(self, states: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        if self.attention_pooling is not None:
            return self.attention_pooling(states, mask)
        weights = tf.cast(mask, tf.float32)[:, :, tf.newaxis]
        if self.pooling == "cls":
            return (states * weights)[:, 0]
        return tf.math.divide_no_nan(tf.reduce_sum(states * weights, axis=1), tf.reduce_sum(weights, axis=1))

    def encode_by_length(self, token_ids: tf.Tensor, training: bool = False) -> tf.Tensor:
        """As `encode_tokens`, but texts of like length go through the backbone together: little of it is padding.

        Args:
            token_ids: int32 [rows, any length]; at least one row.
            training: As for `encode_tokens`.
        """
        filled = tf.not_equal(token_ids, self.tokenizer.pad_token_id)
        order = tf.argsort(tf.reduce_sum(tf.cast(filled, tf.int32), axis=1), stable=True)
        bounds = [tf.size(order) * part // NUM_LENGTHS for part in range(NUM_LENGTHS + 1)]
        parts = []
        for low, high in itertools.pairwise(bounds):
            # At least one row, for the sake of operations that do not take tensors without any.
            rows = order[low : tf.maximum(high, low + 1)]
            parts.append(self.encode_tokens(tf.gather(token_ids, rows), training=training)[: high - low])
        return tf.gather(tf.concat(parts, axis=0), tf.math.invert_permutation(order))

    def key(self) -> str:
        """Names the pretrained weights, the vocabulary and the settings: what decides the vectors before training."""
        return self._key

    def _pretrained_key(self) -> str:
        digest = hashlib.sha256()
        for weight in self.backbone.weights:
            digest.update(np.ascontiguousarray(weight).tobytes())
        settings = [self.tokenizer.get_config().get("lowercase"), self.sequence_length]
        if self.pooling != "mean":
            settings.append(self.pooling)
        digest.update(json.dumps([self.tokenizer.get_vocabulary(), settings]).encode())
        return digest.hexdigest()[:16]


def load_preset(
    preset: str | Path, tuning: Literal["frozen", "lora", "full"] = "frozen"
) -> tuple[keras.Model, keras.layers.Layer]:
    """The backbone and the tokenizer of a KerasHub preset handle or a folder.

    Args:
        preset: The handle or the folder, in KerasHub's or Hugging Face's layout.
        tuning: A backbone that is trained follows the precision policy.
    """
    # Frozen vectors are kept on disk: they must not depend on a run's precision.
    dtype = "float32" if tuning == "frozen" else keras.config.dtype_policy()
    return (
        keras_hub.models.Backbone.from_preset(str(preset), dtype=dtype),
        keras_hub.tokenizers.Tokenizer.from_preset(str(preset)),
    )
