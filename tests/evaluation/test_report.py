"""Reports, their table and their comparison."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from tfrec.config import EvaluationConfig
from tfrec.errors import InputError
from tfrec.evaluation import Background, Comparison, Estimate, Report, compare, evaluate, format_cohorts, format_table

from .examples import Table, cases

CONFIG = EvaluationConfig(cutoffs=(1, 2), monitor="ndcg@2", bootstrap_samples=200)
# Both users prefer item 0, then 1, 2, 3; user 0 has seen 0.
SCORES = [[4, 3, 2, 1], [4, 3, 2, 1]]
CASES = cases([[0], []], [[2], [0]])


def with_values(name: str, values: list[float]) -> Report:
    mean = Estimate(float(np.mean(values)), 0.0, 1.0)
    return Report(name, len(values), 0.95, {"ndcg@2": mean}, {"ndcg@2": np.array(values)})


def test_evaluate_measures_every_metric_at_every_cutoff() -> None:
    report = evaluate(Table(SCORES), CASES, 4, CONFIG)
    assert (report.name, report.num_cases, report.confidence) == ("table", 2, 0.95)
    # User 0's target has rank 2, user 1's rank 1; NDCG at 2 is 1/log2(3) = 0.63093 and 1, their mean 0.81546.
    assert {metric: estimate.mean for metric, estimate in report.metrics.items()} == pytest.approx(
        {
            "recall@1": 0.5,
            "recall@2": 1,
            "hit_rate@1": 0.5,
            "hit_rate@2": 1,
            "ndcg@1": 0.5,
            "ndcg@2": 0.81546,
            "mrr@1": 0.5,
            "mrr@2": 0.75,
            # Recommended are 1, 2 to user 0 and 0, 1 to user 1: at 1 two of four items, at 2 three.
            "coverage@1": 0.5,
            "coverage@2": 0.75,
        },
        abs=1e-5,
    )
    # Two cases of 0 and 1: resamples of both alone are common enough to be the ends.
    assert report.metrics["recall@1"] == (0.5, 0, 1)
    assert report.metrics["coverage@1"] == (0.5, None, None)
    assert report.per_case["mrr@2"].tolist() == [0.5, 1]


def test_evaluate_counts_coverage_among_candidates() -> None:
    # Without item 1, user 0 gets 2, 3 and user 1 gets 0, 2: all three candidates.
    report = evaluate(Table(SCORES), CASES, 4, CONFIG, candidates=np.array([0, 2, 3]))
    assert report.metrics["coverage@2"].mean == 1
    assert report.metrics["recall@1"].mean == 1


def test_what_is_sampled_is_labelled_and_not_set_beside_what_is_not() -> None:
    config = CONFIG.model_copy(update={"num_negatives": 1})
    background = Background(np.ones(4, int), np.ones(2, int))
    whole = evaluate(Table(SCORES), CASES, 4, CONFIG)
    report = evaluate(Table(SCORES), CASES, 4, config, background=background)
    # Each target is among two. User 1's is always the first of them.
    assert report.per_case["recall@2"].tolist() == [1, 1]
    assert report.per_case["recall@1"][1] == 1
    assert not report.beyond and not any(name.startswith("coverage") for name in report.metrics)
    saved = json.loads(json.dumps(report.to_dict()))
    assert saved["sampled_negatives"] == saved["cohorts"]["users known"]["sampled_negatives"] == 1
    assert Report.from_dict(saved) == report
    assert "sampled_negatives" not in whole.to_dict()
    console = Console(width=120)
    with console.capture() as capture:
        console.print(format_table([report]))
        console.print(format_cohorts([report], "ndcg@2"))
    assert " ".join(capture.get().split()).count("SAMPLED: among 1 drawn items a case") == 2
    with pytest.raises(InputError, match="1 and all"):
        compare(report, whole, "ndcg@2", CONFIG)
    with pytest.raises(InputError, match="confidence and sample"):
        format_table([report, replace(report, num_negatives=None)])


def test_evaluate_refuses_an_empty_set() -> None:
    with pytest.raises(InputError, match="at least one case"):
        evaluate(Table(SCORES), cases([], []), 4, CONFIG)


def test_a_report_survives_json() -> None:
    report = evaluate(Table(SCORES), CASES, 4, CONFIG)
    assert Report.from_dict(json.loads(json.dumps(report.to_dict()))) == report


@pytest.mark.parametrize(
    "saved", [{}, {"name": "a", "num_cases": 1, "confidence": 0.9, "metrics": {"mrr@1": {"m": 1}}}]
)
def test_a_damaged_report_is_refused(saved: dict[str, object]) -> None:
    with pytest.raises(InputError, match="saved evaluation report"):
        Report.from_dict(saved)


def test_the_table_has_the_best_in_bold() -> None:
    def report(name: str, ndcg: float, coverage: float) -> Report:
        return Report(
            name, 1200, 0.95, {"ndcg@10": Estimate(ndcg, ndcg - 0.1, ndcg + 0.1), "coverage@10": Estimate(coverage)}
        )

    console = Console(width=120, force_terminal=True, color_system="standard", legacy_windows=False)
    with console.capture() as capture:
        console.print(format_table([report("two[tower]", 0.25, 0.5), report("random", 0.125, 0.875)]))
    shown = capture.get()
    assert "1,200 cases, 95% bootstrap intervals" in shown
    assert "two[tower]" in shown
    bold = r"\x1b\[1m *"
    assert re.search(bold + r"0\.2500 \[\.150, \.350\]", shown)
    assert "0.1250 [.025, .225]" in shown and not re.search(bold + r"0\.1250", shown)
    assert "0.8750" in shown and not re.search(bold + r"0\.8750", shown)


def test_the_table_refuses_what_is_not_side_by_side() -> None:
    for reports in ([], [with_values("a", [1, 0]), with_values("b", [1, 0, 1])]):
        with pytest.raises(InputError, match="same cases"):
            format_table(reports)


def test_popularity_wins_significantly() -> None:
    # Each of twenty cases is 0.1 worse: every resample's mean difference is -0.1.
    comparison = compare(
        with_values("model", [0.2, 0.6] * 10), with_values("popularity", [0.3, 0.7] * 10), "ndcg@2", CONFIG
    )
    assert comparison.difference == pytest.approx((-0.1, -0.1, -0.1))
    assert comparison.baseline_wins and comparison.significant
    assert str(comparison) == (
        "popularity is better than model in ndcg@2: model - popularity = -0.1000, "
        "95% interval [-0.1000, -0.1000], significant"
    )


def test_one_bad_case_is_not_significant() -> None:
    # One of three cases is worse, none better: the resamples without it, 8 of 27, have the difference 0.
    comparison = compare(with_values("model", [0, 1, 1]), with_values("popularity", [1, 1, 1]), "ndcg@2", CONFIG)
    assert comparison.baseline_wins and not comparison.significant
    assert str(comparison).endswith("not significant")


def test_a_model_may_win_or_draw() -> None:
    better, worse = with_values("model", [1, 1]), with_values("popularity", [0.5, 0.5])
    comparison = compare(better, worse, "ndcg@2", CONFIG)
    assert comparison.significant and not comparison.baseline_wins
    assert "popularity is worse than model" in str(comparison)
    draw = compare(better, better, "ndcg@2", CONFIG)
    assert not draw.significant and not draw.baseline_wins
    assert "is as good as" in str(draw)


def test_compare_is_sharper_than_the_intervals() -> None:
    # Values far apart, differences small and steady: the two intervals overlap and the difference is significant.
    values = np.repeat([0.0, 0.5], 50)
    model, popularity = with_values("model", (values + 0.01).tolist()), with_values("popularity", values.tolist())
    assert compare(model, popularity, "ndcg@2", CONFIG).significant


def test_compare_needs_values_of_the_same_cases() -> None:
    report = with_values("model", [0, 1])
    with pytest.raises(InputError, match="for each case in the report on 'model'"):
        compare(Report.from_dict(report.to_dict()), report, "ndcg@2", CONFIG)
    with pytest.raises(InputError, match="2 and 3"):
        compare(report, with_values("popularity", [0, 1, 1]), "ndcg@2", CONFIG)


def test_an_interval_that_touches_zero_is_not_significant() -> None:
    assert not Comparison("a", "b", "mrr@1", Estimate(0.1, 0.0, 0.2), 0.95).significant
    assert Comparison("a", "b", "mrr@1", Estimate(0.1, 0.01, 0.2), 0.95).significant


def test_four_recommenders_fit_a_terminal() -> None:
    reports = [
        Report(name, 10, 0.95, {"hit_rate@50": Estimate(0.25, 0.15, 0.35), "coverage@50": Estimate(0.5)})
        for name in ("two_tower", "popularity", "random", "nearest_texts")
    ]
    console = Console(width=80)
    with console.capture() as capture:
        console.print(format_table(reports))
    lines = [" ".join(line.split()) for line in capture.get().splitlines()]
    place = lines.index(" ".join(["hit_rate@50", *["0.2500"] * 4]))
    assert lines[place + 1] == " ".join(["[.150, .350]"] * 4)
    assert lines[place + 2] == " ".join(["coverage@50", *["0.5000"] * 4])
