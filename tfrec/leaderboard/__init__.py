"""Every baseline tuned alike, measured on the same cases, in one table."""

from tfrec.leaderboard.chosen import fit_chosen, parts_of
from tfrec.leaderboard.entries import Entry, baseline_entries, hybrid_entries
from tfrec.leaderboard.leaderboard import Leaderboard
from tfrec.leaderboard.material import Material, gather
from tfrec.leaderboard.play import comparisons, play, verdicts
from tfrec.leaderboard.result import Result, format_leaderboard, read_results
from tfrec.leaderboard.trained import TrainedModel, with_context_of

__all__ = [
    "Entry",
    "Leaderboard",
    "Material",
    "Result",
    "TrainedModel",
    "baseline_entries",
    "comparisons",
    "fit_chosen",
    "format_leaderboard",
    "gather",
    "hybrid_entries",
    "parts_of",
    "play",
    "read_results",
    "verdicts",
    "with_context_of",
]
