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
from tfrec.datasets import Ragged, Split, split_dataset
from tfrec.datasets.simulator import Simulation
from tfrec.errors import InputError
from tfrec.evaluation import Estimate, Recommender, Report, compare, evaluate
from tfrec.leaderboard import (
    Entry,
    Leaderboard,
    Material,
    TrainedModel,
    baseline_entries,
    format_leaderboard,
    hybrid_entries,
    play,
    verdicts,
    with_context_of,
)
from tfrec.leaderboard.result import Result, size_of

SETTINGS = {"split": "leave_last_out", "cutoffs": (5,)}
CONFIG = EvaluationConfig(cutoffs=(5,), monitor="ndcg@5", bootstrap_samples=50)


@pytest.fixture(scope="module")
def material(simulation: Simulation, config: Config) -> Material:
    dataset = simulation.dataset
    split = split_dataset(dataset, config.split, ["timestamp"])
    return Material(split, dataset.num_items, [f"word{item % 7}" for item in range(dataset.num_items)])


def make_board(material: Material, folder: Path, **options: object) -> Leaderboard:
    return Leaderboard(folder, SETTINGS, material.split, material.num_items, CONFIG, **options)


def of_either(material: Material) -> Entry:
    """Chance or popularity, whichever is chosen."""

    def fit(which: str) -> Recommender:
        kind = Popularity if which == "popularity" else Random
        return kind(material.split.train, material.num_items)

    return Entry("either", fit, {"which": ("random", "popularity")}, history_lengths=(None,))


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


class Distracted:
    """Popularity, to whom more than two items say nothing."""

    def __init__(self, popularity: Popularity) -> None:
        self.popularity = popularity

    def score(self, users: np.ndarray, histories: Ragged) -> np.ndarray:
        return self.popularity.score(users, histories) * (histories.lengths <= 2)[:, None]


def test_chooses_how_much_of_a_history_is_read(material: Material, tmp_path: Path) -> None:
    popularity = Popularity(material.split.train, material.num_items)
    fitted = []

    def fit(number: int) -> Recommender:
        fitted.append(number)
        return Distracted(popularity)

    board = make_board(material, tmp_path)
    entry = Entry("distracted", fit, {"number": (1, 2)}, history_lengths=(None, 3, 2, 1))
    board.add(entry)
    result = board.results["distracted"]
    assert result.parameters == {"number": 1, "history_length": 2}
    assert (fitted, result.num_tried) == ([1, 2], 5)
    tested = evaluate(popularity, material.split.test, material.num_items, CONFIG)
    assert result.report.metrics["ndcg@5"] == tested.metrics["ndcg@5"]
    again = entry.build(**result.parameters)
    assert evaluate(again, material.split.test, material.num_items, CONFIG).metrics == tested.metrics


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


