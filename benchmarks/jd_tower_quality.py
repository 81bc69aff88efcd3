"""JD-Tower's test metrics over several seeds, beside published figures.

    python benchmarks/jd_tower_quality.py --data-root data [--recipes amazon-beauty/jd_tower] [--seeds 0 1 2]
        [--set training.epochs=40] [--folder runs/benchmarks/jd_tower_quality]

Each user's last interaction is tested, among all items but those of the history; validation picks the epoch. What was
published ranks the items that occur in interactions at all, and so there is a second line with those. Every recipe and
seed is a run in a folder of its own, so that a benchmark that was stopped goes on with the same command.
"""

import argparse
from pathlib import Path

from recorded_runs import folder_name, markdown_row, record_run, with_spread, write_lines

RECIPES = ("amazon-beauty/jd_tower", "movielens-1m/jd_tower")

# HR@10 and NDCG@10 of each user's last interaction among all items, by who measured them. HSTU's preprocessing orders
# MovieLens' equal times in its own way, so that another item is the last one of a quarter of the users.
PUBLISHED = {
    "amazon-beauty": {
        "SASRec, as reported": (0.0605, 0.0318),
        "S3-Rec (Zhou et al. 2020)": (0.0647, 0.0327),
        "TIGER (Rajput et al. 2023)": (0.0648, 0.0384),
        "HSTU, as reported": (0.0704, 0.0389),
        "ActionPiece (Hou et al. 2025)": (0.0775, 0.0424),
        "SASRec, run again with a sampled softmax": (0.0921, 0.0531),
        "eSASRec (Tikhonovich et al. 2025)": (0.0928, 0.0523),
    },
    "movielens-1m": {
        "SASRec, as published": (0.1993, 0.1078),
        "SASRec, binary cross-entropy, 1 negative": (0.2392, 0.1259),
        "BERT4Rec (Petrov & Macdonald 2022)": (0.2821, 0.1516),
        "gSASRec (Petrov & Macdonald 2023)": (0.3003, 0.1726),
        "SASRec, full softmax (RecTools)": (0.3058, 0.1779),
        "HSTU (Zhai et al. 2024)": (0.3097, 0.1720),
        "eSASRec (Tikhonovich et al. 2025)": (0.3133, 0.1772),
        "FuXi-α (Ye et al. 2025)": (0.3164, 0.1813),
        "HSTU-large (Zhai et al. 2024)": (0.3294, 0.1893),
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", nargs="+", default=RECIPES, metavar="RECIPE")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="SEED")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings")
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmarks/jd_tower_quality"))
    arguments = parser.parse_args()
    records = {
        recipe: [
            record_run(
                arguments.folder / folder_name(recipe) / f"seed_{seed}",
                recipe,
                [*arguments.settings, f"training.seed={seed}"],
                arguments.data_root,
            )
            for seed in arguments.seeds
        ]
        for recipe in arguments.recipes
    }
    print(markdown_row("data", "model", "HR@10", "NDCG@10", "epochs", "s / epoch"))
    print(markdown_row("---", "---", "--:", "--:", "--:", "--:"))
    for recipe, runs in records.items():
        data, model = recipe.partition("/")[0], runs[0]["model"]
        for name, (hit_rate, ndcg) in PUBLISHED.get(data, {}).items():
            print(markdown_row(data, name, f"{hit_rate:.4f}", f"{ndcg:.4f}", "", ""))
        metrics = [run["metrics"][model] for run in runs]
        for run, measured in zip(runs, metrics, strict=True):
            hit_rate, ndcg = (f"{measured[metric]:.4f}" for metric in ("hit_rate@10", "ndcg@10"))
            seconds = "" if run["seconds_an_epoch"] is None else f"{run['seconds_an_epoch']:.0f}"
            print(markdown_row(data, f"{model}, {run['run']}", hit_rate, ndcg, run["epochs"], seconds))
        occurring = [_among_occurring(arguments.folder / folder_name(recipe) / run["run"]) for run in runs]
        for which, each in (("all items", metrics), ("items with interactions", occurring)):
            hit_rate, ndcg = (with_spread([one[metric] for one in each]) for metric in ("hit_rate@10", "ndcg@10"))
            print(markdown_row(data, f"**{model}**, {which}, mean ± standard deviation", hit_rate, ndcg, "", ""))
    write_lines(arguments.folder / "results.jsonl", [run for runs in records.values() for run in runs])


def _among_occurring(folder: Path) -> dict[str, float]:
    """The test metrics of a run if only items are ranked that occur in training, validation or test."""
    import numpy as np

    from tfrec.evaluation import evaluate
    from tfrec.features.prepared import Prepared
    from tfrec.models.retrieval_model import RetrievalRecommender
    from tfrec.training.run import Run
    from tfrec.training.trainer import load_model

    run = Run.open(folder)
    prepared = Prepared.load(run.prepared)
    split = prepared.split
    occurring = np.unique(
        np.concatenate([split.train.values, split.validation.targets.values, split.test.targets.values])
    )
    settings = run.config.evaluation.model_copy(update={"bootstrap_samples": 1})
    recommender = RetrievalRecommender(load_model(run, prepared))
    report = evaluate(recommender, split.test, len(prepared.counts), settings, occurring)
    return {name: estimate.mean for name, estimate in report.metrics.items()}


if __name__ == "__main__":
    main()
