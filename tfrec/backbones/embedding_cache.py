"""Frozen text is encoded once: the vectors of texts, kept on disk."""

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

SHARD_SIZE = 4096


class EmbeddingCache:
    """Vectors on disk, keyed by the encoder and by the text.

    Each shard is one `.npz` file, written under a temporary name and renamed: a run that is killed loses at most
    the shard it was computing.

    Args:
        folder: Where the shards of all encoders lie.
        encoder_key: Names the weights, the tokenizer and the settings; other keys' vectors are never used.

    Example:
        >>> cache = EmbeddingCache(Path("data/embeddings"), encoder_key="0f3a")
        >>> vectors = cache.encode(["Toy Story (1995)"], encode_batch, batch_size=64)
    """

    def __init__(self, folder: Path, encoder_key: str) -> None:
        self.folder = Path(folder) / encoder_key

    def encode(
        self,
        texts: Sequence[str],
        encode_batch: Callable[[list[str]], np.ndarray],
        batch_size: int,
        advance: Callable[[int], object] = lambda count: None,
    ) -> np.ndarray:
        """The vectors of the texts; only texts never seen before are encoded, each distinct one once.

        Args:
            texts: [num_texts]
            encode_batch: Encodes a list of texts into float32 [len(list), size].
            batch_size: Texts handed to `encode_batch` at once.
            advance: Told after each batch how many distinct texts were encoded.

        Returns:
            float32 [num_texts, size]
        """
        keys, first_places, positions = np.unique(_digests(texts), return_index=True, return_inverse=True)
        distinct = [texts[place] for place in first_places.tolist()]
        vectors, found = self._lookup(keys)
        # Texts of like length share a batch, so that little of it is padding.
        missing = sorted(np.flatnonzero(~found).tolist(), key=lambda index: (len(distinct[index]), keys[index]))
        for start in range(0, len(missing), SHARD_SIZE):
            shard = missing[start : start + SHARD_SIZE]
            parts = []
            for low in range(0, len(shard), batch_size):
                parts.append(encode_batch([distinct[index] for index in shard[low : low + batch_size]]))
                advance(len(parts[-1]))
            encoded = np.concatenate(parts).astype(np.float32)
            self._save(keys[shard], encoded)
            if vectors is None:
                vectors = np.empty((len(keys), encoded.shape[1]), np.float32)
            vectors[shard] = encoded
        assert vectors is not None  # There is at least one text.
        return vectors[positions]

    def count_missing(self, texts: Sequence[str]) -> int:
        """How many distinct texts `encode` would have to encode."""
        keys = np.unique(_digests(texts))
        found = np.zeros(len(keys), bool)
        for path in self._shards():
            with np.load(path) as shard:
                found[_places(keys, shard["keys"])[0]] = True
        return int((~found).sum())

    def _lookup(self, keys: np.ndarray) -> tuple[np.ndarray | None, np.ndarray]:
        """The known vectors of sorted keys, [num_keys, size], and which are known; None as long as nothing is."""
        vectors, found = None, np.zeros(len(keys), bool)
        for path in self._shards():  # One shard in memory at a time.
            with np.load(path) as shard:
                places, rows = _places(keys, shard["keys"])
                if len(places):
                    if vectors is None:
                        vectors = np.empty((len(keys), shard["vectors"].shape[1]), np.float32)
                    vectors[places] = shard["vectors"][rows]
                    found[places] = True
        return vectors, found

    def _shards(self) -> list[Path]:
        return sorted(self.folder.glob("*.npz"))

    def _save(self, keys: np.ndarray, vectors: np.ndarray) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        name = hashlib.sha256(b"".join(keys.tolist())).hexdigest()[:16]
        # Named after the process, and not by mkstemp, whose files only their owner may read: caches are shared.
        temporary = self.folder / f"{name}.{os.getpid()}.tmp"
        with temporary.open("wb") as file:
            np.savez(file, keys=keys, vectors=vectors)
        os.replace(temporary, self.folder / f"{name}.npz")


def _digests(texts: Sequence[str]) -> np.ndarray:
    # Hexadecimal: NumPy's byte strings drop trailing zero bytes, which a raw digest may have.
    return np.array([hashlib.sha256(text.encode()).hexdigest()[:40].encode() for text in texts], dtype="S40")


def _places(keys: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where in the sorted keys the others are, and which of the others these are."""
    places = np.minimum(np.searchsorted(keys, others), len(keys) - 1)
    rows = np.flatnonzero(keys[places] == others)
    return places[rows], rows
