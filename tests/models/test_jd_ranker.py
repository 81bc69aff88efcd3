"""The GPT over what was shown and liked."""

import numpy as np
import pytest
import tensorflow as tf

from tests.models.ranking import prepared_rankers, ranker_config
from tfrec.datasets.splits import TRAINING, VALIDATION
from tfrec.errors import InputError
from tfrec.evaluation.click_metrics import log_losses
from tfrec.features.prepared_impressions import PreparedImpressions
from tfrec.models import build_ranker
from tfrec.models.ranking_model import RankingModel


@pytest.fixture
def prepared() -> PreparedImpressions:
    return prepared_rankers()


class TestJDRanker:
    """The windows of training and the rows of evaluation and serving are two ways to the same logits."""

    config = ranker_config("jd_ranker", **{"features.history_length": 400})

    @pytest.fixture
    def model(self, prepared: PreparedImpressions) -> RankingModel:
        tf.keras.utils.set_random_seed(0)
        return build_ranker(self.config, prepared)

    def test_training_sees_what_evaluation_sees(self, model: RankingModel, prepared: PreparedImpressions) -> None:
        windows = model.examples(self.config.features, prepared)
        assert len(windows) == 30  # Longer than any user's history.
        rows = model.rows(prepared, TRAINING)
        users = prepared.impressions.users[rows.numbers.numpy()]
        rows.tensors["numbers"] = rows.numbers[np.isin(users, (0, 7))]
        users = users[np.isin(users, (0, 7))]
        of_rows = model.predict_logits(rows)
        for user in (0, 7):
            of_windows = model(windows.batch(tf.constant([user], tf.int64)))["logits"]
            np.testing.assert_allclose(of_windows, of_rows[users == user], rtol=1e-3, atol=1e-4)

    def test_validation_through_windows_is_that_through_rows(
        self, model: RankingModel, prepared: PreparedImpressions
    ) -> None:
        expected = model.predict_logits(model.rows(prepared, VALIDATION))
        np.testing.assert_allclose(model.validation_logits(prepared), expected, rtol=1e-3, atol=1e-4)

    def test_no_place_sees_what_comes_after_it_or_its_own_label(
        self, model: RankingModel, prepared: PreparedImpressions
    ) -> None:
        windows = model.examples(self.config.features, prepared)
        inputs = windows.batch(tf.constant([3], tf.int64))
        before = model(inputs)["logits"].numpy()
        changed = inputs["label"].numpy()
        changed[0, 50] = 1 - changed[0, 50]
        after = model({**inputs, "label": tf.constant(changed)})["logits"].numpy()
        np.testing.assert_allclose(after[:51], before[:51], atol=1e-5)
        assert (np.abs(after[51:] - before[51:]) > 1e-7).mean() > 0.9

    def test_the_loss_is_the_mean_over_impressions(self, model: RankingModel, prepared: PreparedImpressions) -> None:
        windows = model.examples(self.config.features, prepared)
        inputs = windows.batch(windows.numbers)
        outputs = model(inputs)
        labels = tf.boolean_mask(inputs["label"], inputs["asked"] > 0).numpy()
        expected = log_losses(labels, outputs["logits"].numpy()).mean()
        assert model.compute_loss(inputs, None, outputs).numpy() == pytest.approx(expected, rel=1e-5)

    def test_heads_divide_the_embedding(self) -> None:
        with pytest.raises(InputError, match=r"num_heads divides embedding_size, 4\. Received: 3"):
            ranker_config("jd_ranker", **{"model.num_heads": 3})
