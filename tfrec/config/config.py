"""Everything that decides a run, read from TOML, overridable key by key."""

import difflib
import tomllib
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ValidationError, model_validator

from tfrec.config.data import DataConfig, FeaturesConfig, SplitConfig
from tfrec.config.models import MODEL_NAMES, BackboneConfig, JDTowerConfig, ModelConfig, TwoTowerConfig, model_name
from tfrec.config.recipes import find_recipe
from tfrec.config.section import Section, sections
from tfrec.config.training import EvaluationConfig, TrainingConfig
from tfrec.errors import InputError


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
    def _histories_come_in_small_batches(cls, settings: dict[str, Any]) -> dict[str, Any]:
        # Each place of a history is an example, so that 1024 of them would leave few steps to an epoch.
        training = settings.get("training", {})
        if isinstance(training, TrainingConfig):
            training = training.model_dump(exclude_unset=True)
        if model_name(settings.get("model", {})) == "jd_tower" and isinstance(training, dict):
            return {**settings, "training": {"batch_size": 32, **training}}
        return settings

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
        nested_sections = sections(field.annotation)
        nested = [key for section in nested_sections for key in _keys(section, f"{prefix}{name}.")]
        keys += nested if nested_sections else [prefix + name]
    return keys
