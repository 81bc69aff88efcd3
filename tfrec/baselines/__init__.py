"""What every model must beat."""

from tfrec.baselines.clicks import click_baselines, value_baselines
from tfrec.baselines.content import ContentSimilarity
from tfrec.baselines.popularity import Popularity
from tfrec.baselines.random import Random

__all__ = ["ContentSimilarity", "Popularity", "Random", "click_baselines", "value_baselines"]
