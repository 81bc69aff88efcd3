"""What happens at the end of a step and of an epoch: save, validate, stop early."""

import hashlib
import math
import time
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NoReturn

import keras
import numpy as np
import tensorflow as tf

from tfrec import console
from tfrec.errors import InputError, TrainingError
from tfrec.features.epochs import EpochBatches
from tfrec.features.prepared import Prepared
from tfrec.features.prepared_impressions import PreparedImpressions
from tfrec.models.gbdt import GBDT
from tfrec.models.ranking_model import RankingModel
from tfrec.models.retrieval_model import RetrievalModel
from tfrec.training.checkpoint import CheckpointWriter, save_checkpoint
from tfrec.training.interruption import Interruption
from tfrec.training.run import Run

AnyPrepared = Prepared | PreparedImpressions


@dataclass
class TrainingState:
    """What a resumed run must know beside the variables.

    Attributes:
        epoch: Epochs that are finished.
        best_epoch: The finished epoch (from 1) with the best validation metric.
        best_value: Its metric.
        history: One entry a finished epoch: the loss and the validation metrics.
        seconds: How long each of them took, validation included; fewer where an earlier tfrec did not say.
        step: Steps of the epoch under way that are done.
        step_seconds: How long they took.
        loss_sums: What their mean loss is made of, on each device.
    """

    epoch: int = 0
    best_epoch: int = 0
    best_value: float = -math.inf
    history: list[dict[str, float]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    step: int = 0
    step_seconds: float = 0.0
    loss_sums: list[float] = field(default_factory=list)

    def finish_epoch(self) -> None:
        """What is known of the epoch under way is that of the next one."""
        self.epoch, self.step, self.step_seconds, self.loss_sums = self.epoch + 1, 0, 0.0, []

    def is_over(self, patience: int) -> bool:
        """Early stopping: the last `patience` epochs were no better than the best before them."""
        return self.epoch - self.best_epoch >= patience


class ValidateAndSave(keras.callbacks.Callback):
    """After each epoch: ranks the validation cases, keeps the best weights, writes the checkpoint, stops early. Within
    one, every training.checkpoint_minutes and when it is interrupted, it writes a checkpoint with the step, too.

    One callback, and not Keras's EarlyStopping beside ModelCheckpoint, because their states must be written in the
    same instant as the variables for a resumed run to go on exactly.
    """

    def __init__(
        self,
        run: Run,
        prepared: AnyPrepared,
        state: TrainingState,
        examples: EpochBatches,
        batch_size: int,
        interruption: Interruption,
    ) -> None:
        super().__init__()
        self.interruption = interruption
        self.writer = CheckpointWriter()
        self.saved = time.monotonic()
        self.examples = examples
        self.batch_size = batch_size
        self.run = run
        self.prepared = prepared
        self.state = state
        self.bar = console.ProgressBar("epoch", 0)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.epoch = epoch
        self.num_steps = self.state.step + self.params["steps"]
        restore_loss(self.model, self.state)
        self.interruption.can_wait = self._saves_steps
        self.started = time.perf_counter() - self.state.step_seconds
        title = f"epoch {epoch + 1}/{self.run.config.training.epochs}"
        self.bar = console.ProgressBar(title, self.num_steps, self.state.step, "step")
        self.bar.start()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        step = self.state.step + batch + 1
        loss = float((logs or {}).get("loss", 0.0))  # The epoch's mean so far: it never recovers from a NaN.
        if not math.isfinite(loss):
            self._stop_at(step - 1, f"The loss became {loss}")
        self.bar.advance(1, lambda rate: f"loss {loss:.4f}{self._examples_a_second(rate)}")
        if self._saves_steps:
            self._save_step(step)

    def _examples_a_second(self, steps: float) -> str:
        """Trees see all rows in each step."""
        return "" if isinstance(self.model, GBDT) else f", {steps * self.batch_size:,.0f} examples/s"

    @property
    def _saves_steps(self) -> bool:
        return self.run.config.training.checkpoint_minutes > 0 and not isinstance(self.model, GBDT)

    def _save_step(self, step: int) -> None:
        if step == self.num_steps:  # The epoch's own checkpoint follows, after a validation that need not be awaited.
            self.interruption.can_wait = False
            return
        is_due = time.monotonic() - self.saved >= 60 * self.run.config.training.checkpoint_minutes
        if is_due or self.interruption.has_come:
            self._require_finite_weights(step - 1)
            state = replace(
                self.state,
                step=step,
                step_seconds=round(time.perf_counter() - self.started, 3),
                loss_sums=[float(part) for part in _loss_sums(self.model)],
            )
            self.writer.save(self.run.latest, changing_variables(self.model), asdict(state))
            self.saved = time.monotonic()
        if self.interruption.has_come:
            self.writer.wait()
            raise KeyboardInterrupt

    def _require_finite_weights(self, step: int) -> None:
        if not all(np.isfinite(np.asarray(variable)).all() for variable in self.model.trainable_variables):
            self._stop_at(step, "A weight became NaN or infinite")

    def _stop_at(self, step: int, problem: str) -> NoReturn:
        """Writes a batch of the epoch under way; its order is known, so it can be made again."""
        seed = self.run.config.training.seed
        batches = self.examples.dataset(self.batch_size, seed, self.epoch, self.epoch + 1, step)
        [batch] = batches.take(1).as_numpy_iterator()
        np.savez(self.run.bad_batch, allow_pickle=False, **batch, epoch=self.epoch, step=step)
        raise TrainingError(
            f"{problem} at step {step + 1} of epoch {self.epoch + 1}; its batch is in {self.run.bad_batch}, as indices "
            "of items and users. Look for outliers in its attributes, lower training.learning_rate, or raise "
            "model.temperature if it has one, with --fresh or another --run; the last good epoch is kept here."
        )

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = {} if logs is None else logs
        self.bar.stop()
        self._require_finite_weights(self.num_steps - 1)
        self.writer.wait()
        metrics = self.model.validate(self.prepared, self.run.config)
        logs.update({f"val_{name}": value for name, value in metrics.items()})
        state, settings = self.state, self.run.config
        state.finish_epoch()
        state.history.append({name: float(value) for name, value in logs.items()})
        state.seconds.append(round(time.perf_counter() - self.started, 3))
        value = metrics[settings.evaluation.monitor]
        if math.isnan(value):
            raise InputError(
                f"Expected a validation {settings.evaluation.monitor}. Received: none, since no user has validation "
                "impressions of both kinds. Set evaluation.monitor to auc, with --fresh, or bring more interactions."
            )
        if value > state.best_value:
            state.best_value, state.best_epoch = value, state.epoch
            facts = {"epoch": state.epoch, "rows": rows_digest(self.prepared)}
            save_checkpoint(self.run.best, self.model.trainable_variables, facts)
            self.run.remove_results()  # They were other weights'.
        save_checkpoint(self.run.latest, changing_variables(self.model), asdict(state))
        self.saved = time.monotonic()
        best = " (best so far)" if state.best_epoch == state.epoch else ""
        console.say(f"  loss {logs['loss']:.4f}, validation {settings.evaluation.monitor} {value:.4f}{best}")
        if state.is_over(settings.training.patience):
            console.say(f"stopping: no better {settings.evaluation.monitor} for {settings.training.patience} epochs")
            self.model.stop_training = True
        if self.interruption.has_come:
            raise KeyboardInterrupt

    def close(self) -> None:
        """Ends what is under way: the bar, which gives the terminal its cursor back, and the writing."""
        self.bar.stop()
        self.writer.close()


def restore_loss(model: RetrievalModel | RankingModel, state: TrainingState) -> None:
    """Goes on with the mean loss of an epoch that had begun."""
    for part, value in zip(_loss_sums(model), state.loss_sums, strict=False):
        part.assign(value)


def _loss_sums(model: RetrievalModel | RankingModel) -> list[tf.Variable]:
    """The sum and the count of the epoch's mean loss, on each device by itself, which adds them up by itself."""
    if isinstance(model, GBDT):
        return []
    local = model.distribute_strategy.experimental_local_results
    return [part for variable in model.metrics_variables for part in local(variable.value)]


def rows_digest(prepared: AnyPrepared) -> str:
    """Says whose the rows of the embeddings are: a hash of the ids of items and users, in order."""
    digest = hashlib.sha256()
    for ids in (prepared.items.ids, prepared.users.ids):
        digest.update("\n".join(ids).encode())
        digest.update(b"\0")
    return digest.hexdigest()


def changing_variables(model: RetrievalModel | RankingModel) -> list[keras.Variable]:
    """All variables, random states included, but not the pretrained weights that stay as they are; or the trees."""
    if isinstance(model, GBDT):
        return model.trainable_variables
    frozen = {id(weight) for weight in (model.text_encoder.frozen_weights if model.text_encoder is not None else ())}
    return [
        *(variable for variable in model.variables if id(variable) not in frozen),
        *model.optimizer.variables,
    ]
