"""Texts to vectors."""

import hashlib
import json
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


def states(encoder: TextEncoder, words: str) -> np.ndarray:
    """The backbone's states of one text without padding: float32 [length, HIDDEN_SIZE]."""
    token_ids = np.array([ids(words)])
    inputs = {
        "token_ids": token_ids,
        "segment_ids": np.zeros_like(token_ids),
        "padding_mask": np.ones_like(token_ids),
    }
    return np.asarray(encoder.backbone(inputs, training=False)["sequence_output"])[0]


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


class TestPooling:
    def test_cls_is_the_state_of_the_first_token(self, tiny_backbone: Path) -> None:
        encoder = TextEncoder.from_preset(tiny_backbone, 24, pooling="cls")
        together = encode(encoder, "a war story", LONG)
        np.testing.assert_allclose(together[0], unit(states(encoder, "a war story")[0]), atol=1e-5)
        assert encoder.trainable_variables == []

    def test_attention_starts_as_the_mean(self, encoder: TextEncoder, tiny_backbone: Path) -> None:
        attention = TextEncoder.from_preset(tiny_backbone, 24, pooling="attention")
        np.testing.assert_allclose(encode(attention, "war", LONG), encode(encoder, "war", LONG), atol=1e-5)

    def test_attention_weighs_the_tokens_by_its_query(self, tiny_backbone: Path) -> None:
        encoder = TextEncoder.from_preset(tiny_backbone, 24, pooling="attention")
        query = np.linspace(-2, 2, HIDDEN_SIZE)
        encoder.attention_pooling.set_weights([query])
        tokens = states(encoder, "a war story")
        weights = np.exp(tokens @ query / np.sqrt(HIDDEN_SIZE))
        expected = unit(weights @ tokens / weights.sum())
        np.testing.assert_allclose(encode(encoder, "a war story", LONG)[0], expected, atol=1e-5)

    def test_attention_learns_and_its_frozen_backbone_does_not(self, tiny_backbone: Path) -> None:
        encoder = TextEncoder.from_preset(tiny_backbone, 24, pooling="attention")
        assert [weight.path for weight in encoder.trainable_variables] == [encoder.attention_pooling.query.path]
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(
                encoder.encode_tokens(encoder.tokenize(tf.constant(["war story"])), training=True)[0, :3]
            )
        by_query, by_backbone = tape.gradient(
            loss, [encoder.attention_pooling.query.value, encoder.backbone.token_embedding.embeddings.value]
        )
        assert np.abs(by_query).max() > 0
        assert by_backbone is None


