"""What tests of several layers share: simulated data, a tiny backbone, a model trained on both."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import hypothesis
import pytest

from tests.backbones.tiny import make_tiny_backbone
from tfrec.config import Config
from tfrec.datasets import split_dataset
from tfrec.datasets.simulator import Simulation, simulate
from tfrec.features.prepared import Prepared
from tfrec.features.text import item_texts
from tfrec.models.two_tower import TwoTower
from tfrec.training.run import Run

# No timing is asserted, and Hypothesis' deadline is one: a busy machine would fail. The examples are the same each
# time: a test fails for what was changed; `pytest --hypothesis-profile=explore` looks for new ones.
hypothesis.settings.register_profile("tfrec", deadline=None, derandomize=True)
hypothesis.settings.register_profile("explore", deadline=None, max_examples=2000)
hypothesis.settings.load_profile("tfrec")


@pytest.fixture(scope="session")
def tiny_backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_backbone(tmp_path_factory.mktemp("backbone") / "tiny")


@pytest.fixture(scope="session")
def simulation() -> Simulation:
    return simulate(num_users=300, num_items=60, interactions_per_user=12, seed=1)


@pytest.fixture(scope="session")
def config(tiny_backbone: Path) -> Config:
    return Config.load(
        None,
        {
            "data.interactions.path": "simulated.csv",
            "backbone.name": str(tiny_backbone),
            "backbone.sequence_length": 16,
            "features.history_length": 8,
            "model.embedding_size": 16,
            "model.hidden_sizes": [32],
            "training.batch_size": 128,
            "training.learning_rate": 0.01,
            "training.epochs": 6,
            "evaluation.cutoffs": [5, 10],
            "evaluation.bootstrap_samples": 200,
        },
    )


@pytest.fixture(scope="session")
def prepared(simulation: Simulation, config: Config, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    from tfrec.training.prepare import prepare

    split = split_dataset(simulation.dataset, config.split)
    texts = item_texts(simulation.dataset, None)
    return prepare(simulation.dataset, split, texts, config, tmp_path_factory.mktemp("data"))


class Trained(NamedTuple):
    run: Run
    model: TwoTower


@pytest.fixture(scope="session")
def trained(prepared: Prepared, config: Config, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    import tensorflow as tf

    from tfrec.training.trainer import load_model, train

    run = Run.create(tmp_path_factory.mktemp("runs") / "trained", config)
    prepared.save(run.prepared)
    train(run, prepared, tf.distribute.get_strategy())
    return Trained(run, load_model(run, prepared))


class Tuned(NamedTuple):
    run: Run
    prepared: Prepared


@pytest.fixture(scope="session")
def tuned(simulation: Simulation, config: Config, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Tuned]:
    """Makes a run of two epochs that trains its text backbone, with settings changed; each but once."""
    from tfrec.training.prepare import prepare

    @functools.cache
    def make(**backbone: object) -> Tuned:
        settings = config.model_copy(
            update={
                "backbone": config.backbone.model_copy(update={"lora_rank": 2, "learning_rate": 0.01, **backbone}),
                "training": config.training.model_copy(update={"epochs": 2}),
            }
        )
        run = Run.create(tmp_path_factory.mktemp("runs") / "tuned", settings)
        split = split_dataset(simulation.dataset, settings.split)
        texts = item_texts(simulation.dataset, None)
        prepared = prepare(simulation.dataset, split, texts, settings, tmp_path_factory.mktemp("data"))
        prepared.save(run.prepared)
        return Tuned(run, prepared)

    return make


@pytest.fixture(scope="session")
def trained_lora(tuned: Callable[..., Tuned]) -> Trained:
    import tensorflow as tf

    from tfrec.training.trainer import load_model, train

    run, prepared = tuned(tuning="lora", pooling="attention")
    train(run, prepared, tf.distribute.get_strategy())
    return Trained(run, load_model(run, prepared))
