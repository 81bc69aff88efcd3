"""Vectors of texts on disk."""

from pathlib import Path

import numpy as np
import pytest

from tfrec.backbones import embedding_cache
from tfrec.backbones.embedding_cache import EmbeddingCache


class Encoder:
    """Text -> [its length, code of its first character]; remembers the batches."""

    def __init__(self, breaks_at: str | None = None) -> None:
        self.batches: list[list[str]] = []
        self.breaks_at = breaks_at

    def __call__(self, texts: list[str]) -> np.ndarray:
        if self.breaks_at in texts:
            raise KeyboardInterrupt
        self.batches.append(list(texts))
        return np.array([vector(text) for text in texts], np.float32)

    @property
    def texts(self) -> list[str]:
        return [text for batch in self.batches for text in batch]


def vector(text: str) -> list[float]:
    return [len(text), ord(text[0]) if text else -1]


TEXTS = ["sea", "war", "sea", "", "a long story", "war", "ä", "sea "]


def test_each_distinct_text_is_encoded_once_and_every_row_gets_its_own(tmp_path: Path) -> None:
    encoder = Encoder()
    vectors = EmbeddingCache(tmp_path, "key").encode(TEXTS, encoder, batch_size=4)
    assert vectors.dtype == np.float32
    assert vectors.tolist() == [vector(text) for text in TEXTS]
    assert sorted(encoder.texts) == sorted(set(TEXTS))
    # 6 distinct texts in batches of 4, those of like length together.
    assert [len(batch) for batch in encoder.batches] == [4, 2]
    assert [len(text) for text in encoder.texts] == [0, 1, 3, 3, 4, 12]


def test_known_texts_are_not_encoded_again(tmp_path: Path) -> None:
    EmbeddingCache(tmp_path, "key").encode(TEXTS, Encoder(), batch_size=4)
    encoder = Encoder()
    cache = EmbeddingCache(tmp_path, "key")
    assert cache.count_missing(TEXTS) == 0
    assert cache.encode(TEXTS[::-1], encoder, batch_size=4).tolist() == [vector(text) for text in TEXTS[::-1]]
    assert encoder.batches == []


def test_only_new_texts_are_encoded(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path, "key")
    cache.encode(["sea", "war"], Encoder(), batch_size=4)
    encoder, texts = Encoder(), ["spy", "war", "spy", "love"]
    assert cache.count_missing(texts) == 2
    assert cache.encode(texts, encoder, batch_size=1).tolist() == [vector(text) for text in texts]
    assert encoder.batches == [["spy"], ["love"]]


def test_encoders_do_not_share_vectors(tmp_path: Path) -> None:
    EmbeddingCache(tmp_path, "one").encode(["sea"], Encoder(), batch_size=4)
    other = EmbeddingCache(tmp_path, "other")
    assert other.count_missing(["sea"]) == 1
    assert other.encode(["sea"], lambda texts: np.array([[7]]), batch_size=4).tolist() == [[7]]
    assert EmbeddingCache(tmp_path, "one").encode(["sea"], Encoder("sea"), batch_size=4).tolist() == [vector("sea")]


def test_progress_counts_the_encoded_texts(tmp_path: Path) -> None:
    counts: list[int] = []
    EmbeddingCache(tmp_path, "key").encode(TEXTS, Encoder(), batch_size=4, advance=counts.append)
    assert counts == [4, 2]


def test_a_run_that_breaks_off_keeps_the_shards_that_it_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding_cache, "SHARD_SIZE", 4)
    texts = ["x" * length for length in range(1, 11)]
    cache = EmbeddingCache(tmp_path, "key")
    with pytest.raises(KeyboardInterrupt):
        cache.encode(texts, Encoder(breaks_at="x" * 7), batch_size=2)
    # Shards hold the lengths 1 to 4, 5 to 8, 9 and 10: the second broke off at its second batch.
    assert cache.count_missing(texts) == 6
    encoder = Encoder()
    assert cache.encode(texts, encoder, batch_size=2).tolist() == [vector(text) for text in texts]
    assert encoder.texts == texts[4:]


def test_a_write_that_breaks_off_leaves_no_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_off(file: object, **_: object) -> None:
        file.write(b"half of a shard")  # type: ignore[attr-defined]
        raise OSError("disk full")

    cache = EmbeddingCache(tmp_path, "key")
    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", break_off)
        with pytest.raises(OSError, match="disk full"):
            cache.encode(["sea"], Encoder(), batch_size=2)
    assert cache.encode(["sea"], Encoder(), batch_size=2).tolist() == [vector("sea")]


def test_others_may_read_a_shard_as_any_new_file(tmp_path: Path) -> None:
    EmbeddingCache(tmp_path, "key").encode(["sea"], Encoder(), batch_size=2)
    (tmp_path / "plain").touch()
    (shard,) = (tmp_path / "key").iterdir()
    assert shard.stat().st_mode == (tmp_path / "plain").stat().st_mode
