"""The epochs of a run: fit, validate, checkpoint, stop early, resume."""

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import keras
import numpy as np
import tensorflow as tf

from tfrec import console
from tfrec.backbones.resolve import load_text_encoder
from tfrec.config import Config, TrainingConfig
from tfrec.datasets.splits import VALIDATION
from tfrec.errors import InputError, TrainingError
from tfrec.evaluation import Calibration, fit_calibration
from tfrec.features.epochs import EpochBatches
from tfrec.features.prepared import Prepared
from tfrec.features.prepared_impressions import PreparedImpressions
from tfrec.models import build_model, build_ranker
from tfrec.models.ranking_model import RankingModel
from tfrec.models.retrieval_model import RetrievalModel
from tfrec.training.checkpoint import load_checkpoint, save_checkpoint
from tfrec.training.devices import choose_strategy, keep_freed_memory
from tfrec.training.optimizer import AdamW, LossScaleOptimizer
from tfrec.training.run import Run, write_json

AnyPrepared = Prepared | PreparedImpressions

LARGE_CATALOGUE = 1000
"""More than so many texts take minutes a step to encode and to train with on a CPU."""


@dataclass
class TrainingState:
    """What a resumed run must know beside the variables.

    Attributes:
        epoch: Epochs that are finished.
        best_epoch: The finished epoch (from 1) with the best validation metric.
        best_value: Its metric.
        history: One entry a finished epoch: the loss and the validation metrics.
    """

    epoch: int = 0
    best_epoch: int = 0
    best_value: float = -math.inf
    history: list[dict[str, float]] = field(default_factory=list)

    def is_over(self, patience: int) -> bool:
        """Early stopping: the last `patience` epochs were no better than the best before them."""
        return self.epoch - self.best_epoch >= patience


def train(
    run: Run, prepared: AnyPrepared, strategy: tf.distribute.Strategy, data_root: Path = Path("data")
) -> TrainingState:
    """Trains to the end of the run, from wherever it stands.

    Every epoch's order of examples, dropout and initial weights follow from the seed, and a checkpoint holds all
    variables that change and all random states: a run that was killed ends where an undisturbed one ends.

    Args:
        run: Where checkpoints and events go.
        prepared: What to train on.
        strategy: The devices, from set_up_devices.
        data_root: Where the text backbone is, if it is trained.

    Raises:
        InputError: The text backbone can't be had, or is not the one that the run began with.
        TrainingError: The loss became NaN or infinite, or the memory did not suffice.
    """
    config = run.config
    keras.utils.set_random_seed(config.training.seed)
    with strategy.scope():
        model = _build(config, prepared, data_root)
        encoder = model.text_encoder
        examples = model.examples(config.features, prepared)  # type: ignore[arg-type]  # It was built from them.
        batch_size = examples.fitting_batch_size(config.training.batch_size, strategy.num_replicas_in_sync)
        num_steps = examples.num_batches(batch_size) * config.training.epochs
        optimizer = AdamW(
            _learning_rate(config.training, num_steps),
            config.training.weight_decay,
            rates=[(variable, size / config.training.learning_rate) for variable, size in model.step_sizes(config)],
        )
        if config.training.precision == "mixed_float16":
            optimizer = LossScaleOptimizer(optimizer)
        model.compile(optimizer=optimizer, jit_compile=False)
        optimizer.build(model.trainable_variables)

    state = TrainingState()
    if run.latest.is_file():
        state = TrainingState(**_restore(run.latest, _changing_variables(model)))
        console.say(f"resuming after epoch {state.epoch}")
    elif encoder is not None:
        with strategy.scope():
            model.start_from_texts()
    if state.is_over(config.training.patience):
        console.say("early stopping has ended this run; raise training.patience to go on")
        return state
    if state.epoch >= config.training.epochs:
        return state

    if encoder is not None and model.encodes_catalogue and model.num_items > LARGE_CATALOGUE:
        console.say(
            f"warning: each training step encodes the texts of all {model.num_items:,} items with a text backbone that "
            "is trained, which takes long and much memory. Choose another model.loss, which encodes the batch's items "
            "alone, model.name = two_tower, or backbone.tuning = frozen with mean pooling, whose vectors are kept."
        )
    keeper = ValidateAndSave(run, prepared, state, examples, batch_size)
    try:
        model.fit(
            examples.dataset(batch_size, config.training.seed, state.epoch, config.training.epochs),
            initial_epoch=state.epoch,
            epochs=config.training.epochs,
            steps_per_epoch=examples.num_batches(batch_size),
            callbacks=[keeper, keras.callbacks.TensorBoard(run.tensorboard, write_graph=False)],
            shuffle=False,  # The examples are shuffled already.
            verbose=0,
        )
    except tf.errors.ResourceExhaustedError as error:
        raise TrainingError(
            f"The memory of the device does not hold a step of {batch_size} examples. Lower training.batch_size or "
            "features.history_length, with --fresh or another --run; the last good epoch is kept here."
        ) from error
    finally:
        if keeper.bar.live.is_started:  # Interrupted: give the terminal its cursor back.
            keeper.bar.stop()
    return state


def _learning_rate(config: TrainingConfig, num_steps: int) -> float | keras.optimizers.schedules.LearningRateSchedule:
    if config.schedule == "cosine":
        return keras.optimizers.schedules.CosineDecay(config.learning_rate, num_steps)
    return config.learning_rate


def set_up_devices(config: Config) -> tf.distribute.Strategy:
    """Devices, precision and determinism as the configuration asks. Call it before anything is computed."""
    keep_freed_memory()
    keras.config.set_dtype_policy(config.training.precision)
    if config.training.deterministic:
        tf.config.experimental.enable_op_determinism()
    return choose_strategy(config.training)


