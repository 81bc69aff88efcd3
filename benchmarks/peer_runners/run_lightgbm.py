"""LightGBM by itself: ids and attributes as categories and numbers, and of the history how long it is and how much of
it was liked."""

import lightgbm
import numpy as np
from exchange import Task, now

ROUNDS, PATIENCE = 3000, 50
TRAINING, VALIDATION, TEST = 0, 1, 2


def main() -> None:
    task = Task.of_command_line()
    with np.load(task.folder / "impressions.npz") as arrays:
        codes, numbers, parts, users, labels = (
            arrays[name] for name in ("codes", "numbers", "parts", "users", "labels")
        )
    features = np.concatenate([codes, numbers], axis=1).astype(np.float64)
    settings = {"learning_rate": 0.05, "verbosity": -1, "seed": task.seed, "bagging_freq": 1, **task.settings}
    settings |= {"bagging_fraction": 0.8, "feature_fraction": 0.8}
    started = now()
    given: dict[int, lightgbm.Dataset] = {}
    for part in (TRAINING, VALIDATION):
        inside = parts == part
        # The impressions are ordered by user: a user's are a group.
        groups = np.unique(users[inside], return_counts=True)[1] if settings["objective"] == "lambdarank" else None
        given[part] = lightgbm.Dataset(
            features[inside],
            labels[inside],
            group=groups,
            categorical_feature=list(range(codes.shape[1])),
            reference=given.get(TRAINING),
        )
    metric = "auc" if settings["objective"] == "binary" else "ndcg"
    trees = lightgbm.train(
        {**settings, "metric": metric, "eval_at": [10]},
        given[TRAINING],
        ROUNDS,
        [given[VALIDATION]],
        callbacks=[lightgbm.early_stopping(PATIENCE, verbose=False)],
    )
    took = now() - started
    arrays = {
        f"{name}_logits": trees.predict(features[parts == part], raw_score=True)
        for name, part in (("validation", VALIDATION), ("test", TEST))
    }
    task.finish(arrays, took, trees=trees.best_iteration)


if __name__ == "__main__":
    main()
