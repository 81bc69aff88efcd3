"""Who is set beside whom: what each is given, what is tried of it, and how what it returns is measured."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfrec.config import Config

if TYPE_CHECKING:
    from tfrec.evaluation import Report

OWN = "tfrec"
# Recommenders that are trained beside the recipe's own, on its data.
OWN_RECOMMENDERS = {"two_tower": "movielens-100k/two_tower", "jd_tower": "movielens-1m/jd_tower"}
OWN_BASELINES = ("ease", "item_knn", "ials", "bpr")
OWN_RANKERS = ("logistic_regression", "gbdt")
LISTS_METRICS = ("ndcg@10", "hit_rate@10", "recall@50", "coverage@10")
CLICK_METRICS = ("auc", "grouped_auc", "log_loss", "ece")


@dataclass(frozen=True)
class Asked:
    """What the command line asks for.

    Attributes:
        config: Of the recipe.
        recipe: Its name or file.
        overrides: What --set changes of it.
        data_root: Where the data are.
        folder: Of the results.
        epochs: The most; None: each contender's own.
        runs: Trained before, which stand for their models.
    """

    config: Config
    recipe: str
    overrides: Mapping[str, Any]
    data_root: Path
    folder: Path
    epochs: int | None
    runs: Sequence[Path] = ()

    def trained(self, name: str, kind: str, recipe: str, overrides: Mapping[str, Any]) -> "Contender":
        """A model of tfrec's that trains, or is trained."""
        overrides = {**self.overrides, **overrides}
        config = Config.load(recipe, overrides)
        for run in self.runs:
            if json.loads((run / "config.json").read_text(encoding="utf-8"))["model"]["name"] == config.model.name:
                settings = {"kind": kind, "run": str(run), "data_root": str(self.data_root)}
                return Contender(f"{OWN}/{name}", [settings], is_random=False)
        if self.epochs is not None and config.training.epochs > self.epochs:
            overrides["training.epochs"] = self.epochs
        settings = {"kind": kind, "recipe": recipe, "overrides": overrides, "data_root": str(self.data_root)}
        return Contender(f"{OWN}/{name}", [settings])


@dataclass(frozen=True)
class Contender:
    """One row of the table.

    Attributes:
        name: The library, and what of it.
        grid: Settings of which validation chooses.
        is_random: Whether the seed makes a difference.
    """

    name: str
    grid: Sequence[Mapping[str, Any]]
    is_random: bool = True

    @property
    def library(self) -> str:
        return self.name.partition("/")[0]


class Lists:
    """Recommending: what a user does next, among the whole catalogue."""

    metrics = LISTS_METRICS

    def __init__(self, asked: Asked) -> None:
        from tfrec.leaderboard import gather

        self.asked, self.config, self.monitor = asked, asked.config, asked.config.evaluation.monitor
        if self.config.split.kind != "leave_last_out":
            sys.exit(f"Expected split.kind leave_last_out, with one answer a user. Received: {self.config.split.kind}.")
        # Nobody but tfrec's own models reads texts, and they encode them themselves.
        without_text = self.config.model.model_copy(update={"use_text": False})
        self.material = gather(self.config.model_copy(update={"model": without_text}), asked.data_root, OWN_BASELINES)
        split = self.material.split
        arrays = {"num_items": self.material.num_items, "validation_targets": split.validation.targets.values}
        everyone = np.arange(len(split.train), dtype=np.int32)
        parts = {
            "train": (everyone, split.train),
            "validation": (split.validation.users, split.validation.histories),
            "test": (split.test.users, split.test.histories),
        }
        for name, (users, rows) in parts.items():
            arrays |= {f"{name}_users": users, f"{name}_values": rows.values, f"{name}_offsets": rows.offsets}
        _write_once(asked.folder / "split.npz", arrays)

    def contenders(self) -> list[Contender]:
        own = [
            Contender(f"{OWN}/{name}", [{"kind": "baseline", "name": name}], name in ("ials", "bpr"))
            for name in OWN_BASELINES
        ]
        recipes = {name: recipe for name, recipe in OWN_RECOMMENDERS.items() if self.config.data.source != "tables"}
        recipes |= {self.config.model.name: self.asked.recipe}
        source = {"data.source": self.config.data.source}
        own += [self.asked.trained(name, "recommender", recipe, source) for name, recipe in recipes.items()]
        return [*own, *self._peers()]

    def _peers(self) -> list[Contender]:
        def by_epochs(epochs: int, patience: int, **settings: Any) -> list[dict[str, Any]]:
            return [{**settings, "epochs": min(epochs, self.asked.epochs or epochs), "patience": patience}]

        # 128, as they have it, or fewer: of few users an epoch would be a handful of steps, and hundreds were needed.
        fewer = {"batch_size": min(128, 2 ** int(np.log2(max(len(self.material.split.train) / 40, 1))))}
        sasrec_64 = {"n_factors": 64, "n_blocks": 2, "n_heads": 2, "session_max_len": 200}
        return [
            Contender(
                "implicit/item_knn",
                [
                    {"kind": "item_knn", "similarity": similarity, "neighbours": neighbours}
                    for similarity in ("cosine", "tf_idf", "bm25")
                    for neighbours in (100, 20)
                ],
                is_random=False,
            ),
            # Of the same loss over tfrec's unobserved weight: 1 where nothing was done, alpha where it was.
            Contender(
                "implicit/als",
                [
                    {"kind": "als", "alpha": alpha, "regularization": regularization}
                    for alpha in (11.0, 4.3, 2.0)
                    for regularization in (20.0, 5.0, 1.0)
                ],
            ),
            Contender(
                "implicit/bpr",
                [
                    {"kind": "bpr", "learning_rate": rate, "regularization": regularization}
                    for rate in (0.05, 0.1, 0.01)
                    for regularization in (0.01, 0.001)
                ],
            ),
            Contender("rectools/sasrec_64", by_epochs(100, 5, **sasrec_64, **fewer)),
            Contender("rectools/sasrec", by_epochs(100, 5, **fewer)),
            Contender("tfrs/tutorial", by_epochs(30, 3)),
            Contender("keras_rs/sasrec", by_epochs(100, 5, **fewer)),
        ]

    def value(self, arrays: Mapping[str, np.ndarray]) -> float:
        """The monitored metric of validation."""
        return float(self._report("", arrays, "validation").metrics[self.monitor].mean)

    def report(self, name: str, arrays: Mapping[str, np.ndarray]) -> "Report":
        return self._report(name, arrays, "test")

    def _report(self, name: str, arrays: Mapping[str, np.ndarray], part: str) -> "Report":
        from tfrec.evaluation import RecordedLists, evaluate

        cases = getattr(self.material.split, part)
        lists = RecordedLists(
            name, cases.users, arrays[f"{part}_items"], arrays[f"{part}_scores"], self.material.num_items
        )
        return evaluate(lists, cases, self.material.num_items, self.config.evaluation)


