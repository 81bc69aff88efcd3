"""The SavedModel that a pipeline asks: found when it is started, loaded once in each worker process."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from apache_beam.io.filesystems import FileSystems

from tfrec.errors import InputError
from tfrec.serving.signatures import Signature, Values

GRAPH = "saved_model.pb"


class ModelVersion(NamedTuple):
    """A version of an exported model, by its folder.

    Attributes:
        path: Of the folder, wherever Beam's file systems lead.
        name: The model's.
        version: The version's number.
    """

    path: str
    name: str
    version: int

    @classmethod
    def find(cls, path: str) -> "ModelVersion":
        """The version at a path, or the newest in a model's folder.

        Raises:
            InputError: There is none.
        """
        path = path.rstrip("/")
        found = [each.path for each in _match(f"{path}/{GRAPH}")] or [each.path for each in _match(f"{path}/*/{GRAPH}")]
        folders = [file.removesuffix(f"/{GRAPH}") for file in found]
        versions = {int(folder.rpartition("/")[2]): folder for folder in folders if folder.rpartition("/")[2].isdigit()}
        if not versions:
            raise InputError(
                f"Expected an exported version at {path}, as saved_models/NAME/1 or saved_models/NAME. Received: no "
                f"number with {GRAPH} in it. Write one with python -m tfrec.export."
            )
        version = max(versions)
        return cls(versions[version], versions[version].split("/")[-2], version)

    def signature(self, name: str) -> Signature:
        """What a signature takes and gives.

        Raises:
            InputError: The model lacks it.
        """
        from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

        with FileSystems.open(f"{self.path}/{GRAPH}") as file:
            signatures = SavedModel.FromString(file.read()).meta_graphs[0].signature_def
        if name not in signatures:
            raise InputError(f"Expected a model with the signature {name}. Received: {sorted(signatures)}.")
        return Signature.from_proto(signatures[name])

    def text_template(self) -> str | None:
        """The template by which the model was trained to read items, if its card names one."""
        import json

        if not _match(card := f"{self.path}/assets.extra/model.json"):
            return None
        with FileSystems.open(card) as file:
            return json.load(file).get("configuration", {}).get("features", {}).get("text_template")


class LoadedModel:
    """A signature of a loaded version. Thread-safe.

    Args:
        version: Which one.
        signature: The signature's name.
    """

    def __init__(self, version: ModelVersion, signature: str) -> None:
        import contextlib

        import tensorflow as tf

        with contextlib.suppress(ImportError):
            import tensorflow_text  # noqa: F401  Registers the tokenizers' ops.
        for each in tf.config.list_physical_devices("GPU"):
            with contextlib.suppress(RuntimeError):  # It is in use already.
                tf.config.experimental.set_memory_growth(each, True)
        if is_local(version.path):
            self._loaded = tf.saved_model.load(version.path)
        else:
            # TensorFlow itself reads few remote file systems. All is read when it is loaded: no file is needed then.
            with tempfile.TemporaryDirectory(prefix="tfrec-model-") as folder:
                copy_folder(version.path, Path(folder))
                self._loaded = tf.saved_model.load(folder)
        self._run = self._loaded.signatures[signature]

    def ask(self, inputs: Mapping[str, Values]) -> dict[str, np.ndarray]:
        """The signature's outputs by name, the batch first; strings are object arrays of bytes.

        Args:
            inputs: As of `Signature.check`.
        """
        import tensorflow as tf

        outputs = self._run(**{name: tf.constant(values) for name, values in inputs.items()})
        return {name: values.numpy() for name, values in outputs.items()}


def is_local(path: str) -> bool:
    """Whether a path is of this machine's file system."""
    return FileSystems.get_scheme(path) is None


def copy_folder(path: str, target: Path) -> None:
    """Copies a folder, with the folders in it, from one of Beam's file systems to a local one."""
    prefix = f"{path.rstrip('/')}/"
    for each in _match(f"{prefix}**"):
        copy = target / each.path.removeprefix(prefix)
        copy.parent.mkdir(parents=True, exist_ok=True)
        with FileSystems.open(each.path) as source, copy.open("wb") as file:
            while block := source.read(1 << 24):
                file.write(block)


def _match(pattern: str) -> list:
    return list(FileSystems.match([pattern])[0].metadata_list)
