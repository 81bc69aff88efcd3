"""Whether what was predicted came true as often: the figures of a reliability diagram."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tfrec.config import EvaluationConfig
from tfrec.evaluation.click_metrics import bins_of
from tfrec.evaluation.report import Estimate
from tfrec.evaluation.user_bootstrap import UserBootstrap

NUM_BARS = 40


@dataclass(frozen=True)
class Reliability:
    """What a model predicted, and what came of it.

    Attributes:
        name: What the table calls the model.
        predicted: Mean prediction of each bin, rising.
        happened: Mean of what happened in each, with the interval of the bootstrap over users.
        sizes: Impressions in each.
        edges: Of the histogram's bars, one more than there are.
        bars: Impressions in each bar; the last has those beyond its edge too.
    """

    name: str
    predicted: tuple[float, ...]
    happened: tuple[Estimate, ...]
    sizes: tuple[int, ...]
    edges: tuple[float, ...]
    bars: tuple[int, ...]

    @property
    def mean_predicted(self) -> float:
        """Of all impressions."""
        return float(np.average(self.predicted, weights=self.sizes))

    @property
    def mean_happened(self) -> float:
        """Of all impressions."""
        return float(np.average([each.mean for each in self.happened], weights=self.sizes))


def reliability(
    name: str,
    happened: np.ndarray,
    predictions: np.ndarray,
    users: np.ndarray,
    config: EvaluationConfig,
    edges: np.ndarray | None = None,
    seed: int = 0,
) -> Reliability:
    """Sets predictions beside what happened, in twenty quantiles of the predictions.

    The diagram is that of DeGroot and Fienberg 1983, "The comparison and evaluation of forecasters".

    Args:
        name: What the table calls the model.
        happened: 0 or 1, or what an impression was worth, [num_impressions].
        predictions: Probabilities, or expected values, [num_impressions].
        users: User codes, int [num_impressions].
        config: The intervals, which draw users.
        edges: Of the histogram's bars; None: forty from 0 to what one prediction in a thousand exceeds.
        seed: Draws the resamples.
    """
    happened, predictions = happened.astype(np.float64), predictions.astype(np.float64)
    bins = np.unique(bins_of(predictions), return_inverse=True)[1]
    bootstrap = UserBootstrap.of(users)
    sizes, sums = (bootstrap.binned_sums(bins, each) for each in (np.ones(len(bins)), happened))
    # [bootstrap_samples, 2, num_bins]: how many are in a bin, and what happened to them.
    drawn = np.stack([times @ np.stack([sizes, sums]) for times in _draws(bootstrap, config, seed)])
    means = np.divide(drawn[:, 1], drawn[:, 0], out=np.full(drawn[:, 0].shape, np.nan), where=drawn[:, 0] > 0)
    tail = (1 - config.confidence) / 2
    low, high = np.nanquantile(means, [tail, 1 - tail], axis=0)
    in_bin = sizes.sum(axis=0)
    predicted = np.bincount(bins, predictions) / in_bin
    rates = sums.sum(axis=0) / in_bin
    if edges is None:
        edges = histogram_edges(predictions)
    bars = np.histogram(np.minimum(predictions, edges[-1]), edges)[0]
    return Reliability(
        name,
        tuple(predicted.tolist()),
        tuple(Estimate(*each) for each in zip(rates.tolist(), low.tolist(), high.tolist(), strict=True)),
        tuple(in_bin.astype(int).tolist()),
        tuple(edges.tolist()),
        tuple(bars.tolist()),
    )


def _draws(bootstrap: UserBootstrap, config: EvaluationConfig, seed: int) -> Iterator[np.ndarray]:
    generator = np.random.default_rng(seed)
    return (bootstrap.draw(generator) for _ in range(config.bootstrap_samples))


def histogram_edges(*predictions: np.ndarray) -> np.ndarray:
    """Forty bars, float64 [41], that hold all but one in a thousand of each array of predictions."""
    top = max(float(np.quantile(each, 0.999)) for each in predictions)
    return np.linspace(0, top if top > 0 else 1, NUM_BARS + 1)
