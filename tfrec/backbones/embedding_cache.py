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
        first = first_places.tolist()
        known = self._load()
        missing = [index for index, key in enumerate(keys) if key not in known]
        # Texts of like length share a batch, so that little of it is padding.
        missing.sort(key=lambda index: (len(texts[first[index]]), keys[index]))
        for start in range(0, len(missing), SHARD_SIZE):
            shard = missing[start : start + SHARD_SIZE]
            vectors = []
            for low in range(0, len(shard), batch_size):
                batch = shard[low : low + batch_size]
                vectors.append(encode_batch([texts[first[index]] for index in batch]))
                advance(len(batch))
            encoded = np.concatenate(vectors).astype(np.float32)
            self._save(keys[shard], encoded)
            known.update(zip(keys[shard], encoded, strict=True))
        return np.stack([known[key] for key in keys])[positions]

    def count_missing(self, texts: Sequence[str]) -> int:
        """How many distinct texts `encode` would have to encode."""
        return len(set(_digests(texts).tolist()) - self._load().keys())

    def _load(self) -> dict[bytes, np.ndarray]:
        known: dict[bytes, np.ndarray] = {}
        for path in sorted(self.folder.glob("*.npz")):
            with np.load(path) as shard:
                known.update(zip(shard["keys"].tolist(), shard["vectors"], strict=True))
        return known

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
