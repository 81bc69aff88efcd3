"""What a model that predicts the click needs of the data, computed once and kept in the run folder."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd

from tfrec.datasets.impressions import Impressions
from tfrec.errors import InputError
from tfrec.features.columns import Column
from tfrec.features.prepared import load_facts, load_table, save_table, written_whole
from tfrec.features.table import FeatureTable


@dataclass(frozen=True)
class PreparedImpressions:
    """The impressions, and the encoded tables of items and users.

    Attributes:
        items: Features of the items; numbers are binned.
        users: Features of the users; with `user_id`, the row of the id embedding.
        context_columns: The encodings of the impressions' own columns.
        context: These columns, encoded: arrays [num_impressions, …] by name.
        impressions: In order, with their parts.
        outcomes: The names of their outcomes.
        titles: What to show people for each item: object [num_items].
        text_encoder_key: Names the encoder of the items' texts; None: there is no text.
    """

    items: FeatureTable
    users: FeatureTable
    context_columns: tuple[Column, ...]
    context: Mapping[str, np.ndarray]
    impressions: Impressions
    titles: np.ndarray
    outcomes: tuple[str, ...] = ()
    text_encoder_key: str | None = None

    def save(self, folder: Path) -> None:
        """Writes the folder whole or not at all."""
        with written_whole(folder) as temporary:
            save_table(self.items, temporary / "items")
            save_table(self.users, temporary / "users")
            save_table(FeatureTable(np.zeros(0, object), self.context_columns, self.context), temporary / "context")
            arrays = {field.name: getattr(self.impressions, field.name) for field in fields(Impressions)}
            np.savez(temporary / "impressions.npz", allow_pickle=False, **arrays)
            pd.DataFrame({"title": self.titles}).to_parquet(temporary / "catalogue.parquet")
            facts = {"text_encoder_key": self.text_encoder_key, "outcomes": self.outcomes}
            (temporary / "facts.json").write_text(json.dumps(facts))

    @classmethod
    def load(cls, folder: Path) -> "PreparedImpressions":
        """Reads what `save` wrote.

        Raises:
            InputError: There is nothing, or what an earlier tfrec wrote.
        """
        facts = load_facts(folder)
        context = load_table(folder / "context")
        with np.load(folder / "impressions.npz") as arrays:
            if missing := sorted({field.name for field in fields(Impressions)} - set(arrays.files)):
                raise InputError(
                    f"Expected impressions with {missing} in {folder}. Received: those of an earlier tfrec, without. "
                    "Train anew, with --fresh."
                )
            impressions = Impressions(**{field.name: arrays[field.name] for field in fields(Impressions)})
        return cls(
            items=load_table(folder / "items"),
            users=load_table(folder / "users"),
            context_columns=context.columns,
            context=context.arrays,
            impressions=impressions,
            titles=pd.read_parquet(folder / "catalogue.parquet")["title"].to_numpy(object),
            outcomes=tuple(facts["outcomes"]),
            text_encoder_key=facts["text_encoder_key"],
        )
