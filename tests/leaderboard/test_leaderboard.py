"""Every baseline tuned alike, on the same cases, in one table."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from scipy import sparse

from tests.conftest import Trained
from tfrec.baselines import EASE, Popularity, Random, WeightedHybrid
from tfrec.config import BASELINE_NAMES, HYBRID_NAMES, Config, EvaluationConfig
from tfrec.datasets import Split, split_dataset
from tfrec.datasets.simulator import Simulation
from tfrec.errors import InputError
from tfrec.evaluation import Recommender, evaluate
from tfrec.leaderboard import (
    Entry,
    Leaderboard,
    Material,
    TrainedModel,
    baseline_entries,
    format_leaderboard,
    play,
    verdicts,
    with_context_of,
)
from tfrec.leaderboard.result import size_of

SETTINGS = {"split": "leave_last_out", "cutoffs": (5,)}
CONFIG = EvaluationConfig(cutoffs=(5,), monitor="ndcg@5", bootstrap_samples=50)


@pytest.fixture(scope="module")
def material(simulation: Simulation, config: Config) -> Material:
    dataset = simulation.dataset
    split = split_dataset(dataset, config.split, {"timestamp": dataset.interactions["timestamp"].to_numpy()})
    return Material(split, dataset.num_items, [f"word{item % 7}" for item in range(dataset.num_items)])


def make_board(material: Material, folder: Path, **options: object) -> Leaderboard:
    return Leaderboard(folder, SETTINGS, material.split, material.num_items, CONFIG, **options)


def of_either(material: Material) -> Entry:
    """Chance or popularity, whichever is chosen."""

    def fit(which: str) -> Recommender:
        kind = Popularity if which == "popularity" else Random
        return kind(material.split.train, material.num_items)

    return Entry("either", fit, ({"which": "random"}, {"which": "popularity"}))


def test_chooses_by_validation_and_reports_the_test(material: Material, tmp_path: Path) -> None:
    board = make_board(material, tmp_path)
    assert isinstance(board.add(of_either(material)), Popularity)
    popularity = Popularity(material.split.train, material.num_items)
    result = board.results["either"]
    assert result.parameters == {"which": "popularity"}
    assert result.num_tried == 2
    validated = evaluate(popularity, material.split.validation, material.num_items, CONFIG)
    assert result.validation == pytest.approx(validated.metrics["ndcg@5"].mean)
    tested = evaluate(popularity, material.split.test, material.num_items, CONFIG)
    assert result.report.metrics == tested.metrics


def test_without_tuning_takes_the_first(material: Material, tmp_path: Path) -> None:
    board = make_board(material, tmp_path, is_tuned=False)
    assert isinstance(board.add(of_either(material)), Random)
    assert board.results["either"].num_tried == 1


def test_what_is_finished_is_not_done_again(material: Material, tmp_path: Path) -> None:
    first = make_board(material, tmp_path)
    first.add(of_either(material))

    def fail(which: str) -> Recommender:
        raise AssertionError

    second = make_board(material, tmp_path)
    assert second.add(replace(of_either(material), fit=fail)) is None
    old, new = first.results["either"], second.results["either"]
    assert new.report == old.report
    assert replace(new, report=old.report) == old
    np.testing.assert_array_equal(new.report.per_case["ndcg@5"], old.report.per_case["ndcg@5"])
    # What is made of other parts than before is another one.
    assert second.add(replace(of_either(material), parts=("ease",))) is not None
    assert second.results["either"].parameters["parts"] == ["ease"]


def test_a_folder_with_other_settings_is_refused(material: Material, tmp_path: Path) -> None:
    make_board(material, tmp_path)
    with pytest.raises(InputError, match="another --output"):
        make_board(material, tmp_path, is_tuned=False)


def test_all_play_beside_a_trained_model(material: Material, trained: Trained, tmp_path: Path) -> None:
    model = TrainedModel(trained.run, tmp_path)
    material = replace(material, split=with_context_of(model, material.split))
    names = [name for name in (*BASELINE_NAMES, *HYBRID_NAMES) if name not in ("svd_plus_plus", "bpr", "slim")]
    board = make_board(material, tmp_path, is_tuned=False)
    play(board, material, names, [model])
    # There are no vectors of texts.
    assert set(board.results) == {*names, model.name} - {"similar_texts"}
    blend = board.results["learned_blend"].parameters
    collaborative = board.best(("item_knn", "user_knn", "pure_svd", "soft_impute", "ials", "ease"))
    assert blend["parts"] == [collaborative, "popularity", "tf_idf_texts", model.name]
    assert len(blend["weights"]) == 4
    means = {name: result.report.metrics["ndcg@5"].mean for name, result in board.results.items()}
    # Users have tastes, and no item is liked by all.
    assert max(means["random"], means["popularity"]) < min(means["ease"], means["ials"], means[model.name])
    against, within = verdicts(board, names, [model])
    others = board.ordered([name for name in names if name != "learned_blend"])
    assert against.startswith(f"{others[0].report.name} is ")
    assert f" than {model.name} in ndcg@5" in against
    assert within.startswith("learned_blend is ")
    assert len(verdicts(board, names, [])) == 1
    ordered = board.ordered(names)
    table = Console(width=200, record=True, file=io.StringIO())
    table.print(format_leaderboard(ordered, "ndcg@5", 5))
    shown = [line.split()[0] for line in table.export_text().splitlines() if line.strip()]
    shown = [name for name in shown if name in means]  # The others are what does not fit a line.
    assert set(shown) == set(board.results) - {model.name}
    assert [means[name] for name in shown] == sorted((means[name] for name in shown), reverse=True)
    saved = json.loads((tmp_path / "results" / "ease.json").read_text())
    assert saved["metrics"]["ndcg@5"]["mean"] == means["ease"]


def test_a_run_on_another_split_is_refused(material: Material, trained: Trained, tmp_path: Path) -> None:
    model = TrainedModel(trained.run, tmp_path)
    train = material.split.train
    other: Split = replace(material.split, train=train.where(np.arange(len(train.values)) > 0))
    with pytest.raises(InputError, match="same data and split"):
        with_context_of(model, other)


def test_what_a_catalogue_is_too_large_for_is_told(material: Material) -> None:
    unfit = {entry.name: entry.unfit for entry in baseline_entries(Material(material.split, 50_000)) if entry.unfit}
    assert set(unfit) == {"ease", "slim", "tf_idf_texts", "similar_texts"}
    assert unfit["ease"] == "50,000 items are more than 20,000: it needs 50 GB"


def test_sizes_are_those_of_the_arrays(material: Material) -> None:
    ease = EASE(material.split.train, material.num_items)
    popularity = Popularity(material.split.train, material.num_items)
    assert size_of(ease) == 4 * material.num_items**2
    assert size_of(WeightedHybrid([ease, popularity], [1, 1])) == 4 * material.num_items * (material.num_items + 1)
    assert size_of(sparse.csr_array(np.eye(3, dtype=np.float32))) == 3 * 4 + 3 * 4 + 4 * 4
