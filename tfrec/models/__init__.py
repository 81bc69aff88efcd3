"""Architectures, one a file."""

from tfrec.backbones.text_encoder import TextEncoder
from tfrec.config import Config
from tfrec.features.prepared import Prepared
from tfrec.models.jd_tower import JDTower
from tfrec.models.two_tower import TwoTower

MODELS = {"two_tower": TwoTower, "jd_tower": JDTower}


def build_model(config: Config, prepared: Prepared, text_encoder: TextEncoder | None = None) -> TwoTower | JDTower:
    """The model that a run's configuration and data ask for.

    Args:
        config: The run's configuration.
        prepared: The run's data.
        text_encoder: Becomes a part of the model, where the data hold the tokens of the texts.
    """
    return MODELS[config.model.name](config.model, config.features, prepared, text_encoder)
