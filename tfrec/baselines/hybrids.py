"""Several recommenders as one."""

from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
from scipy import optimize, special, stats

from tfrec.datasets.dataset import EvaluationSet
from tfrec.datasets.ragged import Ragged
from tfrec.errors import InputError

Normalisation = Literal["rank", "z"]


class Scorer(Protocol):
    """As `tfrec.evaluation.Recommender`."""

    def score(self, users: np.ndarray, histories: Ragged) -> np.ndarray: ...


def normalised(scores: np.ndarray, kind: Normalisation) -> np.ndarray:
    """Scores of different recommenders on one scale, case by case: float32 [batch_size, num_items].

    - `rank`: from 0, the lowest, to 1, the highest; equal ones share their mean.
    - `z`: less their mean, divided by their standard deviation; zeros where all are alike. What is infinite counts as
      the nearest that is not.
    """
    if kind == "rank":
        ranks = stats.rankdata(scores, axis=1) - 1
        return (ranks / max(scores.shape[1] - 1, 1)).astype(np.float32)
    scores = scores.astype(np.float64)
    is_finite = np.isfinite(scores)
    if not is_finite.all() and not np.isnan(scores).any():
        lowest, highest = (
            pick(np.where(is_finite, scores, start), axis=1, keepdims=True, initial=start)
            for pick, start in ((np.min, np.inf), (np.max, -np.inf))
        )
        # Without a finite one all are between -1 and 1.
        lowest, highest = np.where(lowest > highest, -1, lowest), np.where(lowest > highest, 1, highest)
        scores = np.clip(scores, lowest, highest)
    deviations = scores.std(axis=1, keepdims=True)
    centred = scores - scores.mean(axis=1, keepdims=True)
    # What is left of equal scores is rounding.
    is_flat = deviations <= 1e-9 * np.abs(scores).max(axis=1, keepdims=True, initial=0)
    return np.divide(centred, deviations, out=np.zeros_like(centred), where=~is_flat).astype(np.float32)


class WeightedHybrid:
    """The weighted sum of normalised scores: Burke, "Hybrid Recommender Systems", UMUAI 12(4), 2002, section 3.1.

    Args:
        recommenders: Fitted, over one catalogue.
        weights: One each.
        normalisation: What makes their scores comparable, see `normalised`.

    Raises:
        InputError: There are not as many weights as recommenders.

    Example:
        >>> WeightedHybrid([EASE(train, 1682), TFIDFTexts(texts)], [0.8, 0.2]).score(users, histories).shape
        (128, 1682)
    """

    name = "weighted_hybrid"

    def __init__(
        self, recommenders: Sequence[Scorer], weights: Sequence[float], normalisation: Normalisation = "z"
    ) -> None:
        if len(weights) != len(recommenders):
            raise InputError(f"Expected {len(recommenders)} weights, one a recommender. Received: {list(weights)}.")
        self.recommenders = list(recommenders)
        self.weights = list(weights)
        self.normalisation = normalisation

    def score(self, users: np.ndarray, histories: Ragged) -> np.ndarray:
        """Weighted sums: float32 [batch_size, num_items]."""
        parts = [normalised(each.score(users, histories), self.normalisation) for each in self.recommenders]
        scores: np.ndarray = np.einsum("m,mbi->bi", np.array(self.weights, np.float32), np.stack(parts))
        return scores


class SwitchingHybrid:
    """One recommender for short histories, another for long ones: Burke 2002, section 3.2.

    Args:
        short: Scores histories of fewer than `minimum_length` items, the empty ones among them.
        long: Scores the others.
        minimum_length: Of the history, for `long` to score it.

    Example:
        >>> SwitchingHybrid(Popularity(train, 1682), EASE(train, 1682), minimum_length=5).score(users, histories).shape
        (128, 1682)
    """

    name = "switching_hybrid"

    def __init__(self, short: Scorer, long: Scorer, minimum_length: int) -> None:
        self.short = short
        self.long = long
        self.minimum_length = minimum_length

    def score(self, users: np.ndarray, histories: Ragged) -> np.ndarray:
        """What either says: float32 [batch_size, num_items]."""
        is_long = histories.lengths >= self.minimum_length
        if is_long.all():
            return self.long.score(users, histories)
        scores = np.array(self.short.score(users, histories))
        if is_long.any():
            scores[is_long] = self.long.score(users[is_long], histories.take(is_long))
        return scores


