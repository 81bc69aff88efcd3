"""Texts to vectors."""

from collections.abc import Iterator
from pathlib import Path

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf

from tests.backbones.tiny import HIDDEN_SIZE, NUM_POSITIONS, VOCABULARY
from tfrec.backbones.text_encoder import TextEncoder

LONG = "a war story about a clock in the garden of a painter on the sea at school"


@pytest.fixture(scope="module")
def encoder(tiny_backbone: Path) -> TextEncoder:
    return TextEncoder.from_preset(tiny_backbone, sequence_length=24)


@pytest.fixture
def bfloat16() -> Iterator[None]:
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy("float32")


def ids(words: str) -> list[int]:
    return [VOCABULARY.index(word) for word in f"[CLS] {words} [SEP]".split()]


def mean_vector(encoder: TextEncoder, token_ids: list[int]) -> np.ndarray:
    """The unit mean over the backbone's states of one text without padding, by NumPy."""
    token_ids = np.array([token_ids])
    inputs = {
        "token_ids": token_ids,
        "segment_ids": np.zeros_like(token_ids),
        "padding_mask": np.ones_like(token_ids),
    }
    states = np.asarray(encoder.backbone(inputs, training=False)["sequence_output"], np.float64)[0]
    mean = states.mean(axis=0)
    return mean / np.sqrt((mean**2).sum())


def encode(encoder: TextEncoder, *texts: str) -> np.ndarray:
    return encoder(tf.constant(texts)).numpy()


def test_tokens_are_padded_to_the_longest_text(encoder: TextEncoder) -> None:
    tokens = encoder.tokenize(tf.constant(["War story", "the CLOCK, in space", ""]))
    # The comma is not in the vocabulary.
    expected = [ids("war story"), ids("the clock [UNK] in space"), ids("")]
    assert tokens.numpy().tolist() == [row + [0] * (7 - len(row)) for row in expected]


def test_the_names_of_special_tokens_in_a_text_are_only_text(encoder: TextEncoder) -> None:
    tokens = encoder.tokenize(tf.constant(["war [PAD] [SEP]"])).numpy()[0].tolist()
    assert tokens[:2] == ids("war")[:2]
    assert not {0, 2, 3} & set(tokens[1:-1])


def test_the_vector_is_the_mean_over_the_tokens(encoder: TextEncoder) -> None:
    vectors = encode(encoder, "a war story", "violin")
    assert vectors.shape == (2, HIDDEN_SIZE)
    assert encoder.output_size == HIDDEN_SIZE
    np.testing.assert_allclose(vectors[0], mean_vector(encoder, ids("a war story")), atol=1e-5)
    np.testing.assert_allclose(vectors[1], mean_vector(encoder, ids("violin")), atol=1e-5)


def test_texts_differ(encoder: TextEncoder) -> None:
    vectors = encode(encoder, "war story", "story war", "love letter")
    similarity = vectors @ vectors.T
    assert (similarity[np.triu_indices(3, k=1)] < 0.999).all()


def test_padding_does_not_change_a_vector(encoder: TextEncoder) -> None:
    together = encode(encoder, "war", LONG, "")
    for row, text in enumerate(("war", LONG, "")):
        np.testing.assert_allclose(together[row], encode(encoder, text)[0], atol=1e-5)


def test_the_rest_of_a_long_text_is_cut(tiny_backbone: Path) -> None:
    encoder = TextEncoder.from_preset(tiny_backbone, sequence_length=5)
    tokens = encoder.tokenize(tf.constant([LONG]))
    assert tokens.numpy().tolist() == [ids("a war story")]
    np.testing.assert_allclose(encode(encoder, LONG), encode(encoder, "a war story about"), atol=1e-6)
    assert np.abs(encode(encoder, LONG) - encode(encoder, "a war film")).max() > 0.01


def test_vectors_have_length_one(encoder: TextEncoder) -> None:
    vectors = encode(encoder, "war", LONG, "", "???", "ünïcødé 🎬")
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


@pytest.mark.usefixtures("bfloat16")
def test_vectors_do_not_depend_on_the_precision(encoder: TextEncoder, tiny_backbone: Path) -> None:
    mixed = TextEncoder.from_preset(tiny_backbone, sequence_length=24)
    np.testing.assert_allclose(encode(mixed, "war", LONG), encode(encoder, "war", LONG), atol=1e-6)


def test_inside_a_graph_with_any_batch_size(encoder: TextEncoder) -> None:
    serve = tf.function(encoder, input_signature=[tf.TensorSpec([None], tf.string)])
    for texts in (["war"], ["love letter", LONG, "sea"]):
        np.testing.assert_allclose(serve(tf.constant(texts)), encode(encoder, *texts), atol=1e-5)


def test_nothing_is_trainable(encoder: TextEncoder) -> None:
    assert encoder.weights
    assert encoder.trainable_variables == []


@pytest.mark.parametrize("sequence_length", [2, NUM_POSITIONS + 1])
def test_a_sequence_length_beyond_the_backbone(tiny_backbone: Path, sequence_length: int) -> None:
    with pytest.raises(ValueError, match=f"at least 3 .* at most .* {NUM_POSITIONS} positions.*: {sequence_length}"):
        TextEncoder.from_preset(tiny_backbone, sequence_length)


def test_a_backbone_that_is_no_bert(encoder: TextEncoder) -> None:
    backbone = keras_hub.models.GPT2Backbone(
        vocabulary_size=10, num_layers=1, num_heads=1, hidden_dim=4, intermediate_dim=4, max_sequence_length=64
    )
    with pytest.raises(ValueError, match=r"Expected a BERT backbone.*Received: GPT2Backbone"):
        TextEncoder(backbone, encoder.tokenizer)
