"""Full-catalogue ranking, its metrics and what to make of them."""

from tfrec.evaluation.comparison import Comparison, compare
from tfrec.evaluation.protocol import Ranking, Recommender, rank
from tfrec.evaluation.report import Estimate, Report, evaluate, format_table

__all__ = [
    "Comparison",
    "Estimate",
    "Ranking",
    "Recommender",
    "Report",
    "compare",
    "evaluate",
    "format_table",
    "rank",
]
