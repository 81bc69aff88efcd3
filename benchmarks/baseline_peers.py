"""tfrec's baselines beside those of `implicit`, on the same split, by the same protocol.

    pip install implicit
    python benchmarks/baseline_peers.py movielens-100k/two_tower

Prints NDCG@10 of validation and test, and the seconds that fitting took.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from implicit.als import AlternatingLeastSquares
from implicit.bpr import BayesianPersonalizedRanking
from implicit.nearest_neighbours import BM25Recommender, CosineRecommender, TFIDFRecommender
from scipy import sparse

from tfrec.baselines import BPR, IALS, InteractionMatrix, ItemKNN
from tfrec.config import Config
from tfrec.datasets import load_dataset, split_dataset
from tfrec.datasets.dataset import Ragged
from tfrec.evaluation import Recommender, rank
from tfrec.evaluation.metrics import ndcg


class Neighbours:
    """implicit's item-item matrix over the history."""

    def __init__(self, similarity: sparse.csr_matrix) -> None:
        self.similarity = similarity

    def score(self, users: np.ndarray, histories: Ragged) -> np.ndarray:
        history = sparse.csr_matrix(InteractionMatrix(histories, self.similarity.shape[0]).binary)
        return (history @ self.similarity).toarray().astype(np.float32)


class Folded:
    """implicit's ALS, whose users are computed anew from the history."""

    def __init__(self, model: AlternatingLeastSquares) -> None:
        self.model = model

    def score(self, users: np.ndarray, histories: Ragged) -> np.ndarray:
        history = sparse.csr_matrix(InteractionMatrix(histories, len(self.model.item_factors)).binary)
        vectors = self.model.recalculate_user(np.arange(len(users)), history)
        return vectors @ self.model.item_factors.T


class Stored:
    """implicit's BPR, whose users are those of training."""

    def __init__(self, model: BayesianPersonalizedRanking) -> None:
        self.model = model

    def score(self, users: np.ndarray, histories: Ragged) -> np.ndarray:
        return self.model.user_factors[users] @ self.model.item_factors.T


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("recipe")
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    arguments = parser.parse_args()
    config = Config.load(arguments.recipe)
    dataset = load_dataset(config.data, arguments.data_root).positives(config.data.events)
    split, num_items = split_dataset(dataset, config.split), dataset.num_items
    matrix = sparse.csr_matrix(InteractionMatrix(split.train, num_items).binary)

    def peer(model: object) -> object:
        model.fit(matrix, show_progress=False)
        return model

    makers: dict[str, Callable[[], Recommender]] = {}
    for name, kind in (("cosine", CosineRecommender), ("tf_idf", TFIDFRecommender), ("bm25", BM25Recommender)):
        makers[f"item_knn {name}"] = lambda name=name: ItemKNN(split.train, num_items, name, neighbours=100)
        makers[f"implicit {name}"] = lambda kind=kind: Neighbours(peer(kind(K=100)).similarity)
    makers["ials"] = lambda: IALS(split.train, num_items, unobserved_weight=0.1, regularization=0.01)
    # Of the same loss over 0.1: 1 where nothing was done, 11 where it was.
    makers["implicit als"] = lambda: Folded(
        peer(AlternatingLeastSquares(factors=64, alpha=11.0, regularization=20.0, iterations=12, random_state=0))
    )
    makers["bpr"] = lambda: BPR(split.train, num_items, learning_rate=0.1)
    makers["implicit bpr"] = lambda: Stored(
        peer(BayesianPersonalizedRanking(factors=64, learning_rate=0.05, iterations=100, random_state=0))
    )
    for name, make in makers.items():
        start = time.perf_counter()
        recommender = make()
        seconds = time.perf_counter() - start
        means = [
            ndcg(rank(recommender, cases, num_items, exclude_seen=True, top_k=10).ranks, 10).mean()
            for cases in (split.validation, split.test)
        ]
        print(f"{name:20} validation {means[0]:.4f}  test {means[1]:.4f}  fitted in {seconds:.1f} s", flush=True)


if __name__ == "__main__":
    main()
