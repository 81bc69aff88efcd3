"""How near to the truth do predicted probabilities come? Simulated impressions, whose probabilities are known.

    python benchmarks/click_truth.py [--impressions 5000000] [--users 5000] [--items 500] [--models deepfm dcn_v2 ...]
        [--epochs 4] [--folder runs/benchmarks/click_truth]

The tables are written to files, trained on and tested through the command lines; what is compared is the log-loss of
the tested impressions, whose least possible value is that of the true probabilities. Peak memory is the highest of the
commands so far.
"""

import argparse
import json
import resource
from pathlib import Path

import numpy as np
from recorded_runs import markdown_row, record_run, write_lines

MODELS = ("logistic_regression", "dnn", "deepfm", "dcn_v2")
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
history_length = 20
history_labels = true

[model]
use_text = false
id_dropout = 0.0
embedding_size = 8
hidden_sizes = [64, 32]
dropout = 0.0

[training]
batch_size = 4096
patience = 2

[evaluation]
bootstrap_samples = 1
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=MODELS, metavar="MODEL")
    parser.add_argument("--impressions", type=int, default=5_000_000)
    parser.add_argument("--users", type=int, default=5_000)
    parser.add_argument("--items", type=int, default=500)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmarks/click_truth"))
    arguments = parser.parse_args()
    truth = _write_tables(arguments)
    recipe = arguments.folder / "clicks.toml"
    recipe.write_text(RECIPE.format(folder=arguments.folder.resolve()))
    rows = [markdown_row("model", "log-loss", "times the truth's", "AUC", "the truth's", "ECE", "s / epoch", "peak GB")]
    rows.append(markdown_row("---", *["--:"] * 7))
    records = []
    for model in arguments.models:
        settings = [f"model.name={model}", f"training.epochs={arguments.epochs}"]
        run = record_run(arguments.folder / model, str(recipe), settings, Path("data"))
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
        best = _of_truth(arguments.folder / model, truth)
        report = run["metrics"][f"{model}, calibrated"]
        records.append({**run, "truth": best, "peak_gb": peak})
        ratio = report["log_loss"] / best["log_loss"]
        cells = [f"{report['log_loss']:.4f}", f"{ratio:.4f}", f"{report['auc']:.4f}", f"{best['auc']:.4f}"]
        rows.append(
            markdown_row(model, *cells, f"{report['ece']:.4f}", f"{run['seconds_an_epoch'] or 0:.0f}", f"{peak:.1f}")
        )
    print("\n".join(rows))
    write_lines(arguments.folder / "results.jsonl", records)


def _write_tables(arguments: argparse.Namespace) -> np.ndarray:
    """Writes the tables, once; returns the true probability of each impression."""
    from tfrec.datasets.click_simulator import simulate_clicks

    folder, drawn = arguments.folder, {name: getattr(arguments, name) for name in ("users", "items", "impressions")}
    told, truth = folder / "drawn.json", folder / "truth.npy"
    if told.is_file() and json.loads(told.read_text()) == drawn:
        return np.load(truth)
    folder.mkdir(parents=True, exist_ok=True)
    simulation = simulate_clicks(drawn["users"], drawn["items"], drawn["impressions"])
    dataset = simulation.dataset
    dataset.interactions.to_parquet(folder / "shown.parquet")
    dataset.items.to_parquet(folder / "ads.parquet")
    dataset.users.to_parquet(folder / "people.parquet")
    np.save(truth, simulation.click_rates)
    told.write_text(json.dumps(drawn))
    return simulation.click_rates


def _of_truth(folder: Path, truth: np.ndarray) -> dict[str, float]:
    """What the true probabilities reach on the tested impressions."""
    from tfrec.config import EvaluationConfig
    from tfrec.datasets.splits import TEST
    from tfrec.evaluation import evaluate_clicks
    from tfrec.features.prepared_impressions import PreparedImpressions

    impressions = PreparedImpressions.load(folder / "prepared").impressions
    tested = impressions.parts == TEST
    rates = truth[impressions.rows[tested]]
    settings = EvaluationConfig(monitor="auc", bootstrap_samples=1)
    logits = np.log(rates / (1 - rates))
    report = evaluate_clicks("truth", impressions.labels[tested], logits, impressions.users[tested], settings)
    return {name: estimate.mean for name, estimate in report.metrics.items()}


if __name__ == "__main__":
    main()
