"""One model trained by two processes, which find each other as two machines would."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from tests.test_command_lines import ROOT
from tfrec.datasets.simulator import simulate
from tfrec.training.checkpoint import read_state

LATEST = Path("checkpoints") / "latest.npz"
EPOCHS = 8

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    dataset = simulate(num_users=300, num_items=60, interactions_per_user=12, seed=1).dataset
    dataset.interactions.to_csv(folder / "log.csv", index=False)
    dataset.items.to_csv(folder / "items.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def alone(shop: Path) -> Path:
    """What one machine trains that nothing disturbs."""
    assert ends([start(shop, "alone")]) == [0]
    return shop / "alone"


def start(shop: Path, run: str, addresses: Sequence[str] = (), number: int = 0) -> subprocess.Popen:
    # Without dropout, which each worker draws for its own rows: all that is left is arithmetic.
    flags = """--interactions log.csv --items items.csv --categorical genre --numeric year --batch-size 128
        --set model.use_text=false --set model.dropout=0.0 --set model.id_dropout=0.0 --set model.attribute_dropout=0.0
        --set features.history_length=8 --set model.embedding_size=16 --set training.patience=99
        --set training.lazy_rows=20"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    if addresses:
        told = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": number}}
        environment["TF_CONFIG"] = json.dumps(told)
    with (shop / f"said-{number}.txt").open("w") as said:
        return subprocess.Popen(
            [sys.executable, "-m", "tfrec.train", *flags.split(), "--epochs", str(EPOCHS), "--run", run],
            cwd=shop,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=said,
        )


def start_two(shop: Path, *runs: str) -> list[subprocess.Popen]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(2)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        addresses = [f"127.0.0.1:{probe.getsockname()[1]}" for probe in probes]
    return [start(shop, run, addresses, number) for number, run in enumerate(runs)]


def ends(processes: Sequence[subprocess.Popen]) -> list[int]:
    """The exit codes, of processes that end by themselves."""
    try:
        return [process.wait(timeout=600) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def kill_in_epoch(epoch: int, run: Path, lost: int, workers: Sequence[subprocess.Popen]) -> None:
    while not (run / LATEST).is_file() or read_state(run / LATEST)["epoch"] < epoch:
        assert all(worker.poll() is None for worker in workers)
        time.sleep(0.02)
    workers[lost].send_signal(signal.SIGKILL)


@pytest.mark.parametrize("lost", [0, 1])
def test_workers_of_which_one_was_killed_end_where_one_machine_ends(lost: int, shop: Path, alone: Path) -> None:
    run = shop / f"lost-{lost}"
    workers = start_two(shop, run.name, run.name)
    kill_in_epoch(2, run, lost, workers)
    codes = ends(workers)
    assert (codes[lost], codes[1 - lost]) == (-signal.SIGKILL, 1)
    said = (shop / f"said-{1 - lost}.txt").read_text()
    assert f"Another worker was lost; this is worker {2 - lost} of 2" in said
    assert "Traceback" not in said
    epoch = read_state(run / LATEST)["epoch"]
    assert 2 <= epoch < EPOCHS

    assert ends(start_two(shop, run.name, run.name)) == [0, 0]
    assert f"resuming after epoch {epoch}" in (shop / "said-0.txt").read_text()
    history, expected = (read_state(folder / LATEST)["history"] for folder in (run, alone))
    assert len(history) == len(expected) == EPOCHS
    np.testing.assert_allclose([each["loss"] for each in history], [each["loss"] for each in expected], rtol=1e-5)
    with np.load(run / LATEST) as weights, np.load(alone / LATEST) as others:
        assert set(weights.files) == set(others.files)
        for name in set(weights.files) - {"state"}:
            np.testing.assert_allclose(weights[name], others[name], rtol=1e-3, atol=1e-4)


def test_workers_with_folders_of_their_own_are_refused(shop: Path) -> None:
    codes = ends(start_two(shop, "mine", "yours"))
    assert codes == [1, 2]
    assert "on a file system that they share" in (shop / "said-1.txt").read_text()
    assert "worker was lost" in (shop / "said-0.txt").read_text()


def test_workers_that_begin_with_other_checkpoints_are_refused(shop: Path, alone: Path) -> None:
    """A copy of the folder is no shared one, and shows only once it has fallen behind."""
    copy = shop / "copy"
    copy.mkdir()
    for path in ("config.json", "tables.json"):
        (copy / path).write_bytes((alone / path).read_bytes())
    (copy / "prepared").symlink_to(alone / "prepared")
    codes = ends(start_two(shop, "alone", "copy"))
    assert codes == [2, 2]
    assert "another checkpoint on one of them" in (shop / "said-1.txt").read_text()
