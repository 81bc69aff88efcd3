"""Where the data come from, how they are divided, and what becomes of them."""

import glob
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tfrec.config.section import Fraction, PositiveInt, Section, Share


class TableConfig(Section):
    """One of the user's own tables, and the roles of its columns."""

    path: Path
    """A .csv, .tsv, .txt, .parquet, .jsonl or .ndjson file; the text formats may be gzipped (.gz). Or a folder of such
    files, or a pattern as `logs/*.parquet`: they are read as one table, in the order of their names. A relative path is
    looked for in the working directory, then in the data root."""

    encoding: str = "utf-8"
    """Text encoding of a CSV or JSON lines file, as Python names it."""

    delimiter: str | None = None
    """Field separator of a CSV file. None: the one of comma, tab, semicolon and bar that the header has most of."""

    decimal: Literal[".", ","] = "."
    """Decimal mark of numbers that are written as text, as in a CSV file: `,` reads 12,50 as 12.5. Not of `vector`."""

    columns: dict[str, str] = Field({})
    """Role -> column name, where they differ: `{item_id = "sku"}`. Roles: user_id, item_id, timestamp, event,
    label, value. `timestamp = ":row"` takes the order of the rows where a table has no time column."""

    text: tuple[str, ...] = ()
    """Columns to read as text."""

    categorical: tuple[str, ...] = ()
    """Columns to read as categories (strings)."""

    separators: dict[str, Annotated[str, Field(min_length=1)]] = Field({})
    """Of categorical columns with several categories in a value, what stands between them: `{genres = "|"}`."""

    numeric: tuple[str, ...] = ()
    """Columns to read as float32 numbers; missing values stay missing (NaN)."""

    vector: tuple[str, ...] = ()
    """Columns of fixed-length float32 vectors: lists in Parquet and JSON lines, numbers separated by blanks in CSV."""

    label_range: tuple[float, float] = (0.0, 1.0)
    """Inclusive range that the `label` column must keep to."""

    outcomes: tuple[str, ...] = ()
    """Columns of the interactions that are 0 or 1, which models with several tasks predict beside the label: what
    became of each impression besides, as a purchase after the click."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The table's files that are there, in the order of their names. Hidden files of a folder, and those that begin
        with `_`, are no part of it."""
        if self.path.is_dir():
            return tuple(each for each in sorted(self.path.iterdir()) if each.is_file() and each.name[0] not in "._")
        if self.path.exists():
            return (self.path,)
        return tuple(each for each in map(Path, sorted(glob.glob(str(self.path), recursive=True))) if each.is_file())

    @property
    def title(self) -> str:
        """What to call it: the name of its file or folder without a suffix; of a pattern, that of the folder before."""
        is_pattern = glob.has_magic(str(self.path)) and not self.path.exists()
        named = [part for part in self.path.parts if not (is_pattern and glob.has_magic(part)) and part != "/"]
        return named[-1].split(".")[0] if named else "tables"

    @model_validator(mode="after")
    def _what_is_separated_is_categorical(self) -> Self:
        others = sorted(self.separators.keys() - set(self.categorical))
        if others:
            raise ValueError(f"separators are of categorical columns. Received: {others}. Name them there too")
        return self


