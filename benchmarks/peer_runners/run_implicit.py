"""implicit: neighbours, ALS and BPR."""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # implicit asks for it: it has threads of its own.

import numpy as np
from exchange import Cases, Lists, Split, Task, as_arrays, in_batches, ndcg, now
from implicit.als import AlternatingLeastSquares
from implicit.bpr import BayesianPersonalizedRanking
from implicit.nearest_neighbours import BM25Recommender, CosineRecommender, TFIDFRecommender
from scipy import sparse

HISTORY_LENGTHS = (None, 50, 20, 10, 5)  # As tfrec's own may choose.
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

    def lists(cases: Cases, length: int | None) -> Lists:
        history = _matrix(cases if length is None else cases.last(length), split.num_items)

        def score(rows: slice) -> np.ndarray:
            if kind == "item_knn":
                return (history[rows] @ model.similarity).toarray()
            if kind == "bpr":  # Its users are those of training.
                return model.user_factors[cases.users[rows]] @ model.item_factors.T
            users = np.arange(len(cases.users[rows]))
            return model.recalculate_user(users, history[rows]) @ model.item_factors.T

        return in_batches(score, cases)

    # Of BPR the history says nothing.
    lengths = (None,) if kind == "bpr" else HISTORY_LENGTHS
    validation = [lists(split.validation, length) for length in lengths]
    best = int(np.argmax([ndcg(each, split.validation_targets) for each in validation]))
    arrays = as_arrays(validation[best], lists(split.test, lengths[best]))
    task.finish(arrays, took, chosen={"history_length": lengths[best]}, num_tried=len(lengths))


def _matrix(cases: Cases, num_items: int) -> sparse.csr_matrix:
    """Ones where something was done, [num_cases, num_items]."""
    ones = np.ones(len(cases.values), np.float32)
    # A copy: what follows sorts it, and the order of the cases is theirs.
    matrix = sparse.csr_matrix((ones, cases.values, cases.offsets), shape=(len(cases.users), num_items), copy=True)
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


if __name__ == "__main__":
    main()
