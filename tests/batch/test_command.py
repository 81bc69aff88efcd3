"""The command as a user starts it. Most of it needs no Beam."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
HAS_BEAM = importlib.util.find_spec("apache_beam") is not None
needs_beam = pytest.mark.skipif(not HAS_BEAM, reason="needs apache-beam, see docs/batch.md")


def start(*arguments: object) -> subprocess.Popen:
    command = [sys.executable, "-m", "tfrec.batch", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def run(*arguments: object) -> tuple[int | None, str]:
    process = start(*arguments)
    _, errors = process.communicate(timeout=240)
    return process.returncode, " ".join(errors.split())


@pytest.mark.parametrize("job", ["recommend", "encode"])
def test_help_has_examples_and_needs_neither_tensorflow_nor_beam(job: str) -> None:
    code = (
        f"import sys; sys.argv = ['batch', '{job}', '--help']\n"
        "from tfrec.batch.__main__ import app\n"
        "try: app()\n"
        "except SystemExit as end: assert not end.code\n"
        "assert not {'tensorflow', 'keras', 'apache_beam'} & set(sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert result.returncode == 0, result.stderr
    assert "Examples" in result.stdout and f"python -m tfrec.batch {job}" in result.stdout


def test_without_beam_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    from tfrec.batch.__main__ import app

    monkeypatch.setitem(sys.modules, "apache_beam", None)
    result = CliRunner().invoke(app, ["encode", "--model", "m", "--items", "i.csv", "--output", "o"])
    assert result.exit_code == 2
    assert "pip install --constraint constraints-beam.txt '.[beam]'" in " ".join(result.stderr.split())


@needs_beam
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["recommend"], "Expected either --histories or --interactions"),
        (["recommend", "--histories", "h.jsonl", "--column", "item_id=a"], "Expected --column beside --interactions"),
        (["recommend", "--histories", "nothing-*.jsonl"], "Received: nothing there"),
        (["recommend", "--interactions", "items.csv"], "Expected the columns ['timestamp', 'user_id'] in items.csv"),
        (["recommend", "--interactions", "items.csv", "--column", "who=a"], "Received: 'who=a'"),
        (["recommend", "--histories", "items.csv", "--count", 5], "Expected --count of at most 4"),
        (["recommend", "--histories", "items.csv", "--filter", "genre=war"], "Received: ['genre']"),
        (["encode", "--items", "items.csv"], "Expected the columns ['genres', 'title'] in items.csv"),
        (["encode", "--items", "items.xlsx", "--text", "title"], "Expected a file that ends in one of .csv"),
        (["encode", "--items", "empty.csv", "--text", "title"], "Expected rows in empty.csv. Received: none"),
    ],
)
def test_what_cannot_run_is_told_before_anything_is(
    arguments: list, message: str, tmp_path: Path, known: Path, batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in {"items.csv": "item_id,name\n1,Heat\n", "items.xlsx": "", "empty.csv": "item_id,title\n"}.items():
        Path(name).write_text(text)
    result = batch(arguments[0], Path("out"), "--model", known, *arguments[1:])
    assert result.status == 2
    assert message in result.told
    assert not Path("out").exists()


def histories(folder: Path, number: int) -> Path:
    rows = [{"user_id": str(place), "history_item_ids": [f"i{place}"]} for place in range(number)]
    path = folder / "histories.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@needs_beam
def test_killed_and_started_again(tmp_path: Path, known: Path) -> None:
    output = tmp_path / "out"
    path = histories(tmp_path, 20_000)
    command = ["recommend", "--model", known, "--histories", path, "--output", output, "--batch-size", 16]
    process = start(*command)
    deadline = time.monotonic() + 120
    while not [*output.glob("beam-temp*")] and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert [*output.glob("beam-temp*")] and not (output / "summary.json").exists()
    status, told = run(*command)
    assert status == 0, told
    found = pd.concat(map(pd.read_parquet, output.glob("recommendations-*.parquet")))
    assert sorted(map(int, found["user_id"])) == [*range(20_000)]
    assert json.loads((output / "summary.json").read_text())["users answered"] == 20_000


@needs_beam
@pytest.mark.slow
def test_two_worker_processes(tmp_path: Path, known: Path) -> None:
    path = histories(tmp_path, 1000)
    options = ["--direct_num_workers=2", "--direct_running_mode=multi_processing"]
    status, told = run("recommend", "--model", known, "--histories", path, "--output", tmp_path / "out", "--", *options)
    assert status == 0, told
    found = pd.concat(map(pd.read_parquet, (tmp_path / "out").glob("*.parquet")))
    assert {row.user_id: list(row.item_ids) for row in found.itertuples()} == {
        str(place): [f"i{place}"] for place in range(1000)
    }
