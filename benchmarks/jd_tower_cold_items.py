"""Items that training never saw: a fifth of the catalogue held out, and what finds it.

    python benchmarks/jd_tower_cold_items.py --data-root data [--recipes amazon-beauty/jd_tower] [--epochs 5]
        [--seeds 0 1 2] [--variants "text only" ...] [--folder runs/benchmarks/jd_tower_cold_items]

A tenth of the items is tested and another picks the epoch; neither is in training or in any history. What is ranked is
the held-out items alone. `recall@10` counts, of the held-out items that a user went on to, those among the first
ten. Every variant and seed is a run in a folder of its own, so that a benchmark that was stopped goes on with the same
command; a seed also draws the items.
"""

import argparse
from pathlib import Path

from recorded_runs import folder_name, markdown_row, record_run, with_spread, write_lines

RECIPES = ("amazon-beauty/jd_tower", "movielens-1m/jd_tower")
SPLIT = [
    "split.kind=cold_items",
    "split.validation_fraction=0.1",
    "split.test_fraction=0.1",
    "evaluation.monitor=recall@10",
]
# Whitened texts lose what finds them when they are cut down to a few dimensions; and who begins as the similarity of
# texts need not learn it.
MODEL = [
    "model.embedding_size=256",
    "model.dropout=0.2",
    "model.start_from_mean=true",
    "model.loss=sampled_softmax",
    "model.num_negatives=1024",
]

# An item without an embedding of its own has that of the unknown item, which only id_dropout trains.
VARIANTS = {
    "text only": ["model.use_id=false"],
    "id and text, ids dropped out": ["model.id_dropout=0.5"],
    "id only": ["model.use_text=false"],
}
METRICS = ("recall@10", "ndcg@10")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", nargs="+", default=RECIPES, metavar="RECIPE")
    parser.add_argument(
        "--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), metavar="VARIANT", help=", ".join(VARIANTS)
    )
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="SEED")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings")
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmarks/jd_tower_cold_items"))
    arguments = parser.parse_args()
    records = []
    rows = [markdown_row("data", "recommender", *METRICS), markdown_row("---", "---", "--:", "--:")]
    for recipe in arguments.recipes:
        data = recipe.partition("/")[0]
        for variant in arguments.variants:
            differing = VARIANTS[variant]
            runs = []
            for seed in arguments.seeds:
                settings = [
                    *SPLIT,
                    *MODEL,
                    *arguments.settings,
                    *differing,
                    f"training.epochs={arguments.epochs}",
                    f"training.seed={seed}",
                    f"split.seed={seed}",
                ]
                folder = arguments.folder / folder_name(recipe) / "+".join(differing) / f"seed_{seed}"
                record = record_run(folder, recipe, settings, arguments.data_root)
                record["metrics"] |= _nearest_texts(folder)
                runs.append({"variant": variant, **record})
            records += runs
            # The test is the same for all variants: the baselines are shown once.
            model = runs[0]["model"]
            names = runs[0]["metrics"] if variant == arguments.variants[0] else [model]
            for name in names:
                metrics = [with_spread([run["metrics"][name][metric] for run in runs]) for metric in METRICS]
                rows.append(markdown_row(data, f"{name}, {variant}" if name == model else name, *metrics))
    print("\n".join(rows))
    write_lines(arguments.folder / "results.jsonl", records)


def _nearest_texts(folder: Path) -> dict[str, dict[str, float]]:
    """What tfrec.evaluate leaves out, since it takes long: the items whose text is most like one of the history's."""
    from tfrec.baselines import ContentSimilarity
    from tfrec.evaluation import evaluate
    from tfrec.features.prepared import Prepared
    from tfrec.features.vocabulary import NUM_SPECIAL
    from tfrec.training.run import Run

    run = Run.open(folder)
    prepared = Prepared.load(run.prepared)
    if "text" not in prepared.items.arrays:
        return {}
    vectors, split = prepared.items.arrays["text"][NUM_SPECIAL:], prepared.split
    baseline = ContentSimilarity(vectors, "max")
    report = evaluate(baseline, split.test, len(vectors), run.config.evaluation, split.candidates)
    return {report.name: {name: estimate.mean for name, estimate in report.metrics.items()}}


if __name__ == "__main__":
    main()
