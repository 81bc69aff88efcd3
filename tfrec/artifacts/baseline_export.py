"""From a comparison to a baseline that can be served."""

import hashlib
from pathlib import Path
from typing import Any

import tensorflow as tf

from tfrec import console
from tfrec.artifacts.baseline_signatures import BaselineSignatures
from tfrec.artifacts.scorers import build_scorer
from tfrec.artifacts.version import held_already, write_version
from tfrec.baselines import InteractionMatrix
from tfrec.config import DEFAULT_STAGES, ExportConfig
from tfrec.errors import InputError
from tfrec.evaluation import evaluate
from tfrec.leaderboard import fit_chosen, gather, parts_of, read_results
from tfrec.training.catalogue import Catalogue
from tfrec.training.prepare import titles_of
from tfrec.training.run import comparison_config

NUM_EXAMPLES = 6


def export_baseline(
    folder: Path,
    name: str,
    data_root: Path,
    base_path: Path,
    config: ExportConfig = DEFAULT_STAGES,
    version: int | None = None,
    everything: bool = False,
) -> Path:
    """Fits a baseline with the hyperparameters that a comparison chose, and writes it as a model's next version.

    The data are read anew: what is new in the tables is learned. What is served is measured by the test part, and its
    figures are written into the card.

    Args:
        folder: The comparison's.
        name: A baseline or hybrid that was compared.
        data_root: Where data, text backbones and the vectors of texts are.
        base_path: The model's folder, of which TensorFlow Serving watches the versions.
        config: The stages of `recommend`, and their limits.
        version: The version's number; None: one more than the highest.
        everything: Fit to validation and test interactions too; nothing is left then to measure it by.

    Returns:
        The version's folder.

    Raises:
        InputError: The folder holds no comparison, the baseline was not compared or can't be served, a stage does not
            fit it, the data are not as they should be, or the version can't be written.
        ExportError: The written version does not do what the live model does.
    """
    if config.rank_candidates or config.diversity or config.blocked or config.index not in ("auto", "exact"):
        raise InputError(
            "Expected --baseline with --top-k, --filter, --cap and --pool alone: it has neither a head to rank with, "
            "nor vectors for --diversity and --index, nor a catalogue to --block in. Received: another one."
        )
    compared = comparison_config(folder)
    results = read_results(folder)
    parts = parts_of(name, results)
    material = gather(compared, data_root, [name, *parts], everything)
    dataset, split = material.dataset, material.split
    assert dataset is not None
    console.say(f"fitting {name} {results[name].chosen}")
    recommender = fit_chosen(name, results, material)
    item_ids = dataset.items["item_id"].to_numpy(object)
    matrix = InteractionMatrix(split.train, dataset.num_items)
    signatures = BaselineSignatures(
        build_scorer(recommender),
        item_ids,
        dataset.users["user_id"].to_numpy(object),
        matrix.per_item,
        compared.features.history_length,
        config,
        Catalogue(dataset.items, dataset.item_roles) if config.filters or config.caps else None,
    )
    card: dict[str, Any] = {
        "baseline": name,
        "hyperparameters": {part: dict(results[part].parameters) for part in {*parts, name} if part in results},
        "weights": f"sha256:{_digest(signatures)}",
        "fitted_to": "all interactions" if everything else "the training part",
        "num_interactions": matrix.num_interactions,
        "history_length": signatures.history_length,
        **config.model_dump(mode="json"),
    }
    if version is None and (newest := held_already(base_path, card)):
        console.say(f"{newest} holds these very weights already; pass --version to write them once more")
        return newest
    metrics = None
    if not everything:
        seed = compared.training.seed
        report = evaluate(signatures, split.test, dataset.num_items, compared.evaluation, split.candidates, seed)
        metrics = report.to_dict() | {"name": name}
        monitor = compared.evaluation.monitor
        console.say(
            f"{name}, with the last {signatures.history_length} items of a history: {monitor} {report.metrics[monitor]}"
        )
    histories = [item_ids[split.test.histories[case]].tolist() for case in range(min(NUM_EXAMPLES, len(split.test)))]
    console.say(f"writing the SavedModel: {dataset.num_items:,} items, signatures {', '.join(signatures.endpoints())}")
    card |= {"configuration": compared.model_dump(mode="json"), "metrics": metrics}
    titles = titles_of(dataset.items, dataset.item_roles, dataset.title)
    return write_version(signatures, signatures.examples(histories), titles, card, base_path, version)


def _digest(signatures: BaselineSignatures) -> str:
    """Of all that an answer depends on."""
    digest = hashlib.sha256("\n".join(signatures.ids).encode())
    for variable in sorted(signatures.variables, key=lambda each: each.name):
        if variable.dtype != tf.string:
            digest.update(variable.numpy().tobytes())
    return digest.hexdigest()
