"""What a fitted baseline scores a history by, as operations of a graph."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf
from scipy import sparse

from tfrec.baselines import (
    BPR,
    IALS,
    ContentSimilarity,
    Popularity,
    PureSVD,
    RecentHistory,
    RecentPopularity,
    SoftImpute,
    SVDPlusPlus,
    SwitchingHybrid,
    TFIDFTexts,
    WeightedHybrid,
)
from tfrec.baselines.hybrids import Normalisation
from tfrec.baselines.item_item import ItemItemModel
from tfrec.errors import InputError
from tfrec.evaluation import Recommender
from tfrec.evaluation.protocol import name_of
from tfrec.features.vocabulary import NUM_SPECIAL
from tfrec.models.retrieval_model import popularity_scores


class Entries(NamedTuple):
    """What is in the rows of a batch.

    Attributes:
        rows: The row of each entry, ascending: int64 [num_entries].
        codes: Its item code, int64 [num_entries].
    """

    rows: tf.Tensor
    codes: tf.Tensor


class History(NamedTuple):
    """What a request tells of its users, without padding and unknown items.

    Attributes:
        all: Every entry, repeats too.
        distinct: Of repeats the first.
        lengths: Entries of each row, repeats too: int64 [batch_size].
        users: Rows of the table of users, of which the first two are nobody: int32 [batch_size].
        num_items: In the catalogue.
    """

    all: Entries
    distinct: Entries
    lengths: tf.Tensor
    users: tf.Tensor
    num_items: int

    @classmethod
    def read(cls, indices: tf.Tensor, users: tf.Tensor, num_items: int) -> "History":
        """From item indices, int32 [batch_size, any], as a Vocabulary gives them."""
        is_known = indices >= NUM_SPECIAL
        places = tf.where(is_known)
        entries = Entries(places[:, 0], tf.cast(tf.gather_nd(indices, places), tf.int64) - NUM_SPECIAL)
        lengths = tf.reduce_sum(tf.cast(is_known, tf.int64), axis=1)
        return cls(entries, _distinct(entries, num_items), lengths, users, num_items)

    def last(self, number: int) -> "History":
        """The same without what is before the last entries of each row."""
        ends = tf.gather(tf.cumsum(self.lengths), self.all.rows)
        is_read = ends - tf.range(tf.size(self.all.rows, tf.int64)) <= number
        entries = Entries(*(tf.boolean_mask(each, is_read) for each in self.all))
        lengths = tf.minimum(self.lengths, number)
        return History(entries, _distinct(entries, self.num_items), lengths, self.users, self.num_items)

    @property
    def num_rows(self) -> tf.Tensor:
        return tf.shape(self.users)[0]


def _distinct(entries: Entries, num_items: int) -> Entries:
    keys, _ = tf.unique(entries.rows * num_items + entries.codes)
    return Entries(keys // num_items, keys % num_items)


class Scorer(tf.Module):
    """Scores the catalogue: as the baseline's `score` does, but of strings that a server was sent.

    Attributes:
        user_vectors: A row for each user whom training knew, if they are told apart; else None.
        has_similar: Whether items are like items by it.
    """

    user_vectors: tf.Variable | None = None
    has_similar = True

    def __call__(self, history: History) -> tf.Tensor:
        """float32 [batch_size, num_items]"""
        raise NotImplementedError

    def similar(self, history: History) -> tf.Tensor:
        """How like the one item of each row the others are, float32 [batch_size, num_items]: what they score after
        it."""
        return self(history)


class PopularityScorer(Scorer):
    """The same for everyone: a share of the most popular item's."""

    has_similar = False

    def __init__(self, popularity: np.ndarray) -> None:
        super().__init__(name="popularity_scorer")
        self.popularity = _variable(popularity_scores(popularity), "popularity")

    def __call__(self, history: History) -> tf.Tensor:
        return tf.tile(self.popularity.value()[tf.newaxis], [history.num_rows, 1])


class DenseScorer(Scorer):
    """`x B` of a dense B: float32 [num_items, num_items]. The rows of the history are added up."""

    def __init__(self, weights: np.ndarray) -> None:
        super().__init__(name="dense_scorer")
        self.weights = _variable(weights, "weights")

    def __call__(self, history: History) -> tf.Tensor:
        return _sum_of_rows(self.weights, history.distinct, history.num_rows)


