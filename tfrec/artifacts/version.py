"""Writing a version of a model: complete, checked, and placed in one step."""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from tfrec import __version__, console
from tfrec.artifacts.batching import write_batching
from tfrec.artifacts.operations import audit_operations
from tfrec.artifacts.reload import check_reloaded
from tfrec.artifacts.served import Served
from tfrec.artifacts.warmup import write_warmup
from tfrec.errors import InputError

TITLES = "assets.extra/titles.tsv"
CARD = "assets.extra/model.json"
LEFTOVER_SECONDS = 3600


def write_version(
    signatures: Served,
    examples: Mapping[str, Mapping[str, np.ndarray]],
    titles: np.ndarray,
    card: Mapping[str, Any],
    base_path: Path,
    version: int | None = None,
) -> Path:
    """Writes `<base_path>/<version>` for TensorFlow Serving.

    It is written under a name that a server ignores, its operations are audited, its answers compared in Python and
    through a v1 Session (the way TensorFlow Serving loads), its warm-up replayed; only then does it get its number.

    Args:
        signatures: What the version answers.
        examples: Signature -> inputs, at least two rows each: the requests that are compared and warmed up with.
        titles: What to show people for each item: object [num_items].
        card: What is worth knowing about the version; written as JSON beside it.
        base_path: The model's folder.
        version: Its number; None: one more than the highest there.

    Returns:
        The version's folder.

    Raises:
        InputError: The version exists, or the disk is full.
        ExportError: The written version does not do what the live model does.
    """
    try:
        base_path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"Expected a folder that can be made at {base_path}. Received: {error}. Pass --output."
        ) from error
    if version is None:
        newest = newest_version(base_path)
        version = int(newest.name) + 1 if newest else 1
    if (base_path / str(version)).exists():
        raise InputError(f"Expected a version that is not in {base_path} yet. Received: {version}")
    for leftover in base_path.glob(".writing-*"):
        if time.time() - leftover.stat().st_mtime > LEFTOVER_SECONDS:  # of an export that was killed, not under way
            shutil.rmtree(leftover, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f".writing-{version}-", dir=base_path))
    folder.chmod(0o755)  # mkdtemp's is for its owner alone; a server often runs as someone else.
    try:
        archive = keras.export.ExportArchive()
        for table in signatures.lookup_tables:
            archive.track(table)
        traced = {}  # One graph for serving_default and the signature that it is.
        for name, (function, inputs) in signatures.endpoints().items():
            if function not in traced:
                traced[function] = tf.function(function, autograph=False)
                traced[function].get_concrete_function(**inputs)
            archive.add_endpoint(name, traced[function])
        # The archive finds the variables that the endpoints use; tracking the layers too would write them twice.
        archive.write_out(str(folder), verbose=False)
        _write_defaults(folder / "saved_model.pb", signatures.optional)
        (folder / CARD).parent.mkdir()
        shown = [" ".join(str(title).split()) for title in titles]
        pd.DataFrame({"item_id": signatures.ids, "title": shown}).to_csv(folder / TITLES, sep="\t", index=False)
        (folder / CARD).write_text(json.dumps({"tfrec": __version__, **card}, indent=2) + "\n", encoding="utf-8")
        console.say("checking operations, answers after reload (Python and v1 Session) and warm-up")
        audit_operations(folder)
        write_warmup(folder, base_path.name, examples)
        write_batching(folder, signatures.may_widen)
        check_reloaded(folder, signatures, examples)
        os.replace(folder, base_path / str(version))
    except OSError as error:
        raise InputError(
            f"Expected to write a version to {base_path}. Received: {error}. Make room, or pass --output."
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return base_path / str(version)


def _write_defaults(path: Path, optional: Mapping[str, np.ndarray]) -> None:
    """Notes in the signatures what TensorFlow Serving takes where a request leaves an input out."""
    saved_model = SavedModel.FromString(path.read_bytes())
    for signature in saved_model.meta_graphs[0].signature_def.values():
        for name in optional.keys() & signature.inputs.keys():
            signature.defaults[name].CopyFrom(tf.make_tensor_proto(optional[name], signature.inputs[name].dtype))
    path.write_bytes(saved_model.SerializeToString())


def held_already(base_path: Path, card: Mapping[str, Any]) -> Path | None:
    """The folder of the highest version, if its card says all that this one does."""
    newest = newest_version(base_path)
    if newest is None or not (newest / CARD).is_file():
        return None
    return newest if card.items() <= json.loads((newest / CARD).read_text(encoding="utf-8")).items() else None


def newest_version(base_path: Path) -> Path | None:
    """The folder of the highest version, if there is one."""
    versions = [path for path in base_path.glob("*") if path.name.isdigit()]
    return max(versions, key=lambda path: int(path.name), default=None)
