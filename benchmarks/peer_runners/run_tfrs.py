"""TensorFlow Recommenders: the model of its first tutorial, a vector a user and a vector an item.

As there: 32 dimensions, in-batch softmax of tfrs.tasks.Retrieval, Adagrad at .1, batches of 8,192. Not as there: items
are known by their ids and not by titles, of which some are of two films; validation picks the epoch, where the tutorial
trains 3; the order changes from epoch to epoch; and metrics are not computed in training, which would slow it down.
"""

import os

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs
from exchange import Cases, Lists, Split, Task, by_epochs, in_batches


class Tutorial(tfrs.Model):
    def __init__(self, num_users: int, num_items: int, size: int = 32) -> None:
        super().__init__()
        self.users = tf.keras.layers.Embedding(num_users, size)
        self.items = tf.keras.layers.Embedding(num_items, size)
        self.task = tfrs.tasks.Retrieval()

    def compute_loss(self, features: dict, training: bool = False) -> tf.Tensor:
        return self.task(self.users(features["user"]), self.items(features["item"]), compute_metrics=False)


def main() -> None:
    task = Task.of_command_line()
    split = Split.load(task.folder)
    tf.keras.utils.set_random_seed(task.seed)
    model = Tutorial(int(split.train.users.max()) + 1, split.num_items)
    model.compile(optimizer=tf.keras.optimizers.Adagrad(learning_rate=0.1))
    pairs = {"user": split.train.users[split.train.rows], "item": split.train.values}
    examples = tf.data.Dataset.from_tensor_slices(pairs).shuffle(len(split.train.values), seed=task.seed).batch(8192)

    def recommend(cases: Cases) -> Lists:
        users, items = (np.asarray(layer.embeddings) for layer in (model.users, model.items))
        return in_batches(lambda rows: users[cases.users[rows]] @ items.T, cases)

    arrays, took, facts = by_epochs(
        lambda: model.fit(examples, epochs=1, verbose=0), recommend, split, task.minutes, **task.settings
    )
    task.finish(arrays, took, **facts)


if __name__ == "__main__":
    main()
