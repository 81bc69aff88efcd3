"""What every model must beat."""

from tfrec.baselines.popularity import Popularity
from tfrec.baselines.random import Random

__all__ = ["Popularity", "Random"]
