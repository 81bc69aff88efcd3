"""What competes, and the few hyperparameters that are tried of each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
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
WHOLE = (None,)
"""Of what does not depend on it, or is made of others that chose."""

Named = tuple[str, Recommender]


@dataclass(frozen=True)
class Entry:
    """A recommender and what may be chosen of it.

    Attributes:
        name: In the table.
        fit: Makes it from the chosen hyperparameters.
        choices: What is tried of each hyperparameter, in the order in which they are chosen; first the defaults.
        history_lengths: How many of a history's last items may be read.
        unfit: Why it can't take part, or None.
        parts: Of what it is made: a result is that of the same parts.
    """

    name: str
    fit: Callable[..., Recommender]
    choices: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    unfit: str | None = None
    parts: tuple[str, ...] = ()
    history_lengths: tuple[int | None, ...] = HISTORY_LENGTHS

    @property
    def num_trials(self) -> int:
        """Of `search`."""
        return len(self.history_lengths) + sum(len(values) - 1 for values in self.choices.values())

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
    return [
        Entry("random", fitted(Random, seed=seed), history_lengths=WHOLE),
        Entry("popularity", fitted(Popularity), history_lengths=WHOLE),
        Entry(
            "recent_popularity", fitted(RecentPopularity), {"half_life": (0.1, 0.01, 0.03, 0.3)}, no_clock, (), WHOLE
        ),
        Entry(
            "item_knn",
            fitted(ItemKNN),
            {"similarity": similarities, "neighbours": (100, 20, 300), "shrinkage": (0.0, 20.0, 100.0)},
        ),
        Entry(
            "user_knn",
            fitted(UserKNN),
            {"similarity": ("cosine", "tf_idf", "bm25"), "neighbours": (100, 50, 200, 400)},
        ),
        Entry("pure_svd", fitted(PureSVD, seed=seed), {"factors": (50, 10, 20, 100, 200, 400)}),
        Entry(
            "soft_impute",
            fitted(SoftImpute, seed=seed),
            {"factors": (100, 400), "unobserved_weight": (0.3, 0.1), "regularization": (0.1, 0.03)},
        ),
        Entry(
            "svd_plus_plus",
            fitted(SVDPlusPlus, seed=seed),
            {"learning_rate": (0.1, 0.05), "factors": (64, 32, 128)},
        ),
        Entry(
            "ials",
            fitted(IALS, seed=seed),
            {"unobserved_weight": (0.3, 0.1, 1.0, 3.0), "regularization": (0.003, 0.01, 0.001)},
        ),
        Entry(
            "bpr",
            fitted(BPR, seed=seed),
            {"learning_rate": (0.05, 0.1), "regularization": (0.01, 0.001)},
            history_lengths=WHOLE,
        ),
        Entry("ease", fitted(EASE), {"regularization": (250.0, 100.0, 1000.0, 3000.0, 10000.0)}, too_dense),
        Entry("slim", fitted(SLIM), {"l1": (1.0, 0.3, 3.0), "l2": (10.0, 50.0, 200.0)}, too_slow),
        Entry(
            "tf_idf_texts",
            lambda **chosen: TFIDFTexts(material.texts or [], **chosen),
            {"ngrams": (1, 2), "sublinear": (False, True)},
            no_texts,
        ),
        Entry("similar_texts", lambda: ContentSimilarity(np.asarray(material.text_vectors)), unfit=no_vectors),
    ]


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
            {"share": (0.1, 0.03, 0.3, 0.5), "normalisation": ("z", "rank")},
            parts=_names(two),
            history_lengths=WHOLE,
        ),
        Entry(
            "switching_hybrid",
            lambda minimum_length: SwitchingHybrid(second, first, minimum_length),
            {"minimum_length": (3, 5, 10)},
            parts=_names(two),
            history_lengths=WHOLE,
        ),
        Entry(
            "learned_blend",
            lambda normalisation: LearnedBlend(
                blended, material.split.validation, material.split.candidates, normalisation, seed=material.seed
            ),
            {"normalisation": ("z", "rank")},
            parts=_names(all_of_them),
            history_lengths=WHOLE,
        ),
    ]


def _names(parts: Sequence[Named]) -> tuple[str, ...]:
    return tuple(name for name, _ in parts)


def _too_many(num_items: int, most: int, needs: str) -> str | None:
    return f"{num_items:,} items are more than {most:,}: it needs {needs}" if num_items > most else None