class SparseRows(tf.Module):
    """A sparse matrix whose rows can be added up: float32 CSR [num_rows, num_columns]."""

    def __init__(self, matrix: sparse.csr_array) -> None:
        super().__init__(name="sparse_rows")
        self.num_columns = int(matrix.shape[1])
        self.offsets = _variable(matrix.indptr.astype(np.int64), "offsets")
        self.columns = _variable(matrix.indices.astype(np.int32), "columns")
        self.values = _variable(matrix.data.astype(np.float32), "values")

    def sums(self, entries: Entries, num_rows: tf.Tensor) -> tf.Tensor:
        """The sum of the rows that each row of a batch names: float32 [batch_size, num_columns]."""
        starts = tf.gather(self.offsets.value(), entries.codes)
        lengths = tf.gather(self.offsets.value(), entries.codes + 1) - starts
        ends = tf.cumsum(lengths)
        weights = tf.range(tf.reduce_sum(lengths))
        entry = tf.searchsorted(ends, weights, side="right")  # to which each weight belongs
        places = weights + tf.gather(starts - ends + lengths, entry)
        columns = tf.cast(tf.gather(self.columns.value(), places), tf.int64)
        cells = tf.gather(entries.rows, entry) * self.num_columns + columns
        num_cells = tf.cast(num_rows, tf.int64) * self.num_columns
        sums = tf.math.unsorted_segment_sum(tf.gather(self.values.value(), places), cells, num_cells)
        return tf.reshape(sums, [num_rows, self.num_columns])


class SparseScorer(Scorer):
    """`x B` of a sparse B: float32 CSR [num_items, num_items]."""

    def __init__(self, weights: sparse.csr_array) -> None:
        super().__init__(name="sparse_scorer")
        self.weights = SparseRows(weights)

    def __call__(self, history: History) -> tf.Tensor:
        return self.weights.sums(history.distinct, history.num_rows)


class FactorScorer(Scorer):
    """`w H^T + b`, of a w that the history has. Similar items are those at the smallest angle.

    Args:
        item_factors: H, float32 [num_items, factors].
        item_biases: b, float32 [num_items]; None: 0.
    """

    def __init__(self, item_factors: np.ndarray, item_biases: np.ndarray | None = None) -> None:
        super().__init__()
        self.item_factors = _variable(item_factors, "item_factors")
        self.item_norms = _variable(np.linalg.norm(item_factors, axis=1), "item_norms")
        self.item_biases = None if item_biases is None else _variable(item_biases, "item_biases")

    def query(self, history: History) -> tf.Tensor:
        """w: float32 [batch_size, factors]."""
        raise NotImplementedError

    def __call__(self, history: History) -> tf.Tensor:
        scores = tf.matmul(self.query(history), self.item_factors.value(), transpose_b=True)
        return scores if self.item_biases is None else scores + self.item_biases

    def similar(self, history: History) -> tf.Tensor:
        vectors = _sum_of_rows(self.item_factors, history.distinct, history.num_rows)
        products = tf.matmul(vectors, self.item_factors.value(), transpose_b=True)
        return tf.math.divide_no_nan(products, tf.norm(vectors, axis=1, keepdims=True) * self.item_norms)


class ProjectionScorer(FactorScorer):
    """PureSVD's `x Q Q^T`."""

    def query(self, history: History) -> tf.Tensor:
        return _sum_of_rows(self.item_factors, history.distinct, history.num_rows)


class ImplicitScorer(FactorScorer):
    """SVD++: the user's vector, if training had one, and what was done."""

    def __init__(self, model: SVDPlusPlus) -> None:
        super().__init__(model.item_factors, model.item_biases)
        self.history_factors = _variable(model.history_factors, "history_factors")
        self.user_vectors = _variable(_with_nobody(model.user_factors), "user_vectors")

    def query(self, history: History) -> tf.Tensor:
        sums = _sum_of_rows(self.history_factors, history.distinct, history.num_rows)
        scales = tf.math.rsqrt(tf.maximum(_counts(history), 1))
        assert self.user_vectors is not None
        return scales[:, tf.newaxis] * sums + tf.gather(self.user_vectors.value(), history.users)


