"""tfrec itself, in a process of its own as the peers are, so that its memory is measured alike."""

from pathlib import Path
from typing import Any

import numpy as np
from exchange import Cases, Lists, Split, Task, as_arrays, in_batches, ndcg, now

from tfrec.config import Config
from tfrec.datasets.dataset import EvaluationSet
from tfrec.datasets.dataset import Split as TfrecSplit
from tfrec.datasets.ragged import Ragged


def main() -> None:
    task = Task.of_command_line()
    kind = task.settings["kind"]
    {"baseline": _baseline, "recommender": _recommender, "ranker": _ranker}[kind](task)


def _baseline(task: Task) -> None:
    from tfrec.leaderboard import Material, baseline_entries
    from tfrec.leaderboard.search import search

    given, name = Split.load(task.folder), task.settings["name"]
    validation = EvaluationSet(
        given.validation.users,
        Ragged(given.validation.values, given.validation.offsets),
        Ragged(given.validation_targets, np.arange(len(given.validation_targets) + 1)),
    )
    # It is fitted to the training part alone; what is tested is not at hand.
    split = TfrecSplit(Ragged(given.train.values, given.train.offsets), validation, validation)
    entries = baseline_entries(Material(split, given.num_items, seed=task.seed))
    entry = next(entry for entry in entries if entry.name == name)
    if entry.unfit:
        raise SystemExit(entry.unfit)
    best = search(entry, lambda tried: ndcg(_lists(tried, given.validation), given.validation_targets))
    started = now()
    recommender = entry.build(**best.parameters)
    took = now() - started
    lists = [_lists(recommender, each) for each in (given.validation, given.test)]
    task.finish(as_arrays(*lists), took, chosen=best.parameters, num_tried=entry.num_trials)


def _recommender(task: Task) -> None:
    from tfrec.features.prepared import Prepared
    from tfrec.models.retrieval_model import RetrievalRecommender
    from tfrec.training.trainer import load_model

    given = Split.load(task.folder)
    run, took, facts = _train(task)
    prepared = Prepared.load(run.prepared)
    for ours, theirs in ((prepared.split.validation, given.validation), (prepared.split.test, given.test)):
        if not np.array_equal(ours.histories.values, theirs.values) or not np.array_equal(ours.users, theirs.users):
            raise SystemExit("the run has another split than the peers")
    recommender = RetrievalRecommender(load_model(run, prepared))
    lists = (_lists(recommender, each) for each in (given.validation, given.test))
    task.finish(as_arrays(*lists), took, **facts)


def _ranker(task: Task) -> None:
    from tfrec.datasets.splits import TEST, VALIDATION
    from tfrec.features.prepared_impressions import PreparedImpressions
    from tfrec.training.trainer import load_ranker

    run, took, facts = _train(task)
    prepared = PreparedImpressions.load(run.prepared)
    model = load_ranker(run, prepared)
    arrays = {}
    for name, part in (("validation", VALIDATION), ("test", TEST)):
        rows = model.rows(prepared, part)
        order = np.argsort(rows.numbers.numpy())
        arrays[f"{name}_logits"] = model.predict_logits(rows).reshape(-1)[order]
    task.finish(arrays, took, **facts)


def _train(task: Task) -> tuple[Any, np.ndarray, dict[str, Any]]:
    """Trains a run beside the output, anew, or opens one. What it took: validation too, not the data and the texts."""
    from tfrec.datasets import history_context, load_dataset, load_impressions, split_dataset
    from tfrec.features.prepared import Prepared
    from tfrec.features.prepared_impressions import PreparedImpressions
    from tfrec.features.text import item_texts
    from tfrec.training.checkpoint import read_state
    from tfrec.training.prepare import prepare, prepare_impressions
    from tfrec.training.run import Run
    from tfrec.training.trainer import set_up_devices, train

    settings, data_root = task.settings, Path(task.settings["data_root"])
    if "run" in settings:
        run = Run.open(Path(settings["run"]))
        state = read_state(run.latest)
        facts = {"epochs": state["epoch"], "best_epoch": state["best_epoch"], "was_trained": True}
        return run, np.zeros(2), facts
    config = Config.load(settings["recipe"], {**settings["overrides"], "training.seed": task.seed})
    run = Run.create(task.output.with_suffix(".run"), config, fresh=True)
    strategy = set_up_devices(config)
    started = now()
    dataset = load_dataset(config.data, data_root)
    texts = item_texts(dataset, config.features.text_template) if config.model.use_text else None
    if config.ranks:
        prepare_impressions(dataset, load_impressions(dataset, config), texts, config, data_root).save(run.prepared)
    else:
        dataset = dataset.positives(config.data.events)
        split = split_dataset(dataset, config.split, history_context(dataset, config.features))
        prepare(dataset, split, texts, config, data_root).save(run.prepared)
    prepared = (PreparedImpressions if config.ranks else Prepared).load(run.prepared)
    prepared_at = now()
    state = train(run, prepared, strategy, data_root)
    took = now() - prepared_at
    facts = {"epochs": state.epoch, "best_epoch": state.best_epoch, "prepare_seconds": (prepared_at - started)[0]}
    return run, took, facts


def _lists(recommender: Any, cases: Cases) -> Lists:
    histories = Ragged(cases.values, cases.offsets)
    numbers = np.arange(len(cases.users))
    return in_batches(lambda rows: recommender.score(cases.users[rows], histories.take(numbers[rows])), cases, size=128)


if __name__ == "__main__":
    main()
