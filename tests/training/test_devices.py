import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.backbones.tiny import make_tiny_backbone
from tests.training.two_devices import CASES
from tfrec.config import Config, TrainingConfig
from tfrec.datasets import split_dataset
from tfrec.datasets.simulator import Simulation
from tfrec.errors import InputError
from tfrec.features.prepared import Prepared
from tfrec.features.text import item_texts
from tfrec.training.checkpoint import read_state
from tfrec.training.devices import choose_strategy
from tfrec.training.prepare import prepare
from tfrec.training.run import Run
from tfrec.training.trainer import load_model

# Devices are fixed by TensorFlow's first operation, so each number of them takes a process of its own.
TRAIN = """
import sys
from pathlib import Path
import pytest
from tests.training.stop import stop_at
from tfrec.features.prepared import Prepared
from tfrec.training.run import Run
from tfrec.training.trainer import set_up_devices, train

run = Run.open(Path(sys.argv[1]))
strategy = set_up_devices(run.config)
assert strategy.num_replicas_in_sync == run.config.training.num_devices
if len(sys.argv) > 2:
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_at(patch, epoch=0, step=int(sys.argv[2]))
        train(run, Prepared.load(run.prepared), strategy)
train(run, Prepared.load(run.prepared), strategy)
"""


def test_two_devices_train_as_one(prepared: Prepared, config: Config, tmp_path: Path) -> None:
    history = {}
    for count in (1, 2):
        # The items' ids are updated lazily, the attributes' tables are not.
        changes = {"num_devices": count, "device": "cpu", "epochs": 2, "lazy_rows": 20}
        settings = config.model_copy(
            update={
                "training": config.training.model_copy(update=changes),
                # Each device draws its own dropout: without it, all that is left is arithmetic.
                "model": config.model.model_copy(update={"dropout": 0.0, "id_dropout": 0.0, "attribute_dropout": 0.0}),
            }
        )
        run = Run.create(tmp_path / str(count), settings)
        prepared.save(run.prepared)
        subprocess.run([sys.executable, "-c", TRAIN, run.folder], check=True, capture_output=True)
        history[count] = read_state(run.latest)["history"]
    for one, two in zip(history[1], history[2], strict=True):
        np.testing.assert_allclose(two["loss"], one["loss"], rtol=1e-4)
        np.testing.assert_allclose(two["val_ndcg@10"], one["val_ndcg@10"], atol=0.01)


@pytest.mark.slow
def test_two_devices_that_were_killed_end_where_undisturbed_ones_end(
    prepared: Prepared, config: Config, tmp_path: Path
) -> None:
    history = []
    for name, arguments in (("whole", []), ("parts", ["3"])):
        training = config.training.model_copy(update={"num_devices": 2, "device": "cpu", "epochs": 2})
        run = Run.create(tmp_path / name, config.model_copy(update={"training": training}))
        prepared.save(run.prepared)
        subprocess.run([sys.executable, "-c", TRAIN, run.folder, *arguments], check=True, capture_output=True)
        history.append(read_state(run.latest)["history"])
    assert history[0] == history[1]


OVERFLOW = """
import keras
import tensorflow as tf
from tfrec.training.optimizer import AdamW, LossScaleOptimizer

[cpu] = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    weight = keras.Variable([1.0])
    optimizer = LossScaleOptimizer(AdamW(0.25), initial_scale=4.0)
    optimizer.build([weight])

def step(gradients):
    own = strategy.experimental_distribute_values_from_function(lambda each: gradients[each.replica_id_in_sync_group])
    strategy.run(tf.function(lambda gradient: optimizer.apply([gradient], [weight])), args=(own,))
    print(float(weight.numpy()[0]), float(optimizer.dynamic_scale.numpy()))

step([tf.constant([8.0]), tf.constant([float("inf")])])
step([tf.constant([float("inf")]), tf.constant([8.0])])
step([tf.constant([8.0]), tf.constant([8.0])])
"""


def test_a_gradient_that_overflows_on_one_device_skips_the_step_on_all() -> None:
    # Adam's first step is by the learning rate, .25; each overflow halves the scale.
    done = subprocess.run([sys.executable, "-c", OVERFLOW], check=True, capture_output=True, text=True)
    weights_and_scales = [float(word) for word in done.stdout.split()]
    np.testing.assert_allclose(weights_and_scales, [1, 2, 1, 1, 0.75, 1], rtol=1e-5)


@pytest.mark.slow
def test_two_devices_train_a_backbone_as_one(
    simulation: Simulation, config: Config, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    backbone = make_tiny_backbone(tmp_path_factory.mktemp("backbone") / "tiny", dropout=0.0)
    changes = {"name": str(backbone), "tuning": "lora", "lora_rank": 2, "learning_rate": 0.01}
    settings = config.model_copy(
        update={
            "backbone": config.backbone.model_copy(update=changes),
            "model": config.model.model_copy(update={"dropout": 0.0, "id_dropout": 0.0, "attribute_dropout": 0.0}),
        }
    )
    texts = item_texts(simulation.dataset, None)
    prepared = prepare(simulation.dataset, split_dataset(simulation.dataset, config.split), texts, settings, tmp_path)
    history, adapters = {}, {}
    for count in (1, 2):
        training = config.training.model_copy(update={"num_devices": count, "device": "cpu", "epochs": 1})
        run = Run.create(tmp_path / str(count), settings.model_copy(update={"training": training}))
        prepared.save(run.prepared)
        subprocess.run([sys.executable, "-c", TRAIN, run.folder], check=True, capture_output=True)
        history[count] = read_state(run.latest)["history"]
        adapters[count] = load_model(run, prepared).text_encoder.trainable_variables
    np.testing.assert_allclose(history[2][0]["loss"], history[1][0]["loss"], rtol=1e-4)
    for one, two in zip(adapters[1], adapters[2], strict=True):
        np.testing.assert_allclose(one, two, atol=2e-3)  # Moved by up to .2: 22 steps of up to .01.


@pytest.mark.slow
@pytest.mark.parametrize("kind", CASES)
def test_every_model_takes_the_same_steps_on_two_devices(kind: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.training.two_devices", kind, tmp_path]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    losses = json.loads(done.stdout)
    assert losses.keys() == CASES[kind].keys()
    for case, (one, two) in losses.items():
        assert len(one) == 3
        assert one[0] != one[1], case
        tolerance = 5e-2 if "drawn" in case else 2e-3 if "half" in case else 1e-4
        np.testing.assert_allclose(two, one, rtol=tolerance, err_msg=case)


def test_a_batch_that_devices_cannot_share_is_refused() -> None:
    with pytest.raises(InputError, match=r"3 devices .* --batch-size 1023"):
        choose_strategy(TrainingConfig(batch_size=1024, num_devices=3))


def test_a_gpu_that_is_not_there_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    import tensorflow as tf

    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    with pytest.raises(InputError, match="--device cpu"):
        choose_strategy(TrainingConfig(device="gpu"))
