"""Items to vectors."""

from collections.abc import Iterator

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfrec.features.columns import Column
from tfrec.towers.item_tower import ItemTower

COLUMNS = (Column("genre", "categorical", vocabulary=("war", "art")), Column("price", "numeric"))
NUM_IDS, TEXT_SIZE, SIZE = 7, 5, 4


@pytest.fixture(autouse=True)
def seeded() -> None:
    keras.utils.set_random_seed(0)


@pytest.fixture
def bfloat16() -> Iterator[None]:
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy("float32")


def features(num_rows: int) -> dict[str, tf.Tensor]:
    generator = np.random.default_rng(0)
    return {
        "id": tf.constant(np.arange(num_rows) % NUM_IDS, tf.int32),
        "text": tf.constant(generator.normal(size=(num_rows, TEXT_SIZE)), tf.float32),
        "genre": tf.constant(generator.integers(0, 4, num_rows), tf.int32),
        "price": tf.constant(generator.normal(size=(num_rows, 2)), tf.float32),
    }


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def test_adds_what_id_text_and_attributes_say() -> None:
    tower = ItemTower(COLUMNS, NUM_IDS, TEXT_SIZE, SIZE, hidden_sizes=(8,))
    inputs = {name: value.numpy() for name, value in features(6).items()}
    outputs = tower(features(6))
    ids, text, bias, genre, price = (np.asarray(weight) for weight in tower.trainable_weights[:5])
    parts = ids[inputs["id"]] + inputs["text"] @ text + bias + genre[inputs["genre"]] + inputs["price"] @ price
    # The MLP starts as the identity.
    np.testing.assert_allclose(outputs, unit(parts), atol=1e-5)


@pytest.mark.parametrize(
    ("columns", "num_ids", "text_size"),
    [((), NUM_IDS, 0), ((), 0, TEXT_SIZE), (COLUMNS, 0, 0), (COLUMNS, 0, TEXT_SIZE)],
)
@pytest.mark.parametrize("num_rows", [1, 9])
def test_whatever_it_reads_vectors_have_length_one(
    columns: tuple[Column, ...], num_ids: int, text_size: int, num_rows: int
) -> None:
    tower = ItemTower(columns, num_ids, text_size, SIZE, hidden_sizes=(8,), dropout=0.5, id_dropout=0.5)
    for training in (False, True):
        outputs = tower(features(num_rows), training=training)
        assert outputs.dtype == tf.float32
        np.testing.assert_allclose(np.linalg.norm(outputs, axis=1), np.ones(num_rows), atol=1e-5)


def test_nothing_to_read() -> None:
    with pytest.raises(ValueError, match="Received: none of them"):
        ItemTower((), 0, 0, SIZE)


def test_unknown_items_have_a_vector_if_training_sees_some() -> None:
    tower = ItemTower((), NUM_IDS, 0, SIZE, id_dropout=0.1)
    tower.build()
    ids = np.asarray(tower.trainable_weights[0])
    np.testing.assert_allclose(tower({"id": tf.constant([1, 0, 1, 2])}), unit(ids[[1, 0, 1, 2]]), atol=1e-6)
    never = ItemTower((), NUM_IDS, 0, SIZE)
    vectors = never({"id": tf.constant([1, 0, 2])}).numpy()
    assert vectors.any(axis=1).tolist() == [False, False, True]


def test_an_id_may_come_as_its_vector() -> None:
    tower = ItemTower(COLUMNS, NUM_IDS, TEXT_SIZE, SIZE, hidden_sizes=(8,), id_dropout=0.5)
    inputs = features(6) | {"id": tf.fill([6], 3)}
    expected = tower(inputs)
    del inputs["id"]
    vector = np.asarray(tower.trainable_weights[0])[3:4]
    np.testing.assert_allclose(tower(inputs | {"id_vector": tf.constant(vector)}), expected, atol=1e-6)


