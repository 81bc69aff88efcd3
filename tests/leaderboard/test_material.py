"""What baselines are fitted to."""

from pathlib import Path

import numpy as np
import pytest

from tfrec.config import Config
from tfrec.leaderboard import gather, material


@pytest.fixture
def config(tmp_path: Path) -> Config:
    visits = [f"u{user},i{item},{item}" for user in range(6) for item in range(user, user + 4)]
    (tmp_path / "visits.csv").write_text("\n".join(["user_id,item_id,timestamp", *visits]) + "\n")
    (tmp_path / "items.csv").write_text("\n".join(["item_id,name", *(f"i{item},thing" for item in range(9))]) + "\n")
    paths = {f"data.{table}.path": str(tmp_path / f"{file}.csv") for table, file in
             (("interactions", "visits"), ("items", "items"))}  # fmt: skip
    return Config.load(None, {**paths, "data.items.text": ["name"], "split.minimum_users": 1})


def test_texts_are_encoded_for_those_alone_that_read_vectors(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = np.arange(22, dtype=np.float32).reshape(11, 2)
    asked = []
    monkeypatch.setattr(material, "encode_texts", lambda texts, *_: (asked.append(texts), ({"text": vectors}, None))[1])
    for names in (["ease"], ["tf_idf_texts", "popularity"]):
        assert gather(config, tmp_path, names).text_vectors is None
    assert asked == []
    for names in (["similar_texts"], ["ease", "learned_blend"]):
        np.testing.assert_array_equal(gather(config, tmp_path, names).text_vectors, vectors[2:])
    assert asked == [["thing"] * 9] * 2


def test_everything_is_what_was_held_out_too(config: Config, tmp_path: Path) -> None:
    divided, whole = (gather(config, tmp_path, ["ease"], everything) for everything in (False, True))
    codes = [np.arange(user, user + 4) for user in range(6)]
    assert [divided.split.train[user].tolist() for user in range(6)] == [row[:2].tolist() for row in codes]
    assert [whole.split.train[user].tolist() for user in range(6)] == [row.tolist() for row in codes]
    np.testing.assert_array_equal(whole.split.test.targets.values, divided.split.test.targets.values)
