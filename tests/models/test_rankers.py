"""Every model that predicts the click: one contract, and each architecture's own equation."""

import dataclasses
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import roc_auc_score

from tests.models.ranking import FEW_TREES, build, prepare_ranker, prepared_rankers, ranker_config, simulated
from tests.training.stop import stop_at
from tfrec.config.models import MULTI_TASK_NAMES, RANKER_NAMES
from tfrec.datasets.splits import TEST, TRAINING
from tfrec.errors import InputError
from tfrec.evaluation.click_metrics import log_losses
from tfrec.features.prepared_impressions import PreparedImpressions
from tfrec.models import RANKERS, build_ranker
from tfrec.models.ranking_model import Impression, RankingModel
from tfrec.training.checkpoint import read_state
from tfrec.training.run import Run
from tfrec.training.trainer import load_calibrations, load_ranker, train


@pytest.fixture
def prepared() -> PreparedImpressions:
    return prepared_rankers()


def batch(model: RankingModel, prepared: PreparedImpressions, numbers: list[int]) -> dict[str, tf.Tensor]:
    return model.rows(prepared, TRAINING).batch(tf.constant(numbers, tf.int64))


def test_each_name_has_its_class() -> None:
    assert set(RANKERS) == set(RANKER_NAMES)


NETWORKS = [name for name in RANKER_NAMES if name != "gbdt"]
ROW_RANKERS = [name for name in RANKER_NAMES if name != "jd_ranker"]
"""They learn from one impression at a time, and jd_ranker from whole histories."""


