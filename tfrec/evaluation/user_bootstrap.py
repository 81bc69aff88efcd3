"""Intervals of metrics that are no means over cases: whole users are drawn."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from tfrec.config import EvaluationConfig
from tfrec.evaluation.report import Estimate, Report


@dataclass(frozen=True)
class UserBootstrap:
    """A bootstrap that draws users and not impressions, since those of one user are alike (Field and Welsh 2007,
    "Bootstrapping clustered data", section 3); of a single user, impressions.

    Attributes:
        groups: The user of each impression, from 0, or the impression itself: int64 [num_impressions].
        num_groups: How many there are.
        is_one: Whether there is a single user.
    """

    groups: np.ndarray
    num_groups: int
    is_one: bool

    @classmethod
    def of(cls, users: np.ndarray) -> Self:
        """That of impressions of these users, int [num_impressions]."""
        distinct, groups = np.unique(users, return_inverse=True)
        if len(distinct) == 1:
            return cls(np.arange(len(users)), len(users), True)
        return cls(groups, len(distinct), False)

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Of each group, float64 [num_groups]."""
        return np.bincount(self.groups, values, self.num_groups)

    def binned_sums(self, bins: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Of each group's impressions in each bin, int [num_impressions]: float64 [num_groups, num_bins]."""
        num_bins = int(bins.max()) + 1
        places = self.groups * num_bins + bins
        return np.bincount(places, values, self.num_groups * num_bins).reshape(self.num_groups, num_bins)

    def report(
        self,
        name: str,
        measure: Callable[[np.ndarray], Mapping[str, float]],
        config: EvaluationConfig,
        seed: int,
        without_interval: Sequence[str] = (),
    ) -> Report:
        """What `measure` makes of all impressions, and of as many resamples as config.bootstrap_samples, 0: none.

        Args:
            name: What the table calls the model.
            measure: From how often each group is drawn, float64 [num_groups], to the metrics.
            config: The intervals.
            seed: Draws the resamples. The same seed pairs those of two reports.
            without_interval: Metrics that are larger in every resample.
        """
        means = measure(np.ones(self.num_groups))
        generator = np.random.default_rng(seed)
        draws = [measure(self.draw(generator)) for _ in range(config.bootstrap_samples)]
        resamples = {
            metric: np.array([draw[metric] for draw in draws]) for metric in means if metric not in without_interval
        }
        tail = (1 - config.confidence) / 2
        estimates = {metric: Estimate(mean) for metric, mean in means.items()}
        for metric, values in resamples.items():
            drawn = values[~np.isnan(values)]  # A draw may hold no click.
            if len(drawn):
                estimates[metric] = Estimate(means[metric], *np.quantile(drawn, [tail, 1 - tail]).tolist())
        return Report(
            name,
            len(self.groups),
            config.confidence,
            estimates,
            resamples=resamples,
            unit="impressions",
            drawn="impressions" if self.is_one else "users",
        )

    def draw(self, generator: np.random.Generator) -> np.ndarray:
        """How often each group is in a resample, float64 [num_groups]."""
        drawn = generator.integers(self.num_groups, size=self.num_groups)
        return np.bincount(drawn, minlength=self.num_groups).astype(np.float64)
