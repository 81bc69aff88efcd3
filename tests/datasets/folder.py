"""A folder of tables that a test writes and loads."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tfrec.config import DataConfig, TableConfig
from tfrec.datasets import Dataset, load_dataset
from tfrec.errors import InputError

LOG = "user_id,item_id,timestamp\nu1,b,1\nu2,a,2\nu1,a,3\n"

LINES = [(f"u{row % 7}", f"i{row % 5}", row) for row in range(40)]
HEADER = "user_id,item_id,timestamp\n"


def lines(some: list[tuple[str, str, int]], time: str = "{}") -> str:
    return "".join(f"{user},{item},{time.format(moment)}\n" for user, item, moment in some)


class Folder:
    """Writes tables and loads them."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def table(self, name: str, content: str | bytes, **options: Any) -> TableConfig:
        (self.path / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return TableConfig(path=self.path / name, **options)

    def load(self, interactions: str | TableConfig = LOG, **options: Any) -> Dataset:
        if isinstance(interactions, str):
            interactions = self.table("log.csv", interactions)
        return load_dataset(DataConfig(interactions=interactions, **options), self.path)

    def error(self, interactions: str | TableConfig = LOG, **options: Any) -> str:
        with pytest.raises(InputError) as caught:
            self.load(interactions, **options)
        return str(caught.value)


def rows(dataset: Dataset) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in dataset.interactions.astype(object).itertuples(index=False)]


def badly_encoded(*values: bytes) -> pa.Array:
    """Bytes that claim to be text, as some writers of Parquet leave them."""
    return pa.Array.from_buffers(pa.string(), len(values), [None, *pa.array(values, pa.binary()).buffers()[1:]])