class DataConfig(Section):
    """Where the interactions, items and users come from."""

    source: Literal["movielens-100k", "movielens-1m", "online-retail", "open-bandit", "criteo", "avazu", "tables"] = (
        "tables"
    )
    """A known data set, or `tables`: the user's own, described in data.interactions, data.items and data.users."""

    interactions: TableConfig | None = None
    items: TableConfig | None = None
    users: TableConfig | None = None

    bad_rows: Literal["error", "drop"] = "error"
    """What to do with rows that fail validation: stop and name them, or drop and count them."""

    unknown_items: Literal["error", "keep", "drop"] = "drop"
    """What to do with interactions whose item the items table lacks. `keep` adds the item, without attributes."""

    events: tuple[str, ...] = ()
    """The events that count as interactions to recommend; empty: all. Rows with a label of 0 or less never count."""

    label_threshold: float | None = None
    """Interactions whose `value` reaches this have the label 1, others 0: 4 likes films of four stars and more. None:
    labels are the column `label`."""

    negatives: Annotated[int, Field(ge=0)] = 0
    """Models that predict the click, where only what was done is known: beside each interaction that is liked, or
    without labels each, so many with the label 0, with items drawn at random. Probabilities are then those of such a
    mixture."""

    title: str | None = None
    """The items' text column that is shown to people. None: the first text column."""

    def tables(self) -> dict[str, TableConfig]:
        """The tables that are described, by their name."""
        tables = {"interactions": self.interactions, "items": self.items, "users": self.users}
        return {name: table for name, table in tables.items() if table is not None}

    def located(self, data_root: Path) -> Self:
        """The same, with the paths of tables that are only found in the data root leading there."""
        there = {
            name: table.model_copy(update={"path": data_root / table.path})
            for name, table in self.tables().items()
            if not table.path.exists() and not table.files
        }
        found = {name: table for name, table in there.items() if table.path.exists() or table.files}
        return self.model_copy(update=found)

    @model_validator(mode="after")
    def _tables_are_described(self) -> Self:
        if self.source == "tables" and self.interactions is None:
            raise ValueError(
                "source 'tables' needs an interactions table: pass --interactions FILE or set [data.interactions] path"
            )
        if self.source != "tables" and (tables := self.tables()):
            raise ValueError(
                f"source '{self.source}' brings its own tables. Received others, of {', '.join(tables)}: leave the "
                "recipe out, or pass --set data.source=tables, which takes the recipe's other settings"
            )
        return self


class SplitConfig(Section):
    """How interactions are divided into training, validation and test."""

    kind: Literal["leave_last_out", "last_fraction", "global_time", "rolling_origin", "cold_items", "cold_users"] = (
        "leave_last_out"
    )
    """leave_last_out: each user's last interaction is tested, the one before validated. last_fraction: the last
    fractions of each user's interactions are. global_time: the last fractions of the timeline are validated and
    tested. rolling_origin: the same at an earlier end, as if it were then; train a run for each split.origin.
    cold_items: a fraction of the items never occurs in training. cold_users: a fraction of the users does not; each
    one's last interaction is validated or tested."""

    validation_fraction: Fraction = 0.1
    """last_fraction: share of a user's interactions, rounded down. global_time and rolling_origin: share of the
    interactions in the validation window. cold_items: share of the items. cold_users: of the users."""

    test_fraction: Fraction = 0.1
    """last_fraction: share of a user's interactions, rounded down. global_time and rolling_origin: share of the
    interactions in the test window. cold_items: share of the items. cold_users: of the users."""

    origins: PositiveInt = 3
    """rolling_origin: how many test windows of test_fraction follow each other up to the end of the timeline."""

    origin: PositiveInt = 1
    """rolling_origin: which of them is tested, 1 the earliest. What comes after it is left out."""

    minimum_users: PositiveInt = 10
    """The fewest users that validation and test may have each; fewer is an error."""

    max_cases: PositiveInt | None = None
    """Of more users in validation, or in test, so many are drawn and ranked for; what the others did last stays held
    out. Ranking a million items for each of a million users takes days. None: all."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Draws cold_items, cold_users and max_cases."""

    @model_validator(mode="after")
    def _windows_fit_the_timeline(self) -> Self:
        if self.kind == "rolling_origin" and self.origin > self.origins:
            raise ValueError(f"origin is at most origins, {self.origins}. Received: {self.origin}")
        if self.kind == "rolling_origin" and self.validation_fraction + self.origins * self.test_fraction >= 1:
            raise ValueError(
                "split.validation_fraction and split.test_fraction times split.origins leave something to train on. "
                f"Received: {self.validation_fraction} and {self.test_fraction} times {self.origins}"
            )
        return self


