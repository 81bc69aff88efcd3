"""What each part of JD-Tower gives, on Amazon Beauty: the recipe, with one thing changed at a time.

    python benchmarks/jd_tower_ablation.py --data-root data [--epochs 12] [--seeds 0] [--variants "id only" ...]
        [--users 3000] [--differences] [--folder runs/benchmarks/jd_tower_ablation]

--users draws so many users, and leaves out the others and the items that are theirs alone: a backbone that is trained
takes hours an epoch otherwise, without a GPU. --differences tests each variant once more, case by case beside the first
of its part: the difference of their NDCG@10, averaged over the seeds, with the 95 % interval of the paired bootstrap.

Every variant and seed is a run in a folder of its own, so that a benchmark that was stopped goes on with the same
command.
"""

import argparse
import statistics
from pathlib import Path

import numpy as np
import pandas as pd
from recorded_runs import markdown_row, record_run, test_values, with_spread, write_lines

RECIPE = "amazon-beauty/jd_tower"

# What differs from the recipe. Trained backbones encode the batch's items in each step, and so are compared with a
# frozen one under the same loss.
SAMPLED = ["model.loss=sampled_softmax"]
VARIANTS: dict[str, dict[str, list[str]]] = {
    "the item is known by": {
        "id and text": [],
        "id only": ["model.use_text=false"],
        "text only": ["model.use_id=false"],
    },
    "the user is": {
        "GPT, 2 blocks": [],
        "GPT, 1 block": ["model.num_layers=1"],
        "GPT over the words": ["model.user_tower=gpt_text", "features.history_length=10", "model.item_tokens=24"],
        "the history's mean": ["model.user_tower=mean"],
        "two_tower (weighted mean, in-batch softmax)": ["model.name=two_tower", "training.batch_size=1024"],
    },
    "the loss is": {
        "full softmax": [],
        "sampled softmax": SAMPLED,
        "gBCE": ["model.loss=gbce"],
        "in-batch softmax (TFRS)": ["model.loss=in_batch"],
    },
    "the head is": {
        "none": [],
        "linear": ["model.head=linear"],
        "MLP": ["model.head=mlp"],
        "Transformer": ["model.head=transformer"],
    },
    "the text backbone is": {
        "frozen": SAMPLED,
        "trained by LoRA": [*SAMPLED, "backbone.tuning=lora"],
        "trained in full": [*SAMPLED, "backbone.tuning=full"],
    },
    "sequences are": {
        "as they are": [],
        "cropped": ['features.augmentation.sequences=["crop"]'],
        "masked": ['features.augmentation.sequences=["mask"]'],
        "reordered": ['features.augmentation.sequences=["reorder"]'],
        "with similar items inserted": ['features.augmentation.sequences=["insert"]'],
        "with similar items substituted": ['features.augmentation.sequences=["substitute"]'],
        "with items of similar texts substituted": [
            'features.augmentation.sequences=["substitute"]',
            "features.augmentation.similarity=text",
        ],
    },
    "texts are": {
        "as they are": [],
        "varied, 4 variants": ["features.augmentation.text_variants=4"],
    },
}
METRICS = ("hit_rate@10", "ndcg@10")


def main() -> None:
    names = [name for variants in VARIANTS.values() for name in variants]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variants", nargs="+", choices=names, default=names, metavar="VARIANT", help=", ".join(names))
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], metavar="SEED")
    parser.add_argument("--users", type=int, help="all, if not given")
    parser.add_argument("--differences", action="store_true", help="test each variant beside the first of its part")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings")
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmarks/jd_tower_ablation"))
    arguments = parser.parse_args()
    if arguments.users is not None:
        arguments.settings += _draw_users(arguments.users, arguments.data_root, arguments.folder)
    records = []
    heading = ["part", "variant", "validation", "HR@10", "NDCG@10", "best epoch", "s / epoch"]
    heading += ["less the first"] * arguments.differences
    rows = [markdown_row(*heading), markdown_row("---", "---", *["--:"] * (len(heading) - 2))]
    for part, variants in VARIANTS.items():
        first: np.ndarray | None = None
        for variant in (name for name in variants if name in arguments.variants):
            runs = []
            # Named after what differs, so that equal runs are trained once.
            folders = {
                seed: arguments.folder / ("+".join(variants[variant]) or "recipe") / f"seed_{seed}"
                for seed in arguments.seeds
            }
            for seed, folder in folders.items():
                settings = [
                    *arguments.settings,
                    *variants[variant],
                    f"training.epochs={arguments.epochs}",
                    f"training.seed={seed}",
                ]
                runs.append(
                    {"part": part, "variant": variant, **record_run(folder, RECIPE, settings, arguments.data_root)}
                )
            records += runs
            difference = ""
            if arguments.differences:
                values = sum(test_values(folder, METRICS[-1], arguments.data_root) for folder in folders.values())
                values /= len(folders)
                difference = "" if first is None else _with_interval(values - first)
                first = values if first is None else first
            # A model with a head is there twice: by what it retrieves, then with that ranked by the head.
            models = [name for name in runs[0]["metrics"] if name.startswith(("jd_tower", "two_tower"))]
            for model in models:
                metrics = [with_spread([run["metrics"][model][metric] for run in runs]) for metric in METRICS]
                if len(runs) == 1:
                    low, high = runs[0]["intervals"][model][METRICS[-1]]
                    metrics[-1] += f" [{low:.3f}, {high:.3f}]"
                name = variant if model == models[0] else f"{variant}: {model}"
                validation = with_spread([run["validation"] for run in runs]) if model == models[0] else ""
                epochs = "/".join(str(run["best_epoch"]) for run in runs)
                seconds = [run["seconds_an_epoch"] for run in runs if run["seconds_an_epoch"] is not None]
                cells = [validation, *metrics, epochs, f"{statistics.median(seconds):.0f}" if seconds else ""]
                cells += [difference if model == models[0] else ""] * arguments.differences
                rows.append(markdown_row(part, name, *cells))
    print("\n".join(rows))
    write_lines(arguments.folder / "results.jsonl", records)


def _with_interval(differences: np.ndarray) -> str:
    from tfrec.evaluation.bootstrap import bootstrap_interval

    low, high = bootstrap_interval(differences[:, None], confidence=0.95, samples=2000, seed=0)
    return f"{differences.mean():+.4f} [{low[0]:+.4f}, {high[0]:+.4f}]"


def _draw_users(num_users: int, data_root: Path, folder: Path) -> list[str]:
    """Writes tables of some users alone; returns the settings that read them."""
    folder.mkdir(parents=True, exist_ok=True)
    interactions, items = (
        pd.read_csv(data_root / "amazon-beauty" / name, sep=separator, dtype="str", keep_default_na=False)
        for name, separator in (("interactions.csv.gz", ","), ("items.tsv.gz", "\t"))
    )
    users = interactions["user_id"].drop_duplicates().sample(num_users, random_state=0)
    interactions = interactions[interactions["user_id"].isin(users)]
    settings = []
    for name, table in (
        ("interactions", interactions),
        ("items", items[items["item_id"].isin(interactions["item_id"])]),
    ):
        path = (folder / f"{name}_of_{num_users}_users.csv").resolve()
        table.to_csv(path, index=False)
        settings.append(f'data.{name}.path="{path}"')
    return settings


if __name__ == "__main__":
    main()
