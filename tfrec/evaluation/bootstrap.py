"""How far a mean over cases might have come out otherwise."""

import numpy as np


def bootstrap_interval(
    values: np.ndarray, *, confidence: float, samples: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Percentile bootstrap interval of the mean of each column, resampling rows.

    Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, section 13.3. All columns see the same resamples.
    Memory is bounded by about ten million draws, or one resample where that is more.

    Args:
        values: float [num_cases, num_columns], at least one case.
        confidence: Level of the interval, between 0 and 1.
        samples: Number of resamples.
        seed: Draws the resamples.

    Returns:
        Lower and upper ends, each float64 [num_columns].

    Example:
        >>> low, high = bootstrap_interval(ndcg(ranks, 10)[:, None], confidence=0.95, samples=1000, seed=0)
    """
    generator = np.random.default_rng(seed)
    num_cases = len(values)
    chunk = max(1, 2**22 // num_cases)
    means = np.empty((samples, values.shape[1]))
    for start in range(0, samples, chunk):
        size = min(chunk, samples - start)
        draws = generator.integers(num_cases, size=(size, num_cases))
        # How often each resample drew each case: [size, num_cases]. A product with it is quicker than gathering values.
        places = draws + num_cases * np.arange(size)[:, None]
        times = np.bincount(places.ravel(), minlength=size * num_cases).reshape(size, num_cases)
        means[start : start + size] = times.astype(np.float64) @ values / num_cases
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail], axis=0)
    return low, high