def load_ranker(run: Run, prepared: PreparedImpressions) -> RankingModel:
    """The model of the best epoch of a run that predicts the click.

    Raises:
        InputError: No epoch was finished.
    """
    return cast(RankingModel, _load(run, prepared, Path()))


def load_calibrations(run: Run, model: RankingModel, prepared: PreparedImpressions) -> dict[str, Calibration]:
    """What the validation impressions teach of a model's probabilities; learned once, and kept in the run's folder.

    They are predicted as a server would, with the histories that it would see.

    Returns:
        Of each of the model's tasks.
    """
    if not run.calibration.is_file():
        rows = model.rows(prepared, VALIDATION)
        numbers = rows.numbers.numpy()
        logits = model.predict_logits(rows).reshape(len(numbers), -1)
        fitted = {
            task: fit_calibration(model.settings.calibration, logits[:, number], labels[numbers])
            for number, (task, labels) in enumerate(model.tasks(prepared).items())
        }
        write_json(run.calibration, {task: asdict(calibration) for task, calibration in fitted.items()})
    saved = json.loads(run.calibration.read_text(encoding="utf-8"))
    return {task: Calibration(tuple(each["knots"]), tuple(each["values"])) for task, each in saved.items()}


def load_model(run: Run, prepared: Prepared, data_root: Path = Path("data")) -> RetrievalModel:
    """The model of the best epoch of a run that retrieves.

    Args:
        run: A trained run.
        prepared: Its data.
        data_root: Where the text backbone is, or is fetched to, if it is trained.

    Raises:
        InputError: No epoch was finished; or the text backbone can't be had, or is not the one that the run began
            with.
    """
    return cast(RetrievalModel, _load(run, prepared, data_root))


def _load(run: Run, prepared: AnyPrepared, data_root: Path) -> RetrievalModel | RankingModel:
    if not run.best.is_file():
        raise InputError(
            f"Expected a trained run in {run.folder}. Received: no checkpoint. Finish it with python -m tfrec.train."
        )
    keras.config.set_dtype_policy(run.config.training.precision)
    model = _build(run.config, prepared, data_root)
    _restore(run.best, model.trainable_variables)
    return model


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
        self.bar = console.progress_bar()
        self.bar.start()
        self.task = self.bar.add_task(f"epoch {epoch + 1}/{self.params['epochs']}", total=self.params["steps"])

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        loss = float((logs or {}).get("loss", 0.0))  # The epoch's mean so far: it never recovers from a NaN.
        if not math.isfinite(loss):
            self._save_batch(batch)
            raise TrainingError(
                f"The loss became {loss} at step {batch + 1} of epoch {self.epoch + 1}; its batch is in "
                f"{self.run.bad_batch}, as indices of items and users. Look for outliers in its attributes, lower "
                "training.learning_rate, or raise model.temperature if it has one, with --fresh or another --run; the "
                "last good epoch is kept here."
            )
        self.bar.advance(self.task)

    def _save_batch(self, number: int) -> None:
        """Writes a batch of the epoch under way; its order is known, so it can be made again."""
        seed = self.run.config.training.seed
        batches = self.examples.dataset(self.batch_size, seed, self.epoch, self.epoch + 1)
        [batch] = batches.skip(number).take(1).as_numpy_iterator()
        np.savez(self.run.bad_batch, allow_pickle=False, **batch, epoch=self.epoch, step=number)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = {} if logs is None else logs
        self.bar.stop()
        metrics = self.model.validate(self.prepared, self.run.config)
        logs.update({f"val_{name}": value for name, value in metrics.items()})
        state, settings = self.state, self.run.config
        state.epoch = epoch + 1
        state.history.append({name: float(value) for name, value in logs.items()})
        value = metrics[settings.evaluation.monitor]
        if value > state.best_value:
            state.best_value, state.best_epoch = value, state.epoch
            save_checkpoint(self.run.best, self.model.trainable_variables, {"epoch": state.epoch})
            for file in (self.run.metrics, self.run.calibration):  # They were other weights'.
                file.unlink(missing_ok=True)
        save_checkpoint(self.run.latest, _changing_variables(self.model), asdict(state))
        best = " (best so far)" if state.best_epoch == state.epoch else ""
        console.say(f"  loss {logs['loss']:.4f}, validation {settings.evaluation.monitor} {value:.4f}{best}")
        if state.is_over(settings.training.patience):
            console.say(f"stopping: no better {settings.evaluation.monitor} for {settings.training.patience} epochs")
            self.model.stop_training = True


def _build(config: Config, prepared: AnyPrepared, data_root: Path) -> RetrievalModel | RankingModel:
    if isinstance(prepared, PreparedImpressions):
        return build_ranker(config, prepared)
    encoder = None
    if "text_tokens" in prepared.items.arrays:
        encoder = load_text_encoder(config.backbone, data_root, prepared.text_encoder_key)
    return build_model(config, prepared, encoder)


def _restore(path: Path, variables: list[keras.Variable]) -> dict[str, Any]:
    try:
        return load_checkpoint(path, variables)
    except ValueError as error:
        raise InputError(
            f"Expected weights of this model in {path}. Received: {error}. If model.gpt names other weights than when "
            "the run began, bring those back; otherwise this tfrec builds the model in another way: train it anew, "
            "with --fresh."
        ) from error


def _changing_variables(model: RetrievalModel | RankingModel) -> list[keras.Variable]:
    """All variables, random states included, but not the pretrained weights that stay as they are."""
    frozen = {id(weight) for weight in (model.text_encoder.frozen_weights if model.text_encoder is not None else ())}
    return [
        *(variable for variable in model.variables if id(variable) not in frozen),
        *model.optimizer.variables,
    ]