class TestIdDropout:
    ids = tf.constant(np.arange(2, NUM_IDS).repeat(200), tf.int32)

    def vectors(self, tower: ItemTower, training: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Outputs, the ids' own vectors and the unknown id's."""
        outputs = tower({"id": self.ids}, training=training).numpy()
        table = unit(np.asarray(tower.trainable_weights[0]))
        return outputs, table[self.ids.numpy()], table[1]

    def test_training_replaces_that_share_by_the_unknown_id(self) -> None:
        tower = ItemTower((), NUM_IDS, 0, SIZE, id_dropout=0.3)
        outputs, own, unknown = self.vectors(tower, training=True)
        is_own = np.isclose(outputs, own, atol=1e-5).all(axis=1)
        is_unknown = np.isclose(outputs, unknown, atol=1e-5).all(axis=1)
        assert (is_own ^ is_unknown).all()
        # 1,000 draws: the standard error is sqrt(0.3 * 0.7 / 1000) = 0.0145.
        assert is_unknown.mean() == pytest.approx(0.3, abs=4 * 0.0145)
        again, _, _ = self.vectors(tower, training=True)
        assert np.abs(again - outputs).max() > 0.01

    @pytest.mark.parametrize(("id_dropout", "training"), [(0.3, False), (0.0, True)])
    def test_otherwise_every_id_is_seen(self, id_dropout: float, training: bool) -> None:
        outputs, own, _ = self.vectors(ItemTower((), NUM_IDS, 0, SIZE, id_dropout=id_dropout), training)
        np.testing.assert_allclose(outputs, own, atol=1e-5)


@pytest.mark.usefixtures("bfloat16")
def test_mixed_precision_answers_in_float32() -> None:
    tower = ItemTower(COLUMNS, NUM_IDS, TEXT_SIZE, SIZE, hidden_sizes=(8,))
    outputs = tower(features(6))
    assert outputs.dtype == tf.float32
    np.testing.assert_allclose(np.linalg.norm(outputs, axis=1), np.ones(6), atol=1e-5)
    full = ItemTower(COLUMNS, NUM_IDS, TEXT_SIZE, SIZE, hidden_sizes=(8,), dtype="float32")
    full.build()
    full.set_weights(tower.get_weights())
    np.testing.assert_allclose(outputs, full(features(6)), atol=0.05)


def test_inside_a_graph_with_any_number_of_rows() -> None:
    tower = ItemTower(COLUMNS, NUM_IDS, TEXT_SIZE, SIZE, hidden_sizes=(8,))
    specs = {name: tf.TensorSpec([None, *value.shape[1:]], value.dtype) for name, value in features(1).items()}
    serve = tf.function(lambda inputs: tower(inputs, training=False), input_signature=[specs])
    for num_rows in (0, 1, 6):
        outputs = serve(features(num_rows))
        assert outputs.shape == (num_rows, SIZE)
        np.testing.assert_allclose(outputs, tower(features(num_rows)), atol=1e-6)


def test_few_texts_begin_along_the_few_directions_they_vary_in() -> None:
    # Three texts vary in two directions out of four; what a new one says beside these is not read at first.
    tower = ItemTower((), num_ids=0, text_size=4, embedding_size=4)
    tower.build()
    texts = np.array([[1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 0, 1]], np.float32)
    tower.start_from_texts(texts)
    projected = tower.text_projection(texts).numpy()
    np.testing.assert_allclose(projected.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose((projected**2).sum(axis=1).mean(), 1, rtol=1e-4)
    new = np.array([[1, 0, 5, 1]], np.float32)
    np.testing.assert_allclose(tower.text_projection(new), projected[:1], atol=1e-4)


@pytest.mark.parametrize(("num_texts", "value"), [(1, 1.0), (3, 1.0), (7, 0.1), (3, 0.0)])
def test_texts_that_are_all_alike_begin_at_random(num_texts: int, value: float) -> None:
    tower = ItemTower((), num_ids=0, text_size=4, embedding_size=4)
    tower.build()
    before = tower.text_projection.kernel.numpy()
    tower.start_from_texts(np.full((num_texts, 4), value, np.float32))
    np.testing.assert_array_equal(tower.text_projection.kernel, before)
