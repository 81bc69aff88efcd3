"""Histories of a request are cut to what its batch needs: answers stay what they are."""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.models.ranking import build, prepared_rankers
from tests.models.test_history_context import configuration, prepared_for
from tfrec.artifacts.rank_signatures import RankSignatures
from tfrec.artifacts.served import Served
from tfrec.artifacts.signatures import Signatures
from tfrec.backbones.gpt import NO_TOKEN
from tfrec.config import Config, ExportConfig, JDTowerConfig
from tfrec.evaluation import Calibration
from tfrec.features import sequences
from tfrec.features.prepared import Prepared
from tfrec.models import build_model
from tfrec.models.ranking_model import LABEL

HISTORY_LENGTH = 8
BUCKET = 3
"""Widths of 3, 6 and 8."""


def scattered(model: keras.Model) -> keras.Model:
    """With weights that all say something: some begin at zero."""
    random = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign(random.normal(scale=0.3, size=variable.shape))
    return model


def jd_tower(config: Config, prepared: Prepared, **settings: object) -> Signatures:
    settings = {"embedding_size": 16, "hidden_sizes": (), "num_layers": 2, **settings}
    model = build_model(config.model_copy(update={"model": JDTowerConfig(name="jd_tower", **settings)}), prepared)
    stages = ExportConfig(top_k=5, rank_candidates=0 if model.head is None else 12)
    return Signatures(scattered(model), prepared, config=stages)


def with_a_head(config: Config, prepared: Prepared) -> Signatures:
    return jd_tower(config, prepared, head="transformer")


def from_the_mean(config: Config, prepared: Prepared) -> Signatures:
    return jd_tower(config, prepared, start_from_mean=True)


def of_words(config: Config, prepared: Prepared) -> Signatures:
    words = np.random.default_rng(0).integers(0, 9, [prepared.items.num_rows, 4]).astype(np.int32)
    words[::2, 2:] = NO_TOKEN
    items = dataclasses.replace(prepared.items, arrays={**prepared.items.arrays, "words": words})
    return jd_tower(config, dataclasses.replace(prepared, items=items), user_tower="gpt_text", item_tokens=4)


def of_events_and_times(config: Config, prepared: Prepared) -> Signatures:
    config = configuration("two_tower", HISTORY_LENGTH, history_events=True, history_time_gaps=True)
    prepared = prepared_for("event", config)
    return Signatures(scattered(build_model(config, prepared)), prepared, config=ExportConfig(top_k=5))


def ranker(name: str) -> RankSignatures:
    model = build(name, **{"features.history_length": HISTORY_LENGTH})
    return RankSignatures(scattered(model), prepared_rankers(), {LABEL: Calibration()})


@pytest.mark.parametrize(
    "make",
    [
        with_a_head,
        from_the_mean,
        of_words,
        of_events_and_times,
        pytest.param(lambda *_: ranker("din"), id="din"),
        pytest.param(lambda *_: ranker("jd_ranker"), id="jd_ranker"),
    ],
)
def test_answers_are_those_of_the_whole_width(
    make: Callable[[Config, Prepared], Served], config: Config, prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    keras.utils.set_random_seed(0)
    signatures = make(config, prepared)
    ids = np.random.default_rng(0).permutation(signatures.ids)
    # Shorter than the first bucket, as long as each, and longer; the examples add an empty one and an unknown item.
    examples = signatures.examples([ids[:length].tolist() for length in range(1, HISTORY_LENGTH + 1)])
    for name in examples.keys() & {"recommend", "rank", "auction"}:
        function = signatures.endpoints()[name][0]
        inputs = {key: tf.constant(value) for key, value in examples[name].items()}
        num_rows = len(inputs["history_item_ids"])
        monkeypatch.setattr(sequences, "BUCKET", HISTORY_LENGTH)
        expected = function(**inputs)
        monkeypatch.setattr(sequences, "BUCKET", BUCKET)
        alone = [function(**{key: value[row : row + 1] for key, value in inputs.items()}) for row in range(num_rows)]
        for key, values in expected.items():
            for received in (function(**inputs)[key], tf.concat([answer[key] for answer in alone], axis=0)):
                if values.dtype == tf.string:
                    np.testing.assert_array_equal(received, values)
                else:
                    np.testing.assert_allclose(received, values, rtol=1e-4, atol=1e-5)
