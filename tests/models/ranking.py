"""What tests of models that predict the click share: simulated impressions, and settings that learn from them fast."""

import functools
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tfrec.config import Config
from tfrec.config.models import MULTI_TASK_NAMES
from tfrec.datasets import load_impressions
from tfrec.datasets.click_simulator import ClickSimulation, simulate_clicks
from tfrec.features.prepared_impressions import PreparedImpressions
from tfrec.features.text import item_texts

if TYPE_CHECKING:
    from tfrec.models.ranking_model import RankingModel


@functools.cache
def simulated() -> ClickSimulation:
    return simulate_clicks(num_users=30, num_items=40, num_impressions=8_000, rate=0.3, seed=1)


def ranker_config(name: str, backbone: Path | None = None, **settings: object) -> Config:
    text = {"model.use_text": False} if backbone is None else {"backbone.name": str(backbone)}
    outcomes = {"data.interactions.outcomes": ["bought"]} if name in MULTI_TASK_NAMES else {}
    return Config.load(
        None,
        {
            "data.interactions.path": "impressions.csv",
            "split.kind": "last_fraction",
            "backbone.sequence_length": 16,
            "features.history_length": 6,
            "features.history_labels": True,
            "model.name": name,
            "model.embedding_size": 4,
            "model.hidden_sizes": [16],
            "training.batch_size": 256,
            "training.learning_rate": 0.01,
            "training.epochs": 3,
            "evaluation.bootstrap_samples": 50,
            **text,
            **outcomes,
            **settings,
        },
    )


def prepare_ranker(config: Config, data_root: Path | None = None) -> PreparedImpressions:
    from tfrec.training.prepare import prepare_impressions

    dataset = simulated().dataset
    impressions = load_impressions(dataset, config)
    texts = item_texts(dataset, None) if config.model.use_text else None
    with tempfile.TemporaryDirectory() as folder:
        return prepare_impressions(dataset, impressions, texts, config, data_root or Path(folder))


@functools.cache
def prepared_rankers() -> PreparedImpressions:
    """What most tests of rankers build their models from."""
    return prepare_ranker(ranker_config("dnn"))


def build(name: str, **settings: object) -> "RankingModel":
    """A model with the same weights each time."""
    import tensorflow as tf

    from tfrec.models import build_ranker

    tf.keras.utils.set_random_seed(0)
    return build_ranker(ranker_config(name, **settings), prepared_rankers())


FEW_TREES = {"training.learning_rate": 0.1, "model.num_leaves": 8, "model.trees_per_epoch": 5}
"""Of a gbdt that is grown in a moment."""