class LearnedBlend(WeightedHybrid):
    """A weighted hybrid whose weights are learned from cases with known answers.

    The least of `-mean over the targets of ln(exp(w · z_target) / sum over candidates of exp(w · z)) + l2 |w|²`: a
    softmax regression (conditional logit, McFadden 1973) over the normalised scores z, one weight a recommender. The
    candidates are the target and items drawn evenly from those that may be recommended and are no targets. It is
    convex, in a few weights, so that some hundred cases do; they must be none that a recommender was fitted to. Where
    the same cases chose the recommenders' hyperparameters, or their best epoch, who was chosen most looks a little too
    good to it; and what it scores on these cases is no estimate of how good it is.

    Args:
        recommenders: Fitted, over one catalogue.
        cases: What to learn from, a split's validation part.
        candidates: The item codes that may be recommended, a split's; None: the whole catalogue.
        normalisation: See `normalised`.
        num_negatives: Items drawn for each target.
        l2: Keeps the weights of recommenders that say the same from growing apart.
        max_cases: So many are drawn where there are more.
        seed: Draws cases and items.

    Attributes:
        weights: What was learned, one each.

    Example:
        >>> blend = LearnedBlend([EASE(train, 1682), jd_tower, TFIDFTexts(texts)], split.validation)
        >>> blend.weights
    """

    name = "learned_blend"

    def __init__(
        self,
        recommenders: Sequence[Scorer],
        cases: EvaluationSet,
        candidates: np.ndarray | None = None,
        normalisation: Normalisation = "z",
        num_negatives: int = 200,
        l2: float = 1e-4,
        max_cases: int = 2000,
        seed: int = 0,
    ) -> None:
        if not len(cases):
            raise InputError("Expected cases to learn a blend from. Received: none. Use a split that leaves some.")
        generator = np.random.default_rng(seed)
        chosen = np.sort(generator.permutation(len(cases))[:max_cases])
        parts = []
        for start in range(0, len(chosen), 128):
            batch = chosen[start : start + 128]
            users, histories, targets = cases.users[batch], cases.histories.take(batch), cases.targets.take(batch)
            scores = np.stack([normalised(each.score(users, histories), normalisation) for each in recommenders], -1)
            taken = np.zeros((len(batch), scores.shape[1]), bool)
            if candidates is not None:
                taken[:, np.setdiff1d(np.arange(scores.shape[1]), candidates)] = True
            taken[histories.rows, histories.values] = taken[targets.rows, targets.values] = True
            for row, target in zip(targets.rows.tolist(), targets.values.tolist(), strict=True):
                # Where everything is taken the target stands against itself, which teaches nothing.
                others = np.flatnonzero(~taken[row]) if not taken[row].all() else np.array([target])
                drawn = others[generator.integers(len(others), size=num_negatives)]
                parts.append(scores[row][[target, *drawn]] - scores[row, target])
        super().__init__(recommenders, softmax_weights(np.stack(parts), l2).tolist(), normalisation)


def softmax_weights(differences: np.ndarray, l2: float) -> np.ndarray:
    """The w with the least `mean of ln(sum over candidates of exp(w · difference)) + l2 |w|²`.

    Args:
        differences: Features of each candidate less those of the target: float [num_targets, num_candidates, size].
        l2: 0 or more.

    Returns:
        float64 [size]
    """
    differences = differences.astype(np.float64)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        logits = differences @ weights
        probabilities = special.softmax(logits, axis=1)
        gradient = np.einsum("tc,tcs->s", probabilities, differences) / len(differences)
        value = special.logsumexp(logits, axis=1).mean() + l2 * weights @ weights
        return float(value), gradient + 2 * l2 * weights

    start = np.full(differences.shape[2], 1 / differences.shape[2])
    found: np.ndarray = optimize.minimize(loss, start, jac=True, method="L-BFGS-B").x
    return found
