from math import erf, sqrt

import numpy as np

from tests.heads.contract import CANDIDATES, EVERY_PLACE, LAST, QUERY, SIZE, TEMPERATURE, HeadContract, randomised
from tfrec.heads import MLPHead


class TestContract(HeadContract):
    def make(self) -> MLPHead:
        return MLPHead(SIZE, TEMPERATURE, hidden_sizes=(7, 6), dropout=0.2)


class TestWithoutHiddenLayers(HeadContract):
    def make(self) -> MLPHead:
        return MLPHead(SIZE, TEMPERATURE, hidden_sizes=())


def test_hidden_layers_over_query_candidate_and_product() -> None:
    head = randomised(MLPHead(SIZE, hidden_sizes=(7, 6)))
    layers = [*head.hidden, head.logit]
    weights = [np.float64(weight) for layer in layers for weight in layer.trainable_weights]
    assert [weight.shape for weight in weights] == [(24, 7), (7,), (7, 6), (6,), (6, 1)]
    query, candidates = np.float64(QUERY)[0, 1] * SIZE**0.5, np.float64(CANDIDATES)[0, 1] * SIZE**0.5
    for candidate, logit in zip(candidates, head(*EVERY_PLACE)[0, 1], strict=True):
        values = np.concatenate([query, candidate, query * candidate])
        for kernel, bias in zip(weights[:-1:2], weights[1:-1:2], strict=True):
            values = values @ kernel + bias
            values *= [0.5 * (1 + erf(value / sqrt(2))) for value in values]  # gelu
        cosine = query @ candidate / SIZE
        expected = values @ weights[-1][:, 0] + np.float64(head.cosine_weight) * (cosine - np.float64(head.cosine_bias))
        np.testing.assert_allclose(logit, expected, rtol=1e-4)


def test_drops_hidden_units_in_training_only() -> None:
    head = randomised(MLPHead(SIZE, hidden_sizes=(64,), dropout=0.5))
    plain, again, trained, anew = (head(*LAST, training=training).numpy() for training in (False, False, True, True))
    np.testing.assert_array_equal(plain, again)
    assert np.abs(trained - plain).max() > 0.1
    assert np.abs(trained - anew).max() > 0.1
