import keras
import numpy as np
import pytest
import tensorflow as tf

from tfrec.layers.gpt_blocks import new_gpt
from tfrec.towers.gpt_text_user_tower import GPTTextUserTower

# Three places of up to three tokens; 9 ends a text. The second user has one item.
HISTORY = tf.constant([[[3, 9, -1], [4, 5, 9], [9, -1, -1]], [[3, 9, -1], [7, 7, 7], [7, 7, 7]]])
MASK = tf.constant([[True, True, True], [True, False, False]])


@pytest.fixture
def tower() -> GPTTextUserTower:
    keras.utils.set_random_seed(0)
    gpt = new_gpt(num_layers=2, num_heads=2, size=8, num_places=9, num_tokens=10)
    tower = GPTTextUserTower((), history_length=3, embedding_size=6, gpt=gpt)
    tower.build()
    return tower


def test_it_reads_the_texts_one_after_the_other(tower: GPTTextUserTower) -> None:
    places = tower(HISTORY, MASK, {}, every_place=True).numpy()
    # An oracle: the tokens written out, and the states where 9 ends an item.
    states = tower.blocks(tower.token_embedding(tf.constant([[3, 9, 4, 5, 9, 9]])))
    vectors = tower.output_projection(states[0]).numpy()
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    np.testing.assert_allclose(places[0], vectors[[1, 4, 5]], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(places[1, 0], vectors[1], rtol=1e-4, atol=1e-5)


def test_the_answer_is_the_last_items_place(tower: GPTTextUserTower) -> None:
    places = tower(HISTORY, MASK, {}, every_place=True).numpy()
    np.testing.assert_allclose(tower(HISTORY, MASK, {}), [places[0, 2], places[1, 0]], rtol=1e-4, atol=1e-5)


def test_no_place_reads_what_comes_after_it(tower: GPTTextUserTower) -> None:
    before = tower(HISTORY, MASK, {}, every_place=True).numpy()
    later = tf.concat([HISTORY[:, :2], tf.constant([[[8, 8, 9]], [[8, 8, 9]]])], axis=1)
    after = tower(later, MASK, {}, every_place=True).numpy()
    np.testing.assert_allclose(after[0, :2], before[0, :2], rtol=1e-4, atol=1e-5)
    assert not np.allclose(after[0, 2], before[0, 2], atol=1e-3)


def test_an_empty_history_has_an_answer(tower: GPTTextUserTower) -> None:
    assert np.isfinite(tower(HISTORY, tf.zeros_like(MASK), {}).numpy()).all()
