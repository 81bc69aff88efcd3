"""Will a user give a film four stars or more? All models that predict the click, beside LightGBM, on MovieLens 1M.

    python benchmarks/click_quality.py --data-root data [--models deepfm din ...] [--seeds 0 1 2]
        [--folder runs/benchmarks/click_quality]

The last tenth of each user's ratings is tested, the tenth before validated. LightGBM (pip install lightgbm) sees what a
row of numbers can hold: ids and attributes as categories, how long the whole history is, and how much of it was liked;
no text, and not the history itself. Every model and seed is a run in a folder of its own, so that a benchmark that was
stopped goes on with the same command.
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
    "LightGBM": (RECIPE, []),
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
    if "LightGBM" in arguments.models:
        import lightgbm  # noqa: F401  # Better missed now than after hours.
    arguments.folder.mkdir(parents=True, exist_ok=True)
    records = []
    rows = [markdown_row("model", *METRICS, "ECE before", "best epoch", "s / epoch")]
    rows.append(markdown_row("---", *["--:"] * 8))
    for model in arguments.models:
        recipe, settings = MODELS[model]
        runs = []
        for seed in arguments.seeds:
            if model == "LightGBM":
                runs.append(_lightgbm(recipe, arguments.data_root, seed))
                continue
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


def _lightgbm(recipe: str, data_root: Path, seed: int) -> dict:
    """LightGBM on the same impressions and fields; validation stops it, and calibrates it."""
    import lightgbm

    from tfrec.baselines.clicks import feature_codes
    from tfrec.config import Config, EvaluationConfig
    from tfrec.datasets import load_dataset, split_impressions
    from tfrec.datasets.splits import TEST, TRAINING, VALIDATION
    from tfrec.evaluation import evaluate_clicks, fit_calibration
    from tfrec.training.prepare import prepare_impressions

    config = Config.load(recipe, {"model.use_text": False})
    dataset = load_dataset(config.data, data_root)
    prepared = prepare_impressions(dataset, split_impressions(dataset, config.split), None, config, data_root)
    impressions = prepared.impressions
    codes = feature_codes(prepared, labels_are_known=True)
    *categories, _, _ = codes  # The last two, of the history, are numbers.
    features = np.stack(codes, axis=1).astype(np.float32)
    parts = [impressions.parts == part for part in (TRAINING, VALIDATION, TEST)]
    train, validation, test = ((features[part], impressions.labels[part]) for part in parts)
    model = lightgbm.LGBMClassifier(
        n_estimators=2000, learning_rate=0.05, num_leaves=255, min_child_samples=50, cat_smooth=20, random_state=seed,
        colsample_bytree=0.8, subsample=0.8, subsample_freq=1, verbose=-1,
    )  # fmt: skip
    model.fit(
        *train,
        eval_set=[validation],
        eval_metric="auc",
        categorical_feature=list(range(len(categories))),
        callbacks=[lightgbm.early_stopping(50, first_metric_only=True)],
    )
    of_validation, of_test = (model.predict(each[0], raw_score=True) for each in (validation, test))
    calibration = fit_calibration("platt", of_validation, validation[1])
    users = impressions.users[parts[2]]
    settings = EvaluationConfig(monitor="auc", bootstrap_samples=1)
    predictions = {"lightgbm": of_test, "lightgbm, calibrated": calibration(of_test)}
    reports = {name: evaluate_clicks(name, test[1], each, users, settings) for name, each in predictions.items()}
    return {
        "model": "lightgbm",
        "recipe": recipe,
        "settings": [f"seed={seed}"],
        "best_epoch": model.best_iteration_,
        "seconds_an_epoch": None,
        "metrics": {name: {key: each.mean for key, each in report.metrics.items()} for name, report in reports.items()},
    }


if __name__ == "__main__":
    main()
