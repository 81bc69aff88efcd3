"""What competes, and the few hyperparameters that are tried of each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import numpy as np

from tfrec.baselines import (
    BPR,
    EASE,
    IALS,
    SLIM,
    ContentSimilarity,
    ItemKNN,
    LearnedBlend,
    Popularity,
    PureSVD,
    Random,
    RecentHistory,
    RecentPopularity,
    SoftImpute,
    SVDPlusPlus,
    SwitchingHybrid,
    TFIDFTexts,
    UserKNN,
    WeightedHybrid,
)
from tfrec.evaluation import Recommender
from tfrec.leaderboard.material import Material

MOST_DENSE_ITEMS = 20_000
"""EASE holds up to 20 num_items² bytes while it is fitted: 8 GB for so many."""

MOST_SLIM_ITEMS = 30_000
"""SLIM fits a regression an item."""

HISTORY_LENGTHS = (None, 50, 20, 10, 5)
"""How much of a history may be read; None: all."""

Named = tuple[str, Recommender]


@dataclass(frozen=True)
class Entry:
    """A recommender and what may be chosen of it.

    Attributes:
        name: In the table.
        fit: Makes it from the chosen hyperparameters.
        grid: What is tried; the first are the defaults.
        history_lengths: How many of a history's last items may be read; with the defaults, before the grid is tried.
        unfit: Why it can't take part, or None.
        parts: Of what it is made: a result is that of the same parts.
    """

    name: str
    fit: Callable[..., Recommender]
    grid: tuple[Mapping[str, Any], ...] = field(default=({},))
    unfit: str | None = None
    parts: tuple[str, ...] = ()
    history_lengths: tuple[int | None, ...] = (None,)

    def build(self, history_length: int | None = None, **chosen: Any) -> Recommender:
        """Fitted with these hyperparameters; reads so many of a history's last items, or all."""
        return reading(self.fit(**chosen), history_length)


def reading(recommender: Recommender, history_length: int | None) -> Recommender:
    """The same, of so many of a history's last items; None: of all."""
    return recommender if history_length is None else RecentHistory(recommender, history_length)


def baseline_entries(material: Material) -> list[Entry]:
    """All that learn from the data by themselves, in the order of `BASELINE_NAMES`."""
    train, num_items, seed = material.split.train, material.num_items, material.seed

    def fitted(kind: Callable[..., Recommender], **fixed: Any) -> Callable[..., Recommender]:
        return lambda **chosen: kind(train, num_items, **fixed, **chosen)

    no_clock = None if "timestamp" in train.context else "the users' time stamps share no clock"
    no_texts = None if material.texts is not None else "the items have no texts"
    no_vectors = None if material.text_vectors is not None else "there are no text vectors (model.use_text, backbone)"
    too_dense = _too_many(num_items, MOST_DENSE_ITEMS, f"{num_items**2 * 20 / 1e9:.0f} GB")
    too_slow = _too_many(num_items, MOST_SLIM_ITEMS, "a regression for each of them")
    similarities = ("cosine", "adjusted_cosine", "tf_idf", "bm25")
    entries = [
        Entry("random", fitted(Random, seed=seed)),
        Entry("popularity", fitted(Popularity)),
        Entry("recent_popularity", fitted(RecentPopularity), _grid(half_life=(0.1, 0.01, 0.03, 0.3)), no_clock),
        Entry("item_knn", fitted(ItemKNN), _grid(similarity=similarities, neighbours=(100, 20), shrinkage=(0.0, 20.0))),
        Entry("user_knn", fitted(UserKNN), _grid(similarity=("cosine", "tf_idf", "bm25"), neighbours=(100, 50))),
        Entry("pure_svd", fitted(PureSVD, seed=seed), _grid(factors=(50, 20, 100, 200))),
        Entry(
            "soft_impute",
            fitted(SoftImpute, seed=seed),
            _grid(factors=(100, 400), unobserved_weight=(0.3, 0.1), regularization=(0.1, 0.03)),
        ),
        Entry("svd_plus_plus", fitted(SVDPlusPlus, seed=seed), _grid(learning_rate=(0.1, 0.05), factors=(64, 32))),
        Entry(
            "ials",
            fitted(IALS, seed=seed),
            _grid(unobserved_weight=(0.3, 0.1, 1.0), regularization=(0.003, 0.01, 0.001)),
        ),
        Entry("bpr", fitted(BPR, seed=seed), _grid(learning_rate=(0.05, 0.1), regularization=(0.01, 0.001))),
        Entry("ease", fitted(EASE), _grid(regularization=(250.0, 100.0, 1000.0)), too_dense),
        Entry("slim", fitted(SLIM), _grid(l1=(1.0, 0.3), l2=(10.0, 50.0)), too_slow),
        Entry(
            "tf_idf_texts",
            lambda **chosen: TFIDFTexts(material.texts or [], **chosen),
            _grid(ngrams=(1, 2), sublinear=(False, True)),
            no_texts,
        ),
        Entry("similar_texts", lambda: ContentSimilarity(np.asarray(material.text_vectors)), unfit=no_vectors),
    ]
    same_for_all = ("random", "popularity", "recent_popularity")
    return [each if each.name in same_for_all else replace(each, history_lengths=HISTORY_LENGTHS) for each in entries]


def hybrid_entries(
    material: Material, collaborative: Named, content: Named | None, models: Sequence[Named] = ()
) -> list[Entry]:
    """What is made of others, in the order of `HYBRID_NAMES`.

    Args:
        material: The data.
        collaborative: The best of those that learn from interactions, with its name.
        content: The best of those that read texts; None: popularity takes its place.
        models: Trained ones, for the learned blend.
    """
    popularity: Named = ("popularity", Popularity(material.split.train, material.num_items))
    two = (collaborative, content or popularity)
    all_of_them = tuple(dict([collaborative, popularity, *([content] if content else []), *models]).items())
    first, second = (recommender for _, recommender in two)
    blended = [recommender for _, recommender in all_of_them]
    return [
        Entry(
            "weighted_hybrid",
            lambda share, normalisation: WeightedHybrid([first, second], [1 - share, share], normalisation),
            _grid(share=(0.1, 0.03, 0.3), normalisation=("z", "rank")),
            parts=_names(two),
        ),
        Entry(
            "switching_hybrid",
            lambda minimum_length: SwitchingHybrid(second, first, minimum_length),
            _grid(minimum_length=(3, 5, 10)),
            parts=_names(two),
        ),
        Entry(
            "learned_blend",
            lambda normalisation: LearnedBlend(
                blended, material.split.validation, material.split.candidates, normalisation, seed=material.seed
            ),
            _grid(normalisation=("z", "rank")),
            parts=_names(all_of_them),
        ),
    ]


def _names(parts: Sequence[Named]) -> tuple[str, ...]:
    return tuple(name for name, _ in parts)


def _grid(**choices: tuple[Any, ...]) -> tuple[dict[str, Any], ...]:
    """Every combination; the first has the first of each."""
    return tuple(dict(zip(choices, values, strict=True)) for values in product(*choices.values()))


def _too_many(num_items: int, most: int, needs: str) -> str | None:
    return f"{num_items:,} items are more than {most:,}: it needs {needs}" if num_items > most else None
