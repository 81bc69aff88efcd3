"""One model trained by two processes, which find each other as two machines would."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.test_command_lines import ROOT
from tfrec.datasets.simulator import simulate
from tfrec.training.checkpoint import read_state


def free_addresses() -> list[str]:
    probes = [socket.socket() for _ in range(2)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{probe.getsockname()[1]}" for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def start(folder: Path, flags: Sequence[object], addresses: list[str], number: int) -> subprocess.Popen:
    told = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": number}}
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    if addresses:
        environment["TF_CONFIG"] = json.dumps(told)
    return subprocess.Popen(
        [sys.executable, "-m", "tfrec.train", *map(str, flags)],
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.DEVNULL,
        stderr=(folder / f"said-{number}.txt").open("w"),
    )


def start_two(folder: Path, flags: Sequence[object]) -> list[subprocess.Popen]:
    addresses = free_addresses()
    return [start(folder, flags, addresses, number) for number in range(2)]


def ends(processes: Sequence[subprocess.Popen], folder: Path) -> list[int]:
    try:
        return [process.wait(timeout=120) for process in processes]
    finally:
        for process in processes:
            process.kill()
        print(*(path.read_text() for path in sorted(folder.glob("said-*.txt"))), sep="\n")


@pytest.fixture
def flags(tmp_path: Path) -> Callable[..., list[object]]:
    """Of a model without dropout, which each worker would draw for itself."""
    dataset = simulate(num_users=300, num_items=60, interactions_per_user=12, seed=1).dataset
    dataset.interactions.to_csv(tmp_path / "log.csv", index=False)
    dataset.items.to_csv(tmp_path / "items.csv", index=False)
    text = """--interactions log.csv --items items.csv --categorical genre --numeric year --batch-size 128
        --set model.use_text=false --set model.dropout=0.0 --set model.id_dropout=0.0 --set model.attribute_dropout=0.0
        --set features.history_length=8 --set model.embedding_size=16 --set training.patience=99"""
    return lambda run, epochs: [*text.split(), "--epochs", epochs, "--run", run]


def wait_for_epochs(run: Path, count: int, processes: Sequence[subprocess.Popen]) -> None:
    deadline = time.monotonic() + 120
    while not (
        (run / "checkpoints" / "latest.npz").is_file()
        and read_state(run / "checkpoints" / "latest.npz")["epoch"] >= count
    ):
        assert time.monotonic() < deadline and all(process.poll() is None for process in processes)
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("lost", [0, 1])
def test_workers_of_which_one_is_killed_end_where_one_machine_ends(lost: int, flags, tmp_path: Path) -> None:
    one = start(tmp_path, flags("alone", 20), [], 0)
    assert ends([one], tmp_path) == [0]
    run = tmp_path / "together"
    workers = start_two(tmp_path, flags(run, 20))
    wait_for_epochs(run, 3, workers)
    workers[lost].send_signal(signal.SIGKILL)
    codes = ends(workers, tmp_path)
    assert codes[lost] == -signal.SIGKILL
    assert codes[1 - lost] == 1
    said = (tmp_path / f"said-{1 - lost}.txt").read_text()
    assert "Another worker was lost" in said and "Traceback" not in said
    stopped = read_state(run / "checkpoints" / "latest.npz")
    assert 3 <= stopped["epoch"] < 20
    assert ends(start_two(tmp_path, flags(run, 20)), tmp_path) == [0, 0]
    assert f"resuming after epoch {stopped['epoch']}" in (tmp_path / "said-0.txt").read_text()
    with (
        np.load(run / "checkpoints" / "latest.npz") as found,
        np.load(tmp_path / "alone/checkpoints/latest.npz") as expected,
    ):
        assert set(found.files) == set(expected.files)
        for name in set(found.files) - {"state"}:
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-3, atol=1e-4)
    history, alone = (
        read_state(folder / "checkpoints" / "latest.npz")["history"] for folder in (run, tmp_path / "alone")
    )
    assert len(history) == len(alone) == 20
    np.testing.assert_allclose([each["loss"] for each in history], [each["loss"] for each in alone], rtol=1e-4)
