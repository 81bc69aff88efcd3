import keras
import numpy as np
import pytest
import tensorflow as tf

from tfrec.features.columns import Column
from tfrec.layers.gpt_blocks import new_gpt
from tfrec.towers.gpt_user_tower import GPTUserTower

RANDOM = np.random.default_rng(0)
HISTORY = tf.constant(RANDOM.normal(size=(2, 5, 8)), tf.float32)
MASK = tf.constant([[True] * 5, [True, True, False, False, False]])


@pytest.fixture
def tower() -> GPTUserTower:
    keras.utils.set_random_seed(0)
    gpt = new_gpt(num_layers=2, num_heads=2, size=8, num_places=5)
    tower = GPTUserTower((), history_length=5, embedding_size=8, gpt=gpt, dropout=0.5)
    tower.build()
    return tower


def test_the_answer_is_the_last_items_place(tower: GPTUserTower) -> None:
    places = tower(HISTORY, MASK, {}, every_place=True).numpy()
    assert places.shape == (2, 5, 8)
    np.testing.assert_allclose(np.linalg.norm(places, axis=-1), 1, rtol=1e-5)
    np.testing.assert_allclose(tower(HISTORY, MASK, {}), [places[0, 4], places[1, 1]], rtol=1e-5)


def test_no_place_sees_what_comes_after_it(tower: GPTUserTower) -> None:
    before = tower(HISTORY, MASK, {}, every_place=True).numpy()
    later = tf.concat([HISTORY[:, :3], -7.0 * HISTORY[:, 3:]], axis=1)
    after = tower(later, MASK, {}, every_place=True).numpy()
    np.testing.assert_allclose(after[:, :3], before[:, :3], rtol=1e-5, atol=1e-6)
    assert not np.allclose(after[:, 3:], before[:, 3:], atol=1e-2)


def test_order_matters(tower: GPTUserTower) -> None:
    swapped = tf.gather(HISTORY, [1, 0, 2, 3, 4], axis=1)
    assert not np.allclose(tower(swapped, MASK, {}), tower(HISTORY, MASK, {}), atol=1e-3)


def test_dropout_is_for_training_alone(tower: GPTUserTower) -> None:
    np.testing.assert_array_equal(tower(HISTORY, MASK, {}), tower(HISTORY, MASK, {}))
    assert not np.allclose(tower(HISTORY, MASK, {}, training=True), tower(HISTORY, MASK, {}), atol=1e-3)


def test_attributes_are_heard() -> None:
    column = Column("country", "categorical", vocabulary=("no", "se"))
    tower = GPTUserTower((column,), history_length=5, embedding_size=8, gpt=new_gpt(2, 2, size=8, num_places=5))
    tower.build()
    one, other = (tower(HISTORY, MASK, {"country": tf.constant(codes)}) for codes in ([2, 2], [3, 3]))
    assert not np.allclose(one, other, atol=1e-4)


def test_an_empty_history_has_an_answer(tower: GPTUserTower) -> None:
    assert np.isfinite(tower(HISTORY, tf.zeros_like(MASK), {}).numpy()).all()


def test_a_gpt_of_another_width_is_projected_into_and_out_of() -> None:
    keras.utils.set_random_seed(0)
    tower = GPTUserTower((), history_length=5, embedding_size=8, gpt=new_gpt(2, 2, size=12, num_places=7))
    tower.build()
    assert tower(HISTORY, MASK, {}, every_place=True).shape == (2, 5, 8)
    states = HISTORY.numpy() * 8**0.5 @ tower.input_projection.kernel.numpy()
    states = tower.blocks(tf.constant(states, tf.float32)).numpy() @ tower.output_projection.kernel.numpy()
    expected = states[0, 4] / np.linalg.norm(states[0, 4])
    np.testing.assert_allclose(tower(HISTORY, MASK, {})[0], expected, rtol=1e-4, atol=1e-5)


def test_it_can_start_from_the_mean() -> None:
    keras.utils.set_random_seed(0)
    gpt = new_gpt(2, 2, size=8, num_places=5)
    tower = GPTUserTower((), history_length=5, embedding_size=8, gpt=gpt, start_from_mean=True)
    tower.build()
    states = tower.blocks(HISTORY * 8**0.5).numpy()
    expected = HISTORY[0, :3].numpy().mean(axis=0) + 0.1 * states[0, 2] / 8**0.5
    places = tower(HISTORY, MASK, {}, every_place=True)
    np.testing.assert_allclose(places[0, 2], expected / np.linalg.norm(expected), rtol=1e-4, atol=1e-5)
    expected = HISTORY[1, :2].numpy().mean(axis=0) + 0.1 * states[1, 1] / 8**0.5
    np.testing.assert_allclose(tower(HISTORY, MASK, {})[1], expected / np.linalg.norm(expected), rtol=1e-4, atol=1e-5)
