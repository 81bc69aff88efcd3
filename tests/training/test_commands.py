"""Which commands made a run."""

from pathlib import Path

from tfrec.config import Config
from tfrec.training.commands import commands_of, note_command, this_command
from tfrec.training.run import Run


def test_commands_are_kept_in_order(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", Config.load(None, {"data.source": "movielens-100k"}))
    assert commands_of(run) == []
    train = this_command("train", ["a recipe", "--set", "model.dropout=0.1"], 12.34)
    note_command(run, train)
    note_command(run, this_command("evaluate", [str(run.folder)], 5))
    first, second = commands_of(run)
    assert first == train
    assert first.line == "python -m tfrec.train 'a recipe' --set model.dropout=0.1"
    assert first.seconds == 12.3 and first.ended.endswith("+00:00")
    assert {"python", "tfrec", "tensorflow", "keras"} <= set(first.versions)
    assert second.line.startswith("python -m tfrec.evaluate")
    assert commands_of(Run.create(run.folder, run.config, fresh=True)) == []
