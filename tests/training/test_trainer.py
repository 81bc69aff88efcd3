import json
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import Trained, Tuned
from tests.training.stop import stop_at
from tfrec import console
from tfrec.backbones.resolve import load_text_encoder
from tfrec.backbones.text_encoder import TextEncoder
from tfrec.config import Config, JDTowerConfig
from tfrec.errors import InputError, TrainingError
from tfrec.features.prepared import Prepared
from tfrec.features.sequences import NextItemExamples
from tfrec.models.two_tower import TwoTower
from tfrec.training import epoch_end, trainer
from tfrec.training.checkpoint import CheckpointWriter, load_checkpoint, read_state, save_checkpoint
from tfrec.training.run import Run
from tfrec.training.trainer import load_model, train


def changed(config: Config, **training: object) -> Config:
    return config.model_copy(update={"training": config.training.model_copy(update=training)})


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


@pytest.mark.parametrize(
    ("moment", "epoch", "step"),
    [
        ("within an epoch", 2, 0),
        ("after steps were saved", 2, 5),
        ("by SIGINT", 2, 6),
        pytest.param("by SIGTERM in the last step", 3, 0, marks=pytest.mark.slow),
        pytest.param("before the checkpoint", 2, 0, marks=pytest.mark.slow),
        pytest.param("after the checkpoint", 3, 0, marks=pytest.mark.slow),
    ],
)
def test_a_killed_run_ends_where_an_undisturbed_one_ends(
    moment: str,
    epoch: int,
    step: int,
    trained: Trained,
    prepared: Prepared,
    config: Config,
    tmp_path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    minutes = 1e-9 if moment == "after steps were saved" else 10
    run = Run.create(tmp_path / "run", changed(config, checkpoint_minutes=minutes))

    with monkeypatch.context() as patch:
        if moment.startswith("by "):
            stop_at(patch, 2, 21 if "last" in moment else 5, signal.Signals[moment.split()[1]])
        elif "checkpoint" not in moment:
            end = epoch_end.ValidateAndSave.on_train_batch_end

            def die_in_third_epoch(self, batch, logs=None):
                if self.state.epoch == 2 and batch == 5:
                    self.writer.wait()
                    raise Killed
                end(self, batch, logs)

            patch.setattr(epoch_end.ValidateAndSave, "on_train_batch_end", die_in_third_epoch)
        else:

            def save_and_die(path, variables, state):
                if path.name == "latest.npz" and state["epoch"] == 3:
                    if moment == "after the checkpoint":
                        save_checkpoint(path, variables, state)
                    raise Killed
                save_checkpoint(path, variables, state)

            patch.setattr(epoch_end, "save_checkpoint", save_and_die)
        with pytest.raises(KeyboardInterrupt if moment.startswith("by ") else Killed):
            train(run, prepared, tf.distribute.get_strategy())

    saved = read_state(run.latest)
    assert (saved["epoch"], saved["step"]) == (epoch, step)
    assert sorted(path.name for path in run.checkpoints.iterdir()) == ["best.npz", "latest.npz"]
    state = train(run, prepared, tf.distribute.get_strategy())
    undisturbed = read_state(trained.run.latest)
    assert read_state(run.latest) == undisturbed | {"seconds": state.seconds}
    assert state.seconds[2] >= saved["step_seconds"]
    for one, other in zip(load_model(run, prepared).variables, trained.model.variables, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_killed_run_from_shards_ends_where_an_undisturbed_one_ends(
    trained: Trained, config: Config, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from_disk = Prepared.load(trained.run.prepared)
    # Some 3,000 interactions: three groups an epoch.
    features = config.features.model_copy(update={"interactions_at_once": 1100})
    settings = changed(config.model_copy(update={"features": features}), epochs=2)
    whole, parts = (Run.create(tmp_path / name, settings) for name in ("whole", "parts"))
    train(whole, from_disk, tf.distribute.get_strategy())
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_at(patch, epoch=1, step=12)
        train(parts, from_disk, tf.distribute.get_strategy())
    assert read_state(parts.latest)["step"] == 13
    train(parts, from_disk, tf.distribute.get_strategy())
    assert read_state(parts.latest)["history"] == read_state(whole.latest)["history"]
    trainable = [load_model(run, from_disk).trainable_variables for run in (parts, whole)]
    for one, other in zip(*trainable, strict=True):
        np.testing.assert_array_equal(one, other)
    # As well as from memory, and in another order.
    in_memory = read_state(trained.run.latest)["history"][1]
    assert 0 < abs(read_state(whole.latest)["history"][1]["loss"] - in_memory["loss"]) < 0.1


def test_each_epoch_is_told_and_takes_its_time(
    prepared: Prepared,
    config: Config,
    tmp_path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    logged = []
    monkeypatch.setattr(console, "SECONDS_BETWEEN_LINES", 0.0)

    @contextmanager
    def recorder(run: Run) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(log=logged.append)

    monkeypatch.setattr(trainer, "wandb_run", recorder)
    run = Run.create(tmp_path / "run", changed(config, epochs=1, profile_steps=(2, 3)))
    (run.tensorboard / "test").mkdir(parents=True)
    for stale in (run.page, run.tensorboard / "titles.tsv"):  # Of other weights.
        stale.write_text("")
    state = train(run, prepared, tf.distribute.get_strategy())
    [epoch] = logged
    assert epoch["epoch"] == 1
    assert epoch["validation/ndcg@10"] == state.history[0]["val_ndcg@10"] == state.best_value
    assert epoch["train/loss"] == state.history[0]["loss"]
    assert len(state.seconds) == 1
    said = r"epoch 1/1: step 1 of \d+, loss \d+\.\d{4}, [\d,]+ examples/s, \d+:\d\d:\d\d left"
    assert re.search(said, capsys.readouterr().err)
    assert not run.page.exists()
    assert sorted(path.name for path in run.tensorboard.iterdir()) == ["train", "validation"]
    assert len(list(run.tensorboard.rglob("*.xplane.pb"))) == 1


@pytest.mark.slow
def test_a_killed_run_that_trains_its_backbone_ends_where_an_undisturbed_one_ends(
    tuned: Callable[..., Tuned], trained_lora: Trained, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lora = tuned(tuning="lora", pooling="attention")
    run = Run.create(tmp_path / "run", lora.run.config)

    def save_and_die(path, variables, state):
        save_checkpoint(path, variables, state)
        if path.name == "latest.npz":
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(epoch_end, "save_checkpoint", save_and_die)
        with pytest.raises(Killed):
            train(run, lora.prepared, tf.distribute.get_strategy())
    assert read_state(run.latest)["epoch"] == 1
    state = train(run, lora.prepared, tf.distribute.get_strategy())
    assert state.history == read_state(trained_lora.run.latest)["history"]
    assert state.epoch == 2
    for one, other in zip(load_model(run, lora.prepared).weights, trained_lora.model.weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_checkpoints_leave_pretrained_weights_out(trained_lora: Trained) -> None:
    encoder = trained_lora.model.text_encoder
    frozen = sum(int(np.prod(weight.shape)) for weight in encoder.frozen_weights)
    trained = sum(int(np.prod(weight.shape)) for weight in trained_lora.model.trainable_variables)
    assert frozen > 1000
    sizes = {}
    for path in (trained_lora.run.best, trained_lora.run.latest):
        with np.load(path) as arrays:
            sizes[path.name] = sum(arrays[name].size for name in arrays.files if name != "state")
    assert sizes["best.npz"] == trained
    # AdamW's two moments of each, and a few numbers: seeds, the step, the learning rate.
    assert 3 * trained < sizes["latest.npz"] < 3 * trained + 100


def test_another_backbone_than_the_runs_is_refused(
    tuned: Callable[..., Tuned], trained_lora: Trained, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lora = tuned(tuning="lora", pooling="attention")
    monkeypatch.setattr(TextEncoder, "key", lambda self: "other weights")
    with pytest.raises(InputError, match="trained with"):
        load_model(lora.run, lora.prepared)
    with pytest.raises(InputError, match="trained with"):
        train(Run.create(tmp_path / "run", lora.run.config), lora.prepared, tf.distribute.get_strategy())


@pytest.mark.parametrize("limit", [59, 60])
def test_encoding_a_large_catalogue_at_each_step_is_warned_of(
    limit: int, tuned: Callable[..., Tuned], tmp_path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setattr(trainer, "LARGE_CATALOGUE", limit)
    monkeypatch.setattr(keras.Model, "fit", lambda self, *_, **__: None)
    attention = tuned(pooling="attention")
    settings = JDTowerConfig(name="jd_tower", embedding_size=16, hidden_sizes=())
    run = Run.create(tmp_path / "run", attention.run.config.model_copy(update={"model": settings}))
    train(run, attention.prepared, tf.distribute.get_strategy())
    assert ("all 60 items" in " ".join(capsys.readouterr().err.split())) == (limit == 59)


def test_a_finished_run_is_not_trained_again(trained: Trained, prepared: Prepared) -> None:
    before = trained.run.latest.stat().st_mtime_ns
    state = train(trained.run, prepared, tf.distribute.get_strategy())
    assert state.epoch == len(state.history) > 0
    assert trained.run.latest.stat().st_mtime_ns == before


def test_early_stopping_keeps_the_best_epoch(prepared: Prepared, config: Config, tmp_path, monkeypatch) -> None:
    values = iter([0.2, 0.5, 0.4, 0.3, 0.9])
    monkeypatch.setattr(TwoTower, "validate", lambda self, prepared, config: {"ndcg@10": next(values)})
    run = Run.create(tmp_path / "run", changed(config, patience=2))
    run.metrics.write_text("those of other weights")
    state = train(run, prepared, tf.distribute.get_strategy())
    assert not run.metrics.exists()
    # .5 in epoch 2 is the best; epochs 3 and 4 are no better; the .9 is never seen.
    assert (state.epoch, state.best_epoch, state.best_value) == (4, 2, 0.5)
    assert read_state(run.best)["epoch"] == 2


def test_a_loss_that_is_no_number_stops_the_run_and_saves_the_batch(
    prepared: Prepared, config: Config, tmp_path
) -> None:
    run = Run.create(tmp_path / "run", changed(config, learning_rate=1e30))
    # The first step's loss is that of the initial weights; what it makes of them shows in the second.
    with pytest.raises(TrainingError, match=r"step 2 of epoch 1(.|\n)*learning_rate"):
        train(run, prepared, tf.distribute.get_strategy())
    assert not run.latest.exists()
    examples = NextItemExamples(prepared.split.train, config.features.history_length)
    _, second, *_ = examples.dataset(128, config.training.seed, 0, 1).as_numpy_iterator()
    with np.load(run.bad_batch) as saved:
        assert (saved["epoch"], saved["step"]) == (0, 1)
        for name, values in second.items():
            np.testing.assert_array_equal(saved[name], values)


def test_a_step_that_the_memory_does_not_hold(
    prepared: Prepared, config: Config, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhaust(*arguments: object, **options: object) -> None:
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor with shape[1024,1024]")

    monkeypatch.setattr(keras.Model, "fit", exhaust)
    with pytest.raises(TrainingError, match=r"a step of 128 examples.*training\.batch_size"):
        train(Run.create(tmp_path / "run", config), prepared, tf.distribute.get_strategy())


def test_epochs_are_chosen_among_the_whole_catalogue(trained: Trained, prepared: Prepared, config: Config) -> None:
    sampled = config.evaluation.model_copy(update={"num_negatives": 1})
    validated = trained.model.validate(prepared, config.model_copy(update={"evaluation": sampled}))
    assert validated == trained.model.validate(prepared, config)


def test_tensorboard_events_hold_loss_and_validation(trained: Trained) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(trained.run.tensorboard / "validation"), size_guidance={"tensors": 0})
    events.Reload()
    recorded = (
        [float(tf.make_ndarray(event.tensor_proto)) for event in events.Tensors("evaluation_ndcg@10_vs_iterations")]
        if "evaluation_ndcg@10_vs_iterations" in events.Tags()["tensors"]
        else [float(tf.make_ndarray(event.tensor_proto)) for event in events.Tensors("epoch_ndcg@10")]
    )
    expected = [epoch["val_ndcg@10"] for epoch in read_state(trained.run.latest)["history"]]
    np.testing.assert_allclose(recorded, expected, rtol=1e-5)


@pytest.mark.parametrize("precision", [pytest.param("mixed_bfloat16", marks=pytest.mark.slow), "mixed_float16"])
def test_mixed_precision_trains_and_resumes(precision: str, prepared: Prepared, config: Config, tmp_path) -> None:
    keras.config.set_dtype_policy(precision)
    try:
        for epochs in (1, 2):
            run = Run.create(tmp_path / "run", changed(config, precision=precision, epochs=epochs))
            state = train(run, prepared, tf.distribute.get_strategy())
        model = load_model(run, prepared)
    finally:
        keras.config.set_dtype_policy("float32")
    assert state.history[1]["loss"] < state.history[0]["loss"]
    assert model.item_tower.mlp.hidden[0].compute_dtype == precision.removeprefix("mixed_")
    assert model.item_vectors().dtype == np.float32


@pytest.mark.slow
def test_mixed_precision_trains_a_backbone(tuned: Callable[..., Tuned], tmp_path) -> None:
    full = tuned(tuning="full")
    keras.config.set_dtype_policy("mixed_float16")
    try:
        run = Run.create(tmp_path / "run", changed(full.run.config, precision="mixed_float16"))
        state = train(run, full.prepared, tf.distribute.get_strategy())
        model = load_model(run, full.prepared)
    finally:
        keras.config.set_dtype_policy("float32")
    assert state.history[1]["loss"] < state.history[0]["loss"]
    assert model.text_encoder.backbone.transformer_layers[0].compute_dtype == "float16"
    start = load_text_encoder(full.run.config.backbone, tmp_path)
    for one, other in zip(model.text_encoder.trainable_variables, start.trainable_variables, strict=True):
        assert not np.array_equal(one, other)


class TestRun:
    def test_another_configuration_is_refused_once_there_is_something_to_lose(self, prepared, config, tmp_path) -> None:
        run = Run.create(tmp_path / "run", config)
        prepared.save(run.prepared)
        Run.create(tmp_path / "run", changed(config, seed=7))  # Nothing is trained yet.
        assert not run.prepared.exists()
        prepared.save(run.prepared)
        save_checkpoint(run.latest, [], {"epoch": 1})
        with pytest.raises(InputError, match=r"training\.seed differ.*--fresh"):
            Run.create(tmp_path / "run", config)
        assert Run.open(tmp_path / "run").config.training.seed == 7

    def test_more_epochs_continue_the_run(self, prepared, config, tmp_path) -> None:
        run = Run.create(tmp_path / "run", config)
        prepared.save(run.prepared)
        assert Run.create(tmp_path / "run", changed(config, epochs=99)).config.training.epochs == 99

    def test_fresh_replaces(self, prepared, config, tmp_path) -> None:
        prepared.save(Run.create(tmp_path / "run", config).prepared)
        assert not Run.create(tmp_path / "run", changed(config, seed=7), fresh=True).prepared.exists()

    def test_fresh_that_is_killed_halfway_mixes_no_runs(self, prepared, config, tmp_path, monkeypatch) -> None:
        run = Run.create(tmp_path / "run", config)
        prepared.save(run.prepared)
        save_checkpoint(run.latest, [], {"epoch": 1})

        def remove_and_die(path, **options) -> None:
            remove(path, **options)
            raise Killed

        remove = shutil.rmtree
        monkeypatch.setattr(shutil, "rmtree", remove_and_die)
        with pytest.raises(Killed):
            Run.create(tmp_path / "run", changed(config, seed=7), fresh=True)
        assert not run.latest.exists()
        monkeypatch.undo()
        Run.create(tmp_path / "run", changed(config, seed=7))
        assert not run.prepared.exists()

    def test_who_has_trained_lets_the_next_one_in(self, tmp_path) -> None:
        for _ in range(2):
            with Run.alone_in(tmp_path):
                with pytest.raises(InputError, match="Another process"), Run.alone_in(tmp_path):
                    pass
                assert not Run.exists(tmp_path)

    def test_weights_of_another_model(self, prepared, config, tmp_path) -> None:
        run = Run.create(tmp_path / "run", config)
        for checkpoint in (run.best, run.latest):
            save_checkpoint(checkpoint, [keras.Variable([1.0])], {"epoch": 1})
        with pytest.raises(InputError, match=r"Expected weights of this model in .*best\.npz.*--fresh"):
            load_model(run, prepared)
        with pytest.raises(InputError, match=r"Expected weights of this model in .*latest\.npz"):
            train(run, prepared, tf.distribute.get_strategy())

    def test_weights_of_other_items(self, trained: Trained, prepared, config, tmp_path) -> None:
        """As many items, but in another order: every weight fits, and none is right."""
        run = Run.create(tmp_path / "run", config)
        shutil.copytree(trained.run.checkpoints, run.checkpoints)
        items = replace(prepared.items, ids=prepared.items.ids[::-1])
        load_model(run, prepared)
        with pytest.raises(InputError, match=r"Expected weights of the items and users in .*prepared"):
            load_model(run, replace(prepared, items=items))

    def test_more_patience_goes_on_after_early_stopping(self) -> None:
        state = trainer.TrainingState(epoch=5, best_epoch=3)
        assert state.is_over(patience=2) and not state.is_over(patience=3)

    def test_fresh_spares_what_is_not_the_runs(self, config, tmp_path) -> None:
        run = Run.create(tmp_path / "run", config)
        (run.folder / "notes.txt").write_text("mine")
        Run.create(tmp_path / "run", config, fresh=True)
        assert (run.folder / "notes.txt").read_text() == "mine"

    @pytest.mark.parametrize("foreign", ['{"model_type": "bert"}', "{", ""])
    def test_a_config_json_of_something_else_is_left_alone(self, foreign: str, config, tmp_path) -> None:
        (tmp_path / "config.json").write_text(foreign)
        (tmp_path / "model.safetensors").write_text("weights")
        for fresh in (False, True):
            with pytest.raises(InputError, match="something else"):
                Run.create(tmp_path, config, fresh=fresh)
        assert (tmp_path / "model.safetensors").read_text() == "weights"

    def test_killed_while_the_configuration_was_written(self, config, tmp_path) -> None:
        (tmp_path / "config.json.tmp").write_text('{"data"')
        assert Run.create(tmp_path, config).config == config

    def test_evaluating_before_training_has_come_so_far(self, config, tmp_path) -> None:
        with pytest.raises(InputError, match="training has not come as far"):
            Prepared.load(Run.create(tmp_path, config).prepared)

    def test_a_folder_of_other_things_is_left_alone(self, config, tmp_path) -> None:
        (tmp_path / "thesis.doc").write_text("years of work")
        for fresh in (False, True):
            with pytest.raises(InputError, match="other files"):
                Run.create(tmp_path, config, fresh=fresh)
        assert (tmp_path / "thesis.doc").read_text() == "years of work"

    def test_opening_what_is_no_run(self, tmp_path) -> None:
        with pytest.raises(InputError, match=r"tfrec\.train"):
            Run.open(tmp_path)

    def test_the_configuration_survives(self, config, tmp_path) -> None:
        Run.create(tmp_path / "run", config)
        assert Run.open(tmp_path / "run").config == config
        assert json.loads((tmp_path / "run" / "config.json").read_text())["model"]["embedding_size"] == 16


class TestCheckpoint:
    def test_round_trip(self, tmp_path) -> None:
        variables = [keras.Variable([1.0, 2.0]), keras.Variable(3, dtype="int64")]
        save_checkpoint(tmp_path / "checkpoint.npz", variables, {"epoch": 4})
        others = [keras.Variable([0.0, 0.0]), keras.Variable(0, dtype="int64")]
        assert load_checkpoint(tmp_path / "checkpoint.npz", others) == {"epoch": 4}
        np.testing.assert_array_equal(others[0], [1, 2])
        assert int(others[1]) == 3

    def test_another_architecture_is_refused(self, tmp_path) -> None:
        save_checkpoint(tmp_path / "checkpoint.npz", [keras.Variable([1.0])], {})
        with pytest.raises(ValueError, match="Expected 2 variables"):
            load_checkpoint(tmp_path / "checkpoint.npz", [keras.Variable([1.0]), keras.Variable([1.0])])

    def test_in_the_background_it_is_that_of_its_moment(self, tmp_path) -> None:
        writer, variable = CheckpointWriter(), keras.Variable([1.0, 2.0])
        writer.save(tmp_path / "checkpoint.npz", [variable], {"step": 4})
        variable.assign([3.0, 4.0])
        writer.close()
        assert load_checkpoint(tmp_path / "checkpoint.npz", [variable]) == {"step": 4}
        np.testing.assert_array_equal(variable, [1, 2])

    def test_what_could_not_be_written_is_told_once(self, tmp_path) -> None:
        writer = CheckpointWriter()
        (tmp_path / "checkpoint.npz.tmp").mkdir()
        writer.save(tmp_path / "checkpoint.npz", [], {})
        with pytest.raises(OSError, match="checkpoint"):
            writer.save(tmp_path / "checkpoint.npz", [], {})
        writer.close()
