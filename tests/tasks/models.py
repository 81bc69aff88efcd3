"""The smallest Keras 3 models that train with the tasks."""

import keras
import tensorflow as tf

from tests.tasks.batch import CANDIDATES, IDS, PROBABILITIES, QUERIES, TEMPERATURE
from tests.tasks.ranking_batch import LABELS, LOGITS, WEIGHTS
from tfrec.tasks.ranking import RankingTask
from tfrec.tasks.retrieval import RetrievalTask


class Lookup(keras.Model):
    """Row i of the batch is row i of two tables of weights, `queries` and `candidates`."""

    def __init__(self) -> None:
        super().__init__()
        self.queries = self.add_weight(shape=QUERIES.shape, name="queries")
        self.candidates = self.add_weight(shape=CANDIDATES.shape, name="candidates")
        self.queries.assign(QUERIES)
        self.candidates.assign(CANDIDATES)
        self._task = RetrievalTask(TEMPERATURE)
        self.built = True

    def call(self, rows: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"query": tf.gather(self.queries, rows), "candidate": tf.gather(self.candidates, rows)}

    def compute_loss(
        self, x: tf.Tensor, y: object, y_pred: dict[str, tf.Tensor], sample_weight: object = None, training: bool = True
    ) -> tf.Tensor:
        return self._task(y_pred["query"], y_pred["candidate"], tf.gather(IDS, x), tf.gather(PROBABILITIES, x))


class Logits(keras.Model):
    """The logit of example i is the i-th of the weights `logits`."""

    def __init__(self) -> None:
        super().__init__()
        self.logits = self.add_weight(shape=LOGITS.shape, name="logits")
        self.logits.assign(LOGITS)
        self._task = RankingTask()
        self.built = True

    def call(self, rows: tf.Tensor) -> tf.Tensor:
        return tf.gather(self.logits, rows)

    def compute_loss(
        self, x: tf.Tensor, y: object, y_pred: tf.Tensor, sample_weight: object = None, training: bool = True
    ) -> tf.Tensor:
        return self._task(tf.gather(LABELS, x), y_pred, tf.gather(WEIGHTS, x))
