"""What every model must beat."""

from tfrec.baselines.bpr import BPR
from tfrec.baselines.clicks import click_baselines, value_baselines
from tfrec.baselines.content import ContentSimilarity
from tfrec.baselines.ease import EASE
from tfrec.baselines.hybrids import LearnedBlend, SwitchingHybrid, WeightedHybrid
from tfrec.baselines.ials import IALS
from tfrec.baselines.interaction_matrix import InteractionMatrix
from tfrec.baselines.item_knn import ItemKNN
from tfrec.baselines.popularity import Popularity
from tfrec.baselines.pure_svd import PureSVD
from tfrec.baselines.random import Random
from tfrec.baselines.recent_history import RecentHistory
from tfrec.baselines.recent_popularity import RecentPopularity
from tfrec.baselines.slim import SLIM
from tfrec.baselines.soft_impute import SoftImpute
from tfrec.baselines.svd_plus_plus import SVDPlusPlus
from tfrec.baselines.tf_idf_texts import TFIDFTexts
from tfrec.baselines.user_knn import UserKNN

__all__ = [
    "BPR",
    "EASE",
    "IALS",
    "SLIM",
    "ContentSimilarity",
    "InteractionMatrix",
    "ItemKNN",
    "LearnedBlend",
    "Popularity",
    "PureSVD",
    "Random",
    "RecentHistory",
    "RecentPopularity",
    "SVDPlusPlus",
    "SoftImpute",
    "SwitchingHybrid",
    "TFIDFTexts",
    "UserKNN",
    "WeightedHybrid",
    "click_baselines",
    "value_baselines",
]