def test_a_folder_of_another_tfrec_or_of_something_else_is_refused(
    material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_board(material, tmp_path / "results")
    with monkeypatch.context() as patch:
        patch.setattr("tfrec.leaderboard.leaderboard._code_digest", lambda: "another")
        with pytest.raises(InputError, match=r"results with other code\."):
            make_board(material, tmp_path / "results")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.json").write_text("{}")
    with pytest.raises(InputError, match="Received: other files"):
        make_board(material, tmp_path / "run")
    assert [each.name for each in (tmp_path / "run").iterdir()] == ["metrics.json"]


def test_the_digest_is_of_all_that_baselines_read(material: Material) -> None:
    split = material.split
    values = split.train.values.copy()
    values[0] = values[-1]
    changed = [
        replace(material, split=replace(split, train=replace(split.train, values=values))),
        replace(material, split=replace(split, train=replace(split.train, context={}))),
        replace(material, split=replace(split, test=split.validation)),
        replace(material, split=replace(split, candidates=np.arange(3, dtype=np.int32))),
        replace(material, texts=["word", *list(material.texts or [])[1:]]),
        replace(material, num_items=material.num_items + 1),
    ]
    assert material.digest() == replace(material).digest()
    assert len({material.digest(), *(each.digest() for each in changed)}) == 1 + len(changed)


def test_what_was_made_of_a_model_that_was_trained_again_is_made_again(material: Material, tmp_path: Path) -> None:
    popularity = Popularity(material.split.train, material.num_items)
    first = make_board(material, tmp_path)
    first.test("model (runs/a)", popularity, material.split.test, digest="old")
    first.test("model (runs-a)", popularity, material.split.test, digest="old")
    blend = replace(of_either(material), name="blend", parts=("ease", "model (runs/a)"))
    assert first.add(blend) is not None
    again = make_board(material, tmp_path)
    assert set(again.results) == {"model (runs/a)", "model (runs-a)", "blend"}
    again.test("model (runs-a)", popularity, material.split.test, digest="new")
    again.test("model (runs/a)", popularity, material.split.test, digest="old")
    assert again.add(blend) is None
    again.test("model (runs/a)", popularity, material.split.test, digest="new")
    assert again.add(blend) is not None


def test_what_is_killed_while_it_forgets_forgets_again(
    material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    popularity = Popularity(material.split.train, material.num_items)
    board = make_board(material, tmp_path)
    board.test("model", popularity, material.split.test, digest="old")
    blend = replace(of_either(material), name="blend", parts=("model",))
    board.add(blend)

    def kill(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("tfrec.leaderboard.leaderboard.write_json", kill)
        with pytest.raises(KeyboardInterrupt):
            board.test("model", popularity, material.split.test, digest="new")
    after = make_board(material, tmp_path)
    after.test("model", popularity, material.split.test, digest="new")
    assert after.add(blend) is not None


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
    against, within, p_values = verdicts(board, names, [model])
    others = board.ordered([name for name in names if name != "learned_blend"])
    assert against.startswith(f"{others[0].report.name} is ")
    assert f" than {model.name} in ndcg@5" in against
    assert within.startswith("learned_blend is ")
    # One p-value for each that the model has no part in, and each is raised.
    told = dict(each.rsplit(" ", 1) for each in p_values.partition("correction): ")[2].split(", "))
    assert list(told) == [each.report.name for each in others]
    alone = compare(board.results[model.name].report, board.results["random"].report, "ndcg@5", CONFIG)
    assert alone.p_value is not None
    assert alone.p_value < float(told["random"]) <= alone.p_value * len(told) + 1e-4
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


class Fixed:
    """Four items in order, or turned round."""

    def __init__(self, direction: int) -> None:
        self.order = np.arange(4, dtype=np.float32)[::direction]

    def score(self, users: np.ndarray, histories: Ragged) -> np.ndarray:
        return np.tile(self.order, (len(users), 1))


def test_hybrids_are_mostly_collaborative_and_of_texts_for_short_histories(material: Material) -> None:
    collaborative, content = Fixed(1), Fixed(-1)
    entries = {
        entry.name: entry for entry in hybrid_entries(material, ("ease", collaborative), ("tf_idf_texts", content))
    }
    histories = Ragged.from_lengths(np.zeros(13, np.int32), np.array([2, 11]))
    defaults = {name: values[0] for name, values in entries["weighted_hybrid"].choices.items()}
    weighted = entries["weighted_hybrid"].fit(**defaults).score(np.arange(2), histories)
    assert weighted.argmax(axis=1).tolist() == [3, 3]
    switching = entries["switching_hybrid"].fit(minimum_length=3).score(np.arange(2), histories)
    assert switching.argmax(axis=1).tolist() == [0, 3]
    assert entries["learned_blend"].parts == ("ease", "popularity", "tf_idf_texts")


def test_a_blend_learns_from_validation_alone(material: Material, monkeypatch: pytest.MonkeyPatch) -> None:
    given = []
    monkeypatch.setattr("tfrec.leaderboard.entries.LearnedBlend", lambda *arguments, **named: given.append(arguments))
    *_, blend = hybrid_entries(material, ("ease", Fixed(1)), None)
    blend.fit(normalisation="z")
    assert given[0][1] is material.split.validation


def test_a_run_with_other_cases_is_refused(material: Material, trained: Trained, tmp_path: Path) -> None:
    model, split = TrainedModel(trained.run, tmp_path), material.split
    with pytest.raises(InputError, match="same data and split"):
        with_context_of(model, replace(split, test=split.validation))


def test_a_terminal_of_80_columns_shows_every_figure() -> None:
    metrics = {"ndcg@10": Estimate(0.2681, 0.1994, 0.3412), "recall@10": Estimate(0.55), "coverage@10": Estimate(0.85)}
    name, parameters = "two_tower (runs/movielens-100k/two_tower)", {"similarity": "adjusted_cosine", "neighbours": 100}
    result = Result(Report(name, 60, 0.95, metrics), parameters, 16, 0.3, 1234.5, 700 * 2**20)
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(format_leaderboard([result], "ndcg@10", 10))
    shown = console.export_text()
    assert "…" not in shown
    for cell in ("0.2681", "[.199, .341]", "0.5500", "0.8500", "1,234.5 s", "700.0 MiB"):
        assert cell in shown
    assert f"{name}: similarity adjusted_cosine; neighbours 100" in " ".join(shown.split())


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
