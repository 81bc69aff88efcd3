"""What two devices make of a task's batch, as JSON: `python -m tests.tasks.two_devices [ranking]`.

A process of its own, because logical devices must be made before TensorFlow starts.
"""

import json
import sys
from collections.abc import Callable

import tfrec  # isort: skip  # noqa: F401 - before Keras
import keras
import numpy as np
import tensorflow as tf

from tests.tasks.batch import CANDIDATES, IDS, LEARNING_RATE, NUM_DEVICES, PROBABILITIES, QUERIES, TEMPERATURE
from tests.tasks.models import Logits, Lookup
from tests.tasks.ranking_batch import LABELS, LOGITS, WEIGHTS
from tfrec.tasks.ranking import RankingTask
from tfrec.tasks.retrieval import RetrievalTask


def retrieval(
    strategy: tf.distribute.Strategy, log_q_correction: bool, remove_accidental_hits: bool
) -> dict[str, object]:
    """The devices' losses, and the sums of the losses and of the gradients over the devices."""
    with strategy.scope():
        task = RetrievalTask(TEMPERATURE, remove_accidental_hits)

    def step(rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        queries, candidates = tf.constant(QUERIES), tf.constant(CANDIDATES)
        with tf.GradientTape() as tape:
            tape.watch([queries, candidates])
            loss = task(
                tf.gather(queries, rows),
                tf.gather(candidates, rows),
                tf.gather(IDS, rows),
                tf.gather(PROBABILITIES, rows) if log_q_correction else None,
            )
        by_queries, by_candidates = map(tf.convert_to_tensor, tape.gradient(loss, [queries, candidates]))
        return loss, by_queries, by_candidates

    losses, loss, by_queries, by_candidates = run(strategy, step, len(IDS))
    return {"losses": losses, "loss": loss, "by_queries": by_queries, "by_candidates": by_candidates}


def ranking(strategy: tf.distribute.Strategy) -> dict[str, object]:
    """The devices' losses, and the sums of the losses and of the gradient over the devices."""
    with strategy.scope():
        task = RankingTask()

    def step(rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        logits = tf.constant(LOGITS)
        with tf.GradientTape() as tape:
            tape.watch(logits)
            loss = task(tf.gather(LABELS, rows), tf.gather(logits, rows), tf.gather(WEIGHTS, rows))
        return loss, tf.convert_to_tensor(tape.gradient(loss, logits))

    losses, loss, by_logits = run(strategy, step, len(LABELS))
    return {"losses": losses, "loss": loss, "by_logits": by_logits}


def run(strategy: tf.distribute.Strategy, step: Callable[[tf.Tensor], tuple], num_rows: int) -> list:
    """The first output of a step on each device, and the sums of all outputs over the devices."""
    (rows,) = strategy.experimental_distribute_dataset(tf.data.Dataset.range(num_rows).batch(num_rows))
    outputs = tf.function(lambda rows: strategy.run(step, [rows]))(rows)
    losses = [loss.numpy().item() for loss in strategy.experimental_local_results(outputs[0])]
    sums = [strategy.reduce(tf.distribute.ReduceOp.SUM, output, axis=None).numpy().tolist() for output in outputs]
    return [losses, *sums]


def fit(strategy: tf.distribute.Strategy, make: Callable[[], keras.Model], num_rows: int) -> dict[str, object]:
    """The loss that Keras reports of one step over the batch, and the weights after it."""
    with strategy.scope():
        model = make()
        model.compile(keras.optimizers.SGD(LEARNING_RATE), jit_compile=False)
    batches = tf.data.Dataset.from_tensor_slices(np.arange(num_rows)).batch(num_rows)
    history = model.fit(batches, epochs=1, verbose=0)
    weights = {weight.name: np.asarray(weight).tolist() for weight in model.trainable_weights}
    return {"loss": history.history["loss"][0], **weights}


if __name__ == "__main__":
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * NUM_DEVICES)
    mirrored = tf.distribute.MirroredStrategy([f"/CPU:{number}" for number in range(NUM_DEVICES)])
    if sys.argv[1:] == ["ranking"]:
        result = {"task": ranking(mirrored), "fit": fit(mirrored, Logits, len(LABELS))}
    else:
        tasks = [[*options, retrieval(mirrored, *options)] for options in ([False, False], [True, True])]
        result = {"tasks": tasks, "fit": fit(mirrored, Lookup, len(IDS))}
    print(json.dumps(result))
