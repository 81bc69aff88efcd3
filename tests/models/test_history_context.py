"""What was done and how long ago, from the tables to the served model."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.models.diary import NUM_ITEMS, diary
from tfrec.artifacts.signatures import Signatures
from tfrec.artifacts.version import write_version
from tfrec.config import Config, ExportConfig
from tfrec.datasets import Ragged, history_context, split_dataset
from tfrec.evaluation import evaluate
from tfrec.features.prepared import Prepared
from tfrec.models import build_model
from tfrec.models.retrieval_model import RetrievalModel, RetrievalRecommender
from tfrec.training.prepare import prepare
from tfrec.training.run import Run
from tfrec.training.trainer import load_model, train

EVENTS, GAPS = {"history_events": True}, {"history_time_gaps": True}


def configuration(model: str, history_length: int, **features: bool) -> Config:
    settings: dict[str, Any] = {
        "data.interactions.path": "diary.csv",
        "features.history_length": history_length,
        "model.name": model,
        "model.embedding_size": 16,
        "model.hidden_sizes": [32] if model == "two_tower" else [],
        "model.use_text": False,
        "model.id_dropout": 0.0,
        "model.dropout": 0.0,
        "model.attribute_dropout": 0.0,
        "model.temperature": 0.1,
        "training.batch_size": 128,
        "training.learning_rate": 0.01,
        "training.epochs": 16,
        "training.patience": 16,
        "evaluation.cutoffs": [1, 10],
        "evaluation.bootstrap_samples": 1,
        **{f"features.{name}": value for name, value in features.items()},
    }
    if model == "jd_tower":
        settings |= {"model.num_layers": 1}
    return Config.load(None, settings)


def prepared_for(signal: str, config: Config) -> Prepared:
    dataset = diary(signal)
    split = split_dataset(dataset, config.split, history_context(dataset, config.features))
    return prepare(dataset, split, None, config, Path("unused"))


def trained(signal: str, model: str, history_length: int, folder: Path, *names: str) -> tuple[RetrievalModel, Prepared]:
    config = configuration(model, history_length, **dict.fromkeys(names, True))
    prepared = prepared_for(signal, config)
    run = Run.create(folder / "-".join([signal, model, str(history_length), *names]), config)
    prepared.save(run.prepared)
    prepared = Prepared.load(run.prepared)
    train(run, prepared, tf.distribute.get_strategy())
    return load_model(run, prepared), prepared


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


def recall(model: RetrievalModel, prepared: Prepared) -> float:
    config = configuration("two_tower", 8).evaluation
    report = evaluate(RetrievalRecommender(model), prepared.split.test, NUM_ITEMS, config)
    return report.metrics["recall@1"].mean


@pytest.mark.parametrize(
    ("signal", "model", "history_length", "name"),
    [
        ("event", "jd_tower", 6, "history_events"),
        ("gap", "jd_tower", 6, "history_time_gaps"),
        ("event", "two_tower", 1, "history_events"),
    ],
)
def test_what_only_the_context_tells_is_learned(
    signal: str, model: str, history_length: int, name: str, folder: Path
) -> None:
    # Without it, no model does better than to guess which of the two steps: one half.
    assert recall(*trained(signal, model, history_length, folder, name)) > 0.8


def test_without_the_context_it_is_not(folder: Path) -> None:
    assert recall(*trained("event", "jd_tower", 6, folder)) < 0.65


def test_the_vocabulary_is_that_of_training() -> None:
    config = configuration("jd_tower", 6, **EVENTS)
    dataset = diary("event")
    assert dataset.interactions["event"].isna().any()
    # An event that only the last interaction of each user has: no training, and no history either, but for one user's.
    last = np.flatnonzero(np.diff(dataset.user_codes, append=-1))
    names = [*dataset.interactions["event"].cat.categories, "refund"]
    events = dataset.interactions["event"].cat.add_categories("refund")
    events.iloc[last] = "refund"
    events.iloc[last[0] - 1] = "refund"
    dataset.interactions["event"] = events
    split = split_dataset(dataset, config.split, history_context(dataset, config.features))
    prepared = prepare(dataset, split, None, config, Path("unused"))
    assert prepared.event is not None
    assert sorted(prepared.event.vocabulary) == ["purchase", "view"]
    for raw, encoded in (
        (split.train, prepared.split.train),
        (split.test.histories, prepared.split.test.histories),
    ):
        known = {"": 0, "refund": 1, prepared.event.vocabulary[0]: 2, prepared.event.vocabulary[1]: 3}
        expected = [known[[*names, ""][code]] for code in raw.context["event"]]
        assert encoded.context["history_event"].tolist() == expected
    assert (prepared.split.test.histories.context["history_event"] == 1).sum() == 1
    assert (prepared.split.train.context["history_event"] == 0).any()


def test_a_split_without_what_is_asked_for_is_refused() -> None:
    config = configuration("jd_tower", 6, **EVENTS, **GAPS)
    dataset = diary("event")
    with pytest.raises(ValueError, match=r"the context \['event', 'timestamp'\]\. Received: \[\]"):
        prepare(dataset, split_dataset(dataset, config.split), None, config, Path("unused"))


def with_random_weights(model: RetrievalModel) -> RetrievalModel:
    generator = np.random.default_rng(0)
    context = model.interaction_context
    context.set_weights([generator.normal(0, 0.3, each.shape) for each in context.get_weights()])
    return model


@pytest.mark.parametrize("changed", ["history_event", "history_time"])
def test_a_place_never_sees_what_is_done_later(changed: str) -> None:
    config = configuration("jd_tower", 6, **EVENTS, **GAPS)
    prepared = prepared_for("event", config)
    keras.utils.set_random_seed(0)
    model = with_random_weights(build_model(config, prepared))
    batch = model.examples(config.features, prepared).batch(tf.constant([3, 4], tf.int64))
    assert (batch["history"] > 0).numpy().sum(axis=1).tolist() == [5, 5]

    def states(context: tf.Tensor) -> np.ndarray:
        vectors = model.encode_items(tf.range(NUM_ITEMS + 2))
        history = batch["history"]
        return model.encode_users(
            tf.gather(vectors, history),
            history >= 2,
            batch["user"],
            context={**batch, changed: context},
            every_place=True,
        ).numpy()

    before = states(batch[changed])
    for place in range(5):
        other = batch[changed].numpy()
        other[:, place] = 2 + (other[:, place] - 1) % 2 if changed == "history_event" else other[:, place] + 100_000
        after = states(tf.constant(other))
        np.testing.assert_allclose(after[:, :place], before[:, :place], atol=1e-6)
        # The first interaction has no gap, but that of the second depends on it.
        first_seen = 1 if changed == "history_time" and place == 0 else place
        assert np.abs(after[:, first_seen] - before[:, first_seen]).max() > 1e-3


@pytest.mark.parametrize("name", ["two_tower", "jd_tower"])
def test_begins_as_the_model_without(name: str) -> None:
    with_context = configuration(name, 6, **EVENTS, **GAPS)
    plain = configuration(name, 6)
    answers = []
    for config in (with_context, plain):
        prepared = prepared_for("event", config)
        keras.utils.set_random_seed(0)
        model = build_model(config, prepared)
        answers.append(RetrievalRecommender(model).score(prepared.split.test.users, prepared.split.test.histories))
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-6)


def test_histories_without_their_context_are_refused() -> None:
    config = configuration("jd_tower", 6, **EVENTS, **GAPS)
    prepared = prepared_for("event", config)
    histories = prepared.split.test.histories
    with pytest.raises(ValueError, match=r"Expected histories with \['history_event', 'history_time'\]"):
        RetrievalRecommender(build_model(config, prepared)).score(
            prepared.split.test.users, Ragged(histories.values, histories.offsets)
        )


LENGTH = 6


@pytest.fixture(scope="module", params=["two_tower", "jd_tower"])
def random_model(request: pytest.FixtureRequest) -> tuple[RetrievalModel, Prepared]:
    config = configuration(request.param, LENGTH, **EVENTS, **GAPS)
    prepared = prepared_for("event", config)
    keras.utils.set_random_seed(0)
    return with_random_weights(build_model(config, prepared)), prepared


@pytest.fixture(scope="module")
def served(random_model: tuple[RetrievalModel, Prepared], tmp_path_factory: pytest.TempPathFactory) -> Any:
    signatures = Signatures(*random_model, config=ExportConfig(top_k=NUM_ITEMS))
    # It is audited, reloaded, compared in Python and in a v1 Session, and its warm-up replayed.
    examples = signatures.examples([["i1", "i2", "i3"], ["i7"], ["i3", "i9"]])
    folder = write_version(
        signatures, examples, random_model[1].titles, {}, tmp_path_factory.mktemp("models") / "diary"
    )
    return tf.saved_model.load(str(folder)).signatures["recommend"]


class TestServed:
    """Strings and seconds through the written graph, beside what the evaluation's code says of the same cases."""

    @pytest.mark.parametrize("noisy", [False, True])
    def test_sees_what_training_encoded(
        self, random_model: tuple[RetrievalModel, Prepared], served: Any, noisy: bool
    ) -> None:
        model, prepared = random_model
        dataset = diary("event")
        rows = dataset.interactions
        cases = prepared.split.test
        chosen = range(30)
        ids, events, times = [], [], []
        for user in cases.users[chosen]:
            # From the raw table: all but the last interaction, the latest at the end.
            own = rows[dataset.user_codes == user].iloc[:-1].iloc[-(3 if noisy else LENGTH) :]
            done = own["event"].astype(object).where(own["event"].notna(), "")
            row = list(zip(own["item_id"], done, own["timestamp"], strict=True))
            if noisy:  # An unknown item, with an event and a time, and padding in between.
                row = [row[0], ("no such item", "purchase", 1_600_000_000), row[1], ("", "view", 5), row[2]]
            padding = [("", "", 0)] * (LENGTH - len(row))
            each = list(zip(*row, *padding, strict=True))
            ids.append(each[0])
            events.append(each[1])
            times.append(each[2])
        answer = served(
            history_item_ids=tf.constant(ids),
            history_events=tf.constant(events),
            history_timestamps=tf.constant(times, tf.int64),
            exclude_item_ids=tf.constant([[""]] * len(ids)),
        )
        histories = cases.histories.take(np.array(chosen))
        if noisy:
            place = np.concatenate([np.arange(length) for length in histories.lengths])
            histories = histories.where(place >= np.repeat(histories.lengths - 3, histories.lengths))
        scores = RetrievalRecommender(model).score(np.full(30, -1, np.int32), histories)
        for case in chosen:
            found = dict(zip(answer["item_ids"][case].numpy(), answer["scores"][case].numpy(), strict=True))
            sent = set(ids[case])
            expected = {f"i{item}".encode(): scores[case, item] for item in range(NUM_ITEMS) if f"i{item}" not in sent}
            assert found.keys() - {b""} == expected.keys()
            np.testing.assert_allclose([found[item] for item in expected], [*expected.values()], atol=1e-5)

    def test_events_and_times_matter(self, served: Any) -> None:
        def scores(events: list[str], times: list[int]) -> np.ndarray:
            padding = LENGTH - 2
            answer = served(
                history_item_ids=tf.constant([["i1", "i2", *[""] * padding]]),
                history_events=tf.constant([[*events, *[""] * padding]]),
                history_timestamps=tf.constant([[*times, *[0] * padding]], tf.int64),
                exclude_item_ids=tf.constant([[""]]),
            )
            return answer["scores"].numpy()[0]

        base = scores(["view", "view"], [1000, 1060])
        assert np.abs(scores(["view", "purchase"], [1000, 1060]) - base).max() > 1e-3
        assert np.abs(scores(["view", "view"], [1000, 90_000]) - base).max() > 1e-3
        # Only gaps are looked at.
        np.testing.assert_allclose(scores(["view", "view"], [501_000, 501_060]), base, atol=1e-6)

    def test_without_them_the_model_does_not_ask(self) -> None:
        config = configuration("two_tower", LENGTH)
        prepared = prepared_for("event", config)
        signatures = Signatures(build_model(config, prepared), prepared)
        assert set(signatures.endpoints()["recommend"][1]) == {"history_item_ids", "exclude_item_ids"}
