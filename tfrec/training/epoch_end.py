"""What happens at the end of an epoch: validate, save, stop early."""

import hashlib
import math
import time
from dataclasses import asdict, dataclass, field
from typing import Any, NoReturn

import keras
import numpy as np

from tfrec import console
from tfrec.errors import InputError, TrainingError
from tfrec.features.epochs import EpochBatches
from tfrec.features.prepared import Prepared
from tfrec.features.prepared_impressions import PreparedImpressions
from tfrec.models.gbdt import GBDT
from tfrec.models.ranking_model import RankingModel
from tfrec.models.retrieval_model import RetrievalModel
from tfrec.training.checkpoint import save_checkpoint
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
    """

    epoch: int = 0
    best_epoch: int = 0
    best_value: float = -math.inf
    history: list[dict[str, float]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def is_over(self, patience: int) -> bool:
        """Early stopping: the last `patience` epochs were no better than the best before them."""
        return self.epoch - self.best_epoch >= patience


class ValidateAndSave(keras.callbacks.Callback):
    """After each epoch: ranks the validation cases, keeps the best weights, writes the checkpoint, stops early.

    One callback, and not Keras's EarlyStopping beside ModelCheckpoint, because their states must be written in the
    same instant as the variables for a resumed run to go on exactly.
    """

    def __init__(
        self, run: Run, prepared: AnyPrepared, state: TrainingState, examples: EpochBatches, batch_size: int
    ) -> None:
        super().__init__()
        self.examples = examples
        self.batch_size = batch_size
        self.run = run
        self.prepared = prepared
        self.state = state
        self.bar = console.progress_bar()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.epoch = epoch
        self.started = time.perf_counter()
        self.bar = console.progress_bar()
        self.bar.start()
        self.task = self.bar.add_task(f"epoch {epoch + 1}/{self.params['epochs']}", total=self.params["steps"])

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        loss = float((logs or {}).get("loss", 0.0))  # The epoch's mean so far: it never recovers from a NaN.
        if not math.isfinite(loss):
            self._stop_at(batch, f"The loss became {loss}")
        self.bar.advance(self.task)

    def _stop_at(self, step: int, problem: str) -> NoReturn:
        """Writes a batch of the epoch under way; its order is known, so it can be made again."""
        seed = self.run.config.training.seed
        batches = self.examples.dataset(self.batch_size, seed, self.epoch, self.epoch + 1)
        [batch] = batches.skip(step).take(1).as_numpy_iterator()
        np.savez(self.run.bad_batch, allow_pickle=False, **batch, epoch=self.epoch, step=step)
        raise TrainingError(
            f"{problem} at step {step + 1} of epoch {self.epoch + 1}; its batch is in {self.run.bad_batch}, as indices "
            "of items and users. Look for outliers in its attributes, lower training.learning_rate, or raise "
            "model.temperature if it has one, with --fresh or another --run; the last good epoch is kept here."
        )

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = {} if logs is None else logs
        self.bar.stop()
        if not all(np.isfinite(np.asarray(variable)).all() for variable in self.model.trainable_variables):
            self._stop_at(self.params["steps"] - 1, "A weight became NaN or infinite")
        metrics = self.model.validate(self.prepared, self.run.config)
        logs.update({f"val_{name}": value for name, value in metrics.items()})
        state, settings = self.state, self.run.config
        state.epoch = epoch + 1
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
        best = " (best so far)" if state.best_epoch == state.epoch else ""
        console.say(f"  loss {logs['loss']:.4f}, validation {settings.evaluation.monitor} {value:.4f}{best}")
        if state.is_over(settings.training.patience):
            console.say(f"stopping: no better {settings.evaluation.monitor} for {settings.training.patience} epochs")
            self.model.stop_training = True


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
