"""How likely a difference is where there is none, and what that means of several differences at once."""

import numpy as np


def sign_flip_p_value(differences: np.ndarray, *, samples: int, seed: int) -> float:
    """Two-sided p-value of the paired randomisation test of a mean difference of 0.

    Under the hypothesis that the two models are alike, which of them a case's values belong to is chance: the signs of
    the differences are drawn anew. `p = (1 + draws with a mean at least as far from 0) / (1 + samples)`, which is never
    0 (Phipson and Smyth, "Permutation p-values should never be zero", 2010). Smucker, Allan and Carterette, "A
    comparison of statistical significance tests for information retrieval evaluation", CIKM 2007.

    Args:
        differences: Model less baseline of each case, [num_cases].
        samples: Number of draws.
        seed: Draws the signs.
    """
    drawn = np.abs(differences[differences != 0])  # Cases without a difference add nothing, whatever their sign.
    generator = np.random.default_rng(seed)
    chunk = max(1, 2**22 // max(len(drawn), 1))
    sums = np.concatenate(
        [
            # Twice the sum of those drawn as positive, less the sum of all.
            2 * (generator.random((min(chunk, samples - start), len(drawn)), np.float32) < 0.5) @ drawn - drawn.sum()
            for start in range(0, samples, chunk)
        ]
    )
    seen = abs(differences.sum())
    # What is as far but for rounding is as far.
    return float((1 + np.count_nonzero(np.abs(sums) >= seen * (1 - 1e-9))) / (1 + samples))


def holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's adjusted p-values, float64 [num_tests]: below a level with the chance of that level, if none differs.

    Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6(2), 1979: the
    smallest of m is multiplied by m, the next by m - 1, …; none is below the one before it or above 1.

    Example:
        >>> holm(np.array([0.01, 0.04, 0.03]))
        array([0.03, 0.06, 0.06])
    """
    order = np.argsort(p_values)
    adjusted = np.empty(len(p_values))
    raised = p_values[order] * np.arange(len(p_values), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(raised), 1)
    return adjusted
