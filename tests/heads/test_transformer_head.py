from math import erf, sqrt

import numpy as np
import pytest

from tests.heads.contract import (
    CANDIDATES,
    EVERY_PLACE,
    HISTORY,
    LAST,
    LENGTH,
    MASK,
    QUERY,
    SIZE,
    TEMPERATURE,
    HeadContract,
    randomised,
)
from tfrec.heads import TransformerHead


class TestContract(HeadContract):
    looks_at_history = True

    def make(self) -> TransformerHead:
        return TransformerHead(SIZE, TEMPERATURE, num_heads=2, dropout=0.2)


def normalised(values: np.ndarray, gamma: np.ndarray, beta: np.ndarray) -> np.ndarray:
    centred = values - values.mean(axis=-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-3) * gamma + beta


def test_a_block_of_cross_attention_by_numpy() -> None:
    head = randomised(TransformerHead(SIZE, num_heads=2))

    def weights(layer: object) -> list[np.ndarray]:
        return [np.float64(weight) for weight in layer.trainable_weights]

    (query_kernel, query_bias), (key_kernel, key_bias), (value_kernel, value_bias), (output_kernel, output_bias) = (
        weights(getattr(head.attention, f"_{name}_dense")) for name in ("query", "key", "value", "output")
    )
    (expansion, expansion_bias), (contraction, contraction_bias) = weights(head.expansion), weights(head.contraction)
    [logit], weight, bias = weights(head.logit), np.float64(head.cosine_weight), np.float64(head.cosine_bias)
    logits = head(*EVERY_PLACE)
    for row, place in ((0, 0), (0, 3), (1, 1), (1, 4)):
        seen = [position for position in range(place + 1) if MASK[row, position]]
        memory = np.float64([*(HISTORY[row, position] for position in seen), QUERY[row, place]]) * sqrt(SIZE)
        memory = normalised(memory, *weights(head.memory_norm))
        for candidate in range(3):
            state = np.float64(CANDIDATES[row, place, candidate]) * sqrt(SIZE)
            attending = normalised(state, *weights(head.attention_norm))
            outputs = output_bias.copy()
            for number in range(2):
                asked = attending @ query_kernel[:, number] + query_bias[number]
                keys = memory @ key_kernel[:, number] + key_bias[number]
                scores = np.exp(keys @ asked / sqrt(SIZE / 2))
                values = memory @ value_kernel[:, number] + value_bias[number]
                outputs += (scores / scores.sum()) @ values @ output_kernel[number]
            state = state + outputs
            hidden = normalised(state, *weights(head.feedforward_norm)) @ expansion + expansion_bias
            hidden *= [0.5 * (1 + erf(value / sqrt(2))) for value in hidden]  # gelu
            state = state + hidden @ contraction + contraction_bias
            expected = normalised(state, *weights(head.logit_norm)) @ logit[:, 0]
            expected += weight * (np.dot(QUERY[row, place], CANDIDATES[row, place, candidate]) - bias)
            np.testing.assert_allclose(logits[row, place, candidate], expected, rtol=1e-3, atol=1e-4)


def test_heads_divide_the_embedding() -> None:
    with pytest.raises(ValueError, match=r"to divide embedding_size, 8\. Received: 3"):
        TransformerHead(8, num_heads=3)


def test_places_that_are_not_all_must_be_said() -> None:
    with pytest.raises(ValueError, match=f"the history's {LENGTH} places, or `places`. Received: 2"):
        TransformerHead(SIZE)(QUERY[:, :2], HISTORY, MASK, CANDIDATES[:, :2])


def test_drops_units_in_training_only() -> None:
    head = randomised(TransformerHead(SIZE, dropout=0.5))
    plain, again, trained, anew = (head(*LAST, training=training).numpy() for training in (False, False, True, True))
    np.testing.assert_array_equal(plain, again)
    assert np.abs(trained - plain).max() > 0.01
    assert np.abs(trained - anew).max() > 0.01