@pytest.mark.parametrize("name", ROW_RANKERS)
class TestRows:
    def test_a_row_does_not_depend_on_its_batch(self, name: str, prepared: PreparedImpressions) -> None:
        model = build(name)
        together = model(batch(model, prepared, [5, 900, 31]))["logits"].numpy()
        alone = [model(batch(model, prepared, [number]))["logits"].numpy()[0] for number in (5, 900, 31)]
        assert together.shape == ((3, 2) if name in MULTI_TASK_NAMES else (3,))
        np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-6)

    def test_evaluation_sees_what_training_sees(self, name: str, prepared: PreparedImpressions) -> None:
        model = build(name)
        rows = model.rows(prepared, TEST)
        np.testing.assert_allclose(
            model.predict_logits(rows), model(rows.batch(rows.numbers))["logits"], rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("name", [name for name in ROW_RANKERS if name != "youtube_ranker"])
def test_the_loss_is_the_cross_entropy_of_its_logits(name: str, prepared: PreparedImpressions) -> None:
    model = build(name)
    inputs = batch(model, prepared, [1, 2, 3])
    outputs = model(inputs)
    labels = np.stack([inputs["label"], inputs["outcomes"][:, 0]])[: 1 + len(model.outcomes)]
    logits = outputs["logits"].numpy().reshape(3, -1).T
    # Of several tasks the sum; an outcome's weight is 1.
    expected = log_losses(labels, logits).mean(axis=1).sum()
    assert model.compute_loss(inputs, None, outputs).numpy() == pytest.approx(expected, rel=1e-5)


LEARNS_IN_SHORT = "esmm"
"""The one whose learning the default tests see, of the click and of what comes of it; the others' is slow to see."""


@pytest.mark.parametrize("name", NETWORKS)
class TestContract:
    def test_every_weight_learns(self, name: str, prepared: PreparedImpressions) -> None:
        model = build(name)
        examples = model.examples(ranker_config(name).features, prepared)
        inputs = examples.batch(examples.numbers[:16])
        with tf.GradientTape() as tape:
            loss = model.compute_loss(inputs, None, model(inputs, training=True))
        gradients = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
        unmoved = [
            variable.path
            for variable, gradient in zip(model.trainable_variables, gradients, strict=True)
            if gradient is None or not tf.reduce_any(tf.convert_to_tensor(gradient) != 0)
        ]
        assert not unmoved

    def test_it_computes_in_half_precision(self, name: str, prepared: PreparedImpressions) -> None:
        keras.config.set_dtype_policy("mixed_float16")
        try:
            model = build(name)
            examples = model.examples(ranker_config(name).features, prepared)
            inputs = examples.batch(examples.numbers[:16])
            half = model.compute_loss(inputs, None, model(inputs, training=False))
        finally:
            keras.config.set_dtype_policy("float32")
        model = build(name)  # With the same seed the same weights.
        full = model.compute_loss(inputs, None, model(inputs, training=False))
        assert half.dtype == tf.float32
        assert half.numpy() == pytest.approx(full.numpy(), rel=0.02)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name == LEARNS_IN_SHORT else [pytest.mark.slow])
        for name in RANKER_NAMES
        if name != "youtube_ranker"
    ],
)
def test_it_learns_what_there_is_to_learn(name: str, prepared: PreparedImpressions, tmp_path: Path) -> None:
    settings: dict[str, object] = {"training.epochs": 10} if name in MULTI_TASK_NAMES else {}
    if name == "gbdt":
        settings = {"training.learning_rate": 0.1, "model.num_leaves": 8, "model.min_leaf": 20}
    if name == "jd_ranker":
        settings = {"training.batch_size": 4, "features.history_length": 100}
    run = Run.create(tmp_path / "run", ranker_config(name, **settings))
    train(run, prepared, tf.distribute.get_strategy())
    model = load_ranker(run, prepared)
    rows = model.rows(prepared, TEST)
    numbers = rows.numbers.numpy()
    clicks, conversions = simulated().click_rates, simulated().conversion_rates
    truths = [each[prepared.impressions.rows[numbers]] for each in (clicks, clicks * conversions)]
    calibrations = load_calibrations(run, model, prepared)
    of_tasks = model.predict_logits(rows).reshape(len(numbers), -1)
    for number, (task, labels) in enumerate(model.tasks(prepared).items()):
        tested, logits = labels[numbers], calibrations[task](of_tasks[:, number])
        best = roc_auc_score(tested, truths[number])
        # The simulator's own probabilities are the best there is. A few epochs come most of the way; of what is rarer,
        # half of it.
        assert roc_auc_score(tested, logits) > 0.5 + (0.5 if number else 0.6) * (best - 0.5)
        rate = labels[prepared.impressions.parts == TRAINING].mean()
        always = np.full(len(tested), np.log(rate / (1 - rate)))
        assert log_losses(tested, logits).mean() < log_losses(tested, always).mean()


@pytest.mark.parametrize(
    "name", ["gbdt", *(pytest.param(name, marks=pytest.mark.slow) for name in ("logistic_regression", "jd_ranker"))]
)
def test_probabilities_are_right_though_few_negatives_are_seen(
    name: str, prepared: PreparedImpressions, tmp_path: Path
) -> None:
    settings: dict[str, object] = {"model.keep_negatives": 0.2, "model.calibration": "none", **FEW_TREES}
    if name == "jd_ranker":
        settings |= {"training.batch_size": 4, "features.history_length": 100}
    run = Run.create(tmp_path / "run", ranker_config(name, **settings))
    train(run, prepared, tf.distribute.get_strategy())
    model = load_ranker(run, prepared)
    impressions = prepared.impressions
    examples = model.examples(run.config.features, prepared)
    num_liked = int(impressions.labels[impressions.parts == TRAINING].sum())
    num_examples = examples.num_asked if name == "jd_ranker" else len(examples)
    assert num_liked < num_examples < num_liked + 0.25 * (np.sum(impressions.parts == TRAINING) - num_liked)
    rows = model.rows(prepared, TEST)
    rate = impressions.labels[rows.numbers.numpy()].mean()
    # Without the correction it would be about .7.
    assert abs(tf.sigmoid(model.predict_logits(rows)).numpy().mean() - rate) < 0.04


