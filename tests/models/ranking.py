"""What tests of models that predict the click share: simulated impressions, and settings that learn from them fast."""

import functools
import tempfile
from pathlib import Path

from tfrec.config import Config
from tfrec.config.models import MULTI_TASK_NAMES
from tfrec.datasets import load_impressions
from tfrec.datasets.click_simulator import ClickSimulation, simulate_clicks
from tfrec.features.prepared_impressions import PreparedImpressions
from tfrec.features.text import item_texts


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
