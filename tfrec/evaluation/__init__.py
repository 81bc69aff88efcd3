"""Full-catalogue ranking, its metrics and what to make of them."""

from tfrec.evaluation.background import Background
from tfrec.evaluation.calibration import Calibration, fit_calibration
from tfrec.evaluation.clicks import evaluate_clicks
from tfrec.evaluation.comparison import Comparison, compare, corrected
from tfrec.evaluation.protocol import Ranking, Recommender, rank
from tfrec.evaluation.recorded_lists import RecordedLists
from tfrec.evaluation.reliability import Reliability, histogram_edges, reliability
from tfrec.evaluation.report import (
    SAMPLED_WARNING,
    Estimate,
    Report,
    evaluate,
    format_beyond,
    format_cohorts,
    format_table,
)
from tfrec.evaluation.values import evaluate_values

__all__ = [
    "SAMPLED_WARNING",
    "Background",
    "Calibration",
    "Comparison",
    "Estimate",
    "Ranking",
    "Recommender",
    "RecordedLists",
    "Reliability",
    "Report",
    "compare",
    "corrected",
    "evaluate",
    "evaluate_clicks",
    "evaluate_values",
    "fit_calibration",
    "format_beyond",
    "format_cohorts",
    "format_table",
    "histogram_edges",
    "rank",
    "reliability",
]