@pytest.mark.parametrize(
    "name", ["dnn", *(pytest.param(name, marks=pytest.mark.slow) for name in ("mmoe", "esmm", "jd_ranker"))]
)
def test_the_position_adds_by_itself(name: str, tmp_path: Path) -> None:
    settings: dict[str, object] = {"features.position_column": "slot", "training.epochs": 6}
    if name == "jd_ranker":
        settings |= {"training.batch_size": 4, "features.history_length": 100}
    config = ranker_config(name, **settings)
    prepared = prepare_ranker(config)
    run = Run.create(tmp_path / "run", config)
    train(run, prepared, tf.distribute.get_strategy())
    model = load_ranker(run, prepared)
    assert "context/slot" not in [field.name for field in model.other_embeddings.fields]
    rows = model.rows(prepared, TEST)
    inputs = rows.batch(rows.numbers[:20])
    [slot] = [column for column in prepared.context_columns if column.name == "slot"]

    def ask(position: str) -> np.ndarray:
        encoded = slot.encoder()(tf.constant([position] * 20))
        table = model.item_table(tf.range(42))
        places = {"item_place": inputs["item"][:, tf.newaxis], "history_place": inputs["history"]}
        features = {**inputs, **model.user_features(inputs["user"]), **places, "context/slot": encoded}
        return model.score(table, features).numpy()

    first, last, unknown = (ask(position) for position in ("1", "5", ""))
    differences = (first - last).reshape(20, -1)
    # The same for every user and item, and about what the simulator has: .4 log₂ 5. To what comes of a click it adds
    # through the click, or by itself.
    np.testing.assert_allclose(differences[:, 0], differences[0, 0], atol=1e-4)
    assert ((differences > 0.3) & (differences < 1.4)).all()
    assert (first > unknown).all()


class TestFields:
    def test_history_fields_by_hand(self, prepared: PreparedImpressions) -> None:
        """The means of what was liked and of what was not are the last two fields."""
        model = build("dnn")
        seen: list[Impression] = []
        model.logit = lambda impression, training: seen.append(impression) or tf.zeros(2)  # type: ignore[method-assign]
        inputs = batch(model, prepared, [0, 700])
        model(inputs)
        [impression] = seen
        table = model.item_table(tf.range(42)).vectors.numpy().sum(axis=1)
        history, labels = inputs["history"].numpy()[1], inputs["history_label"].numpy()[1]
        for place, kind in ((-2, 1), (-1, 0)):
            chosen = table[history[(labels == kind) & (history > 0)]]
            expected = chosen.mean(axis=0) if len(chosen) else np.zeros(4)
            np.testing.assert_allclose(impression.fields[1, place], expected, atol=1e-6)
        assert not impression.fields[0, -2:].numpy().any()  # The first impression of all has no past.
        np.testing.assert_allclose(impression.candidate[1], table[inputs["item"][1]], atol=1e-6)

    def test_training_hides_ids(self, prepared: PreparedImpressions) -> None:
        model = build("logistic_regression", **{"model.id_dropout": 0.999})
        inputs = batch(model, prepared, [3, 4])
        # Two users who differ in nothing but their ids.
        users = np.flatnonzero(prepared.users.arrays["country"] == 2)[:2].tolist()
        logits = [model({**inputs, "user": inputs["user"] * 0 + user}, training=True)["logits"] for user in users]
        np.testing.assert_array_equal(*logits)
        # Outside training the ids are read.
        logits = [model({**inputs, "user": inputs["user"] * 0 + user})["logits"] for user in users]
        assert (logits[0] != logits[1]).numpy().all()

    @pytest.mark.parametrize(
        "settings",
        [{"model.use_id": False}, {"model.use_user_id": False}, {"features.history_labels": False}],
        ids=["no item id", "no user id", "only what was liked"],
    )
    def test_parts_can_be_left_out(self, settings: dict) -> None:
        config = ranker_config("din", **settings)
        data = prepare_ranker(config)
        model = build_ranker(config, data)
        rows = model.rows(data, TEST)
        assert np.isfinite(model.predict_logits(rows)).all()

    def test_columns_may_be_called_like_anything(self) -> None:
        """Of the context's columns none takes the place of what the model calls the same."""
        config = ranker_config("dnn")
        plain = prepare_ranker(config)
        names = ("item", "user", "label")
        renamed = dataclasses.replace(
            plain,
            context_columns=tuple(
                dataclasses.replace(column, name=name)
                for column, name in zip(plain.context_columns, names, strict=True)
            ),
            context=dict(zip(names, plain.context.values(), strict=True)),
        )
        logits = []
        for data in (plain, renamed):
            tf.keras.utils.set_random_seed(0)
            model = build_ranker(config, data)
            logits.append(model.predict_logits(model.rows(data, TEST)))
        np.testing.assert_array_equal(*logits)

    def test_training_hides_attributes(self, prepared: PreparedImpressions) -> None:
        model = build("logistic_regression", **{"model.attribute_dropout": 0.999, "model.id_dropout": 0.0})
        inputs = batch(model, prepared, [3, 4])
        changed = {**inputs, "context/device": 5 - inputs["context/device"]}
        np.testing.assert_array_equal(model(inputs, training=True)["logits"], model(changed, training=True)["logits"])
        assert (model(inputs)["logits"] != model(changed)["logits"]).numpy().any()

    def test_the_text_is_a_field(self, tiny_backbone: Path, tmp_path: Path) -> None:
        config = ranker_config("dnn", tiny_backbone)
        data = prepare_ranker(config, tmp_path)
        assert data.items.arrays["text"].shape[0] == 42
        model = build_ranker(config, data)
        assert (
            model.num_fields == build_ranker(ranker_config("dnn"), prepare_ranker(ranker_config("dnn"))).num_fields + 1
        )
        assert np.isfinite(model.predict_logits(model.rows(data, TEST))).all()


