"""LightGBM's trees as graph operations that every TensorFlow Serving has."""

import json
from typing import Any

import keras
import numpy as np
import tensorflow as tf

WORD = 32
"""Bits in an integer of a set of categories."""


class DecisionTrees(keras.layers.Layer):
    r"""The sum over trees of the value of the leaf that an example falls into.

    $$ F(x) = \sum_t v_{t, l_t(x)} $$

    Friedman 2001, "Greedy function approximation: a gradient boosting machine", equation 9; Ke et al. 2017, "LightGBM:
    A Highly Efficient Gradient Boosting Decision Tree". All trees are walked at once, a level a step, and a leaf leads
    to itself.

    Its state is the text of the boosters, which checkpoints keep as they keep a variable: `assign` takes it as bytes,
    and `np.asarray` gives it.

    Call arguments:
        features: Values of the features, categories as whole numbers: float32 [rows, num_features].

    Returns:
        float32 [rows]; 0 without trees.
    """

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.boosters: tuple[str, ...] = ()
        self._nodes: dict[str, tf.Tensor] = {}
        self.built = True

    def assign(self, encoded: np.ndarray) -> None:
        """Becomes what `np.asarray` of another gave: uint8 [num_bytes]."""
        self.boosters = tuple(json.loads(encoded.tobytes()))
        self._read()

    def __array__(self, dtype: object = None, copy: bool | None = None) -> np.ndarray:
        return np.frombuffer(json.dumps(self.boosters).encode(), np.uint8)

    def add(self, booster: str) -> None:
        """More trees, as LightGBM's `model_to_string` writes them."""
        self.boosters = (*self.boosters, booster)
        self._read()

    def predict(self, features: np.ndarray) -> np.ndarray:
        """What a call returns, by LightGBM itself: float64 [rows]."""
        import lightgbm

        each = [lightgbm.Booster(model_str=text).predict(features, raw_score=True) for text in self.boosters]
        return np.sum([np.zeros(len(features)), *each], axis=0)

    def _read(self) -> None:
        import lightgbm

        nodes = _Nodes()
        for booster in self.boosters:
            for tree in lightgbm.Booster(model_str=booster).dump_model()["tree_info"]:
                nodes.add_tree(tree["tree_structure"])
        self.num_levels = nodes.depth
        self._nodes = nodes.arrays()

    def call(self, features: tf.Tensor) -> tf.Tensor:
        if not self._nodes:
            return tf.zeros([tf.shape(features)[0]])
        nodes = self._nodes
        roots = nodes["roots"]
        places = tf.repeat(roots[tf.newaxis], tf.shape(features)[0], axis=0)  # [rows, num_trees]
        for _ in range(self.num_levels):
            values = tf.gather(features, tf.gather(nodes["feature"], places), batch_dims=1)
            goes_left = values <= tf.gather(nodes["threshold"], places)
            if nodes["words"].shape[0]:
                goes_left = tf.where(
                    tf.gather(nodes["num_words"], places) > 0, self._is_member(values, places), goes_left
                )
            places = tf.where(goes_left, tf.gather(nodes["left"], places), tf.gather(nodes["right"], places))
        return tf.reduce_sum(tf.gather(nodes["value"], places), axis=1)

    def _is_member(self, values: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
        """Whether categories are in the nodes' sets, bool [rows, num_trees]."""
        categories = tf.cast(values, tf.int32)
        word = categories // WORD
        inside = word < tf.gather(self._nodes["num_words"], places)
        at = tf.gather(self._nodes["first_word"], places) + tf.where(inside, word, 0)
        bits = tf.gather(self._nodes["words"], tf.minimum(at, self._nodes["words"].shape[0] - 1))
        is_set = tf.bitwise.bitwise_and(tf.bitwise.right_shift(bits, tf.cast(categories % WORD, tf.uint32)), 1) > 0
        return inside & is_set


class _Nodes:
    """The nodes of all trees, end to end."""

    def __init__(self) -> None:
        self.roots: list[int] = []
        self.depth = 0
        self._rows: list[dict[str, Any]] = []
        self._words: list[int] = []

    def add_tree(self, structure: dict[str, Any]) -> None:
        self.roots.append(self._add(structure, 0))

    def _add(self, node: dict[str, Any], depth: int) -> int:
        self.depth = max(self.depth, depth)
        place = len(self._rows)
        row = {"feature": 0, "threshold": 0.0, "left": place, "right": place, "value": 0.0}
        row |= {"first_word": 0, "num_words": 0}
        self._rows.append(row)
        if "leaf_value" in node:
            row["value"] = node["leaf_value"]
            return place
        row["feature"] = node["split_feature"]
        if node["decision_type"] == "==":
            categories = [int(each) for each in node["threshold"].split("||")]
            words = [0] * (max(categories) // WORD + 1)
            for category in categories:
                words[category // WORD] |= 1 << (category % WORD)
            row["first_word"], row["num_words"] = len(self._words), len(words)
            self._words += words
        else:
            row["threshold"] = node["threshold"]
        row["left"] = self._add(node["left_child"], depth + 1)
        row["right"] = self._add(node["right_child"], depth + 1)
        return place

    def arrays(self) -> dict[str, tf.Tensor]:
        types = {"threshold": np.float32, "value": np.float32}
        arrays = {
            name: tf.constant(np.array([row[name] for row in self._rows], types.get(name, np.int32)))
            for name in self._rows[0]
        }
        arrays["roots"] = tf.constant(self.roots, tf.int32)
        arrays["words"] = tf.constant(np.array(self._words, np.uint32))
        return arrays
