"""Everything that decides a run, read from TOML, overridable key by key."""

import difflib
import tomllib
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ValidationError, model_validator

from tfrec.config.data import DataConfig, FeaturesConfig, SplitConfig
from tfrec.config.models import (
    MODEL_NAMES,
    MULTI_TASK_NAMES,
    RANKER_NAMES,
    BackboneConfig,
    JDTowerConfig,
    ModelConfig,
    RankerConfig,
    TwoTowerConfig,
    model_name,
)
from tfrec.config.recipes import find_recipe
from tfrec.config.section import Section, sections
from tfrec.config.training import CLICK_MONITORS, EvaluationConfig, TrainingConfig
from tfrec.errors import InputError

SOURCES_WITH_OUTCOMES = ("online-retail",)
_TAGS = (*MODEL_NAMES, "ranker")


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

    @model_validator(mode="before")
    @classmethod
    def _defaults_follow_the_model(cls, settings: dict[str, Any]) -> dict[str, Any]:
        name = model_name(settings.get("model", {}))
        if name in ("jd_tower", "jd_ranker"):
            # Each place of a history is an example, so that 1024 of them would leave few steps to an epoch.
            settings = _with_default(settings, "training", "batch_size", 32)
        if name in RANKER_NAMES:
            settings = _with_default(settings, "evaluation", "monitor", "auc")
        if name == "gbdt":
            settings = _with_default(settings, "model", "use_text", False)
            settings = _with_default(settings, "training", "learning_rate", 0.05)
            settings = _with_default(settings, "training", "epochs", 100)
        if name == "jd_ranker":
            settings = _with_default(settings, "features", "history_labels", True)
        return settings

    @property
    def ranks(self) -> bool:
        """Whether the model predicts the click, and does not retrieve."""
        return isinstance(self.model, RankerConfig)

    @model_validator(mode="after")
    def _task_fits_the_model(self) -> Self:
        if self.ranks != (self.evaluation.monitor in CLICK_MONITORS):
            expected = " or ".join(CLICK_MONITORS) if self.ranks else "ndcg@10 or another metric of ranked lists"
            raise ValueError(
                f"evaluation.monitor of model.name {self.model.name!r} is {expected}. "
                f"Received: {self.evaluation.monitor!r}"
            )
        only_others = ["history_events", "history_time_gaps"] if self.ranks else ["history_labels"]
        asked = [f"features.{name}" for name in only_others if getattr(self.features, name)]
        if asked:
            raise ValueError(f"model.name {self.model.name!r} does not read {', '.join(asked)}. Leave it off")
        if self.ranks and self.data.events:
            raise ValueError(
                f"model.name {self.model.name!r} learns from all interactions and their labels. Leave data.events "
                "empty, and map the column that says what was liked with data.interactions.columns.label"
            )
        if self.model.name == "jd_ranker" and not self.features.history_labels:
            raise ValueError("model.name 'jd_ranker' reads what was not liked too. Set features.history_labels to true")
        table = self.data.interactions
        has_outcomes = self.data.source in SOURCES_WITH_OUTCOMES or (table is not None and table.outcomes)
        if self.model.name in MULTI_TASK_NAMES and not has_outcomes:
            raise ValueError(
                f"model.name {self.model.name!r} predicts several tasks. Name the columns of the others with --outcome "
                "(data.interactions.outcomes), or take a model of one task, such as dnn"
            )
        is_unfit = not self.ranks or self.features.history_labels or self.split.kind == "cold_items"
        if self.data.negatives and is_unfit:
            raise ValueError(
                "data.negatives is for models that predict the click from what was liked alone, and not of cold items. "
                f"Received: model.name {self.model.name!r}, features.history_labels {self.features.history_labels}, "
                f"split.kind {self.split.kind!r}"
            )
        if self.model.name == "gbdt" and self.features.position_column is not None:
            raise ValueError(
                "features.position_column is for networks; trees divide by it as by any column. Leave it out"
            )
        if self.ranks and self.features.position_column is not None and not self.model.attribute_dropout:
            raise ValueError(
                "features.position_column needs some model.attribute_dropout, to learn what an unknown position adds. "
                "Received: 0"
            )
        if self.ranks and self.evaluation.num_negatives is not None:
            raise ValueError(
                f"evaluation.num_negatives is for models that recommend. Received: model.name {self.model.name!r}. "
                "Leave it out"
            )
        if self.evaluation.monitor == "grouped_auc" and self.split.kind == "leave_last_out":
            raise ValueError(
                "evaluation.monitor grouped_auc needs users with several impressions in validation. Set split.kind to "
                "last_fraction or global_time, or evaluation.monitor to auc"
            )
        if self.ranks and self.split.kind == "rolling_origin":
            raise ValueError(
                f"split.kind rolling_origin is for models that recommend. Received: model.name {self.model.name!r}. "
                "Take global_time"
            )
        if self.ranks and self.backbone.is_trained:
            raise ValueError(
                f"model.name {self.model.name!r} reads texts through a frozen backbone. Set backbone.tuning to frozen "
                "and backbone.pooling to mean or cls"
            )
        return self

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

    @model_validator(mode="after")
    def _augmentation_fits_the_model(self) -> Self:
        chosen = self.features.augmentation
        if chosen.sequences and not isinstance(self.model, JDTowerConfig):
            raise ValueError(
                "features.augmentation.sequences is for model.name 'jd_tower', which asks every place of a history. "
                f"Received: {self.model.name!r}. Leave it out"
            )
        keeps_vectors = self.model.use_text and not self.backbone.is_trained
        if {"insert", "substitute"} & set(chosen.sequences) and chosen.similarity == "text" and not keeps_vectors:
            raise ValueError(
                "features.augmentation.similarity 'text' needs the vectors of a frozen backbone. Set it to "
                "interactions, or model.use_text to true, backbone.tuning to frozen and backbone.pooling to mean or cls"
            )
        if chosen.text_variants and (self.ranks or not self.model.use_text):
            raise ValueError(
                "features.augmentation.text_variants is for models that recommend and read texts. Received: model.name "
                f"{self.model.name!r} with use_text {self.model.use_text}. Leave it out"
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


def _with_default(settings: dict[str, Any], section: str, key: str, value: object) -> dict[str, Any]:
    """The settings, with a value where none is set."""
    given = settings.get(section, {})
    if isinstance(given, Section):
        given = given.model_dump(exclude_unset=True)
    # What is no section is for the validation to refuse.
    return {**settings, section: {key: value, **given}} if isinstance(given, dict) else settings


def _explain(error: ValidationError, root: type[BaseModel], where: str) -> str:
    lines = []
    for problem in error.errors():
        # An architecture's keys are reported below its name, which is no part of the key.
        parts = [str(part) for place, part in enumerate(problem["loc"]) if place == 0 or part not in _TAGS]
        key = ".".join(parts)
        if problem["type"] == "extra_forbidden":
            known = sorted({*_keys(root)} - {key})  # It may be a key of another architecture.
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
        nested_sections = sections(field.annotation)
        nested = [key for section in nested_sections for key in _keys(section, f"{prefix}{name}.")]
        keys += nested if nested_sections else [prefix + name]
    return keys
