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
