"""Exports of runs that trained their text backbone."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import Trained, Tuned
from tfrec.artifacts.export import export
from tfrec.backbones.text_encoder import TextEncoder
from tfrec.config import ExportConfig
from tfrec.errors import InputError
from tfrec.features.text import item_texts
from tfrec.training.trainer import load_model, train


@pytest.fixture(scope="module", params=["lora", pytest.param("full", marks=pytest.mark.slow)])
def exported(
    request: pytest.FixtureRequest,
    tuned: Callable[..., Tuned],
    trained_lora: Trained,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Trained, Path]:
    """A run and its version; export itself compares all answers in Python and through a v1 Session."""
    trained = trained_lora
    if request.param == "full":
        run, prepared = tuned(tuning="full", pooling="cls")
        train(run, prepared, tf.distribute.get_strategy())
        trained = Trained(run, load_model(run, prepared))
    folder = tmp_path_factory.mktemp("saved_models") / request.param
    return trained, export(trained.run, tmp_path_factory.mktemp("data"), folder, ExportConfig(top_k=5))


def test_the_text_signatures_answer_with_the_trained_encoder(
    exported: tuple[Trained, Path], simulation, prepared
) -> None:
    trained, folder = exported
    served = tf.saved_model.load(str(folder)).signatures
    texts = item_texts(simulation.dataset, None)
    vectors = trained.model.text_vectors()[2:]
    answer = served["search"](text=tf.constant(texts[:3]))
    for row in range(3):
        expected = np.sort(vectors @ vectors[row])[::-1][:5]
        np.testing.assert_allclose(expected[0], 1, atol=1e-4)
        np.testing.assert_allclose(answer["scores"][row], expected, atol=1e-4)
    assert np.abs(vectors - prepared.items.arrays["text"][2:]).max() > 0.01  # Not the pretrained ones.
    embedding = served["embed_item"](text=tf.constant(texts[:3]))["embedding"].numpy()
    np.testing.assert_allclose(np.linalg.norm(embedding, axis=1), 1, rtol=1e-5)


def test_each_weight_is_written_once(exported: tuple[Trained, Path]) -> None:
    trained, folder = exported
    written = [shape for _, shape in tf.train.list_variables(str(folder / "variables" / "variables"))]
    encoder = trained.model.text_encoder
    for weight in (encoder.backbone.token_embedding.embeddings, encoder.backbone.position_embedding.weights[0]):
        assert written.count(list(weight.shape)) == 1
    adapters = [weight for weight in encoder.weights if "lora_kernel_a" in weight.path]
    if adapters:
        assert written.count(list(adapters[0].shape)) == len(adapters) == 4


def test_a_backbone_that_changed_since_is_refused(
    exported: tuple[Trained, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained, _ = exported
    monkeypatch.setattr(TextEncoder, "key", lambda self: "another vocabulary")
    with pytest.raises(InputError, match=r"trained with .*Received: other weights or another vocabulary"):
        export(trained.run, tmp_path, tmp_path / "movies")
