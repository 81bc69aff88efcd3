"""Weights & Biases: offline, the same run each time, and a clear word where it is missing."""

import importlib.util
import json
from pathlib import Path

import pytest

from tfrec.config import Config
from tfrec.errors import InputError
from tfrec.training.run import Run
from tfrec.training.weights_and_biases import require_wandb, tell_epoch, tell_results, wandb_run


def run_in(folder: Path, **settings: object) -> Run:
    return Run.create(folder, Config.load(None, {"data.source": "movielens-100k", **settings}))


def test_nothing_is_told_unless_asked(tmp_path: Path) -> None:
    run = run_in(tmp_path / "run")
    with wandb_run(run) as tracker:
        assert tracker is None
    assert not run.wandb.exists()


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'tfrec\[wandb\]'"):
        require_wandb()
    run = run_in(tmp_path / "run", **{"training.wandb_project": "films"})
    with pytest.raises(InputError, match=r"training\.wandb_project"), wandb_run(run):
        pass


def test_a_run_may_begin_to_be_told(tmp_path: Path) -> None:
    run = run_in(tmp_path / "run")
    (run.prepared).mkdir()
    again = run_in(tmp_path / "run", **{"training.wandb_project": "films"})
    assert again.prepared.is_dir()  # It is the same run.


def test_offline_and_the_same_run_when_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    run = run_in(tmp_path / "films" / "run", **{"training.wandb_project": "films"})
    run.page.write_text("<p>A page</p>")
    ids = set()
    for epoch in range(2):
        with wandb_run(run) as tracker:
            assert tracker.config["model"]["name"] == "two_tower"
            assert (tracker.project, tracker.name) == ("films", "films/run")
            tell_epoch(tracker, epoch, {"loss": 2.0 - epoch, "val_ndcg@10": 0.1})
            if epoch:
                tell_results(tracker, {"ndcg@10": 0.3}, run.page)
                summary = dict(tracker.summary)
            ids.add(tracker.id)
    assert len(ids) == 1
    assert (summary["epoch"], summary["train/loss"], summary["validation/ndcg@10"]) == (2, 1.0, 0.1)
    assert summary["test/ndcg@10"] == 0.3
    assert len(list(run.wandb.glob(f"offline-run-*-{ids.pop()}"))) >= 1
    assert json.loads(json.dumps(summary["report"]["_type"])) == "html-file"
