from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("apache_beam")

from tfrec.batch import model as model_module
from tfrec.batch.model import LoadedModel, ModelVersion, copy_folder
from tfrec.errors import InputError


def test_the_newest_version_that_is_whole(known: Path) -> None:
    assert ModelVersion.find(str(known)) == ModelVersion.find(f"{known}/3/") == (str(known / "3"), "known", 3)


def test_where_no_version_is(tmp_path: Path, known: Path) -> None:
    with pytest.raises(InputError, match="Write one with python -m"):
        ModelVersion.find(str(tmp_path))
    with pytest.raises(InputError, match=r"signature rank\. Received: \[.*'embed_item', 'recommend'"):
        ModelVersion.find(str(known)).signature("rank")


def test_a_folder_is_copied_through_beams_file_systems(tmp_path: Path, known: Path) -> None:
    copy_folder(str(known / "3"), tmp_path / "copy")
    files = [path.relative_to(known / "3") for path in (known / "3").rglob("*") if path.is_file()]
    assert len(files) >= 4
    assert all((tmp_path / "copy" / file).read_bytes() == (known / "3" / file).read_bytes() for file in files)


def test_a_model_from_elsewhere_is_copied_and_loaded(known: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As if it were no local path; what is read must not be needed later.
    version = ModelVersion.find(str(known))
    with monkeypatch.context() as patched:
        patched.setattr(model_module, "is_local", lambda path: False)
        model = LoadedModel(version, "embed_item")
    answer = model.ask({"text": np.array([b"four", b"a"], object)})
    assert answer["embedding"].tolist() == [[4, -4], [1, -1]]
    assert not model_module.is_local("gs://models/shop/3") and model_module.is_local("saved_models/shop/3")
