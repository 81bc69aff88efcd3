"""LightGBM's trees as graph operations that every TensorFlow Serving has."""

import json
import math
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

WORD = 32
"""Bits in an integer of a set of categories."""
NOTHING = -1
"""A threshold that no code is below."""


class DecisionTrees(keras.layers.Layer):
    r"""The sum over trees of the value of the leaf that an example falls into.

    $$ F(x) = \sum_t v_{t, l_t(x)} $$

    Friedman 2001, "Greedy function approximation: a gradient boosting machine", equation 9; Ke et al. 2017, "LightGBM:
    A Highly Efficient Gradient Boosting Decision Tree". All trees are walked at once, a level a step, and a leaf leads
    to itself.

    Its state is the text of the boosters, which checkpoints keep as they keep a variable: `assign` takes it as bytes,
    and `np.asarray` gives it.

    Call arguments:
        codes: Of the features, int32 [rows, num_features], none of them negative.

    Returns:
        float32 [rows]; 0 without trees.
    """

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.boosters: tuple[str, ...] = ()
        self._nodes: _Nodes | None = None
        self.built = True

    def assign(self, encoded: np.ndarray) -> None:
        """Becomes what `np.asarray` of another gave: uint8 [num_bytes]."""
        self.boosters, self._nodes = tuple(json.loads(encoded.tobytes())), None

    def __array__(self, dtype: object = None, copy: bool | None = None) -> np.ndarray:
        return np.frombuffer(json.dumps(self.boosters).encode(), np.uint8)

    def add(self, booster: str) -> None:
        """More trees, as LightGBM's `model_to_string` writes them."""
        self.boosters, self._nodes = (*self.boosters, booster), None

    def predict(self, codes: np.ndarray, first: int = 0) -> np.ndarray:
        """What a call returns, by LightGBM itself, of the boosters from the first: float64 [rows]."""
        import lightgbm

        sums = np.zeros(len(codes))
        for text in self.boosters[first:]:
            sums += lightgbm.Booster(model_str=text).predict(codes, raw_score=True)
        return sums

    @property
    def nodes(self) -> "_Nodes":
        """All trees, read when they are first asked: while they grow, LightGBM itself is faster."""
        import lightgbm

        if self._nodes is None:
            dumped = [lightgbm.Booster(model_str=booster).dump_model() for booster in self.boosters]
            with tf.init_scope():
                self._nodes = _read_nodes([tree["tree_structure"] for each in dumped for tree in each["tree_info"]])
        return self._nodes

    def call(self, codes: tf.Tensor) -> tf.Tensor:
        if not self.boosters:
            return tf.zeros([tf.shape(codes)[0]])
        nodes = self.nodes
        places = tf.repeat(nodes.roots[tf.newaxis], tf.shape(codes)[0], axis=0)  # [rows, num_trees]
        for _ in range(nodes.num_levels):
            # One gather, since that is what takes the time.
            node = tf.gather(nodes.table, places)
            feature, threshold, left, right, first_word, num_words = tf.unstack(node, axis=-1)
            code = tf.gather(codes, feature, batch_dims=1)
            word = code // WORD
            is_inside = word < num_words
            bits = tf.gather(nodes.words, first_word + tf.where(is_inside, word, 0))
            is_member = is_inside & (tf.bitwise.right_shift(bits, tf.cast(code % WORD, tf.uint32)) % 2 == 1)
            places = tf.where(is_member | (code <= threshold), left, right)
        return tf.reduce_sum(tf.gather(nodes.values, places), axis=1)


class _Nodes(NamedTuple):
    """The nodes of all trees, end to end.

    Attributes:
        roots: Where each tree begins, int32 [num_trees].
        table: int32 [num_nodes, 6]: the feature; what is not above the threshold goes left; the places of what is left
            and right; and where in `words` the set of categories that go left begins, and how many words it has. A node
            of categories has a threshold below all of them, one of numbers no words.
        words: Sets of categories, a bit each: uint32 [num_words].
        values: Of the leaves, float32 [num_nodes].
        num_levels: Of the deepest tree.
    """

    roots: tf.Variable
    table: tf.Variable
    words: tf.Variable
    values: tf.Variable
    num_levels: int


def _read_nodes(trees: list[dict[str, Any]]) -> _Nodes:
    """From LightGBM's own nested form."""
    table: list[list[int]] = []
    values: list[float] = []
    words: list[int] = [0]
    deepest = 0

    def add(node: dict[str, Any], depth: int) -> int:
        nonlocal deepest
        deepest = max(deepest, depth)
        place = len(table)
        values.append(node.get("leaf_value", 0.0))
        row = [0, NOTHING, place, place, 0, 0]
        table.append(row)
        if "leaf_value" in node:
            return place
        row[0] = node["split_feature"]
        if node["decision_type"] == "==":
            categories = [int(each) for each in node["threshold"].split("||")]
            bits = [0] * (max(categories) // WORD + 1)
            for category in categories:
                bits[category // WORD] |= 1 << (category % WORD)
            row[4], row[5] = len(words), len(bits)
            words.extend(bits)
        else:
            row[1] = math.floor(node["threshold"])
        row[2], row[3] = (add(node[child], depth + 1) for child in ("left_child", "right_child"))
        return place

    roots = [add(tree, 0) for tree in trees]
    # Variables, not constants: a graph must stay below 2 GB.
    arrays = {"roots": (roots, tf.int32), "table": (table, tf.int32), "words": (words, tf.uint32)}
    arrays["values"] = (values, tf.float32)
    variables = {
        name: tf.Variable(np.array(array, dtype.as_numpy_dtype), trainable=False, name=name)
        for name, (array, dtype) in arrays.items()
    }
    return _Nodes(**variables, num_levels=deepest)