class TestTokens:
    @pytest.mark.parametrize("pooling", ["mean", "cls", "attention"])
    def test_a_row_without_tokens_is_zero(self, pooling: str, tiny_backbone: Path) -> None:
        encoder = TextEncoder.from_preset(tiny_backbone, 24, pooling=pooling)
        tokens = encoder.tokenize(tf.constant(["war story"])).numpy()
        vectors = encoder.encode_tokens(tf.constant(np.concatenate([0 * tokens, tokens])))
        np.testing.assert_array_equal(vectors[0], np.zeros(HIDDEN_SIZE))
        np.testing.assert_allclose(vectors[1], encode(encoder, "war story")[0], atol=1e-5)
        np.testing.assert_array_equal(encoder.encode_tokens(tf.zeros([2, 5], tf.int32)), np.zeros((2, HIDDEN_SIZE)))

    def test_more_padding_than_needed_is_left_out(self, encoder: TextEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
        shapes = count_backbone_inputs(monkeypatch)
        tokens = np.zeros((3, 40), np.int32)  # More than the backbone has positions.
        tokens[0, :4], tokens[1, :3] = ids("war story"), ids("war")
        vectors = encoder.encode_tokens(tf.constant(tokens))
        np.testing.assert_allclose(vectors[:2], encode(encoder, "war story", "war"), atol=1e-5)
        assert shapes[0] == (3, 4)

    @pytest.mark.parametrize("count", [1, 3, 9])
    def test_by_length_gives_the_same_vectors_with_less_padding(
        self, encoder: TextEncoder, count: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        texts = [LONG, "war", "a war story", "", "sea", "love letter", LONG + " by train", "ghost story", "spy"][:count]
        tokens = encoder.tokenize(tf.constant(texts))
        expected = encoder.encode_tokens(tokens)
        shapes = count_backbone_inputs(monkeypatch)
        np.testing.assert_allclose(encoder.encode_by_length(tokens), expected, atol=1e-5)
        if count == 9:
            # The lengths are 2, 3 | 3, 3 | 4, 4 | 5, 19, 21.
            assert shapes == [(2, 3), (2, 3), (2, 4), (3, 21)]

    def test_by_length_inside_a_graph(self, encoder: TextEncoder) -> None:
        function = tf.function(encoder.encode_by_length, input_signature=[tf.TensorSpec([None, None], tf.int32)])
        for texts in (["war"], ["love letter", LONG, "sea", "", "spy film"]):
            vectors = function(encoder.tokenize(tf.constant(texts)))
            np.testing.assert_allclose(vectors, encode(encoder, *texts), atol=1e-5)


def count_backbone_inputs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The [rows, length] of what reaches a backbone from now on."""
    shapes = []
    call = keras_hub.models.BertBackbone.call

    def record(self, inputs, *arguments, **options):
        shapes.append(tuple(inputs["token_ids"].shape))
        return call(self, inputs, *arguments, **options)

    monkeypatch.setattr(keras_hub.models.BertBackbone, "call", record)
    return shapes


def trained_names(encoder: TextEncoder) -> set[str]:
    return {"/".join(weight.path.split("/")[-2:]) for weight in encoder.trainable_variables}


class TestTuning:
    def test_lora_changes_nothing_at_first(self, encoder: TextEncoder, tiny_backbone: Path) -> None:
        lora = TextEncoder.from_preset(tiny_backbone, 24, tuning="lora", lora_rank=2)
        np.testing.assert_array_equal(encode(lora, "war", LONG), encode(encoder, "war", LONG))

    def test_lora_trains_its_matrices_alone(self, tiny_backbone: Path) -> None:
        encoder = TextEncoder.from_preset(tiny_backbone, 24, tuning="lora", lora_rank=3)
        names = {f"{layer}/lora_kernel_{part}" for layer in ("query", "value") for part in "ab"}
        assert trained_names(encoder) == names
        # 2 blocks of query and value; A [hidden, heads, rank] and B [rank, hidden / heads] of each.
        sizes = sorted(tuple(weight.shape) for weight in encoder.trainable_variables)
        assert sizes == [(3, 4)] * 4 + [(HIDDEN_SIZE, 2, 3)] * 4
        assert not {id(each) for each in encoder.frozen_weights} & {id(each) for each in encoder.trainable_variables}
        assert len(encoder.frozen_weights) + 8 == len(encoder.weights)

    def test_lora_adds_a_product_of_rank_two(self, encoder: TextEncoder, tiny_backbone: Path) -> None:
        lora = TextEncoder.from_preset(tiny_backbone, 24, tuning="lora", lora_rank=2)
        generator = np.random.default_rng(0)
        merged = TextEncoder.from_preset(tiny_backbone, 24)
        for weight in lora.trainable_variables:
            weight.assign(generator.normal(size=weight.shape))
        for block, other in zip(lora.backbone.transformer_layers, merged.backbone.transformer_layers, strict=True):
            for name in ("query_dense", "value_dense"):
                dense, plain = (getattr(each._self_attention_layer, name) for each in (block, other))
                product = np.einsum("dhr,rk->dhk", np.asarray(dense.lora_kernel_a), np.asarray(dense.lora_kernel_b))
                plain.kernel.assign(np.asarray(plain.kernel) + product)
        np.testing.assert_allclose(encode(lora, "war", LONG), encode(merged, "war", LONG), atol=1e-5)
        assert np.abs(encode(lora, LONG) - encode(encoder, LONG)).max() > 0.01

    def test_full_trains_all_that_is_read(self, tiny_backbone: Path) -> None:
        encoder = TextEncoder.from_preset(tiny_backbone, 24, tuning="full")
        left_out = {weight.path for weight in encoder.frozen_weights}
        assert left_out == {weight.path for weight in encoder.backbone.pooled_dense.weights}
        with tf.GradientTape() as tape:
            vectors = encoder.encode_tokens(encoder.tokenize(tf.constant(["war story", "sea"])), training=True)
            loss = tf.reduce_sum(vectors[:, :3])
        gradients = tape.gradient(loss, [weight.value for weight in encoder.trainable_variables])
        assert all(gradient is not None for gradient in gradients)

    @pytest.mark.parametrize(("tuning", "drops"), [("frozen", False), ("lora", True), ("full", True)])
    def test_dropout_is_for_what_is_trained(self, tuning: str, drops: bool, tiny_backbone: Path) -> None:
        encoder = TextEncoder.from_preset(tiny_backbone, 24, tuning=tuning)
        tokens = encoder.tokenize(tf.constant([LONG]))
        trained = encoder.encode_tokens(tokens, training=True).numpy()
        assert np.allclose(trained, encoder.encode_tokens(tokens).numpy(), atol=1e-6) != drops

    @pytest.mark.usefixtures("bfloat16")
    @pytest.mark.parametrize(("tuning", "dtype"), [("frozen", "float32"), ("lora", "bfloat16"), ("full", "bfloat16")])
    def test_what_is_trained_follows_the_precision(self, tuning: str, dtype: str, tiny_backbone: Path) -> None:
        encoder = TextEncoder.from_preset(tiny_backbone, 24, pooling="attention", tuning=tuning)
        assert encoder.backbone.transformer_layers[0].compute_dtype == dtype
        vectors = encode(encoder, "war", LONG)
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)

    def test_keras_finds_nothing_to_build(self, tiny_backbone: Path) -> None:
        encoder = TextEncoder.from_preset(tiny_backbone, 24, pooling="attention", tuning="lora")
        assert [layer.name for layer in encoder._flatten_layers() if not layer.built] == []


class TestKey:
    def test_it_is_that_of_the_weights_the_vocabulary_and_the_settings(self, encoder: TextEncoder) -> None:
        # Vectors are kept under it: what it is made of must stay.
        digest = hashlib.sha256()
        for weight in encoder.backbone.weights:
            digest.update(np.asarray(weight).tobytes())
        digest.update(json.dumps([list(VOCABULARY), [True, 24]]).encode())
        assert encoder.key() == digest.hexdigest()[:16]

    def test_it_is_the_pretrained_weights_whatever_is_trained(self, encoder: TextEncoder, tiny_backbone: Path) -> None:
        for tuning in ("lora", "full"):
            tuned = TextEncoder.from_preset(tiny_backbone, 24, tuning=tuning)
            for weight in tuned.trainable_variables:
                weight.assign(weight + 1)
            assert tuned.key() == encoder.key()

    def test_poolings_have_their_own(self, encoder: TextEncoder, tiny_backbone: Path) -> None:
        others = [TextEncoder.from_preset(tiny_backbone, 24, pooling=pooling).key() for pooling in ("cls", "attention")]
        assert len({encoder.key(), *others}) == 3
