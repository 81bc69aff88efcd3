"""implicit: neighbours, ALS and BPR."""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # implicit asks for it: it has threads of its own.

import numpy as np
from exchange import Cases, Split, Task, as_arrays, in_batches, now
from implicit.als import AlternatingLeastSquares
from implicit.bpr import BayesianPersonalizedRanking
from implicit.nearest_neighbours import BM25Recommender, CosineRecommender, TFIDFRecommender
from scipy import sparse

NEIGHBOURS = {"cosine": CosineRecommender, "tf_idf": TFIDFRecommender, "bm25": BM25Recommender}


def main() -> None:
    task = Task.of_command_line()
    split, settings = Split.load(task.folder), dict(task.settings)
    kind = settings.pop("kind")
    if kind == "item_knn":
        model = NEIGHBOURS[settings["similarity"]](K=settings["neighbours"])
    elif kind == "als":
        model = AlternatingLeastSquares(factors=64, iterations=15, random_state=task.seed, **settings)
    else:
        model = BayesianPersonalizedRanking(factors=64, iterations=100, random_state=task.seed, **settings)
    matrix = _matrix(split.train, split.num_items)
    started = now()
    model.fit(matrix, show_progress=False)
    took = now() - started

    def lists(cases: Cases) -> tuple[np.ndarray, np.ndarray]:
        history = _matrix(cases, split.num_items)

        def score(rows: slice) -> np.ndarray:
            if kind == "item_knn":
                return (history[rows] @ model.similarity).toarray()
            if kind == "bpr":  # Its users are those of training.
                return model.user_factors[cases.users[rows]] @ model.item_factors.T
            users = np.arange(len(cases.users[rows]))
            return model.recalculate_user(users, history[rows]) @ model.item_factors.T

        return in_batches(score, cases)

    task.finish(as_arrays(lists(split.validation), lists(split.test)), took)


def _matrix(cases: Cases, num_items: int) -> sparse.csr_matrix:
    """Ones where something was done, [num_cases, num_items]."""
    ones = np.ones(len(cases.values), np.float32)
    matrix = sparse.csr_matrix((ones, cases.values, cases.offsets), shape=(len(cases.users), num_items))
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


if __name__ == "__main__":
    main()
