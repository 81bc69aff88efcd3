"""What training, evaluation and export need of the data, computed once and kept in the run folder."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tfrec.datasets.dataset import EvaluationSet, Split
from tfrec.datasets.ragged import Ragged
from tfrec.errors import InputError
from tfrec.features.columns import Column
from tfrec.features.context import HISTORY_TIME
from tfrec.features.table import FeatureTable


@dataclass(frozen=True)
class Prepared:
    """The split, and the encoded tables of items and users.

    Attributes:
        items: Features of the items.
        users: Features of the users.
        titles: What to show people for each item: object [num_items].
        counts: Training interactions of each item: int64 [num_items].
        split: The division of the interactions. The context of training and histories is what the user tower sees of
            each interaction, as `encode_context` makes it.
        text_encoder_key: Names the encoder of the items' texts; None: there is no text.
        event: The encoding of the histories' events; None: the user tower does not see them.
        num_ids: Rows of the id embedding, where the catalogue is another than that of training; None: a row an item.
        num_on_sale: The first so many of the items may be recommended, the others are only in histories; None: all.
            Neither is saved.
    """

    items: FeatureTable
    users: FeatureTable
    titles: np.ndarray
    counts: np.ndarray
    split: Split
    text_encoder_key: str | None = None
    event: Column | None = None
    num_ids: int | None = None
    num_on_sale: int | None = None

    @property
    def has_time_gaps(self) -> bool:
        """Whether the user tower sees the times of the history."""
        return HISTORY_TIME in self.split.train.context

    def save(self, folder: Path) -> None:
        """Writes the folder whole or not at all."""
        with written_whole(folder) as temporary:
            save_table(self.items, temporary / "items")
            save_table(self.users, temporary / "users")
            pd.DataFrame({"title": self.titles, "count": self.counts}).to_parquet(temporary / "catalogue.parquet")
            (temporary / "split").mkdir()
            for name, array in _split_arrays(self.split).items():
                np.save(temporary / "split" / f"{name}.npy", array, allow_pickle=False)
            facts = {
                "notes": self.split.notes,
                "text_encoder_key": self.text_encoder_key,
                "event": None if self.event is None else self.event.to_dict(),
            }
            (temporary / "facts.json").write_text(json.dumps(facts))

    @classmethod
    def load(cls, folder: Path) -> "Prepared":
        """Reads what `save` wrote; the interactions stay on the disk until they are used.

        Raises:
            InputError: There is nothing.
        """
        facts = load_facts(folder)
        catalogue = pd.read_parquet(folder / "catalogue.parquet")
        arrays = _load_split_arrays(folder)
        split = Split(
            train=_ragged(arrays, "train"),
            validation=_evaluation_set(arrays, "validation"),
            test=_evaluation_set(arrays, "test"),
            candidates=arrays.get("candidates"),
            notes=tuple(facts["notes"]),
        )
        return cls(
            items=load_table(folder / "items"),
            users=load_table(folder / "users"),
            titles=catalogue["title"].to_numpy(object),
            counts=catalogue["count"].to_numpy(),
            split=split,
            text_encoder_key=facts["text_encoder_key"],
            event=Column.from_dict(facts["event"]) if facts.get("event") else None,
        )


@contextmanager
def written_whole(folder: Path) -> Iterator[Path]:
    """A folder to write to, which takes the place of `folder` at the end, if nothing goes wrong."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    for leftover in folder.parent.glob(f".{folder.name}-*"):  # of runs that were killed
        shutil.rmtree(leftover, ignore_errors=True)
    # A folder inside the temporary one, which only its owner may read.
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        temporary = Path(scratch) / folder.name
        temporary.mkdir()
        yield temporary
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(temporary, folder)


def load_facts(folder: Path) -> dict[str, Any]:
    """What is noted beside the arrays.

    Raises:
        InputError: There is nothing.
    """
    if not folder.is_dir():
        raise InputError(
            f"Expected prepared data in {folder}. Received: none; training has not come as far. "
            "Finish it with python -m tfrec.train."
        )
    facts: dict[str, Any] = json.loads((folder / "facts.json").read_text())
    return facts


def _split_arrays(split: Split) -> dict[str, np.ndarray]:
    arrays = _ragged_arrays(split.train, "train")
    for name, cases in (("validation", split.validation), ("test", split.test)):
        arrays[f"{name}_users"] = cases.users
        for part, rows in (("histories", cases.histories), ("targets", cases.targets)):
            arrays |= _ragged_arrays(rows, f"{name}_{part}")
    if split.candidates is not None:
        arrays["candidates"] = split.candidates
    return arrays


def _load_split_arrays(folder: Path) -> Mapping[str, np.ndarray]:
    if (folder / "split.npz").is_file():  # Of an earlier tfrec.
        with np.load(folder / "split.npz") as arrays:
            return dict(arrays)
    return {path.stem: np.load(path, mmap_mode="r") for path in (folder / "split").glob("*.npy")}


def _evaluation_set(arrays: Mapping[str, np.ndarray], name: str) -> EvaluationSet:
    histories, targets = (_ragged(arrays, f"{name}_{part}") for part in ("histories", "targets"))
    return EvaluationSet(arrays[f"{name}_users"], histories, targets)


def _ragged_arrays(rows: Ragged, name: str) -> dict[str, np.ndarray]:
    context = {f"{name}_context_{each}": array for each, array in rows.context.items()}
    return {f"{name}_values": rows.values, f"{name}_offsets": rows.offsets, **context}


def _ragged(arrays: Mapping[str, np.ndarray], name: str) -> Ragged:
    prefix = f"{name}_context_"
    context = {each.removeprefix(prefix): arrays[each] for each in sorted(arrays) if each.startswith(prefix)}
    return Ragged(arrays[f"{name}_values"], arrays[f"{name}_offsets"], context)


def save_table(table: FeatureTable, folder: Path) -> None:
    """Writes a table to a folder of its own."""
    folder.mkdir()
    pd.DataFrame({"id": table.ids}).to_parquet(folder / "ids.parquet")
    (folder / "columns.json").write_text(json.dumps([column.to_dict() for column in table.columns]))
    names = list(table.arrays)
    (folder / "arrays.json").write_text(json.dumps(names))
    for number, name in enumerate(names):  # Numbered: a column's name need not be a file's.
        np.save(folder / f"{number}.npy", table.arrays[name])


def load_table(folder: Path) -> FeatureTable:
    """Reads what `save_table` wrote; the arrays stay on the disk until they are used."""
    names = json.loads((folder / "arrays.json").read_text())
    return FeatureTable(
        ids=pd.read_parquet(folder / "ids.parquet")["id"].to_numpy(object),
        columns=tuple(Column.from_dict(settings) for settings in json.loads((folder / "columns.json").read_text())),
        arrays={name: np.load(folder / f"{number}.npy", mmap_mode="r") for number, name in enumerate(names)},
    )
