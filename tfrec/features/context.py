"""What was done and when, as the user tower reads it beside the items of a history."""

from dataclasses import replace

import numpy as np
import pandas as pd
import tensorflow as tf

from tfrec.datasets.dataset import Dataset, Split
from tfrec.datasets.history_context import EVENT, TIME
from tfrec.datasets.ragged import Ragged
from tfrec.features.columns import Column

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
        seen = pd.Categorical.from_codes(split.train.context[EVENT], events)
        column = Column.fit(HISTORY_EVENT, "categorical", pd.Series(seen))
        # The last: for what has no event, code -1.
        indices = column.encoder()(tf.constant([*events, ""])).numpy()

    def encode(rows: Ragged) -> Ragged:
        context = {}
        if EVENT in rows.context:
            context[HISTORY_EVENT] = indices[rows.context[EVENT]]
        if TIME in rows.context:
            context[HISTORY_TIME] = rows.context[TIME]
        return replace(rows, context=context)

    validation, test = (replace(cases, histories=encode(cases.histories)) for cases in (split.validation, split.test))
    return replace(split, train=encode(split.train), validation=validation, test=test), column
