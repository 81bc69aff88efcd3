"""Will a user give a film four stars or more? All models that predict the click, on MovieLens 1M.

    python benchmarks/click_quality.py --data-root data [--models deepfm din ...] [--seeds 0 1 2]
        [--folder runs/benchmarks/click_quality]

The last tenth of each user's ratings is tested, the tenth before validated. `gbdt` is LightGBM (pip install
'tfrec[gbdt]'): it sees what a row of numbers can hold, ids and attributes as categories, how long the history is, and
how much of it was liked; no text, and not the history itself. Every model and seed is a run in a folder of its own, so
that a benchmark that was stopped goes on with the same command.
"""

import argparse
from pathlib import Path

import numpy as np
from recorded_runs import markdown_row, record_run, with_spread, write_lines

RECIPE, JD_RECIPE = "movielens-1m/din", "movielens-1m/jd_ranker"
# Ids and attributes, and the one item before.
BARE = ["model.use_text=false", "features.history_labels=false", "features.history_length=1"]
MODELS = {
    "logistic_regression": (RECIPE, ["model.name=logistic_regression", "training.epochs=30"]),
    "gbdt": (
        RECIPE,
        [
            "model.name=gbdt",
            "model.use_text=false",
            "model.num_leaves=255",
            "features.history_length=200",
            "training.learning_rate=0.05",
            "training.epochs=100",
        ],
    ),
    "dnn": (RECIPE, ["model.name=dnn"]),
    "wide_and_deep": (RECIPE, ["model.name=wide_and_deep"]),
    "deepfm": (RECIPE, ["model.name=deepfm"]),
    "deepfm, no text and history": (RECIPE, ["model.name=deepfm", *BARE]),
    "dcn_v2": (RECIPE, ["model.name=dcn_v2"]),
    "din": (RECIPE, []),
    "jd_ranker": (JD_RECIPE, []),
    "jd_ranker, no text": (JD_RECIPE, ["model.use_text=false"]),
}
METRICS = ("auc", "grouped_auc", "log_loss", "normalised_entropy", "ece")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS), metavar="MODEL")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="SEED")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings")
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmarks/click_quality"))
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    records = []
    rows = [markdown_row("model", *METRICS, "ECE before", "best epoch", "s / epoch")]
    rows.append(markdown_row("---", *["--:"] * 8))
    for model in arguments.models:
        recipe, settings = MODELS[model]
        runs = []
        for seed in arguments.seeds:
            folder = arguments.folder / model.replace(", ", "_").replace(" ", "_") / f"seed_{seed}"
            all_settings = [*arguments.settings, *settings, f"training.seed={seed}"]
            runs.append(record_run(folder, recipe, all_settings, arguments.data_root))
        records += runs
        name = runs[0]["model"]
        reports = [run["metrics"].get(f"{name}, calibrated", run["metrics"][name]) for run in runs]
        cells = [with_spread([report[metric] for report in reports]) for metric in METRICS]
        cells.append(with_spread([run["metrics"][name]["ece"] for run in runs]))
        cells.append("/".join(str(run["best_epoch"]) for run in runs))
        seconds = [run["seconds_an_epoch"] for run in runs if run["seconds_an_epoch"]]
        rows.append(markdown_row(model, *cells, f"{np.median(seconds):.0f}" if seconds else ""))
    print("\n".join(rows))
    write_lines(arguments.folder / "results.jsonl", records)


if __name__ == "__main__":
    main()
