"""The epochs of a run: fit, validate, checkpoint, stop early, resume."""

import json
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, cast

import keras
import tensorflow as tf

from tfrec import console
from tfrec.backbones.resolve import load_text_encoder
from tfrec.config import Config, TrainingConfig
from tfrec.datasets.splits import VALIDATION
from tfrec.errors import InputError, TrainingError
from tfrec.evaluation import Calibration, fit_calibration
from tfrec.features.epochs import EpochBatches
from tfrec.features.impression_rows import ImpressionRows
from tfrec.features.prepared import Prepared
from tfrec.features.prepared_impressions import PreparedImpressions
from tfrec.models import build_model, build_ranker
from tfrec.models.gbdt import GBDT
from tfrec.models.ranking_model import RankingModel
from tfrec.models.retrieval_model import RetrievalModel
from tfrec.training.boosting import grow
from tfrec.training.checkpoint import load_checkpoint
from tfrec.training.cluster import Cluster
from tfrec.training.devices import choose_strategy, keep_freed_memory
from tfrec.training.epoch_end import AnyPrepared, TrainingState, ValidateAndSave, changing_variables, rows_digest
from tfrec.training.interruption import Interruption
from tfrec.training.optimizer import AdamW, LossScaleOptimizer
from tfrec.training.run import Run, write_json
from tfrec.training.weights_and_biases import tell_epoch, wandb_run
from tfrec.training.workers import Follow, is_chief, meet

LARGE_CATALOGUE = 1000
"""More than so many texts take minutes a step to encode and to train with on a CPU."""


def train(
    run: Run, prepared: AnyPrepared, strategy: tf.distribute.Strategy, data_root: Path = Path("data")
) -> TrainingState:
    """Trains to the end of the run, from wherever it stands.

    Every epoch's order of examples, dropout and initial weights follow from the seed, and a checkpoint holds all
    variables that change, all random states and the step: a run that was killed ends where an undisturbed one ends.

    Args:
        run: Where checkpoints and events go; of several workers, the chief writes them, and all read them.
        prepared: What to train on.
        strategy: The devices, from set_up_devices.
        data_root: Where the text backbone is, if it is trained.

    Raises:
        InputError: The text backbone can't be had, or is not the one that the run began with.
        TrainingError: The loss became NaN or infinite, or the memory did not suffice.
        KeyboardInterrupt: It was interrupted, by Ctrl-C or SIGTERM; the step under way was finished and saved.
    """
    config = run.config
    keras.utils.set_random_seed(config.training.seed)
    with strategy.scope():
        model = _build(config, prepared, data_root)
        encoder = model.text_encoder
        examples = model.examples(config.features, prepared)  # type: ignore[arg-type]  # It was built from them.
        batch_size = examples.fitting_batch_size(config.training.batch_size, strategy.num_replicas_in_sync)
        if not isinstance(model, GBDT):
            _compile(model, config, examples.num_batches(batch_size) * config.training.epochs)

    state = TrainingState()
    if run.latest.is_file():
        state = TrainingState(**_restore(run.latest, changing_variables(model)))
        step = f", step {state.step}" if state.step else ""
        console.say(f"resuming after epoch {state.epoch}{step}")
    elif encoder is not None:
        with strategy.scope():
            model.start_from_texts()
    meet(strategy, json.dumps([config.model_dump(mode="json"), rows_digest(prepared), asdict(state)]))
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
    interruption = Interruption()
    keeper = ValidateAndSave(run, prepared, state, examples, batch_size, interruption)
    callbacks: list[keras.callbacks.Callback] = [Follow(state)]
    if is_chief(strategy):
        profiled = config.training.profile_steps or 0
        callbacks = [keeper, keras.callbacks.TensorBoard(run.tensorboard, write_graph=False, profile_batch=profiled)]
    try:
        with ExitStack() as around:
            tracker = None
            if is_chief(strategy):
                around.enter_context(interruption)
                tracker = around.enter_context(wandb_run(run))
            if tracker is not None:
                callbacks.append(keras.callbacks.LambdaCallback(on_epoch_end=partial(tell_epoch, tracker)))
            if isinstance(model, GBDT):
                assert isinstance(prepared, PreparedImpressions) and isinstance(examples, ImpressionRows)
                grow(model, examples, prepared, config, state.epoch, callbacks)
                return state
            _fit(model, examples, batch_size, config.training, state, callbacks)
    except tf.errors.ResourceExhaustedError as error:
        raise TrainingError(
            f"The memory of the device does not hold a step of {batch_size} examples. Lower training.batch_size or "
            "features.history_length, with --fresh or another --run; the last good epoch is kept here."
        ) from error
    finally:
        keeper.close()
    return state


