"""The names of the baselines, which a command line knows before TensorFlow is there."""

COLLABORATIVE_NAMES = (
    "item_knn",
    "user_knn",
    "pure_svd",
    "soft_impute",
    "svd_plus_plus",
    "ials",
    "bpr",
    "ease",
    "slim",
)
CONTENT_NAMES = ("tf_idf_texts", "similar_texts")
BASELINE_NAMES = ("random", "popularity", "recent_popularity", *COLLABORATIVE_NAMES, *CONTENT_NAMES)
HYBRID_NAMES = ("weighted_hybrid", "switching_hybrid", "learned_blend")

NOT_SERVED = {
    "random": "it is the floor of the table; take popularity",
    "user_knn": "it asks the rows of all users at each request; take item_knn, slim or ease",
}
"""Baselines that have no form for a SavedModel: why, and what to take instead."""