class LeastSquaresScorer(FactorScorer):
    """The w of least squared error, from the normal equations `(c sum of h hᵀ + E + λ I) w = sum of h`.

    Args:
        item_factors: H, float32 [num_items, factors].
        everywhere: E, what all items add: float32 [factors, factors].
        regularization: λ of a history of n items is `regularization (n + offset)^exponent`.
        offset, exponent: See there.
        item_biases: float32 [num_items], or None.
        user_factors: Of those whom training knew and who are not solved for, float32 [num_users, factors]; or None.
        is_known: Who these are, bool [num_users]; or None.
        weight: c.
    """

    def __init__(
        self,
        item_factors: np.ndarray,
        everywhere: np.ndarray,
        regularization: float,
        offset: float = 0.0,
        exponent: float = 0.0,
        item_biases: np.ndarray | None = None,
        user_factors: np.ndarray | None = None,
        is_known: np.ndarray | None = None,
        weight: float = 1.0,
    ) -> None:
        super().__init__(item_factors, item_biases)
        self.weight = weight
        self.everywhere = _variable(everywhere, "everywhere")
        self.regularization = regularization
        self.offset = offset
        self.exponent = exponent
        self.is_known: tf.Variable | None = None
        if user_factors is not None and is_known is not None:
            self.user_vectors = _variable(_with_nobody(user_factors), "user_vectors")
            self.is_known = _variable(_with_nobody(is_known), "is_known")

    def query(self, history: History) -> tf.Tensor:
        rows, codes = history.distinct
        done = tf.RaggedTensor.from_value_rowids(codes, rows, tf.cast(history.num_rows, tf.int64), validate=False)
        vectors = tf.gather(self.item_factors.value(), done.to_tensor())  # [batch_size, longest, factors]
        vectors *= tf.sequence_mask(done.row_lengths(), tf.shape(vectors)[1], tf.float32)[..., tf.newaxis]
        counts = _counts(history)
        penalties = self.regularization * (counts + self.offset) ** self.exponent
        # Without a history there is nothing to solve, and without a penalty no solution, which would fail the batch.
        penalties = tf.where(counts > 0, penalties, 1.0)
        left = self.weight * tf.matmul(vectors, vectors, transpose_a=True) + self.everywhere
        left += penalties[:, tf.newaxis, tf.newaxis] * tf.eye(int(self.everywhere.shape[0]))
        right = tf.reduce_sum(vectors, axis=1)
        solved = tf.linalg.solve(left, right[..., tf.newaxis])[..., 0]
        if self.user_vectors is None or self.is_known is None:
            return solved
        is_known = tf.gather(self.is_known.value(), history.users)[:, tf.newaxis]
        return tf.where(is_known, tf.gather(self.user_vectors.value(), history.users), solved)


class MeanVectorScorer(FactorScorer):
    """The cosine with the mean of the history's vectors, repeats counted: float32 [num_items, size] of length 1."""

    def query(self, history: History) -> tf.Tensor:
        sums = _sum_of_rows(self.item_factors, history.all, history.num_rows)
        return tf.math.divide_no_nan(sums, tf.norm(sums, axis=1, keepdims=True))


class SparseVectorScorer(Scorer):
    """The mean of the cosines with the history's vectors: float32 CSR [num_items, num_terms], of length 1."""

    def __init__(self, vectors: sparse.csr_array) -> None:
        super().__init__(name="sparse_vector_scorer")
        self.vectors = SparseRows(vectors)
        entries = vectors.tocoo()
        self.places = _variable(np.stack(entries.coords, axis=1).astype(np.int64), "places")
        self.shape = tuple(map(int, vectors.shape))

    def __call__(self, history: History) -> tf.Tensor:
        sums = self.vectors.sums(history.distinct, history.num_rows)
        means = sums / tf.maximum(_counts(history), 1)[:, tf.newaxis]
        vectors = tf.SparseTensor(self.places.value(), self.vectors.values.value(), self.shape)
        return tf.transpose(tf.sparse.sparse_dense_matmul(vectors, means, adjoint_b=True))


class RecentScorer(Scorer):
    """What another one says of the last items of a history."""

    def __init__(self, scorer: Scorer, length: int) -> None:
        super().__init__(name="recent_scorer")
        self.scorer = scorer
        self.length = length
        self.user_vectors = scorer.user_vectors
        self.has_similar = scorer.has_similar

    def __call__(self, history: History) -> tf.Tensor:
        return self.scorer(history.last(self.length))

    def similar(self, history: History) -> tf.Tensor:
        return self.scorer.similar(history)


class WeightedScorer(Scorer):
    """The weighted sum of scores on one scale."""

    def __init__(self, parts: list[Scorer], weights: list[float], normalisation: Normalisation) -> None:
        super().__init__(name="weighted_scorer")
        self.parts = parts
        self.weights = weights
        self.normalisation = normalisation
        self.user_vectors = _user_vectors(parts)

    def __call__(self, history: History) -> tf.Tensor:
        scaled = [_normalised(part(history), self.normalisation) for part in self.parts]
        return tf.add_n([weight * scores for weight, scores in zip(self.weights, scaled, strict=True)])


class SwitchingScorer(Scorer):
    """One scorer for short histories, another for the others."""

    def __init__(self, short: Scorer, long: Scorer, minimum_length: int) -> None:
        super().__init__(name="switching_scorer")
        self.short = short
        self.long = long
        self.minimum_length = minimum_length
        self.user_vectors = _user_vectors([short, long])

    def __call__(self, history: History) -> tf.Tensor:
        is_long = (history.lengths >= self.minimum_length)[:, tf.newaxis]
        return tf.where(is_long, self.long(history), self.short(history))


