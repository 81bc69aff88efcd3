"""How good predicted probabilities are, as order and as probabilities."""

import numpy as np
from scipy.special import entr, expit

NUM_BINS = 20


class Order:
    """The impressions in the order of their logits, sorted once: AUC under many weights.

    Args:
        labels: 0 or 1, [num_impressions].
        logits: What was predicted, [num_impressions].
        groups: Which impressions are compared with each other, int [num_impressions]; None: all with all.
    """

    def __init__(self, labels: np.ndarray, logits: np.ndarray, groups: np.ndarray | None = None) -> None:
        groups = np.zeros(len(labels), np.int64) if groups is None else groups
        self.order = np.lexsort((logits, groups))
        self._labels = labels[self.order].astype(np.float64)
        groups, logits = groups[self.order], logits[self.order]
        is_new_group = np.diff(groups, prepend=groups[0] - 1) != 0
        self._ties = np.flatnonzero(is_new_group | (np.diff(logits, prepend=logits[0]) != 0))
        self._groups = np.flatnonzero(is_new_group[self._ties])  # of ties

    def auc(self, weights: np.ndarray) -> np.ndarray:
        """The AUC of each group, float64 [num_groups]; NaN where all impressions are of one kind.

        The probability that a clicked impression has a higher logit than one that is not, ties counting half (Hanley
        and McNeil 1982, "The meaning and use of the area under a receiver operating characteristic (ROC) curve").

        Args:
            weights: How often each impression counts, not negative, [num_impressions].
        """
        weights = weights[self.order]
        positive = np.add.reduceat(weights * self._labels, self._ties)
        negative = np.add.reduceat(weights, self._ties) - positive
        below = np.cumsum(negative) - negative
        lengths = np.diff(self._groups, append=len(self._ties))
        below -= np.repeat(below[self._groups], lengths)  # Of the own group alone.
        wins = np.add.reduceat(positive * (below + negative / 2), self._groups)
        positives, negatives = (np.add.reduceat(each, self._groups) for each in (positive, negative))
        with np.errstate(invalid="ignore", divide="ignore"):
            return wins / (positives * negatives)


def mean_of_known(aucs: np.ndarray, weights: np.ndarray) -> float:
    """The weighted mean of the groups that have an AUC; NaN if none that counts has."""
    known = ~np.isnan(aucs)
    total = float(weights[known].sum())
    return float(weights[known] @ aucs[known]) / total if total else float("nan")


def log_losses(labels: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """The binary cross-entropy of each impression, in nats: float64 [num_impressions]."""
    signed = np.where(labels > 0, -logits, logits).astype(np.float64)
    losses: np.ndarray = np.logaddexp(0, signed)
    return losses


def normalised_entropy(log_loss: float, rate: float) -> float:
    """The mean log-loss over that of always predicting the rate of clicks; below 1 is better than that. NaN where all
    impressions are of one kind.

    He et al. 2014, "Practical Lessons from Predicting Clicks on Ads at Facebook", equation 1.
    """
    entropy = float(entr(rate) + entr(1 - rate))
    return log_loss / entropy if entropy else float("nan")


def bins_of(logits: np.ndarray) -> np.ndarray:
    """The quantile that each logit falls into, int64 [num_impressions]: NUM_BINS of like size, or fewer with ties."""
    edges = np.unique(np.quantile(logits, np.linspace(0, 1, NUM_BINS + 1)[1:-1], method="higher"))
    return np.searchsorted(edges, logits, side="right")


def expected_calibration_error(gaps: np.ndarray, num_impressions: float) -> float:
    """How far predicted and seen rates lie apart: the mean over bins of `|rate - mean probability|`, by their size.

    Naeini, Cooper and Hauskrecht 2015, "Obtaining Well Calibrated Probabilities Using Bayesian Binning", section 2;
    with bins of as many impressions each, since most predicted rates of clicks are small.

    Args:
        gaps: The sum of `label - probability` in each bin, [num_bins].
        num_impressions: In all bins.
    """
    return float(np.abs(gaps).sum() / num_impressions)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Log-odds as probabilities: float64."""
    probabilities: np.ndarray = expit(logits.astype(np.float64))
    return probabilities
