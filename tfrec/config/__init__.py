"""The configuration of a run: strict, frozen, read from TOML, overridable key by key."""

from tfrec.config.baselines import BASELINE_NAMES, COLLABORATIVE_NAMES, CONTENT_NAMES, HYBRID_NAMES, NOT_SERVED
from tfrec.config.config import Config
from tfrec.config.data import AugmentationConfig, DataConfig, FeaturesConfig, SplitConfig, TableConfig
from tfrec.config.export import DEFAULT_STAGES, INDEX_RECALL, ExportConfig, IndexKind
from tfrec.config.models import (
    RANK_CANDIDATES,
    BackboneConfig,
    JDTowerConfig,
    RankerConfig,
    TowersConfig,
    TwoTowerConfig,
    YouTubeDNNConfig,
)
from tfrec.config.recipes import recipe_names
from tfrec.config.training import EvaluationConfig, TrainingConfig

__all__ = [
    "BASELINE_NAMES",
    "COLLABORATIVE_NAMES",
    "CONTENT_NAMES",
    "DEFAULT_STAGES",
    "HYBRID_NAMES",
    "INDEX_RECALL",
    "NOT_SERVED",
    "RANK_CANDIDATES",
    "AugmentationConfig",
    "BackboneConfig",
    "Config",
    "DataConfig",
    "EvaluationConfig",
    "ExportConfig",
    "FeaturesConfig",
    "IndexKind",
    "JDTowerConfig",
    "RankerConfig",
    "SplitConfig",
    "TableConfig",
    "TowersConfig",
    "TrainingConfig",
    "TwoTowerConfig",
    "YouTubeDNNConfig",
    "recipe_names",
]
