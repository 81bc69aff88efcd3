"""How near to the truth do predicted probabilities come? Simulated impressions, whose probabilities are known.

    python benchmarks/click_truth.py [--impressions 5000000] [--users 1000] [--items 500] [--models deepfm esmm ...]
        [--epochs 6] [--folder runs/benchmarks/click_truth]

The tables are written to files, trained on and tested through the command lines. Two things are predicted: the click,
and the purchase after it, of which a model with several tasks predicts both. The log-loss of the tested impressions is
compared with that of the true probabilities, which is the least possible; the rates with the true ones, on average over
all tested impressions. "Clicked alone" is what is often done instead: a model of the purchase after a click, trained on
clicked impressions, times one of the click. `youtube_ranker` predicts how many seconds of an impression are watched.
Peak memory is the highest of the commands so far.
"""

import argparse
import dataclasses
import json
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from recorded_runs import markdown_row, record_run, write_lines

SINGLE, SEVERAL = (
    ("logistic_regression", "gbdt", "dnn", "deepfm", "dcn_v2"),
    ("shared_bottom", "mmoe", "ple", "esmm", "jasper"),
)
PURCHASE, CLICKED_ALONE = "dnn, purchase", "clicked alone"
WATCHED = "youtube_ranker"
MODELS = (*SINGLE, *SEVERAL, PURCHASE, CLICKED_ALONE, WATCHED)
RECIPE = """
[data.interactions]
path = "{folder}/shown.parquet"
categorical = ["device", "slot"]
numeric = ["hour"]

[data.items]
path = "{folder}/ads.parquet"
categorical = ["category"]
numeric = ["price"]

[data.users]
path = "{folder}/people.parquet"
categorical = ["country"]

[split]
kind = "global_time"

[features]
history_length = 1

[model]
name = "dnn"
use_text = false
id_dropout = 0.0
attribute_dropout = 0.0
embedding_size = 16
hidden_sizes = [64, 32]
dropout = 0.0

[training]
batch_size = 2048
schedule = "cosine"
patience = 2

[evaluation]
bootstrap_samples = 1
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS, metavar="MODEL")
    parser.add_argument("--impressions", type=int, default=5_000_000)
    parser.add_argument("--users", type=int, default=1_000)
    parser.add_argument("--items", type=int, default=500)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmarks/click_truth"))
    arguments = parser.parse_args()
    _write_tables(arguments)
    recipe = arguments.folder / "clicks.toml"
    recipe.write_text(RECIPE.format(folder=arguments.folder.resolve()))
    clicks = [
        markdown_row(
            "click", "log-loss", "times the truth's", "AUC", "the truth's", "mean rate", "s / epoch", "peak GB"
        )
    ]
    purchases = [
        markdown_row("purchase", "log-loss", "times the truth's", "AUC", "the truth's", "mean rate", "after a click")
    ]
    seconds = [markdown_row("seconds", "RMSE", "times the truth's", "AUC", "the truth's", "mean", "off by")]
    for rows in (clicks, purchases, seconds):
        rows.append(markdown_row("---", *["--:"] * (rows[0].count("|") - 2)))
    records = []
    for model in arguments.models:
        run = _record(model, recipe, arguments)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
        measured = _measure(model, arguments.folder)
        records.append({**run, "measured": measured, "peak_gb": peak})
        cost = [f"{run['seconds_an_epoch'] or 0:.0f}", f"{peak:.1f}"]
        for task, rows, last in (("click", clicks, cost), ("purchase", purchases, [])):
            if task in measured and (task, model) != ("click", CLICKED_ALONE):
                rows.append(markdown_row(model, *_cells(measured[task]), *last))
        if "seconds" in measured:
            seconds.append(markdown_row(model, *_cells_of_seconds(**measured["seconds"])))
        if "after a click" in measured:
            purchases[-1] = purchases[-1].removesuffix("|") + f"| {measured['after a click']:.3f} |"
    print("\n".join([*clicks, "", *purchases, "", *seconds]))
    print("\nMeans are times the true ones, over all tested impressions; predictions are off by a factor, on average.")
    write_lines(arguments.folder / "results.jsonl", records)


def _folder(model: str, folder: Path) -> Path:
    return folder / model.replace(", ", "_").replace(" ", "_")


def _record(model: str, recipe: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    name = "dnn" if model in (PURCHASE, CLICKED_ALONE) else model
    settings = [f"model.name={name}", f"training.epochs={arguments.epochs}"]
    if model in SEVERAL:
        settings.append('data.interactions.outcomes=["bought"]')
    if model in (PURCHASE, CLICKED_ALONE):
        settings.append('data.interactions.columns={label="bought"}')
    if model == CLICKED_ALONE:
        settings.append(f"data.interactions.path={(arguments.folder / 'clicked.parquet').resolve()}")
    return record_run(_folder(model, arguments.folder), str(recipe), settings, Path("data"))


def _write_tables(arguments: argparse.Namespace) -> None:
    """Writes the tables and the true probabilities, once."""
    from tfrec.datasets.click_simulator import simulate_clicks

    folder, drawn = arguments.folder, {name: getattr(arguments, name) for name in ("users", "items", "impressions")}
    told = folder / "drawn_with_seconds.json"
    if told.is_file() and json.loads(told.read_text()) == drawn:
        return
    folder.mkdir(parents=True, exist_ok=True)
    simulation = simulate_clicks(drawn["users"], drawn["items"], drawn["impressions"])
    shown = simulation.dataset.interactions
    shown.to_parquet(folder / "shown.parquet")
    shown[shown["label"] == 1].to_parquet(folder / "clicked.parquet")
    simulation.dataset.items.to_parquet(folder / "ads.parquet")
    simulation.dataset.users.to_parquet(folder / "people.parquet")
    np.savez(
        folder / "truth.npz",
        click=simulation.click_rates,
        after_click=simulation.conversion_rates,
        seconds=simulation.expected_values,
    )
    told.write_text(json.dumps(drawn))


def _measure(model: str, folder: Path) -> dict[str, Any]:
    """What the model, and what the truth, make of the tested impressions."""
    if model == WATCHED:
        return {"seconds": _measure_seconds(folder)}
    rates, rows, outcomes = _predict(model, folder)
    with np.load(folder / "truth.npz") as drawn:
        truth = {"click": drawn["click"][rows]}
        after_click = drawn["after_click"][rows]
    truth["purchase"] = truth["click"] * after_click
    measured: dict[str, Any] = {
        task: {
            "model": _figures(outcomes[task], each, truth[task]),
            "truth": _figures(outcomes[task], truth[task], truth[task]),
        }
        for task, each in rates.items()
    }
    if len(rates) == 2:
        measured["after a click"] = float((rates["purchase"] / rates["click"]).mean() / after_click.mean())
    return measured


def _measure_seconds(folder: Path) -> dict[str, dict[str, float]]:
    """As `_measure`, of what is watched."""
    from tfrec.config import EvaluationConfig
    from tfrec.datasets.splits import TEST
    from tfrec.evaluation import evaluate_values
    from tfrec.features.prepared_impressions import PreparedImpressions
    from tfrec.training.run import Run
    from tfrec.training.trainer import load_ranker

    run = Run.open(_folder(WATCHED, folder))
    prepared = PreparedImpressions.load(run.prepared)
    model = load_ranker(run, prepared)
    tested = model.rows(prepared, TEST)
    impressions, numbers = prepared.impressions, tested.numbers.numpy()
    with np.load(folder / "truth.npz") as drawn:
        truth = drawn["seconds"][impressions.rows[numbers]]
    happened = impressions.labels[numbers], impressions.values[numbers]
    users, settings = impressions.users[numbers], EvaluationConfig(monitor="auc", bootstrap_samples=1)
    measured = {}
    for name, predicted in (("model", np.exp(model.predict_logits(tested))), ("truth", truth)):
        metrics = evaluate_values(name, *happened, predicted, users, settings).metrics
        measured[name] = {metric: estimate.mean for metric, estimate in metrics.items()} | {
            "mean": float(predicted.mean() / truth.mean()),
            "off_by": float(np.exp(np.abs(np.log(predicted / truth)).mean())),
        }
    return measured


def _predict(model: str, folder: Path) -> tuple[dict[str, np.ndarray], np.ndarray, dict[str, np.ndarray]]:
    """Probabilities of the tested impressions, by task; the rows of the table that these are; and what happened."""
    from tfrec.datasets.splits import TEST
    from tfrec.evaluation.click_metrics import sigmoid
    from tfrec.features.prepared_impressions import PreparedImpressions
    from tfrec.training.run import Run
    from tfrec.training.trainer import load_calibrations, load_ranker

    run = Run.open(_folder(model, folder))
    prepared = PreparedImpressions.load(run.prepared)
    ranker = load_ranker(run, prepared)
    calibrations = load_calibrations(run, ranker, prepared).values()
    if model == CLICKED_ALONE:
        prepared = _of_all_impressions(prepared, folder)
    tested = ranker.rows(prepared, TEST)
    logits = ranker.predict_logits(tested).reshape(len(tested), -1)
    rates = [sigmoid(calibration(of_task)) for calibration, of_task in zip(calibrations, logits.T, strict=True)]
    rows = prepared.impressions.rows[tested.numbers.numpy()]
    shown = pd.read_parquet(folder / "shown.parquet", columns=["label", "bought"]).iloc[rows]
    happened = {"click": shown["label"].to_numpy(), "purchase": shown["bought"].to_numpy()}
    if model == PURCHASE:
        return {"purchase": rates[0]}, rows, happened
    if model == CLICKED_ALONE:
        of_click, *_ = _predict("dnn", folder)
        return {**of_click, "purchase": of_click["click"] * rates[0]}, rows, happened
    return dict(zip(("click", "purchase"), rates, strict=False)), rows, happened


def _of_all_impressions(prepared: Any, folder: Path) -> Any:
    """The same encodings, but of all impressions, clicked or not."""
    import tensorflow as tf

    from tfrec.config import Config
    from tfrec.datasets import load_dataset, load_impressions

    settings = {"data.interactions.columns": {"label": "bought"}}
    config = Config.load(str(folder / "clicks.toml"), settings)
    dataset = load_dataset(config.data, Path("data"))
    impressions = load_impressions(dataset, config)
    shown = dataset.interactions.iloc[impressions.rows]
    context = {
        column.name: column.encoder()(tf.constant(column.values(shown[column.name]))).numpy()
        for column in prepared.context_columns
    }
    return dataclasses.replace(prepared, impressions=impressions, context=context)


def _figures(outcomes: np.ndarray, rates: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    from sklearn.metrics import log_loss, roc_auc_score

    return {
        "log_loss": float(log_loss(outcomes, rates)),
        "auc": float(roc_auc_score(outcomes, rates)),
        "mean_rate": float(rates.mean() / truth.mean()),
    }


def _cells_of_seconds(model: dict[str, float], truth: dict[str, float]) -> list[str]:
    errors = [f"{model['rmse']:.1f}", f"{model['rmse'] / truth['rmse']:.4f}"]
    return [*errors, f"{model['auc']:.4f}", f"{truth['auc']:.4f}", f"{model['mean']:.3f}", f"{model['off_by']:.3f}"]


def _cells(measured: dict[str, dict[str, float]]) -> list[str]:
    model, truth = measured["model"], measured["truth"]
    ratio = model["log_loss"] / truth["log_loss"]
    aucs = [f"{model['auc']:.4f}", f"{truth['auc']:.4f}"]
    return [f"{model['log_loss']:.4f}", f"{ratio:.4f}", *aucs, f"{model['mean_rate']:.3f}"]


if __name__ == "__main__":
    main()
