"""Predicting the click as a user does it: from a table of impressions to a tested, exported model."""

import json
import re
from pathlib import Path

import pytest

from tests.models.ranking import simulated
from tests.pages.html import Page
from tests.test_command_lines import run, succeed

TEXT = """--interactions shown.csv --items ads.csv --users people.csv --column label=clicked --column timestamp=when
    --categorical interactions.device,interactions.slot,category --numeric interactions.hour,price
    --categorical users.country --outcome bought --set model.name=esmm --set model.use_text=false
    --set split.kind=global_time --set features.history_labels=true --set model.embedding_size=4
    --set evaluation.bootstrap_samples=50 --epochs 2 --batch-size 256 --run runs/ads
    --set data.items.separators={category=";"}"""
FLAGS = TEXT.split()


@pytest.fixture(scope="module")
def ads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ads")
    dataset = simulated().dataset
    shown = dataset.interactions.rename(columns={"label": "clicked", "timestamp": "when"}).assign(quantity=2)
    shown.to_csv(folder / "shown.csv", index=False)
    ads = dataset.items.drop(columns="title")
    ads["category"] = [
        f"{category}; sale" if number % 3 else category for number, category in enumerate(ads["category"])
    ]
    ads.to_csv(folder / "ads.csv", index=False)
    dataset.users.to_csv(folder / "people.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def trained(ads: Path) -> str:
    """What training has to say."""
    return succeed(ads, "train", *FLAGS).stderr


def test_training_counts_the_impressions_and_watches_the_auc(trained: str) -> None:
    assert "impressions: training 6," in trained
    assert re.search(r"validation auc 0\.[5-9]", trained)


def test_evaluation_sets_it_beside_what_it_must_beat(ads: Path, trained: str) -> None:
    table = succeed(ads, "evaluate", "runs/ads").stdout
    for expected in (
        "esmm, calibrated",
        "bought: esmm",
        "logistic regression",
        "global rate",
        "random",
        "grouped_auc",
        "ece",
    ):
        assert expected in table
    reports = {report["name"]: report["metrics"] for report in json.loads((ads / "runs/ads/metrics.json").read_text())}
    for task in ("", "bought: "):
        assert reports[f"{task}esmm, calibrated"]["auc"]["mean"] > reports[f"{task}random"]["auc"]["mean"] + 0.05
    assert reports["global rate"]["auc"]["mean"] == 0.5
    page = Page((ads / "runs/ads/report.html").read_text("utf-8"))
    page.check()
    assert f"{reports['bought: esmm, calibrated']['log_loss']['mean']:.4f}" in page.text
    assert "bought: esmm, calibrated: predicted" in page.html  # The diagram of the outcome, too.
    assert "· clicked" in page.text


def test_a_version_is_written_with_its_signatures(ads: Path, trained: str) -> None:
    version = ads / succeed(ads, "export", "runs/ads").stdout.strip()
    card = json.loads((version / "assets.extra/model.json").read_text())
    assert card["configuration"]["model"]["name"] == "esmm"
    assert (version / "saved_model.pb").is_file()


@pytest.mark.slow
def test_what_an_impression_is_worth(ads: Path) -> None:
    flags = [*FLAGS, "--set", "model.name=youtube_ranker", "--run", "runs/worth"]
    succeed(ads, "train", *flags)
    table = succeed(ads, "evaluate", "runs/worth").stdout
    for expected in ("youtube_ranker", "Poisson", "mean", "random", "rmse", "calibration_error"):
        assert expected in table
    version = ads / succeed(ads, "export", "runs/worth", "--output", "saved_models/worth").stdout.strip()
    assert (version / "saved_model.pb").is_file()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["--set", "features.history_events=true"], "does not read features.history_events"),
        (["--set", "backbone.tuning=lora", "--set", "model.use_text=true"], "through a frozen backbone"),
        (["--set", "evaluation.monitor=ndcg@10"], "is auc or grouped_auc"),
        (
            ["--set", "model.name=deep_fm"],
            "Expected name to be one of two_tower, youtube_dnn, jd_tower, logistic_regression",
        ),
        (["--column", "label=category"], "Expected column 'category' in shown.csv"),
        (["--column", "label=when"], "label_range"),
        (
            ["--set", 'features.crosses=[["device", "hour"]]'],
            "categorical columns of the context ['device', 'slot'] each",
        ),
        (["--set", 'data.items.separators={price=";"}'], "separators are of categorical columns. Received: ['price']"),
        (["--outcome", "quantity"], "column 'quantity', expected 0 or 1: 8,000 rows"),
        (["--outcome", "purchased"], "Expected column 'purchased' in shown.csv, as --outcome says"),
        (["--outcome", "device"], "and --outcome for each column of interactions. Received ['device'] more than once"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_trained(ads: Path, changes: list[str], message: str) -> None:
    result = run(ads, "train", *FLAGS, *changes, "--run", "runs/other")
    assert result.returncode == 2
    assert message in " ".join(result.stderr.split())
    assert not (ads / "runs/other/prepared").exists()