def test_what_is_prepared_is_read_back(prepared: PreparedImpressions, tmp_path: Path) -> None:
    prepared.save(tmp_path / "prepared")
    loaded = PreparedImpressions.load(tmp_path / "prepared")
    for name in ("users", "items", "labels", "outcomes", "parts", "past", "rows"):
        np.testing.assert_array_equal(getattr(loaded.impressions, name), getattr(prepared.impressions, name))
    assert loaded.context_columns == prepared.context_columns
    for name, array in prepared.context.items():
        np.testing.assert_array_equal(loaded.context[name], array)
    assert loaded.users.columns == prepared.users.columns
    assert loaded.outcomes == ("bought",)
    with np.load(tmp_path / "prepared/impressions.npz") as arrays:
        old = {name: array for name, array in arrays.items() if name != "outcomes"}
    np.savez(tmp_path / "prepared/impressions.npz", **old)
    with pytest.raises(InputError, match=r"Expected impressions with \['outcomes'\].*earlier tfrec.*--fresh"):
        PreparedImpressions.load(tmp_path / "prepared")


def test_a_killed_run_ends_where_an_undisturbed_one_ends(
    prepared: PreparedImpressions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = ranker_config("dnn", **{"training.epochs": 2})
    whole, parts = (Run.create(tmp_path / name, config) for name in ("whole", "parts"))
    train(whole, prepared, tf.distribute.get_strategy())
    for epoch, step in ((0, 3), (0, 5), (1, 4)):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            stop_at(patch, epoch, step)
            train(parts, prepared, tf.distribute.get_strategy())
        assert [read_state(parts.latest)[name] for name in ("epoch", "step")] == [epoch, step + 1]
    state = train(parts, prepared, tf.distribute.get_strategy())
    assert state.history == read_state(whole.latest)["history"]
    for one, other in zip(
        load_ranker(whole, prepared).trainable_variables, load_ranker(parts, prepared).trainable_variables, strict=True
    ):
        np.testing.assert_array_equal(one, other)
