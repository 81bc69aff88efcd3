"""Interactions that are too many for the memory: on the disk, by user and in order."""

from collections.abc import Collection
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from tfrec.config import DataConfig
from tfrec.datasets.assemble import assemble, blank_rows
from tfrec.datasets.dataset import Dataset, Roles, has_value, is_of_events
from tfrec.datasets.ordering import by_group_and_time, stretches
from tfrec.datasets.ragged import Ragged
from tfrec.errors import InputError

_SORTED_AT_ONCE = 1 << 23
"""So many interactions, of whole users, are put into order in memory."""

_SCATTERED_AT_ONCE = 1 << 22


class InteractionLog:
    """Takes interactions part by part, and puts them into order by user and time.

    Each part's codes and columns are written as they come. In the end they are dealt out to stretches of users, each of
    which is then sorted in memory: an external bucket sort (Knuth, The Art of Computer Programming 3, 5.4.7), which
    reads and writes everything twice, in long pieces.

    Args:
        folder: An empty one.
        config: What is known of unknown items, events and labels.

    Attributes:
        item_ids, user_ids: The ids so far, whose places are the codes: those of their tables, if there are such, then
            what interactions have besides, in order of appearance.
    """

    def __init__(self, folder: Path, config: DataConfig) -> None:
        self.item_ids = self.user_ids = pd.Series([], dtype="str")
        self._folder, self._config = folder, config
        self._parts = list[dict[str, np.ndarray]]()
        self._events = list[str]()
        self._notes = list[str]()

    def add(self, interactions: pa.Table, left_out_items: Collection[str] = ()) -> None:
        """Adds valid interactions, as `assemble` takes them. `left_out_items`: see there.

        Raises:
            InputError: An item is unknown and `data.unknown_items` is "error", or all are and it is "drop".
        """
        if not interactions.num_rows:
            return
        has_items = self._config.items is not None
        policy = self._config.unknown_items if has_items else "keep"
        part = assemble(
            "part",
            interactions,
            pd.DataFrame({"item_id": self.item_ids}),
            pd.DataFrame({"user_id": self.user_ids}),
            unknown_items=policy,
            left_out_items=left_out_items,
        )
        if has_items and policy == "drop":
            self._notes += [note for note in part.notes if "items table" in note]
        self.item_ids, self.user_ids = part.items["item_id"], part.users["user_id"]
        self._write(part)

    def _write(self, part: Dataset) -> None:
        rows, config = part.interactions, self._config
        keep, total = np.ones(len(rows), bool), len(rows)

        def leave_out(is_out: np.ndarray, why: str) -> None:
            count = np.count_nonzero(is_out & keep)
            self._notes.extend([f"{count:,} of {total:,} interactions {why}: left out."] if count else [])
            keep[is_out] = False

        columns = {"user": part.user_codes, "item": part.item_codes, "timestamp": rows["timestamp"].to_numpy()}
        if config.label_threshold is not None:
            is_valued = has_value(rows)
            leave_out(~is_valued, "have no value")
        if "event" in rows:
            names = list(rows["event"].cat.categories)
            self._events += [name for name in names if name not in self._events]
            codes = np.array([*(self._events.index(name) for name in names), -1], np.int32)
            columns["event"] = codes[rows["event"].cat.codes.to_numpy()]
        if config.events:
            leave_out(~is_of_events(config.events, rows), f"are no {' or '.join(config.events)}")
        if config.label_threshold is not None:
            leave_out(~(rows["value"].to_numpy() >= config.label_threshold), "have a label of 0 or less")
        elif "label" in rows:
            leave_out(~(rows["label"].to_numpy() > 0), "have a label of 0 or less")
        if "value" in rows:
            columns["value"] = rows["value"].to_numpy()
        written = {}
        for name, array in columns.items():
            path = self._folder / f"part_{len(self._parts)}_{name}.npy"
            np.save(path, array[keep])
            written[name] = np.load(path, mmap_mode="r")
        self._parts.append(written)

    def dataset(
        self,
        items: pd.DataFrame | None,
        users: pd.DataFrame | None,
        *,
        item_roles: Roles,
        user_roles: Roles,
        notes: tuple[str, ...],
        has_times: bool,
    ) -> Dataset:
        """All that was added, put into order.

        Raises:
            InputError: No interaction is left, or an event of `data.events` does not occur.
        """
        config = self._config
        assert config.interactions is not None
        unknown = sorted(set(config.events) - set(self._events))
        if unknown:
            raise InputError(
                f"Expected data.events to name events that occur: {sorted(self._events)}. Received: {unknown}."
            )
        if not sum(len(part["user"]) for part in self._parts):
            raise InputError(
                "Expected interactions that count, of the events in data.events and with a label above 0. "
                f"Received: none. {' '.join(self._notes)} Name other events, or map another column as label."
            )
        notes += tuple(self._notes)
        log = self._in_order()
        frames = []
        for key, table, ids, roles in (
            ("item_id", items, self.item_ids, item_roles),
            ("user_id", users, self.user_ids, user_roles),
        ):
            if table is None:
                frames.append(pd.DataFrame({key: ids}))
                continue
            added = ids[len(table) :]
            if len(added):
                name = key.removesuffix("_id")
                notes += (f"{len(added):,} {name}s of the interactions are not in the {name}s table: added.",)
                table = pd.concat([table, blank_rows(key, added, table, roles)], ignore_index=True)
            frames.append(table)
        empty = pd.DataFrame(columns=["user_id", "item_id", *log.context])
        if "event" in log.context:
            empty["event"] = pd.Categorical([], categories=pd.Index(self._events))
        return Dataset(
            name=config.interactions.title,
            interactions=empty,
            items=frames[0],
            users=frames[1],
            item_roles=item_roles,
            user_roles=user_roles,
            title=config.title or next(iter(item_roles.text), None),
            notes=notes,
            has_times=has_times,
            log=log,
        )

    def _in_order(self) -> Ragged:
        lengths = np.zeros(len(self.user_ids), np.int64)
        for part in self._parts:
            lengths += Ragged(part["user"], np.zeros(1, np.int64)).count_values(len(lengths))
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        bounds = np.array(list(stretches(offsets, _SORTED_AT_ONCE)))
        region_of = np.repeat(np.arange(len(bounds), dtype=np.int32), bounds[:, 1] - bounds[:, 0])
        ends = offsets[bounds[:, 0]].copy()  # Up to where each stretch is filled.
        columns = {
            name: np.memmap(
                self._folder / f"log_{name}.bin",
                np.result_type(*(part[name].dtype for part in self._parts)),
                "w+",
                shape=(int(offsets[-1]),),
            )
            for name in self._parts[0]
        }
        while self._parts:
            part = self._parts.pop(0)
            for low in range(0, len(part["user"]), _SCATTERED_AT_ONCE):
                inside = slice(low, low + _SCATTERED_AT_ONCE)
                regions = region_of[part["user"][inside]]
                order = np.argsort(regions, kind="stable")
                cuts = np.concatenate([[0], np.cumsum(np.bincount(regions, minlength=len(bounds)))])
                for name, column in columns.items():
                    some = part[name][inside][order]
                    for region in np.flatnonzero(np.diff(cuts)):
                        of_region = some[cuts[region] : cuts[region + 1]]
                        column[ends[region] : ends[region] + len(of_region)] = of_region
                ends += np.diff(cuts)
            for array in part.values():
                Path(array.filename).unlink()  # type: ignore[attr-defined]
        for first, end in bounds:
            inside = slice(offsets[first], offsets[end])
            users = np.array(columns["user"][inside]) - np.int32(first)
            if len(users):
                order = by_group_and_time(users, np.array(columns["timestamp"][inside]))
                for name in columns.keys() - {"user"}:
                    columns[name][inside] = columns[name][inside][order]
        (self._folder / "log_user.bin").unlink()
        arrays = {
            name: np.memmap(self._folder / f"log_{name}.bin", column.dtype, "r")
            for name, column in columns.items()
            if name != "user"
        }
        return Ragged(arrays.pop("item"), offsets, arrays)
