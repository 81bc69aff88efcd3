"""What the readers of CSV and JSON lines files share: their bytes, and what an encoding is."""

import gzip
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

BLOCK = 1 << 24
"""Bytes that Arrow parses at once; no single value may be longer."""
_LOOKED_AT = 1 << 20


def open_bytes(path: Path) -> BinaryIO:
    """A file, unpacked if it is gzipped."""
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def beginning(path: Path) -> bytes:
    """Enough of a file to tell what the rest is like."""
    with open_bytes(path) as file:
        return file.read(_LOOKED_AT)


def is_single_byte(encoding: str) -> bool:
    """Whether each character is one byte, so that almost any bytes are text."""
    decodable = 0
    for byte in range(0x80, 0x100):
        with suppress(UnicodeError):
            decodable += len(bytes([byte]).decode(encoding)) == 1
    return decodable > 64  # Shift JIS has 63 characters of one such byte, others of several bytes fewer
