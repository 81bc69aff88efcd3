"""The page that compares."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.pages.html import Page, evaluated, run_in
from tfrec.errors import InputError
from tfrec.evaluation import Estimate, Report
from tfrec.pages.comparison_page import Competitor, compare_runs, comparison_page
from tfrec.pages.findings import Findings


def test_runs_on_the_same_cases_are_compared(tmp_path: Path) -> None:
    folders = [tmp_path / "films" / "weak <b>", tmp_path / "films" / "strong"]
    evaluated(folders[0], 0.06, **{"model.embedding_size": 16})
    strong = evaluated(folders[1], 0.12)
    strong.page.write_text("a page")
    page = Page(compare_runs(folders, tmp_path / "pages" / "both.html"))
    page.check()
    # Each case is .24 and 0 in turn of the one, .12 and 0 of the other: half of the cases differ by .12.
    assert "strong is better than weak <b>: ndcg@10 0.1200 against 0.0600 (+0.0600" in page.text
    assert ("a", "href", "../films/strong/report.html") in page.attributes
    assert "model.embedding_size 64 16" in page.text
    assert "training.seed" not in page.text  # They do not differ in it.
    assert page.text.count("popularity") > 1 and "4.0 s" in page.text


def test_runs_on_other_cases_are_not(tmp_path: Path) -> None:
    folders = [tmp_path / "first", tmp_path / "second", tmp_path / "old"]
    evaluated(folders[0])
    evaluated(folders[1], cases="others")
    evaluated(folders[2]).findings.unlink()
    page = Page(compare_runs(folders, tmp_path / "all.html"))
    page.check()
    assert "second was tested on other cases than first" in page.text
    assert "old was tested on other cases than first, or it is not known" in page.text
    assert "Nothing was compared case by case" in page.text
    assert "is better than" not in page.text
    assert "random" not in page.text  # Whose baselines would they be?


def test_what_cannot_stand_on_one_page(tmp_path: Path) -> None:
    first = evaluated(tmp_path / "first")
    clicks = run_in(tmp_path / "clicks", **{"model.name": "deepfm", "data.label_threshold": 4})
    with pytest.raises(InputError, match="all recommend, or that all predict the click"):
        compare_runs([first.folder, clicks.folder], tmp_path / "page.html")
    with pytest.raises(InputError, match="one of them twice"):
        compare_runs([first.folder, tmp_path / "clicks" / ".." / "first"], tmp_path / "page.html")
    with pytest.raises(InputError, match="Expected an evaluated run"):
        compare_runs([first.folder, run_in(tmp_path / "untested").folder], tmp_path / "page.html")
    other = evaluated(tmp_path / "other")
    other.metrics.write_text(json.dumps([Report("a", 1, 0.95, {"ndcg@5": Estimate(0.1)}).to_dict()]))
    with pytest.raises(InputError, match=r"the metric ndcg@10.*other with ndcg@5"):
        compare_runs([first.folder, other.folder], tmp_path / "page.html")
    sampled = Report("a", 1, 0.95, {"ndcg@10": Estimate(0.1)}, num_negatives=100)
    other.metrics.write_text(json.dumps([sampled.to_dict()]))
    with pytest.raises(InputError, match=r"the same evaluation\.num_negatives"):
        compare_runs([first.folder, other.folder], tmp_path / "page.html")
    other.findings.unlink()
    assert "SAMPLED: among 100 drawn items a case" in compare_runs([other.folder], tmp_path / "page.html")


def test_rankers_are_compared_by_their_resamples(tmp_path: Path) -> None:
    folders = []
    for name, auc in (("din", 0.7), ("deepfm", 0.8)):
        run = run_in(tmp_path / name, **{"model.name": name, "data.label_threshold": 4})
        report = Report(name, 50, 0.95, {"auc": Estimate(auc, auc - 0.01, auc + 0.01)})
        run.metrics.write_text(json.dumps([report.to_dict()]))
        found = Findings.load(evaluated(tmp_path / "any").findings)
        assert found is not None
        [table] = found.tables
        drawn = tuple(float(auc + 0.001 * each) for each in np.arange(-10, 11))
        table = type(table)("", (name,), (), (), "same", (), drawn)
        found.model_copy(update={"tables": (table,), "list_examples": ()}).save(run.findings)
        folders.append(run.folder)
    page = Page(compare_runs(folders, tmp_path / "page.html"))
    page.check()
    # In each resample they differ by .1.
    assert (
        "deepfm is better than din: auc 0.8000 against 0.7000 (+0.1000, 95% interval +0.1000 to +0.1000)" in page.text
    )


def test_the_best_stands_first_and_many_are_not_too_many(tmp_path: Path) -> None:
    competitors = [
        Competitor(Report(f"model {n}", 9, 0.95, {"log_loss": Estimate(n / 10)}), is_model=n % 2 == 0)
        for n in range(1, 20)
    ]
    page = Page(comparison_page("Many", competitors, "log_loss", "test impressions"))
    page.check()
    assert page.text.index("model 1") < page.text.index("model 2") < page.text.index("model 19")
