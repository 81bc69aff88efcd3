"""The command line, in this process."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tfrec.compare import app

RECIPE = """
[data.interactions]
path = "visits.csv"

[model]
use_text = false

[evaluation]
bootstrap_samples = 20
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Forty users, each of whom likes even items or odd ones."""
    generator = np.random.default_rng(0)
    lines = ["user_id,item_id,timestamp"]
    for user in range(40):
        items = generator.permutation(np.arange(user % 2, 30, 2))[:9]
        lines += [f"u{user},i{item},{time}" for time, item in enumerate(items.tolist())]
    (tmp_path / "visits.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "visits.toml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_baselines_are_compared_and_what_is_done_is_kept(shop: Path) -> None:
    command = ["visits.toml", "--no-tune"]
    for name in ("random", "item_knn", "ease", "tf_idf_texts"):
        command += ["--baseline", name]
    first = CliRunner().invoke(app, command)
    assert first.exit_code == 0, first.output
    metrics = json.loads((shop / "runs" / "compare" / "visits" / "metrics.json").read_text())
    assert metrics[-1]["name"] == "random"
    assert {each["name"] for each in metrics[:-1]} == {"item_knn", "ease"}
    assert "tf_idf_texts is left out: the items have no texts" in " ".join(first.output.split())
    second = CliRunner().invoke(app, [*command, "--baseline", "popularity"])
    assert "ease: done before" in second.output
    assert "popularity: ndcg@10" in second.output
    assert len(json.loads((shop / "runs" / "compare" / "visits" / "metrics.json").read_text())) == 4
    third = CliRunner().invoke(app, [*command, "--set", "split.seed=3"])
    assert third.exit_code == 2
    assert "another --output" in " ".join(third.output.split())


def test_what_is_sampled_is_told(shop: Path) -> None:
    command = ["visits.toml", "--no-tune", "--baseline", "popularity", "--set", "evaluation.num_negatives=5"]
    told = CliRunner().invoke(app, command)
    assert told.exit_code == 0, told.output
    shown = " ".join(told.output.split())
    assert "SAMPLED: among 5 drawn items a case" in shown
    assert "warning: targets are ranked among a sample" in shown
    [metrics] = json.loads((shop / "runs" / "compare" / "visits" / "metrics.json").read_text())
    assert metrics["sampled_negatives"] == 5
    # Hyperparameters are chosen among the whole catalogue: of 30 items 22 are left, of the sample six.
    assert metrics["validation"] < metrics["metrics"]["ndcg@10"]["mean"]


def test_other_data_of_the_same_name_are_refused(shop: Path) -> None:
    command = ["visits.toml", "--baseline", "popularity"]
    assert CliRunner().invoke(app, command).exit_code == 0
    table = (shop / "visits.csv").read_text()
    (shop / "visits.csv").write_text(table.replace("u0,i0,", "u0,i1,"))
    refused = CliRunner().invoke(app, command)
    assert refused.exit_code == 2
    assert "other data_contents" in " ".join(refused.output.split())


def test_results_lie_below_runs_wherever_the_recipe_is(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (shop / "below").mkdir()
    (shop / "below" / "visits.csv").write_text((shop / "visits.csv").read_text())
    monkeypatch.chdir(shop / "below")
    for recipe in ("../visits.toml", str(shop / "visits.toml")):
        assert CliRunner().invoke(app, [recipe, "--baseline", "popularity"]).exit_code == 0
    assert (shop / "below" / "runs" / "compare" / "visits" / "metrics.json").is_file()
    assert sorted(each.name for each in (shop / "below" / "runs").iterdir()) == ["compare"]
    assert not (shop / "visits").exists()
