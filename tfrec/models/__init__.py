"""Architectures, one a file."""

from tfrec.backbones.text_encoder import TextEncoder
from tfrec.config import Config, RankerConfig
from tfrec.features.prepared import Prepared
from tfrec.features.prepared_impressions import PreparedImpressions
from tfrec.models.dcn_v2 import DCNv2
from tfrec.models.deepfm import DeepFM
from tfrec.models.din import DIN
from tfrec.models.dnn import DNN
from tfrec.models.esmm import ESMM
from tfrec.models.gbdt import GBDT
from tfrec.models.jasper import Jasper
from tfrec.models.jd_ranker import JDRanker
from tfrec.models.jd_tower import JDTower
from tfrec.models.logistic_regression import LogisticRegression
from tfrec.models.mmoe import MMoE
from tfrec.models.ple import PLE
from tfrec.models.ranking_model import RankingModel
from tfrec.models.retrieval_model import RetrievalModel
from tfrec.models.shared_bottom import SharedBottom
from tfrec.models.two_tower import TwoTower
from tfrec.models.wide_and_deep import WideAndDeep
from tfrec.models.youtube_dnn import YouTubeDNN
from tfrec.models.youtube_ranker import YouTubeRanker

MODELS = {"two_tower": TwoTower, "youtube_dnn": YouTubeDNN, "jd_tower": JDTower}
RANKERS: dict[str, type[RankingModel]] = {
    "logistic_regression": LogisticRegression,
    "gbdt": GBDT,
    "dnn": DNN,
    "youtube_ranker": YouTubeRanker,
    "wide_and_deep": WideAndDeep,
    "deepfm": DeepFM,
    "dcn_v2": DCNv2,
    "din": DIN,
    "jd_ranker": JDRanker,
    "shared_bottom": SharedBottom,
    "mmoe": MMoE,
    "ple": PLE,
    "esmm": ESMM,
    "jasper": Jasper,
}


def build_model(config: Config, prepared: Prepared, text_encoder: TextEncoder | None = None) -> RetrievalModel:
    """The model that a run's configuration and data ask for.

    Args:
        config: The run's configuration.
        prepared: The run's data.
        text_encoder: Becomes a part of the model, where the data hold the tokens of the texts.
    """
    return MODELS[config.model.name](config.model, config.features, prepared, text_encoder)


def build_ranker(config: Config, prepared: PreparedImpressions) -> RankingModel:
    """The model that predicts the click which a run's configuration and data ask for."""
    assert isinstance(config.model, RankerConfig)
    return RANKERS[config.model.name](config.model, config.features, prepared)
