"""From a model's log-odds to probabilities that can be trusted."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

MOST = 12.0
"""Log-odds beyond these are taken for these: no sample of clicks tells them apart."""


@dataclass(frozen=True)
class Calibration:
    """A map from log-odds to log-odds that rises, linear between knots and level beyond them.

    Attributes:
        knots: Log-odds of the model, rising.
        values: What they become, of the same length.
    """

    knots: tuple[float, ...] = (-MOST, MOST)
    values: tuple[float, ...] = (-MOST, MOST)

    def __call__(self, logits: np.ndarray) -> np.ndarray:
        """Calibrated log-odds: float64, of the same shape."""
        return np.interp(logits, self.knots, self.values)


def fit_calibration(
    method: Literal["none", "platt", "isotonic"], logits: np.ndarray, labels: np.ndarray
) -> Calibration:
    r"""Learns from impressions that the model was not trained on.

    platt: $a z + b$, with the greatest likelihood (Platt 1999, "Probabilistic Outputs for Support Vector Machines",
    without his prior); $a$ is not negative. isotonic: the rising function with the least squared error (Zadrozny and
    Elkan 2002, "Transforming Classifier Scores into Accurate Multiclass Probability Estimates", section 4), its steps
    joined in their middles (Oron and Flournoy 2017, "Centered Isotonic Regression").

    Args:
        method: How.
        logits: The model's log-odds, [num_impressions].
        labels: 0 or 1, [num_impressions].

    Example:
        >>> calibration = fit_calibration("platt", logits, labels)
        >>> probabilities = sigmoid(calibration(logits))
    """
    if method == "none" or labels.min() == labels.max():
        return Calibration()
    if method == "platt":
        line = LogisticRegression(C=np.inf).fit(logits[:, np.newaxis], labels)
        slope, intercept = float(line.coef_[0, 0]), float(line.intercept_[0])
        if slope <= 0:  # It tells nothing: the rate is all that is known.
            slope, intercept = 1e-6, float(np.log(labels.mean() / (1 - labels.mean())))
        # The knots where the line reaches the ends, so that it is a line all the way.
        return Calibration(tuple((end - intercept) / slope for end in (-MOST, MOST)), (-MOST, MOST))
    # In float32 a step would come apart where its rate is rounded.
    logits, labels = logits.astype(np.float64), labels.astype(np.float64)
    steps = IsotonicRegression(y_min=0, y_max=1).fit_transform(logits, labels)
    # One knot a step, in its middle, so that what the model tells apart stays apart.
    rates, members = np.unique(steps, return_inverse=True)
    sizes = np.bincount(members)
    knots = np.bincount(members, logits) / sizes
    # A rate of 0 or 1 is what few impressions had, and no certainty: half an impression more of either kind, but no
    # more than its neighbour's.
    least, rest = 0.5 / (sizes + 1), rates[(rates > 0) & (rates < 1)]
    rates = np.where(rates == 0, np.minimum(least, rest.min(initial=1)), rates)
    rates = np.where(rates == 1, np.maximum(1 - least, rest.max(initial=0)), rates)
    values = np.clip(np.log(rates / (1 - rates)), -MOST, MOST)
    if len(knots) == 1:
        knots, values = knots + np.array([0, 1]), np.repeat(values, 2)
    return Calibration(tuple(knots.tolist()), tuple(values.tolist()))
