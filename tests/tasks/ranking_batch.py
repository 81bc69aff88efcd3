"""Eight examples, one of which does not count, and their loss and gradients by NumPy."""

import numpy as np

LABELS = np.array([1, 0, 0, 1, 0, 1, 1, 0], np.float32)
LOGITS = np.array([2.0, -1.0, 3.0, 0.5, 0.0, -2.0, 4.0, 1.0], np.float32)
WEIGHTS = np.array([1, 1, 0.5, 0, 2, 1, 3, 1], np.float32)


def loss_and_gradients() -> tuple[float, np.ndarray]:
    """The weighted mean loss, and its gradient by the logits."""
    logits = LOGITS.astype(np.float64)
    probabilities = 1 / (1 + np.exp(-logits))
    losses = -LABELS * np.log(probabilities) - (1 - LABELS) * np.log(1 - probabilities)
    total = WEIGHTS.sum()
    return float(losses @ WEIGHTS / total), (probabilities - LABELS) * WEIGHTS / total