def _fit(
    model: RetrievalModel | RankingModel,
    examples: EpochBatches,
    batch_size: int,
    training: TrainingConfig,
    state: TrainingState,
    callbacks: list[keras.callbacks.Callback],
) -> None:
    """Trains the rest of the epoch under way, if there is one, and then the others: to Keras all epochs of a call have
    as many steps."""
    model.stop_training = False
    for until in [*([state.epoch + 1] if state.step else []), training.epochs]:
        if state.epoch < until and not model.stop_training:
            model.fit(
                examples.dataset(batch_size, training.seed, state.epoch, until, state.step),
                initial_epoch=state.epoch,
                epochs=until,
                steps_per_epoch=examples.num_batches(batch_size) - state.step,
                callbacks=callbacks,
                shuffle=False,  # The examples are shuffled already.
                verbose=0,
            )


def _compile(model: RetrievalModel | RankingModel, config: Config, num_steps: int) -> None:
    optimizer = AdamW(
        _learning_rate(config.training, num_steps),
        config.training.weight_decay,
        rates=[(variable, size / config.training.learning_rate) for variable, size in model.step_sizes(config)],
        lazy_rows=config.training.lazy_rows,
    )
    if config.training.precision == "mixed_float16":
        optimizer = LossScaleOptimizer(optimizer)
    model.compile(optimizer=optimizer, jit_compile=False)
    optimizer.build(model.trainable_variables)


def _learning_rate(config: TrainingConfig, num_steps: int) -> float | keras.optimizers.schedules.LearningRateSchedule:
    if config.schedule == "cosine":
        return keras.optimizers.schedules.CosineDecay(config.learning_rate, num_steps)
    return config.learning_rate


def set_up_devices(config: Config, cluster: Cluster | None = None) -> tf.distribute.Strategy:
    """Devices, precision and determinism as the configuration asks. Call it before anything is computed.

    Of several workers, each waits for the others.
    """
    keep_freed_memory()
    keras.config.set_dtype_policy(config.training.precision)
    if config.training.deterministic:
        tf.config.experimental.enable_op_determinism()
    return choose_strategy(config.training, cluster)


def load_ranker(run: Run, prepared: PreparedImpressions) -> RankingModel:
    """The model of the best epoch of a run that predicts the click.

    Raises:
        InputError: No epoch was finished, or on other data.
    """
    return cast(RankingModel, _load(run, prepared, Path()))


def load_calibrations(run: Run, model: RankingModel, prepared: PreparedImpressions) -> dict[str, Calibration]:
    """What the validation impressions teach of a model's probabilities, if it predicts any; learned once, and kept in
    the run's folder.

    They are predicted as a server would, with the histories that it would see.

    Returns:
        Of each of the model's tasks.
    """
    tasks = model.tasks(prepared)
    if not tasks:
        return {}
    if not run.calibration.is_file():
        rows = model.rows(prepared, VALIDATION)
        numbers = rows.numbers.numpy()
        logits = model.predict_logits(rows).reshape(len(numbers), -1)
        fitted = {
            task: fit_calibration(model.settings.calibration, logits[:, number], labels[numbers])
            for number, (task, labels) in enumerate(tasks.items())
        }
        write_json(run.calibration, {task: asdict(calibration) for task, calibration in fitted.items()})
    saved = json.loads(run.calibration.read_text(encoding="utf-8"))
    return {task: Calibration(tuple(each["knots"]), tuple(each["values"])) for task, each in saved.items()}


def load_model(
    run: Run, prepared: Prepared, data_root: Path = Path("data"), renewed: Prepared | None = None
) -> RetrievalModel:
    """The model of the best epoch of a run that retrieves.

    Args:
        run: A trained run.
        prepared: Its data.
        data_root: Where the text backbone is, or is fetched to, if it is trained.
        renewed: The same with another catalogue, for the model to know instead.

    Raises:
        InputError: No epoch was finished; or the text backbone can't be had, or is not the one that the run began
            with.
    """
    return cast(RetrievalModel, _load(run, prepared, data_root, renewed))


def _load(
    run: Run, prepared: AnyPrepared, data_root: Path, renewed: Prepared | None = None
) -> RetrievalModel | RankingModel:
    if not run.best.is_file():
        raise InputError(
            f"Expected a trained run in {run.folder}. Received: no checkpoint. Finish it with python -m tfrec.train."
        )
    keras.config.set_dtype_policy(run.config.training.precision)
    model = _build(run.config, renewed or prepared, data_root)
    # Runs of an earlier tfrec don't say.
    if _restore(run.best, model.trainable_variables).get("rows") not in (None, rows_digest(prepared)):
        raise InputError(
            f"Expected weights of the items and users in {run.prepared}. Received: those of others, in {run.best}. The "
            "data were prepared anew since it was trained: train it again, with --fresh."
        )
    return model


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