def build_scorer(recommender: Recommender) -> Scorer:
    """A fitted baseline, or hybrid of such, as operations of a graph.

    Raises:
        InputError: It has no form that can be served.
    """
    match recommender:
        case Popularity():
            return PopularityScorer(recommender.counts)
        case RecentPopularity():
            return PopularityScorer(recommender.popularity)
        case ItemItemModel():
            weights = recommender.weights
            return DenseScorer(weights) if isinstance(weights, np.ndarray) else SparseScorer(weights)
        case PureSVD():
            return ProjectionScorer(recommender.item_factors)
        case SVDPlusPlus():
            return ImplicitScorer(recommender)
        case IALS():
            factors, weight = recommender.item_factors, recommender.unobserved_weight
            everywhere = weight * (factors.T @ factors)
            scale = recommender.regularization, weight * len(factors), recommender.frequency_exponent
            return LeastSquaresScorer(factors, everywhere, *scale)
        case SoftImpute():
            factors, weight = recommender.item_factors, recommender.unobserved_weight
            everywhere = weight * (factors.T @ factors)
            return LeastSquaresScorer(factors, everywhere, recommender.penalty, weight=1 - weight)
        case BPR():
            factors = recommender.item_factors
            users = recommender.item_biases, recommender.user_factors, recommender.is_known
            return LeastSquaresScorer(factors, factors.T @ factors, 1.0, 0.0, 0.0, *users)
        case ContentSimilarity(pooling="mean"):
            return MeanVectorScorer(recommender.vectors)
        case TFIDFTexts():
            return SparseVectorScorer(recommender.vectors)
        case RecentHistory():
            return RecentScorer(build_scorer(recommender.recommender), recommender.length)
        case WeightedHybrid():
            parts = [build_scorer(part) for part in recommender.recommenders]
            return WeightedScorer(parts, recommender.weights, recommender.normalisation)
        case SwitchingHybrid():
            short, long = build_scorer(recommender.short), build_scorer(recommender.long)
            return SwitchingScorer(short, long, recommender.minimum_length)
    raise InputError(
        f"Expected a baseline that can be served. Received: {name_of(recommender)}, which has no form for a graph. "
        "docs/baselines.md says what to take instead."
    )


def _variable(values: np.ndarray, name: str) -> tf.Variable:
    """Not a constant: a graph must stay below 2 GB. Gathered from by its value: see ExactIndex."""
    return tf.Variable(values, trainable=False, name=name)


def _sum_of_rows(table: tf.Variable, entries: Entries, num_rows: tf.Tensor) -> tf.Tensor:
    """The sum of the rows that each row of a batch names, never holding them all: float32 [batch_size, width]."""
    return tf.sparse.segment_sum(table.value(), entries.codes, entries.rows, num_segments=num_rows)


def _counts(history: History) -> tf.Tensor:
    """Distinct items of each row, float32 [batch_size]."""
    ones = tf.ones_like(history.distinct.rows, tf.float32)
    return tf.math.unsorted_segment_sum(ones, history.distinct.rows, history.num_rows)


def _with_nobody(rows: np.ndarray) -> np.ndarray:
    """Behind rows for padding and the unknown user."""
    return np.concatenate([np.zeros((NUM_SPECIAL, *rows.shape[1:]), rows.dtype), rows])


def _user_vectors(parts: list[Scorer]) -> tf.Variable | None:
    return next((part.user_vectors for part in parts if part.user_vectors is not None), None)


def _normalised(scores: tf.Tensor, kind: Normalisation) -> tf.Tensor:
    """As `tfrec.baselines.hybrids.normalised` has it."""
    if kind == "rank":
        ordered = tf.sort(scores, axis=1)
        below, not_above = (tf.searchsorted(ordered, scores, side=side) for side in ("left", "right"))
        return tf.cast(below + not_above - 1, tf.float32) / (2 * max(int(scores.shape[1]) - 1, 1))
    scores = tf.cast(scores, tf.float64)
    centred = scores - tf.reduce_mean(scores, axis=1, keepdims=True)
    deviations = tf.sqrt(tf.reduce_mean(centred**2, axis=1, keepdims=True))
    is_flat = deviations <= 1e-9 * tf.reduce_max(tf.abs(scores), axis=1, keepdims=True)
    return tf.cast(tf.where(is_flat, tf.zeros_like(centred), centred / deviations), tf.float32)
