"""A batch with popular items and accidental hits, and its loss and gradients by NumPy."""

import numpy as np

TEMPERATURE = 0.5
LEARNING_RATE = 0.1
NUM_DEVICES = 2

_generator = np.random.default_rng(0)
QUERIES = _generator.normal(size=(8, 3)).astype(np.float32)
CANDIDATES = _generator.normal(size=(8, 3)).astype(np.float32)
# 5 occurs twice in the first half of the batch, 7 once in either, and so does 9.
IDS = np.array([5, 7, 5, 9, 7, 3, 9, 4], np.int32)
PROBABILITIES = (_generator.uniform(0.01, 0.9, 10).astype(np.float32))[IDS]


def loss_and_gradients(log_q_correction: bool, remove_accidental_hits: bool) -> tuple[float, np.ndarray, np.ndarray]:
    """The mean loss of the whole batch, its gradient by the queries and its gradient by the candidates."""
    queries, candidates = QUERIES.astype(np.float64), CANDIDATES.astype(np.float64)
    logits = queries @ candidates.T / TEMPERATURE
    if log_q_correction:
        logits = logits - np.log(PROBABILITIES.astype(np.float64))
    weights = np.exp(logits)
    if remove_accidental_hits:
        weights[(IDS[:, None] == IDS) & ~np.eye(8, dtype=bool)] = 0
    softmax = weights / weights.sum(axis=1, keepdims=True)
    by_logits = (softmax - np.eye(8)) / 8
    return (
        float(-np.log(np.diag(softmax)).mean()),
        by_logits @ candidates / TEMPERATURE,
        by_logits.T @ queries / TEMPERATURE,
    )
