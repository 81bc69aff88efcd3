"""A pretrained GPT-2 for the user tower."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import keras_hub
import tensorflow as tf

from tfrec.errors import InputError

NO_TOKEN = -1
"""Where an item's words have ended. GPT-2's vocabulary has no padding of its own, and 0 is a word."""


def load_gpt(name: str, num_places: int) -> keras_hub.models.GPT2Backbone:
    """The GPT-2 that a preset handle or a folder names, without its own dropout.

    Args:
        name: A KerasHub preset handle, as `gpt2_base_en`, `hf://…` or `kaggle://…`, or a folder in KerasHub's or
            Hugging Face's layout.
        num_places: Positions that it must have.

    Raises:
        InputError: It can't be had, is no GPT-2, or has too few positions.
    """
    gpt = _from_preset(name, lambda: keras_hub.models.Backbone.from_preset(name, dropout=0.0))
    if not isinstance(gpt, keras_hub.models.GPT2Backbone):
        raise InputError(f"Expected a GPT-2 from model.gpt = {name!r}. Received: a {type(gpt).__name__}")
    if gpt.max_sequence_length < num_places:
        raise InputError(
            f"Expected a GPT-2 with a position for all that it reads of a history. Received: {gpt.max_sequence_length} "
            f"positions and {num_places} places. Lower features.history_length (or model.item_tokens, for words): "
            "training goes over longer histories in windows, and answers see the most recent items."
        )
    return gpt


def load_gpt_tokenizer(name: str) -> keras_hub.tokenizers.Tokenizer:
    """The tokenizer that belongs to it.

    Raises:
        InputError: It can't be had.
    """
    return _from_preset(name, lambda: keras_hub.tokenizers.Tokenizer.from_preset(name))


def _from_preset(name: str, load: Callable[[], Any]) -> Any:
    try:
        return load()
    except Exception as error:  # KerasHub and its hubs raise errors of many kinds.
        source = "the folder" if Path(name).is_dir() else "the KerasHub preset (there is no such folder)"
        reason = " ".join(str(error).split())[:300]
        raise InputError(
            f"Expected a pretrained GPT-2 from model.gpt = {name!r}. Received nothing usable:\n"
            f"  - {source} {name}: {type(error).__name__}: {reason}\n"
            "Pass --set model.gpt=FOLDER with a folder in KerasHub's or Hugging Face's layout, or leave model.gpt out: "
            "a fresh GPT of model.num_layers blocks is trained then."
        ) from error


def tokenize_items(texts: list[str], tokenizer: keras.layers.Layer, end: int, item_tokens: int) -> tf.Tensor:
    """Each text's first tokens, and one that marks its end: int32 [num_texts, item_tokens], then NO_TOKEN.

    Args:
        texts: [num_texts]
        tokenizer: A KerasHub tokenizer.
        end: The token that marks a text's end.
        item_tokens: Tokens that are kept of each, the end's among them.
    """
    tokens = tokenizer(tf.constant(texts))
    if not isinstance(tokens, tf.RaggedTensor):  # Outside a tf.function KerasHub answers with lists.
        tokens = tf.ragged.constant(tokens, tf.int32, ragged_rank=1)
    ends = tf.fill([tokens.nrows(), 1], end)
    tokens = tf.concat([tf.cast(tokens[:, : item_tokens - 1], tf.int32), ends], axis=1)
    return tokens.to_tensor(NO_TOKEN, shape=[None, item_tokens])