class AugmentationConfig(Section):
    """For sparse data: histories and texts that training varies. Evaluation and requests see the true ones."""

    sequences: tuple[Literal["crop", "mask", "reorder", "insert", "substitute"], ...] = ()
    """jd_tower: what becomes of a history that is varied; of several, one each time, all equally likely. crop: only a
    stretch of it. mask: some items unknown. reorder: a stretch of it in another order. insert: similar items after
    some. substitute: similar items in place of some. What is asked for is always what truly came next. Empty: none is
    varied."""

    share: Share = 0.5
    """Share of the histories that are varied, drawn anew in every epoch."""

    crop: Share = 0.6
    """Share of the history that is left."""

    mask: Share = 0.2
    """Share of the items that are hidden."""

    reorder: Share = 0.2
    """Share of the history that changes its order; at least two items."""

    insert: Share = 0.2
    """Share of the items after which a similar one comes."""

    substitute: Share = 0.2
    """Share of the items that a similar one stands for."""

    similarity: Literal["interactions", "text"] = "interactions"
    """insert, substitute: what makes items similar, the cosine of the users who did something with them in training, or
    of the vectors of their texts."""

    similar_items: PositiveInt = 5
    """insert, substitute: from how many of the most similar items one is drawn."""

    text_variants: Annotated[int, Field(ge=0)] = 0
    """Variants of each item's text that are encoded, or with a trained backbone made into tokens, beside the true one;
    each training step draws one of all for each item. 0: the true text alone."""

    word_dropout: Fraction = 0.2
    """Share of the words that a variant leaves out."""

    column_dropout: Fraction = 0.2
    """Share of the text columns that a variant leaves out, never all."""


class FeaturesConfig(Section):
    """From tables to tensors."""

    text_template: str | None = None
    """How an item is put into words: `"{title}. {genres}"`. None: the text columns, joined by ". "."""

    history_length: PositiveInt = 50
    """The most recent interactions that the user tower sees."""

    item_columns: tuple[str, ...] | None = None
    """Item columns (categorical, numeric, vector) that the item tower sees. None: all that are declared."""

    user_columns: tuple[str, ...] | None = None
    """User columns (categorical, numeric, vector) that the user tower sees. None: all that are declared."""

    minimum_count: PositiveInt = 1
    """Models that predict the click: categories of the context that occur less often in training are unknown ones, or
    hashed."""

    hash_buckets: Annotated[int, Field(ge=0)] = 0
    """Models that predict the click: so many buckets for a context column's categories that are rarer than
    minimum_count, which is to be more than 1, or that training never saw; which one is told by a hash. 0: they are all
    the unknown one."""

    position_column: str | None = None
    """Models that predict the click: the column of the context that says where the item was shown. It adds to the
    log-odds by itself, so that what else is learned is not mixed up with it; a request leaves it out, or names one."""

    crosses: tuple[tuple[str, ...], ...] = ()
    """Models that predict the click: columns of the context, categorical ones, whose values are a category together:
    `[["device", "slot"]]`. For models that don't find crosses themselves, such as logistic_regression."""

    history_labels: bool = False
    """Models that predict the click: the history holds what was not liked too, and says which. Requests bring the
    labels too. Off: it holds what was liked alone. jd_ranker's is on."""

    context_columns: tuple[str, ...] | None = None
    """Models that predict the click: columns of the interactions (categorical, numeric, vector), known when an item is
    shown, that the model sees. None: all that are declared."""

    history_events: bool = False
    """The user tower sees what was done with each item of the history: its event. Requests bring it too."""

    history_time_gaps: bool = False
    """The user tower sees how long after the one before each interaction of the history came. Requests bring times."""

    interactions_at_once: PositiveInt = 30_000_000
    """Models that recommend: so many training interactions are shuffled together in memory, at up to 90 bytes each. Of
    more, stretches from all over the data are read from the run's folder in turn, two groups of so many at a time. A
    table in several files that have more rows than this is read file by file, and put into order on the disk."""

    augmentation: AugmentationConfig = AugmentationConfig()
