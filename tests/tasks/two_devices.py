"""What two devices make of the batch, as JSON: `python -m tests.tasks.two_devices`.

A process of its own, because logical devices must be made before TensorFlow starts.
"""

import json

import tfrec  # isort: skip  # noqa: F401 - before Keras
import keras
import numpy as np
import tensorflow as tf

from tests.tasks.batch import CANDIDATES, IDS, LEARNING_RATE, NUM_DEVICES, PROBABILITIES, QUERIES, TEMPERATURE
from tests.tasks.models import Lookup
from tfrec.tasks.retrieval import RetrievalTask


def task(strategy: tf.distribute.Strategy, log_q_correction: bool, remove_accidental_hits: bool) -> dict[str, object]:
    """The devices' losses, and the sums of the losses and of the gradients over the devices."""
    with strategy.scope():
        retrieval = RetrievalTask(TEMPERATURE, remove_accidental_hits)

    def step(rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        queries, candidates = tf.constant(QUERIES), tf.constant(CANDIDATES)
        with tf.GradientTape() as tape:
            tape.watch([queries, candidates])
            loss = retrieval(
                tf.gather(queries, rows),
                tf.gather(candidates, rows),
                tf.gather(IDS, rows),
                tf.gather(PROBABILITIES, rows) if log_q_correction else None,
            )
        by_queries, by_candidates = map(tf.convert_to_tensor, tape.gradient(loss, [queries, candidates]))
        return loss, by_queries, by_candidates

    dataset = tf.data.Dataset.range(len(IDS)).batch(len(IDS))
    (rows,) = strategy.experimental_distribute_dataset(dataset)
    outputs = tf.function(lambda rows: strategy.run(step, [rows]))(rows)
    losses = [loss.numpy().item() for loss in strategy.experimental_local_results(outputs[0])]
    sums = [strategy.reduce(tf.distribute.ReduceOp.SUM, output, axis=None).numpy().tolist() for output in outputs]
    return {"losses": losses, "loss": sums[0], "by_queries": sums[1], "by_candidates": sums[2]}


def fit(strategy: tf.distribute.Strategy) -> dict[str, object]:
    """The loss that Keras reports of one step over the batch, and the weights after it."""
    with strategy.scope():
        model = Lookup()
        model.compile(keras.optimizers.SGD(LEARNING_RATE), jit_compile=False)
    batches = tf.data.Dataset.from_tensor_slices(np.arange(len(IDS))).batch(len(IDS))
    history = model.fit(batches, epochs=1, verbose=0)
    queries, candidates = (np.asarray(weight).tolist() for weight in (model.queries, model.candidates))
    return {"loss": history.history["loss"][0], "queries": queries, "candidates": candidates}


if __name__ == "__main__":
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * NUM_DEVICES)
    mirrored = tf.distribute.MirroredStrategy([f"/CPU:{number}" for number in range(NUM_DEVICES)])
    tasks = [[*options, task(mirrored, *options)] for options in ([False, False], [True, True])]
    print(json.dumps({"tasks": tasks, "fit": fit(mirrored)}))
