"""What an exported model answers that predicts the click."""

import functools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from tfrec.artifacts.served import example_histories
from tfrec.artifacts.signatures import CANDIDATES, HISTORY, Inputs
from tfrec.evaluation import Calibration
from tfrec.features.columns import Column, cross
from tfrec.features.impression_rows import CONTEXT
from tfrec.features.prepared_impressions import PreparedImpressions
from tfrec.features.sequences import compact_context
from tfrec.features.vocabulary import NUM_SPECIAL, PADDING, Vocabulary
from tfrec.models.ranking_model import LABEL, ItemTable, RankingModel
from tfrec.models.ranking_model import USER as USER_PREFIX

USER, LABELS, BIDS, FLOOR = "user_id", "history_labels", "candidate_bids", "floor"


class RankSignatures(tf.Module):
    """The signatures of a ranking model, as functions of named tensors. Every one has the batch as its first dimension.

    - `rank` (and `serving_default`): `candidate_item_ids` string [batch, any], padded with ""; `history_item_ids`
      string [batch, history_length], padded with "", oldest first; if the model reads them, `history_labels` float32
      [batch, history_length], 1 for what was liked and 0 for what was not, else the history is what was liked;
      `user_id` string [batch], "" if unknown; and one input for each of the users' attributes and each column of the
      context, "" or NaN where unknown -> `probabilities` float32 [batch, any], of a click on each candidate,
      calibrated. An unknown item is one of which nothing is known; padding has 0. Of a model with several tasks, each
      outcome's besides: `NAME_probabilities`. Of a model of what impressions are worth `expected_values` instead, and
      there are no auctions.
    - `auction`: the same and `candidate_bids` float32 [batch, any], what is paid for a click, and `floor` float32
      [batch], the least revenue that is accepted for a thousand impressions -> `item_ids` string, `scores` float32 and
      `probabilities` float32 [batch, any]: the candidates by their expected revenue per mille, `1000 * bid *
      probability`, which is their score. Of what is below the floor, or earns nothing, the id is "" and both numbers 0.
    - `auction_NAME`, of each outcome: the same where it is paid for, and not the click.

    Args:
        model: The trained model.
        prepared: The tables that it was trained on.
        calibrations: What corrects its log-odds, of each of its tasks; of a model of values none.
    """

    may_widen = False
    """The copies of a candidate would be sold, too."""

    def __init__(
        self, model: RankingModel, prepared: PreparedImpressions, calibrations: Mapping[str, Calibration]
    ) -> None:
        super().__init__(name="rank_signatures")
        self.model = model
        self.ids = prepared.items.ids
        self.optional: dict[str, np.ndarray] = {}
        self.history_length = model.history_config.length
        self.reads_labels = model.history_config.labels
        self.vocabulary = Vocabulary(prepared.items.ids.tolist(), name="item_vocabulary")
        # Variables, not constants: a graph must stay below 2 GB.
        table = model.item_table(tf.range(model.num_items + NUM_SPECIAL))
        self.table = ItemTable(
            tf.Variable(table.vectors, trainable=False, name="item_vectors"),
            tf.Variable(table.weights, trainable=False, name="item_weights"),
        )
        self.user_vocabulary = self.user_rows = None
        if model.settings.use_user_id:
            self.user_vocabulary = Vocabulary(prepared.users.ids.tolist(), name="user_vocabulary")
            self.user_rows = tf.Variable(prepared.users.arrays["user_id"], trainable=False, name="user_rows")
        prefixed = [(USER_PREFIX, prepared.users.columns), (CONTEXT, prepared.context_columns)]
        self.encoders = {prefix + column.name: column.encoder() for prefix, columns in prefixed for column in columns}
        self._calibrated = {task: calibrator(calibration) for task, calibration in calibrations.items()}

    def endpoints(self) -> dict[str, tuple[Callable[..., dict[str, tf.Tensor]], Inputs]]:
        """Name -> function of named tensors, and what they are."""
        shape = [None, self.history_length]
        rank = {
            CANDIDATES: tf.TensorSpec([None, None], tf.string),
            HISTORY: tf.TensorSpec(shape, tf.string),
            **({LABELS: tf.TensorSpec(shape, tf.float32)} if self.reads_labels else {}),
            **({} if self.user_vocabulary is None else {USER: tf.TensorSpec([None], tf.string)}),
            **{column.input_name: column.raw_spec() for column in self._columns},
        }
        bids = {BIDS: tf.TensorSpec([None, None], tf.float32), FLOOR: tf.TensorSpec([None], tf.float32)}
        return {
            "serving_default": (self.rank, rank),
            "rank": (self.rank, rank),
            **{
                _of("auction", task): (functools.partial(self.auction, task), {**rank, **bids})
                for task in self._calibrated
            },
        }

    @property
    def _columns(self) -> list[Column]:
        """What a request brings beside ids; crosses are made of these."""
        return [encoder.column for encoder in self.encoders.values() if not encoder.column.crossed]

    @property
    def lookup_tables(self) -> Sequence[tf.Module]:
        """What an export must track beside the variables."""
        vocabularies = [
            self.vocabulary,
            self.user_vocabulary,
            *(encoder.vocabulary for encoder in self.encoders.values()),
        ]
        return [each for each in vocabularies if each is not None]

    def rank(self, **inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        candidates = self.vocabulary(inputs[CANDIDATES])
        indices = self.vocabulary(inputs[HISTORY])
        given = tf.cast(inputs[LABELS] > 0, tf.float32) if self.reads_labels else tf.ones_like(indices, tf.float32)
        history, context = compact_context(indices, {"history_label": given}, self.history_length)
        user = {"history": history, "history_place": history, **context}
        if self.user_vocabulary is not None:
            user["user_id"] = tf.gather(self.user_rows, self.user_vocabulary(inputs[USER]))
        for name, encoder in self.encoders.items():
            raw = [inputs[part.lower()] for part in encoder.column.crossed]
            user[name] = encoder(cross(raw) if raw else inputs[encoder.column.input_name])
        logits = self.model.score(self.table, {**user, "item_place": candidates})
        if self.model.predicts_values:
            return {"expected_values": tf.where(candidates == PADDING, 0.0, tf.exp(logits))}
        of_tasks = [logits] if logits.shape.rank == 2 else tf.unstack(logits, axis=2)
        return {
            _probabilities(task): tf.where(candidates == PADDING, 0.0, tf.sigmoid(calibrated(of_task)))
            for (task, calibrated), of_task in zip(self._calibrated.items(), of_tasks, strict=True)
        }

    def auction(self, task: str, /, **inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        bids, floor = inputs.pop(BIDS), inputs.pop(FLOOR)
        probabilities = self.rank(**inputs)[_probabilities(task)]
        revenue = 1000 * bids * probabilities
        is_sold = (revenue >= floor[:, tf.newaxis]) & (inputs[CANDIDATES] != "") & (revenue > 0)
        order = tf.argsort(tf.where(is_sold, revenue, -1.0), direction="DESCENDING", stable=True)

        def ordered(values: tf.Tensor, nothing: tf.Tensor | str | float) -> tf.Tensor:
            return tf.gather(tf.where(is_sold, values, nothing), order, batch_dims=1)

        return {
            "item_ids": ordered(inputs[CANDIDATES], ""),
            "scores": ordered(revenue, 0.0),
            "probabilities": ordered(probabilities, 0.0),
        }

    def examples(self, histories: Sequence[Sequence[str]]) -> dict[str, dict[str, np.ndarray]]:
        """Requests for every signature, to compare and to warm up with.

        Args:
            histories: Real histories, oldest first. An empty one and one of unknown ids are added.

        Returns:
            Signature -> inputs of len(histories) + 2 rows.
        """
        padded, _ = example_histories(histories, self.history_length)
        # Different scores for different items, even of a model that knows items by their ids alone.
        candidates = np.array([[self.ids[0], "no such item", self.ids[-1], ""]] * len(padded), object)
        inputs: dict[str, np.ndarray] = {CANDIDATES: candidates, HISTORY: padded}
        if self.reads_labels:
            inputs[LABELS] = (np.cumsum(padded != "", axis=1) % 2).astype(np.float32)
        if self.user_vocabulary is not None:
            inputs[USER] = np.array(["no such user"] * len(padded), object)
        inputs |= {column.input_name: column.example(len(padded)) for column in self._columns}
        # So far apart that what a probability loses in the last digits changes no order.
        bids = np.tile(np.array([4.0, 2.0, 1.0, 0.5], np.float32) ** 4, (len(padded), 1))
        auction = {**inputs, BIDS: bids, FLOOR: np.zeros(len(padded), np.float32)}
        auctions = {_of("auction", task): auction for task in self._calibrated}
        return {"serving_default": inputs, "rank": inputs, **auctions}


def _of(signature: str, task: str) -> str:
    return signature if task == LABEL else f"{signature}_{task}"


def _probabilities(task: str) -> str:
    return "probabilities" if task == LABEL else f"{task}_probabilities"


def calibrator(calibration: Calibration) -> Callable[[tf.Tensor], tf.Tensor]:
    """A calibration as graph operations, of float32 log-odds."""
    knots, values = np.asarray(calibration.knots), np.asarray(calibration.values)
    slopes = (np.diff(values) / np.diff(knots)).astype(np.float32)
    starts, ends = knots[:-1].astype(np.float32), values[:-1].astype(np.float32)

    def calibrated(logits: tf.Tensor) -> tf.Tensor:
        logits = tf.clip_by_value(logits, np.float32(knots[0]), np.float32(knots[-1]))
        segment = tf.reshape(tf.searchsorted(starts[1:], tf.reshape(logits, [-1]), side="right"), tf.shape(logits))
        return tf.gather(ends, segment) + tf.gather(slopes, segment) * (logits - tf.gather(starts, segment))

    return calibrated