class Clicks:
    """Predicting whether what a user is shown is liked."""

    metrics = CLICK_METRICS

    def __init__(self, asked: Asked) -> None:
        from tfrec.datasets import load_dataset, load_impressions

        self.asked, self.config, self.monitor = asked, asked.config, asked.config.evaluation.monitor
        dataset = load_dataset(self.config.data, asked.data_root)
        self.impressions = load_impressions(dataset, self.config)
        _write_once(asked.folder / "impressions.npz", _features(dataset, self.impressions))

    def contenders(self) -> list[Contender]:
        name = self.config.model.name
        own = {name: {}} | {other: {"model.name": other} for other in OWN_RANKERS if other != name}
        leaves = (15, 31, 63, 255)
        return [
            *(self.asked.trained(name, "ranker", self.asked.recipe, overrides) for name, overrides in own.items()),
            *(
                Contender(f"lightgbm/{objective}", [{"objective": objective, "num_leaves": each} for each in leaves])
                for objective in ("binary", "lambdarank")
            ),
        ]

    def value(self, arrays: Mapping[str, np.ndarray]) -> float:
        """The monitored metric of validation."""
        from tfrec.datasets.splits import VALIDATION

        settings = self.config.evaluation.model_copy(update={"bootstrap_samples": 1})
        return float(self._measure("", arrays["validation_logits"], VALIDATION, settings).metrics[self.monitor].mean)

    def report(self, name: str, arrays: Mapping[str, np.ndarray]) -> "Report":
        """Calibrated, all by the recipe's method and by validation."""
        from tfrec.datasets.splits import TEST, VALIDATION
        from tfrec.evaluation import fit_calibration

        labels = self.impressions.labels[self.impressions.parts == VALIDATION]
        calibration = fit_calibration(self.config.model.calibration, arrays["validation_logits"], labels)
        return self._measure(name, calibration(arrays["test_logits"]), TEST, self.config.evaluation)

    def _measure(self, name: str, logits: np.ndarray, part: int, settings: Any) -> "Report":
        from tfrec.evaluation import evaluate_clicks

        asked = self.impressions.parts == part
        return evaluate_clicks(name, self.impressions.labels[asked], logits, self.impressions.users[asked], settings)


def _features(dataset: Any, impressions: Any) -> dict[str, np.ndarray]:
    """Ids and attributes, and how long the history is and how much of it was liked; no label of what is tested."""
    from tfrec.datasets.splits import TEST

    codes, numbers = [impressions.users, impressions.items], []
    tables = (
        (dataset.users, dataset.user_roles, impressions.users),
        (dataset.items, dataset.item_roles, impressions.items),
    )
    for table, roles, rows in tables:
        codes += [table[name].astype("category").cat.codes.to_numpy()[rows] for name in roles.categorical]
        numbers += [table[name].to_numpy(np.float64)[rows] for name in roles.numeric]
        for name in roles.text:  # Genres are a text: words that are few are categories.
            words = table[name].str.get_dummies(", ")
            if words.shape[1] <= 50:
                numbers += list(words.to_numpy(np.float64)[rows].T)
    shown = np.concatenate([[0], np.cumsum(impressions.remembered)])
    liked = np.concatenate([[0.0], np.cumsum(impressions.labels * impressions.remembered, dtype=np.float64)])
    past, first = impressions.past, impressions.first
    length = shown[past] - shown[first]
    share = np.where(length > 0, (liked[past] - liked[first]) / np.maximum(length, 1), np.nan)
    return {
        "codes": np.stack(codes, axis=1),
        "numbers": np.stack([*numbers, length, share], axis=1),
        "parts": impressions.parts,
        "users": impressions.users,
        "labels": np.where(impressions.parts == TEST, np.nan, impressions.labels),
    }


def _write_once(path: Path, arrays: Mapping[str, Any]) -> None:
    """Whole or not at all, and not again: another process may be reading it."""
    if not path.is_file():
        temporary = path.with_suffix(f".{os.getpid()}.npz")
        np.savez(temporary, **arrays)
        temporary.rename(path)
