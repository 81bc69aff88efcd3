"""Rows that are made part by part."""

from pathlib import Path

import numpy as np

from tfrec.datasets.ragged import Ragged


class RaggedParts:
    """Collects rows, to be one after the other in the end.

    Args:
        folder: Where the arrays of rows are written that are too many for the memory. None: they are kept in memory.
        name: What the files' names begin with.

    Example:
        >>> parts = RaggedParts()
        >>> for some in (first, second):
        ...     parts.append(some)
        >>> rows = parts.joined()
    """

    def __init__(self, folder: Path | None = None, name: str = "") -> None:
        self._folder, self._name = folder, name
        self._parts = list[Ragged]()
        self._lengths = list[np.ndarray]()

    def append(self, part: Ragged) -> None:
        """Adds rows, with the same context as those before."""
        if self._folder is None:
            self._parts.append(part)
            return
        self._lengths.append(part.lengths)
        for path, array in self._files(part).items():
            with path.open("ab") as file:
                array.tofile(file)
        if not self._parts:
            self._parts.append(part.stretch(0, 0))  # It tells the types.

    def joined(self) -> Ragged:
        """All rows: one part or more. Memory-mapped, if they are in files."""
        if self._folder is None:
            return Ragged.concatenate(self._parts)
        values, *context = (
            np.memmap(path, array.dtype, "r") if path.stat().st_size else array
            for path, array in self._files(self._parts[0]).items()
        )
        names = self._parts[0].context
        return Ragged.from_lengths(values, np.concatenate(self._lengths), dict(zip(names, context, strict=True)))

    def _files(self, part: Ragged) -> dict[Path, np.ndarray]:
        assert self._folder is not None
        arrays = [("values", part.values), *((f"context_{name}", array) for name, array in part.context.items())]
        return {self._folder / f"{self._name}_{name}.bin": array for name, array in arrays}
