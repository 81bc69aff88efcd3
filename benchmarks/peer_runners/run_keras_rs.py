"""Keras-RS: SASRec as its example builds it, of KerasHub's decoder blocks on JAX, with Keras-RS' retrieval on top.

As there: 2 blocks, 1 head, 50 dimensions, 200 positions, dropout .2, binary cross-entropy with one negative a place,
Adam at .001 with beta_2 .98, at most 128 histories a batch. Not as there: the latest 200 of a history are kept and not
the first, the vector of the last place that is filled asks, negatives are drawn anew each epoch, and validation picks
the epoch, where the example trains 10.
"""

import os

os.environ["KERAS_BACKEND"] = "jax"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

import keras
import keras_hub
import keras_rs
import numpy as np
from exchange import Cases, Lists, Split, Task, by_epochs, in_batches
from keras import ops

LENGTH, SIZE = 200, 50


class SASRec(keras.Model):
    def __init__(self, num_items: int, blocks: int = 2, heads: int = 1, dropout: float = 0.2) -> None:
        super().__init__()
        self.items = keras.layers.Embedding(num_items + 1, SIZE, embeddings_initializer="glorot_uniform")
        self.positions = keras_hub.layers.PositionEmbedding(LENGTH)
        self.dropout = keras.layers.Dropout(dropout)
        self.blocks = [
            keras_hub.layers.TransformerDecoder(
                intermediate_dim=SIZE,
                num_heads=heads,
                dropout=dropout,
                activation="relu",
                kernel_initializer="glorot_uniform",
                normalize_first=True,
            )
            for _ in range(blocks)
        ]
        self.norm = keras.layers.LayerNormalization(epsilon=1e-8)

    def call(self, items, training=False):
        vectors = self.items(items)
        vectors = self.dropout(vectors + self.positions(vectors), training=training)
        for block in self.blocks:
            vectors = block(vectors, decoder_padding_mask=items > 0, training=training)
        return self.norm(vectors)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        filled = ops.cast(y[..., 0] > 0, "float32")
        right, wrong = (ops.sum(self.items(y[..., which]) * y_pred, axis=-1) for which in (0, 1))
        losses = ops.softplus(-right) + ops.softplus(wrong)
        return ops.sum(losses * filled) / (2 * ops.sum(filled))


def main() -> None:
    task = Task.of_command_line()
    split, settings = Split.load(task.folder), dict(task.settings)
    batch_size = settings.pop("batch_size")
    keras.utils.set_random_seed(task.seed)
    generator = np.random.default_rng(task.seed)
    model = SASRec(split.num_items)
    model(np.zeros((2, LENGTH), np.int32))
    model.compile(optimizer=keras.optimizers.Adam(0.001, beta_2=0.98))
    histories = split.train.latest(LENGTH + 1)
    kept = (histories > 0).sum(axis=1) > 1
    histories, users = histories[kept], split.train.users[kept]
    given, asked = histories[:, :-1], histories[:, 1:]
    given = np.where(asked > 0, given, 0)  # The last has nothing after it.
    seen = np.unique(split.train.users[split.train.rows].astype(np.int64) * split.num_items + split.train.values)

    def train() -> None:
        negatives = generator.integers(split.num_items, size=asked.shape)
        owners = np.broadcast_to(users[:, np.newaxis].astype(np.int64), asked.shape)
        wrong = np.nonzero(asked)  # Only these are looked at, and then those that were drawn from the own history.
        while len(wrong[0]):
            hits = np.isin(owners[wrong] * split.num_items + negatives[wrong], seen)
            wrong = wrong[0][hits], wrong[1][hits]
            negatives[wrong] = generator.integers(split.num_items, size=len(wrong[0]))
        model.fit(given, np.stack([asked, negatives + 1], axis=-1), batch_size=batch_size, epochs=1, verbose=0)

    def recommend(cases: Cases) -> Lists:
        items = np.asarray(model.items.embeddings)[1:]
        retrieval = keras_rs.layers.BruteForceRetrieval(items, k=split.num_items, return_scores=True)
        latest = cases.latest(LENGTH)

        def score(rows: slice) -> np.ndarray:
            vectors = np.asarray(model.predict_on_batch(latest[rows]))
            last = np.maximum((latest[rows] > 0).sum(axis=1) - 1, 0)
            found, codes = map(np.asarray, retrieval(vectors[np.arange(len(vectors)), last]))
            scores = np.empty_like(found)
            np.put_along_axis(scores, codes, found, axis=1)
            return scores

        return in_batches(score, cases)

    arrays, took, facts = by_epochs(train, recommend, split, task.minutes, **settings)
    task.finish(arrays, took, **facts)


if __name__ == "__main__":
    main()
