"""From a backbone's name to its weights."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.backbones.tiny import HIDDEN_SIZE
from tfrec.backbones import resolve
from tfrec.backbones.resolve import load_text_encoder
from tfrec.config import BackboneConfig
from tfrec.downloads import Wheel
from tfrec.errors import InputError


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(name: str, *_: object) -> Path:
        raise InputError(f"no network for {name}")

    def load_preset(preset: str, *_: object) -> None:
        raise ConnectionError(f"no network\nfor {preset}")

    monkeypatch.setattr(resolve, "fetch", fetch)
    monkeypatch.setattr(resolve, "load_preset", load_preset)


def test_a_local_folder(tiny_backbone: Path, tmp_path: Path) -> None:
    encoder = load_text_encoder(BackboneConfig(name=str(tiny_backbone), sequence_length=7), tmp_path)
    assert encoder.sequence_length == 7
    assert encoder(tf.constant(["war"])).shape == (1, HIDDEN_SIZE)
    assert list(tmp_path.iterdir()) == []


def test_a_wheel_is_fetched_into_its_own_folder(
    tiny_backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def fetch(name: str, sources: Sequence[Wheel], destination: Path) -> Path:
        calls.append((sources, destination))
        return tiny_backbone

    monkeypatch.setattr(resolve, "fetch", fetch)
    name = "wheel:some-bert==1.2.post1:some_bert/model:sha256:0f"
    encoder = load_text_encoder(BackboneConfig(name=name, sequence_length=8), tmp_path)
    assert encoder.output_size == HIDDEN_SIZE
    wheel = Wheel(project="some-bert", version="1.2.post1", checksum="sha256:0f", folder="some_bert/model")
    assert calls == [([wheel], tmp_path / "backbones" / "some-bert-1.2.post1")]


@pytest.mark.usefixtures("offline")
def test_every_source_of_minilm_is_named_with_its_reason_and_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        load_text_encoder(BackboneConfig(), tmp_path)
    text = str(error.value)
    assert "backbone.name = 'minilm'" in text
    assert "the package index: no network for the MiniLM text backbone" in text
    assert "the KerasHub preset all_minilm_l6_v2_en: ConnectionError: no network for all_minilm_l6_v2_en" in text
    assert "--set backbone.name=FOLDER" in text
    assert "--set model.use_text=false" in text


def test_minilm_falls_back_to_the_preset(tiny_backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(*_: object) -> Path:
        raise InputError("no network")

    monkeypatch.setattr(resolve, "fetch", fetch)
    monkeypatch.setattr(resolve, "MINILM_PRESET", str(tiny_backbone))
    assert load_text_encoder(BackboneConfig(sequence_length=8), tmp_path).output_size == HIDDEN_SIZE


def test_an_unknown_name(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        load_text_encoder(BackboneConfig(name="no_such_bert"), tmp_path)
    assert "the KerasHub preset no_such_bert (there is no such folder): ValueError" in str(error.value)
    assert "--set backbone.name=FOLDER" in str(error.value)


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"the folder {tmp_path}: "):
        load_text_encoder(BackboneConfig(name=str(tmp_path)), tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "wheel:",
        "wheel:bert==1.0",
        "wheel:bert==1.0:folder",
        "wheel:bert==1.0:folder:md5:0f",
        "wheel:bert:folder:sha256:0f",
    ],
)
def test_a_malformed_wheel(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="wheel:PROJECT==VERSION:FOLDER:sha256:CHECKSUM") as error:
        load_text_encoder(BackboneConfig(name=name), tmp_path)
    assert f"Received: {name!r}" in str(error.value)


@pytest.mark.slow
def test_minilm_knows_what_is_alike() -> None:
    encoder = load_text_encoder(BackboneConfig(), Path(__file__).parents[2] / "data")
    vectors = encoder(tf.constant(["A man is eating food.", "A man is eating a piece of bread."])).numpy()
    assert encoder.output_size == 384
    # The sentence-transformers documentation's own example and score.
    np.testing.assert_allclose(vectors[0] @ vectors[1], 0.755, atol=0.001)
