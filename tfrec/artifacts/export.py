"""From a run to a version that can be served."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfrec import console
from tfrec.artifacts.rank_signatures import RankSignatures
from tfrec.artifacts.served import Served
from tfrec.artifacts.signatures import Signatures
from tfrec.artifacts.version import held_already, write_version
from tfrec.backbones.resolve import load_text_encoder
from tfrec.config import DEFAULT_STAGES, ExportConfig
from tfrec.datasets.splits import TEST
from tfrec.features.prepared import Prepared
from tfrec.features.prepared_impressions import PreparedImpressions
from tfrec.features.vocabulary import NUM_SPECIAL
from tfrec.training.catalogue import read_catalogue, renew_catalogue
from tfrec.training.run import Run
from tfrec.training.trainer import load_calibrations, load_model, load_ranker

NUM_EXAMPLES = 6


def export(
    run: Run,
    data_root: Path,
    base_path: Path,
    config: ExportConfig = DEFAULT_STAGES,
    version: int | None = None,
    items: Path | None = None,
) -> Path:
    """Writes the best epoch of a run as the next version of a model.

    Args:
        run: A trained run.
        data_root: Where the text backbone is, or is fetched to.
        base_path: The model's folder, of which TensorFlow Serving watches the versions.
        config: The stages of `recommend`, and their limits.
        version: The version's number; None: one more than the highest.
        items: The catalogue as it is now; None: that of training. See `renew_catalogue`.

    Returns:
        The version's folder.

    Raises:
        InputError: The run is not trained, the text backbone can't be had or is not the run's, a stage does not fit the
            model or the catalogue, or the version can't be written.
        ExportError: The written version does not do what the live model does.
    """
    digest = hashlib.sha256(run.best.read_bytes()).hexdigest() if run.best.is_file() else ""
    card: dict[str, Any] = {"weights": f"sha256:{digest}"}
    if not run.config.ranks:
        card |= config.model_dump(mode="json")
        card["catalogue"] = items and f"sha256:{hashlib.sha256(items.read_bytes()).hexdigest()}"
    elif config != DEFAULT_STAGES:
        console.say(
            "note: the model predicts the click of given candidates; what is set of the stages of recommend changes "
            "nothing"
        )
    if version is None and (newest := held_already(base_path, card)):
        what = "weights" if items is None else "weights and items"
        console.say(f"{newest} holds these very {what} already; pass --version to write them once more")
        return newest
    if run.config.ranks:
        return _export_ranker(run, card, base_path, version)
    prepared = Prepared.load(run.prepared)
    is_needed = items is not None or config.filters or config.caps or config.blocked
    catalogue = read_catalogue(run.config.data, data_root, items) if is_needed else None
    renewed = None
    if catalogue is not None and (items is not None or config.blocked):
        catalogue = catalogue.without(config.blocked)
        renewed = renew_catalogue(prepared, catalogue, run.config, data_root)
    model = load_model(run, prepared, data_root, renewed)
    prepared = renewed or prepared
    text_encoder = model.text_encoder
    if text_encoder is None and run.config.model.use_text:
        text_encoder = load_text_encoder(run.config.backbone, data_root, prepared.text_encoder_key)
    signatures = Signatures(model, prepared, text_encoder, config, catalogue)
    card["indices"] = signatures.facts
    histories = [
        prepared.items.ids[prepared.split.test.histories[case]].tolist()
        for case in range(min(NUM_EXAMPLES, len(prepared.split.test)))
    ]
    return _write(run, signatures, signatures.examples(histories), prepared.titles, card, base_path, version)


def _export_ranker(run: Run, card: dict[str, Any], base_path: Path, version: int | None) -> Path:
    prepared = PreparedImpressions.load(run.prepared)
    model = load_ranker(run, prepared)
    signatures = RankSignatures(model, prepared, load_calibrations(run, model, prepared))
    rows = model.rows(prepared, TEST)
    histories = [
        prepared.items.ids[history[history >= NUM_SPECIAL] - NUM_SPECIAL].tolist()
        for history in rows.batch(rows.numbers[:NUM_EXAMPLES])["history"].numpy()
    ]
    return _write(run, signatures, signatures.examples(histories), prepared.titles, card, base_path, version)


def _write(
    run: Run,
    signatures: Served,
    examples: Mapping[str, Mapping[str, np.ndarray]],
    titles: np.ndarray,
    card: dict[str, Any],
    base_path: Path,
    version: int | None,
) -> Path:
    metrics = json.loads(run.metrics.read_text(encoding="utf-8")) if run.metrics.is_file() else None
    names = ", ".join(signatures.endpoints())
    console.say(f"writing the SavedModel: {len(signatures.ids):,} items, signatures {names}")
    card = {**card, "configuration": run.config.model_dump(mode="json"), "metrics": metrics}
    return write_version(signatures, examples, titles, card, base_path, version)
