"""Growing the trees of a GBDT: an epoch is so and so many of them."""

import keras
import numpy as np

from tfrec.config import Config
from tfrec.evaluation.click_metrics import log_losses
from tfrec.features.impression_rows import ImpressionRows
from tfrec.features.prepared_impressions import PreparedImpressions
from tfrec.features.vocabulary import PADDING, UNKNOWN
from tfrec.models.gbdt import GBDT

SAMPLE_FOR_BINS = 200_000
SHARE_OF_ROWS = SHARE_OF_COLUMNS = 0.8
"""That each tree is grown from (Friedman 2002, "Stochastic gradient boosting")."""


def grow(
    model: GBDT,
    rows: ImpressionRows,
    prepared: PreparedImpressions,
    config: Config,
    first_epoch: int,
    callbacks: list[keras.callbacks.Callback],
) -> None:
    """Adds trees, an epoch after the other, until a callback stops it or all epochs are over.

    Each epoch is a LightGBM training of its own, from the log-odds of the trees before it and with a seed of its own:
    so a resumed run grows the same trees as an undisturbed one.

    Args:
        model: Holds the trees of the epochs before.
        rows: What to train on.
        prepared: The data.
        config: The run's configuration.
        first_epoch: How many epochs there were.
        callbacks: Are told what `fit` would tell.
    """
    import lightgbm

    settings, training = model.settings, config.training
    told = keras.callbacks.CallbackList(
        callbacks, model=model, epochs=training.epochs, steps=settings.trees_per_epoch, verbose=0
    )
    model.stop_training = False
    told.on_train_begin()
    labels = prepared.impressions.labels[rows.numbers.numpy()]
    codes = _hide_some(model, model.codes(rows), training.seed)
    categories = [place for place, field in enumerate(model.columns) if not field.is_ordered]
    # Bins are learned from a sample of the rows, the same in a resumed run.
    binning = {"data_random_seed": training.seed, "bin_construct_sample_cnt": SAMPLE_FOR_BINS, "verbose": -1}
    data = lightgbm.Dataset(codes, labels, categorical_feature=categories, free_raw_data=False, params=binning)
    start = float(model.with_bias(0.0, training=True))
    grown = model.trees.predict(codes)
    for epoch in range(first_epoch, training.epochs):
        told.on_epoch_begin(epoch)
        before = {"loss": float(log_losses(labels, start + grown).mean())}
        booster = lightgbm.train(
            {
                "objective": "binary",
                "num_leaves": settings.num_leaves,
                "max_depth": settings.max_depth,
                "min_data_in_leaf": settings.min_leaf,
                "learning_rate": training.learning_rate,
                "bagging_fraction": SHARE_OF_ROWS,
                "bagging_freq": 1,
                "feature_fraction": SHARE_OF_COLUMNS,
                "seed": training.seed * 100_003 + epoch,
                "deterministic": training.deterministic,
                "force_row_wise": True,
                **binning,
            },
            data.set_init_score(start + grown),
            num_boost_round=settings.trees_per_epoch,
            callbacks=[lambda state, before=before: told.on_train_batch_end(state.iteration, before)],
        )
        grown += booster.predict(codes, raw_score=True)
        model.trees.add(booster.model_to_string())
        told.on_epoch_end(epoch, {"loss": float(log_losses(labels, start + grown).mean())})
        if model.stop_training:
            break
    told.on_train_end()


def _hide_some(model: GBDT, codes: np.ndarray, seed: int) -> np.ndarray:
    """Some ids are unknown and some other values missing, so that trees learn to live without them; as in networks."""
    generator = np.random.default_rng(seed)
    shares = {"id": model.settings.id_dropout, "user_id": model.settings.id_dropout}
    shares |= dict.fromkeys(model.optional_names, model.settings.attribute_dropout)
    for place, field in enumerate(model.columns):
        hidden = generator.random(len(codes)) < shares.get(field.name, 0.0)
        codes[hidden, place] = UNKNOWN if field.name in ("id", "user_id") else PADDING
    return codes
