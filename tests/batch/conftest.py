"""Models whose answers are known, and the command run in this process on Beam's local runner."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pytest
from typer.testing import CliRunner

from tests.serving.models import Diary, Recommender


class Batch(NamedTuple):
    """What a command left.

    Attributes:
        status: Its exit status.
        told: What it said.
        table: The rows of all shards, in the order of their ids.
        rejected: What lies in the dead-letter files.
        summary: The counts; empty without a summary.
    """

    status: int
    told: str
    table: pd.DataFrame
    rejected: list[dict[str, Any]]
    summary: dict[str, Any]


@pytest.fixture(scope="session")
def batch() -> Callable[..., Batch]:
    """Runs `python -m tfrec.batch JOB --output FOLDER …`."""
    from tfrec.batch.__main__ import app

    def run(job: str, output: Path, *arguments: object) -> Batch:
        command = [job, "--output", str(output), *map(str, arguments)]
        result = CliRunner().invoke(app, command)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        shards = [pd.read_parquet(path) for path in sorted(output.glob("*.parquet")) if result.exit_code == 0]
        table = pd.concat(shards) if shards else pd.DataFrame()
        table = table.sort_values(table.columns[0]).reset_index(drop=True) if len(table) else table
        lines = [line for path in sorted(output.glob("rejected-*")) for line in path.read_text().splitlines()]
        summary = json.loads((output / "summary.json").read_text()) if (output / "summary.json").exists() else {}
        told = " ".join(result.stderr.split())
        return Batch(result.exit_code, told, table, list(map(json.loads, lines)), summary)

    return run


@pytest.fixture(scope="session")
def known(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recommends the last four of a history, oldest first, scored 4 to 1, and 100 more of a known age; version 3 of it
    is whole, version 12 is not. A text's vector is its length, and less than nothing by as much."""
    import tensorflow as tf

    class Known(Recommender):
        def save(self, folder: Path) -> None:
            recommend = tf.function(self.recommend).get_concrete_function(
                tf.TensorSpec([None, self.history_length], tf.string, name="history_item_ids"),
                tf.TensorSpec([None, None], tf.string, name="exclude_item_ids"),
                tf.TensorSpec([None], tf.float32, name="age"),
                tf.TensorSpec([None], tf.string, name="country"),
            )
            tf.saved_model.save(self, str(folder), signatures={"recommend": recommend, "embed_item": self.embed_item})

    folder = tmp_path_factory.mktemp("models") / "known"
    Known().save(folder / "3")
    (folder / "12").mkdir()
    card = {"configuration": {"features": {"text_template": "{title}. {genres}"}}}
    (folder / "3" / "assets.extra").mkdir()
    (folder / "3" / "assets.extra" / "model.json").write_text(json.dumps(card))
    return folder


@pytest.fixture(scope="session")
def diary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gives a history back, three places of item|event|time, and whatever is excluded behind each."""
    folder = tmp_path_factory.mktemp("models") / "diary" / "1"
    Diary().save(folder, "recommend")
    return folder
