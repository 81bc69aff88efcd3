"""The page of a run, as a browser would read it."""

import json
from pathlib import Path

import pytest

from tests.pages.html import SCRIPT, Page, evaluated, report, run_in
from tfrec.errors import InputError
from tfrec.evaluation import Estimate, Reliability, Report
from tfrec.pages.findings import ClickExample, Findings, Shown, Table
from tfrec.pages.run_page import run_page, write_run_page
from tfrec.training.commands import Command, note_command


def test_the_page_states_the_figures(tmp_path: Path) -> None:
    run = evaluated(tmp_path / "run")
    versions = {"python": "3.11", "tfrec": "0.1.0"}
    note_command(run, Command("python -m tfrec.train 'a b'", "2026-11-28T14:05:00+00:00", 83.4, versions))
    write_run_page(run)
    page = Page(run.page.read_text(encoding="utf-8"))
    page.check()
    assert "two_tower on movielens-100k" in page.text
    assert (
        "two_tower is better than popularity, the best baseline: ndcg@10 0.1234 against 0.0500 (+0.0734, 95% interval "
        "+0.0534 to +0.0934, p = 0.01)." in page.text
    )
    # recall@10, coverage@10, the cohort of 40, novelty, the best epoch, times, the data, a setting, the command.
    for figure in ("0.2234", "0.2500", "10-49 (40)", "7.5000", "epoch 2: 0.0987", "4,321 weights", "4.0 s in all",
                   "987 interactions", "6.2%", "0.6303", "3 users were left out.", "training.seed", "1 min 23 s",
                   "python -m tfrec.train 'a b'", "2026-11-28 14:05:00 UTC", "python 3.11"):  # fmt: skip
        assert figure in page.text, figure
    assert "No user of the test is new under split.kind = leave_last_out" in page.text
    assert page.tags["details"] == 2


def test_a_title_can_do_no_harm(tmp_path: Path) -> None:
    page = Page(run_page(evaluated(tmp_path / "run")))
    page.check()
    assert page.text.count(SCRIPT) == 3  # In the history, as target, and recommended.


@pytest.mark.parametrize(
    ("ndcg", "p_value", "kind", "sentence"),
    [
        (0.06, 0.2, "unclear", "Whether two_tower is better than popularity, the best baseline, cannot be told"),
        (0.04, 0.2, "bad", "popularity is better than two_tower, though not significantly"),
        (0.04, 0.01, "bad", "popularity is better than two_tower, significantly"),
    ],
)
def test_the_verdict(ndcg: float, p_value: float, kind: str, sentence: str, tmp_path: Path) -> None:
    page = Page(run_page(evaluated(tmp_path / "run", ndcg, p_value)))
    assert sentence in page.text
    assert ("p", "class", f"verdict {kind}") in page.attributes


def test_what_an_earlier_tfrec_left_out_is_said(tmp_path: Path) -> None:
    run = run_in(tmp_path / "run")
    run.metrics.write_text(json.dumps([Report("two_tower", 9, 0.95, {"ndcg@10": Estimate(0.1, 0.05, 0.2)}).to_dict()]))
    page = Page(run_page(run))
    page.check()
    assert "0.1000" in page.text
    assert "there is no baseline to hold it against" in page.text
    # Comparisons, training, cohorts, beyond accuracy, examples, data.
    assert page.text.count("Evaluate it again: python -m tfrec.evaluate") == 6
    assert "No command was noted" in page.text


def test_a_run_that_was_not_evaluated(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"python -m tfrec\.evaluate"):
        run_page(run_in(tmp_path / "run"))


def test_findings_of_another_version_are_refused(tmp_path: Path) -> None:
    run = evaluated(tmp_path / "run")
    saved = json.loads(run.findings.read_text())
    run.findings.write_text(json.dumps({**saved, "version": 2}))
    with pytest.raises(InputError, match="Evaluate the run again"):
        run_page(run)


def test_findings_survive_json(tmp_path: Path) -> None:
    run = evaluated(tmp_path / "run")
    found = Findings.load(run.findings)
    assert found is not None
    # A metric that nobody has is NaN.
    unknown = found.model_copy(update={"tables": (Table("", ("a",), (), per_case=(float("nan"),)),)})
    unknown.save(run.findings)
    read = Findings.load(run.findings)
    assert read is not None and str(read) == str(unknown)


def test_a_model_that_predicts_the_click(tmp_path: Path) -> None:
    tables = {"data.source": "tables", "data.interactions.path": "shown.csv", "data.interactions.outcomes": ["bought"]}
    run = run_in(tmp_path / "run", **{"model.name": "mmoe", **tables})
    names = ["mmoe, calibrated", "random", "bought: mmoe, calibrated", "bought: random"]
    metrics = {"auc": Estimate(0.75, 0.7, 0.8), "log_loss": Estimate(0.5, 0.4, 0.6), "ece": Estimate(0.0123)}
    run.metrics.write_text(json.dumps([Report(name, 400, 0.95, metrics).to_dict() for name in names]))
    found = Findings.load(evaluated(tmp_path / "other").findings)
    assert found is not None
    parts = tuple(
        Table(
            task,
            (f"{prefix}mmoe, calibrated",),
            (f"{prefix}random",),
            reliability=(
                Reliability(
                    f"{prefix}mmoe, calibrated",
                    (0.1, 0.4),
                    (Estimate(0.1, 0.05, 0.2), Estimate(0.5, 0.4, 0.6)),
                    (300, 100),
                    (0.0, 0.25, 0.5),
                    (300, 100),
                ),
            ),
        )
        for task, prefix in (("label", ""), ("bought", "bought: "))
    )
    examples = (ClickExample(("Heat",), 3, (Shown(SCRIPT, 0.7625, True), Shown("Babe", 0.25, False))),)
    found.model_copy(update={"tables": parts, "list_examples": (), "click_examples": examples}).save(run.findings)
    page = Page(run_page(run))
    page.check()
    assert "mmoe on shown" in page.text
    assert SCRIPT in page.text and "76.2% · clicked" in page.text
    # Of 400 a quarter was predicted .4 and the others .1, in the mean .175; of the former half happened: .2.
    assert page.text.count("0.1750 0.2000") == 2
    assert "predicted 40%, happened 50%, 100 impressions" in page.html
    assert "cohorts" not in page.text.lower()


def test_figures_that_are_missing_in_one_baseline(tmp_path: Path) -> None:
    run = evaluated(tmp_path / "run")
    reports = [report("two_tower", 0.1), report("popularity", 0.05), report("random", 0.001)]
    saved = [each.to_dict() for each in reports]
    del saved[1]["beyond_accuracy"], saved[2]["cohorts"]
    run.metrics.write_text(json.dumps(saved))
    Page(run_page(run)).check()
