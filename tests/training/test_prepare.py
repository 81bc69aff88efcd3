"""Texts, as training wants them: vectors, or tokens for an encoder that is trained."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.backbones.tiny import HIDDEN_SIZE, VOCABULARY
from tfrec.config import AugmentationConfig, Config
from tfrec.datasets import split_dataset
from tfrec.datasets.dataset import Roles
from tfrec.datasets.simulator import Simulation
from tfrec.errors import InputError
from tfrec.features.prepared import Prepared
from tfrec.training import prepare as prepare_module
from tfrec.training.prepare import prepare


def prepared(simulation: Simulation, config: Config, texts: list[str], folder: Path, **backbone: object) -> Prepared:
    settings = config.model_copy(update={"backbone": config.backbone.model_copy(update=backbone)})
    return prepare(simulation.dataset, split_dataset(simulation.dataset, config.split), texts, settings, folder)


@pytest.fixture
def texts() -> list[str]:
    return ["war story", *["sea"] * 57, "", "a spy film about a ghost"]


@pytest.mark.parametrize("backbone", [{"tuning": "lora"}, {"tuning": "full"}, {"pooling": "attention"}])
@pytest.mark.parametrize("at_once", [8192, 59])
def test_a_trained_encoder_wants_tokens(
    backbone: dict, at_once: int, simulation, config, texts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare_module, "TEXTS_AT_ONCE", at_once)
    result = prepared(simulation, config, texts, tmp_path, **backbone)
    tokens = result.items.arrays["text_tokens"]
    assert "text" not in result.items.arrays
    assert (tokens.dtype, tokens.shape) == (np.int32, (62, 8))
    expected = {
        0: "",
        1: "",
        2: "[CLS] war story [SEP]",
        3: "[CLS] sea [SEP]",
        60: "[CLS] [SEP]",
        61: "[CLS] a spy film about a ghost [SEP]",
    }
    for row, words in expected.items():
        ids = [VOCABULARY.index(word) for word in words.split()]
        assert tokens[row].tolist() == ids + [0] * (8 - len(ids))
    assert result.text_encoder_key
    assert list(tmp_path.iterdir()) == []  # Nothing is kept of vectors that change.


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_frozen_encoder_wants_vectors(pooling: str, simulation, config, texts, tmp_path: Path) -> None:
    result = prepared(simulation, config, texts, tmp_path, pooling=pooling)
    vectors = result.items.arrays["text"]
    assert vectors.shape == (62, HIDDEN_SIZE)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), [0, 0] + [1] * 60, atol=1e-6)
    assert (tmp_path / "embeddings" / result.text_encoder_key).is_dir()


def test_more_tokens_than_positions(simulation, config, texts, tmp_path: Path) -> None:
    for backbone in ({}, {"tuning": "lora"}):
        with pytest.raises(InputError, match=r"does not fit .*32 positions.*Received: 99"):
            prepared(simulation, config, texts, tmp_path, sequence_length=99, **backbone)


@pytest.mark.parametrize("tuning", ["frozen", "lora"])
def test_variants_stand_beside_the_true_texts(tuning: str, simulation, config, texts, tmp_path: Path) -> None:
    augmentation = AugmentationConfig(text_variants=3, word_dropout=0.6)
    features = config.features.model_copy(update={"augmentation": augmentation})
    table = simulation.dataset.items.assign(title=texts)
    dataset = replace(simulation.dataset, items=table, item_roles=Roles(text=("title",)))
    varied = config.model_copy(update={"features": features})
    result = prepared(replace(simulation, dataset=dataset), varied, texts, tmp_path, tuning=tuning)
    true = result.items.arrays["text" if tuning == "frozen" else "text_tokens"]
    variants = result.items.arrays["text_variants"]
    assert variants.shape == (62, 4, true.shape[1])
    np.testing.assert_array_equal(variants[:, 0], true)
    np.testing.assert_array_equal(variants[:2], np.repeat(true[:2, None], 4, axis=1))
    if tuning == "lora":
        known = true[61][true[61] != 0].tolist()
        for tokens in variants[61, 1:]:
            rest = iter(known)
            kept = tokens[tokens != 0].tolist()
            assert all(token in rest for token in kept)  # In their order, between the two that mark the ends.
            assert 2 < len(kept) < len(known) and [kept[0], kept[-1]] == [known[0], known[-1]]
    # Vectors of other texts are other vectors; of one word there is but one variant.
    assert not np.allclose(variants[61, 0], variants[61, 1])
    np.testing.assert_allclose(variants[3], np.repeat(true[3][None], 4, axis=0), atol=1e-6)
