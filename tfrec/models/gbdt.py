"""Gradient-boosted decision trees."""

import importlib.util
from typing import Any

import numpy as np
import tensorflow as tf

from tfrec.datasets.splits import VALIDATION
from tfrec.errors import InputError
from tfrec.features.impression_rows import ImpressionRows
from tfrec.features.prepared_impressions import PreparedImpressions
from tfrec.features.vocabulary import NUM_SPECIAL
from tfrec.layers.decision_trees import DecisionTrees
from tfrec.layers.field_embeddings import Field
from tfrec.models.ranking_model import Impression, ItemTable, RankingModel


class GBDT(RankingModel):
    r"""$z = b + F(x)$, with the trees $F$ of DecisionTrees over the features' codes.

    Friedman 2001, "Greedy function approximation: a gradient boosting machine", algorithm 5 (the log-odds of two
    classes). LightGBM grows the trees, in tfrec.training.boosting; TensorFlow walks them, so that they are exported as
    every model is.

    The features are those of the logistic regression, ids and other categories as sets and quantiles as numbers. It
    reads no texts, no vectors and no columns of several categories, and of the history how long it is and how much of
    it was liked.

    Raises:
        InputError: LightGBM is not installed.
    """

    has_vectors = False

    def build_architecture(self) -> None:
        if importlib.util.find_spec("lightgbm") is None:
            raise InputError("Expected LightGBM, which grows the trees of gbdt. Received: no such package. Install it "
                             "with pip install 'tfrec[gbdt]'.")  # fmt: skip
        self.trees = DecisionTrees(name="trees")
        self.optimizer = None  # Keras's callbacks look for one.
        self._validated: tuple[np.ndarray, np.ndarray, int] | None = None
        self._item_columns, self._other_columns = (
            [field for field in fields if field.num_categories and not field.num_values]
            for fields in (self.item_features, self.other_features)
        )
        self.num_fields = len(self.columns)

    @property
    def columns(self) -> list[Field]:
        """What the trees divide by, in order."""
        return self._item_columns + self._other_columns

    @property
    def trainable_variables(self) -> list[Any]:
        """What a checkpoint keeps."""
        return [self.trees]

    def item_table(self, indices: tf.Tensor, training: bool = False) -> ItemTable:
        codes = [tf.gather(self._item_arrays[field.name], indices) for field in self._item_columns]
        return ItemTable(_stack(codes, tf.shape(indices)[0]), tf.zeros([tf.shape(indices)[0]]))

    def other_fields(self, features: Any, num_rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        codes = [features[field.name] for field in self._other_columns]
        return _stack(codes, num_rows), tf.zeros([num_rows])

    def logit(self, impression: Impression, training: bool) -> tf.Tensor:
        return self.trees(tf.cast(impression.fields[:, :, 0], tf.int32))

    def predict_logits(self, rows: ImpressionRows) -> np.ndarray:
        """As of every ranker, but by LightGBM itself: TensorFlow's walk takes 50 bytes for each row and tree."""
        logits: np.ndarray = self.with_bias(self.trees.predict(self.codes(rows))).numpy()
        return logits

    def validation_logits(self, prepared: PreparedImpressions) -> np.ndarray:
        """As of every ranker; of trees that were there at the last call what they said then."""
        if self._validated is None:
            codes = self.codes(self.rows(prepared, VALIDATION))
            self._validated = codes, np.zeros(len(codes)), 0
        codes, sums, num_boosters = self._validated
        sums = sums + self.trees.predict(codes, num_boosters)
        self._validated = codes, sums, len(self.trees.boosters)
        logits: np.ndarray = self.with_bias(sums).numpy()
        return logits

    def codes(self, rows: ImpressionRows) -> np.ndarray:
        """What the trees see of impressions, in order: float32 [num_rows, num_columns]."""
        vectors = self.item_table(tf.range(self.num_items + NUM_SPECIAL)).vectors
        parts = []
        for batch in rows.in_order():
            features = self.with_statistics({**batch, **self.user_features(batch["user"])})
            others, _ = self.other_fields(features, tf.shape(batch["item"])[0])
            parts.append(tf.concat([tf.gather(vectors, batch["item"]), others], axis=1)[:, :, 0].numpy())
        return np.concatenate(parts)


def _stack(codes: list[tf.Tensor], num_rows: tf.Tensor) -> tf.Tensor:
    """float32 [num_rows, num_columns, 1]"""
    if not codes:
        return tf.zeros([num_rows, 0, 1])
    return tf.cast(tf.stack(codes, axis=1), tf.float32)[:, :, tf.newaxis]
