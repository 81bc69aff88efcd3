"""Trees: the same answers by TensorFlow and LightGBM, and the same trees after a break."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.models.ranking import FEW_TREES, prepared_rankers, ranker_config
from tfrec.datasets.splits import TEST
from tfrec.errors import InputError
from tfrec.features.prepared_impressions import PreparedImpressions
from tfrec.training import boosting, epoch_end
from tfrec.training.run import Run
from tfrec.training.trainer import load_ranker, train


@pytest.fixture
def prepared() -> PreparedImpressions:
    return prepared_rankers()


class TestGBDT:
    @pytest.fixture
    def run(self, prepared: PreparedImpressions, tmp_path: Path) -> Run:
        run = Run.create(tmp_path / "gbdt", ranker_config("gbdt", **FEW_TREES))
        train(run, prepared, tf.distribute.get_strategy())
        return run

    def test_tensorflow_walks_the_trees_as_lightgbm_does(self, run: Run, prepared: PreparedImpressions) -> None:
        model = load_ranker(run, prepared)
        rows = model.rows(prepared, TEST)
        expected = model.predict_logits(rows)
        assert len(model.trees.boosters) == 3
        assert len(np.unique(expected)) > 100
        np.testing.assert_allclose(model(rows.batch(rows.numbers))["logits"], expected, atol=1e-5)

    def test_a_resumed_run_grows_the_same_trees(
        self, run: Run, prepared: PreparedImpressions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other = Run.create(tmp_path / "run", ranker_config("gbdt", **FEW_TREES))
        save = epoch_end.save_checkpoint
        saved: list[Path] = []

        def die_after_the_first_epoch(path: Path, *arguments: object) -> None:
            save(path, *arguments)
            saved.append(path)
            if len(saved) == 2:  # best and latest
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(epoch_end, "save_checkpoint", die_after_the_first_epoch)
            with pytest.raises(KeyboardInterrupt):
                train(other, prepared, tf.distribute.get_strategy())
        train(other, prepared, tf.distribute.get_strategy())
        first, second = (load_ranker(each, prepared).trees.boosters for each in (run, other))
        assert first == second

    def test_bins_are_those_of_the_run_and_not_of_the_process(
        self, prepared: PreparedImpressions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where they are learned from a sample of the rows: the second process begins with the second epoch."""
        monkeypatch.setattr(boosting, "SAMPLE_FOR_BINS", 300)
        boosters = []
        for stops in ([2], [1, 2]):
            run = Run.create(tmp_path / f"{len(stops)}", ranker_config("gbdt", **FEW_TREES, **{"training.epochs": 2}))
            for epochs in stops:
                run = Run.create(run.folder, ranker_config("gbdt", **FEW_TREES, **{"training.epochs": epochs}))
                prepared.save(run.prepared)
                train(run, prepared, tf.distribute.get_strategy())
            boosters.append(load_ranker(run, prepared).trees.boosters)
        assert len(boosters[0]) == 2
        assert boosters[0] == boosters[1]

    def test_texts_are_refused(self) -> None:
        with pytest.raises(InputError, match="gbdt does not read texts"):
            ranker_config("gbdt", **{"model.use_text": True})
