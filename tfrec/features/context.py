"""What was done and when, as the user tower reads it beside the items of a history."""

from dataclasses import replace

import numpy as np
import pandas as pd
import tensorflow as tf

from tfrec.datasets.dataset import Dataset, Split
from tfrec.datasets.history_context import EVENT, TIME
from tfrec.datasets.ragged import Ragged, mapped
from tfrec.features.columns import Column, vocabulary_of

HISTORY_EVENT, HISTORY_TIME = "history_event", "history_time"


def encode_context(dataset: Dataset, split: Split) -> tuple[Split, Column | None]:
    """Fits the vocabulary of events in training, and encodes the context of all histories.

    Args:
        dataset: The tables.
        split: Their division, with what `history_context` tells beside the items, if anything.

    Returns:
        The split, its context renamed and encoded. `history_event`: int32 [total] indices of the vocabulary; 0 where
        no event is written, 1 where training has no such event. `history_time`: int64 [total], seconds. And the events'
        encoding; None: there are none.
    """
    column, indices = None, np.zeros(0, np.int32)
    if EVENT in split.train.context:
        events = dataset.interactions["event"].cat.categories
        codes = Ragged(split.train.context[EVENT], split.train.offsets)
        counts = codes.count_values(len(events))
        seen = pd.Series(counts, events.astype(str))
        column = Column(HISTORY_EVENT, "categorical", vocabulary=vocabulary_of(seen[seen.index != ""]))
        # The last: for what has no event, code -1.
        indices = column.encoder()(tf.constant([*events, ""])).numpy()

    def encode(rows: Ragged) -> Ragged:
        context = {}
        if EVENT in rows.context:
            context[HISTORY_EVENT] = mapped(rows.context[EVENT], lambda codes: indices[codes])
        if TIME in rows.context:
            context[HISTORY_TIME] = mapped(rows.context[TIME], lambda times: np.floor(times).astype(np.int64))
        return replace(rows, context=context)

    validation, test = (replace(cases, histories=encode(cases.histories)) for cases in (split.validation, split.test))
    return replace(split, train=encode(split.train), validation=validation, test=test), column
