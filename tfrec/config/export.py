"""What an exported model answers with."""

from typing import Annotated, Literal

from pydantic import Field

from tfrec.config.section import Fraction, PositiveInt, Section

IndexKind = Literal["auto", "exact", "rounded", "lists"]
INDEX_RECALL = 0.95
"""The share of the exact answer that an index of lists is to find, if nothing else is said."""


class ExportConfig(Section):
    """The stages of `recommend`, and their limits: retrieve, filter, rank, choose."""

    top_k: PositiveInt = 100
    """Items in an answer."""

    rank_candidates: Annotated[int, Field(ge=0)] = 0
    """Items that are retrieved for the model's head to rank, at least top_k; 0: it does not rank."""

    filters: tuple[str, ...] = ()
    """Columns of the items table by which a request may narrow the answer: categorical ones by their values, numeric
    ones by limits."""

    blocked: tuple[str, ...] = ()
    """Ids of items that are in no answer: not recommended, not similar, not found."""

    diversity: Fraction = 0.0
    """From 0, the best items, towards 1: what each item of the answer loses for being like one before it. MMR."""

    caps: dict[str, PositiveInt] = Field(default_factory=dict)
    """Categorical columns of the items table, and of how many items of one category an answer may consist."""

    pool: Annotated[int, Field(ge=0)] = 0
    """Items among which diversity and caps choose the answer; 0: those that are ranked, or else five times top_k."""

    index: IndexKind = "auto"
    """How items are found; see `build_index`."""

    index_recall: Annotated[float, Field(gt=0, le=1)] = INDEX_RECALL
    """The share of the exact answer that an index of lists is to find."""

    @property
    def chooses(self) -> bool:
        """Whether the answer is anything else than the best."""
        return bool(self.diversity or self.caps)

    @property
    def num_pool(self) -> int:
        """How many items the answer is made from, where none are ranked."""
        return max(self.pool or 5 * self.top_k, self.top_k) if self.chooses else self.top_k


DEFAULT_STAGES = ExportConfig()
"""If nothing is said: what is retrieved is the answer."""
