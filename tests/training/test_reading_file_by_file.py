"""`tfrec.train` of more interactions than it may hold at once."""

import subprocess
import sys
from pathlib import Path

import numpy as np

from tfrec.features.prepared import Prepared


def train(folder: Path, name: str, interactions_at_once: int) -> tuple[Prepared, str]:
    command = [sys.executable, "-m", "tfrec.train", "--interactions", "logs", "--items", "items.csv", "--run", name]
    settings = {
        "features.interactions_at_once": interactions_at_once,
        "features.history_time_gaps": True,
        "model.use_text": False,
        "model.use_id": True,
        "training.epochs": 1,
        "split.minimum_users": 1,
    }
    command += [part for key, value in settings.items() for part in ("--set", f"{key}={str(value).lower()}")]
    said = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    return Prepared.load(folder / name / "prepared"), said.stderr


def test_from_many_files_to_a_trained_model(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    (tmp_path / "logs").mkdir()
    for number in range(4):
        lines = (f"{generator.integers(20)},{generator.integers(30)},{generator.integers(9_999)}" for _ in range(100))
        (tmp_path / "logs" / f"{number}.csv").write_text("\n".join(["user_id,item_id,timestamp", *lines, ""]))
    items = (f"{item},thing {item}" for item in range(30))
    (tmp_path / "items.csv").write_text("\n".join(["item_id,name", *items, ""]))
    by_parts, said = train(tmp_path, "parts", 150)
    whole, said_of_whole = train(tmp_path, "whole", 400)
    assert "some 400 rows, to be read file by file" in said
    assert "file by file" not in said_of_whole
    assert "400 interactions, 20 users, 30 items" in said
    assert by_parts.items.ids.tolist() == whole.items.ids.tolist()
    assert by_parts.users.ids.tolist() == whole.users.ids.tolist()
    for folder in (tmp_path / "parts", tmp_path / "whole"):
        assert (folder / "checkpoints").is_dir()
    names = [path.name for path in sorted((tmp_path / "whole" / "prepared" / "split").iterdir())]
    for name in names:
        one, other = (np.load(tmp_path / run / "prepared" / "split" / name) for run in ("parts", "whole"))
        np.testing.assert_array_equal(one, other)
    assert "train_context_history_time.npy" in names
    assert sorted(path.name for path in tmp_path.iterdir()) == ["items.csv", "logs", "parts", "whole"]
