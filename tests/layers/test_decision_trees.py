"""Trees in TensorFlow, against LightGBM's own answer and by hand."""

import lightgbm
import numpy as np
import pytest
import tensorflow as tf

from tfrec.layers.decision_trees import DecisionTrees


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    categories = generator.integers(0, 300, 4000)
    numbers = generator.integers(0, 30, 4000)
    liked = np.isin(categories % 7, (1, 2)) ^ (numbers > 12)
    labels = (generator.random(4000) < np.where(liked, 0.8, 0.2)).astype(np.float32)
    return np.stack([categories, numbers], axis=1).astype(np.int32), labels


@pytest.fixture(scope="module")
def boosters(data: tuple[np.ndarray, np.ndarray]) -> list[str]:
    features, labels = data
    settings = {"objective": "binary", "num_leaves": 16, "min_data_in_leaf": 20, "cat_smooth": 1, "verbose": -1}
    return [
        lightgbm.train({**settings, "seed": seed}, lightgbm.Dataset(features, labels, categorical_feature=[0]), 4)
        .model_to_string()
        for seed in (1, 2)
    ]  # fmt: skip


def test_it_is_lightgbms_answer(data: tuple[np.ndarray, np.ndarray], boosters: list[str]) -> None:
    trees = DecisionTrees()
    for booster in boosters:
        trees.add(booster)
    # Categories that no tree has seen, below and beyond those that some have.
    features = np.concatenate([data[0], [[299, 3], [300, 3], [5000, 3], [0, 29]]]).astype(np.int32)
    assert trees.nodes.num_levels > 2
    assert trees.nodes.words.shape[0] > 10
    np.testing.assert_allclose(trees(tf.constant(features)), trees.predict(features), atol=1e-5)


def test_a_stump_by_hand() -> None:
    """One division, of a number: what is not above the threshold goes left."""
    features = np.repeat([[1.0], [2.0], [5.0]], 20, axis=0)
    labels = np.repeat([0.0, 0.0, 1.0], 20)
    settings = {"objective": "regression", "num_leaves": 2, "min_data_in_leaf": 1, "learning_rate": 1.0, "verbose": -1}
    trees = DecisionTrees()
    trees.add(lightgbm.train(settings, lightgbm.Dataset(features, labels), 1).model_to_string())
    np.testing.assert_allclose(trees(tf.constant([[0], [2], [4], [7]])), [0, 0, 1, 1], atol=1e-6)


def test_without_trees_it_is_zero() -> None:
    np.testing.assert_array_equal(DecisionTrees()(tf.zeros([3, 2], tf.int32)), [0, 0, 0])


def test_a_checkpoint_keeps_it(data: tuple[np.ndarray, np.ndarray], boosters: list[str]) -> None:
    first, second = DecisionTrees(), DecisionTrees()
    first.add(boosters[0])
    second.assign(np.asarray(first))
    np.testing.assert_array_equal(first(data[0]), second(data[0]))
