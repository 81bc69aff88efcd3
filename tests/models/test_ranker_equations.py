"""Each architecture's own equation, recomputed with NumPy."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.models.ranking import build, prepared_rankers, ranker_config
from tfrec.datasets.splits import TRAINING
from tfrec.features.prepared_impressions import PreparedImpressions
from tfrec.models import build_ranker
from tfrec.models.ranking_model import Impression, RankingModel


@pytest.fixture
def prepared() -> PreparedImpressions:
    return prepared_rankers()


class TestEquations:
    """The logit of an Impression, recomputed with NumPy."""

    @pytest.fixture
    def impression(self) -> Impression:
        model = build("deepfm")
        generator = np.random.default_rng(0)

        def draw(*shape: int) -> tf.Tensor:
            return tf.constant(generator.normal(size=(3, *shape)), tf.float32)

        mask = tf.constant([[True] * 4 + [False] * 2, [False] * 6, [True] * 6])
        labels = tf.cast(draw(6) > 0, tf.float32)
        return Impression(draw(model.num_fields, 4), draw(), draw(4), draw(6, 4), labels, mask)

    def mlp(self, model: RankingModel, inputs: np.ndarray, layers: int = 2) -> np.ndarray:
        dense = [layer for layer in model.mlp.layers if layer.get_weights()]
        assert len(dense) == layers
        for place, layer in enumerate(dense):
            inputs = inputs @ layer.kernel.numpy() + layer.bias.numpy()
            inputs = np.maximum(inputs, 0) if place < layers - 1 else inputs
        return inputs

    def test_logistic_regression(self, impression: Impression) -> None:
        assert build("logistic_regression").logit(impression, False) is impression.weight

    def test_dnn(self, impression: Impression) -> None:
        model = build("dnn")
        expected = self.mlp(model, impression.fields.numpy().reshape(3, -1))[:, 0]
        np.testing.assert_allclose(model.logit(impression, False), expected, rtol=1e-4, atol=1e-5)

    def test_wide_and_deep(self, impression: Impression) -> None:
        model = build("wide_and_deep")
        expected = impression.weight.numpy() + self.mlp(model, impression.fields.numpy().reshape(3, -1))[:, 0]
        np.testing.assert_allclose(model.logit(impression, False), expected, rtol=1e-4, atol=1e-5)

    def test_deepfm(self, impression: Impression) -> None:
        model, fields = build("deepfm"), impression.fields.numpy()
        products = np.einsum("bid,bjd->bij", fields, fields)
        pairs = np.array([np.triu(product, 1).sum() for product in products])
        expected = impression.weight.numpy() + pairs + self.mlp(model, fields.reshape(3, -1))[:, 0]
        np.testing.assert_allclose(model.logit(impression, False), expected, rtol=1e-4, atol=1e-4)

    def test_dcn_v2(self, impression: Impression) -> None:
        model, start = build("dcn_v2"), impression.fields.numpy().reshape(3, -1)
        crossed = start
        for cross in model.crosses:
            crossed = start * (crossed @ cross.dense.kernel.numpy() + cross.dense.bias.numpy()) + crossed
        deep = self.parts(model.hidden, start, ends_linear=False)
        both = np.concatenate([crossed, deep], axis=1)
        expected = (both @ model.output_layer.kernel.numpy() + model.output_layer.bias.numpy())[:, 0]
        np.testing.assert_allclose(model.logit(impression, False), expected, rtol=1e-4, atol=1e-4)

    def test_din(self, impression: Impression) -> None:
        # TargetAttention has its own test.
        model = build("din")
        interest = model.attention(impression.candidate, impression.history, impression.labels, impression.mask)
        inputs = np.concatenate([impression.fields.numpy().reshape(3, -1), interest], axis=1)
        np.testing.assert_allclose(model.logit(impression, False), self.mlp(model, inputs)[:, 0], rtol=1e-4, atol=1e-5)

    def parts(self, network: keras.Sequential, inputs: np.ndarray, ends_linear: bool) -> np.ndarray:
        """A stack of dense layers, ReLU after each but perhaps the last."""
        dense = [layer for layer in network.layers if layer.get_weights()]
        for place, layer in enumerate(dense):
            inputs = inputs @ layer.kernel.numpy() + layer.bias.numpy()
            inputs = inputs if ends_linear and place == len(dense) - 1 else np.maximum(inputs, 0)
        return inputs

    def gate(self, gate: keras.layers.Layer, inputs: np.ndarray, experts: list[np.ndarray]) -> np.ndarray:
        weights = np.exp(inputs @ gate.weigh.kernel.numpy())
        weights /= weights.sum(axis=1, keepdims=True)
        return sum(weights[:, [place]] * expert for place, expert in enumerate(experts))

    def test_shared_bottom(self, impression: Impression) -> None:
        model = build("shared_bottom")
        hidden = self.parts(model.body, impression.fields.numpy().reshape(3, -1), ends_linear=False)
        expected = np.concatenate([self.parts(tower, hidden, ends_linear=True) for tower in model.towers], axis=1)
        np.testing.assert_allclose(model.logit(impression, False), expected, rtol=1e-4, atol=1e-5)

    def test_mmoe(self, impression: Impression) -> None:
        model, inputs = build("mmoe"), impression.fields.numpy().reshape(3, -1)
        experts = [self.parts(expert, inputs, ends_linear=False) for expert in model.experts]
        mixed = [self.gate(gate, inputs, experts) for gate in model.gates]
        expected = [self.parts(tower, each, ends_linear=True) for tower, each in zip(model.towers, mixed, strict=True)]
        assert (len(experts), len(mixed)) == (3, 2)
        np.testing.assert_allclose(model.logit(impression, False), np.concatenate(expected, 1), rtol=1e-4, atol=1e-5)

    def test_ple(self, impression: Impression) -> None:
        model, inputs = build("ple", **{"model.num_experts": 2}), impression.fields.numpy().reshape(3, -1)
        (first, second), (gates, last_gates) = model.experts, model.gates
        assert (len(first), len(gates), len(last_gates)) == (3, 3, 2)  # Click, bought, and what is shared.

        def say(experts: list, state: np.ndarray) -> list[np.ndarray]:
            return [self.parts(expert, state, ends_linear=False) for expert in experts]

        click, bought, shared = (say(experts, inputs) for experts in first)
        heard = [click + shared, bought + shared, click + bought + shared]
        states = [self.gate(gate, inputs, each) for gate, each in zip(gates, heard, strict=True)]
        click, bought, shared = (say(experts, state) for experts, state in zip(second, states, strict=True))
        heard = [click + shared, bought + shared]
        states = [self.gate(*each) for each in zip(last_gates, states, heard, strict=False)]
        expected = [self.parts(tower, each, ends_linear=True) for tower, each in zip(model.towers, states, strict=True)]
        np.testing.assert_allclose(model.logit(impression, False), np.concatenate(expected, 1), rtol=1e-4, atol=1e-5)

    def test_esmm(self) -> None:
        """The probability of a purchase is that of the click times that of one after a click."""
        model = build("esmm")
        model.bias.assign([0.5, -1.0])
        click, after = np.array([[0.3, 2.0, -30]]), np.array([[1.0, -2.0, 30]])
        logits = model.with_bias(tf.constant(np.stack([click, after], axis=-1), tf.float32)).numpy()
        probability = 1 / (1 + np.exp(-(click + 0.5)))
        joint = probability / (1 + np.exp(-(after - 1)))
        np.testing.assert_allclose(logits[..., 0], click + 0.5, rtol=1e-5)
        np.testing.assert_allclose(logits[..., 1], np.log(joint / (1 - joint)), rtol=1e-4)

    def test_jasper(self, prepared: PreparedImpressions) -> None:
        """Of three stages each needs the one before."""
        outcomes = np.repeat(prepared.impressions.outcomes, 2, axis=1)
        three = dataclasses.replace(
            prepared,
            outcomes=("cart", "bought"),
            impressions=dataclasses.replace(prepared.impressions, outcomes=outcomes),
        )
        model = build_ranker(ranker_config("jasper"), three)
        model.bias.assign([0.0, 0.5, -1.0])
        outputs = np.array([[0.3, 1.0, -2.0], [-4.0, 0.0, 3.0]])
        stages = 1 / (1 + np.exp(-(outputs + np.array([0.0, 0.5, -1.0]))))
        expected = np.stack([stages[:, 0], stages[:, 0] * stages[:, 1], stages.prod(axis=1)], axis=1)
        np.testing.assert_allclose(tf.sigmoid(model.with_bias(tf.constant(outputs, tf.float32))), expected, rtol=1e-5)

    @pytest.mark.parametrize("name", ["esmm", "jasper"])
    def test_a_product_begins_with_the_rates(self, name: str, prepared: PreparedImpressions) -> None:
        """Untrained towers say nothing, and so the bias alone gives the rate of clicks and that of purchases."""
        model = build_ranker(ranker_config(name), prepared)
        trained = prepared.impressions.parts == TRAINING
        rates = [prepared.impressions.labels[trained].mean(), prepared.impressions.outcomes[trained, 0].mean()]
        np.testing.assert_allclose(tf.sigmoid(model.with_bias(tf.zeros([1, 2]))), [rates], rtol=1e-4)
