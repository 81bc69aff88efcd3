"""Architectures, one a file."""

from tfrec.config import Config
from tfrec.features.prepared import Prepared
from tfrec.models.jd_tower import JDTower
from tfrec.models.two_tower import TwoTower

MODELS = {"two_tower": TwoTower, "jd_tower": JDTower}


def build_model(config: Config, prepared: Prepared) -> TwoTower | JDTower:
    """The model that a run's configuration and data ask for."""
    return MODELS[config.model.name](config.model, config.features, prepared)
