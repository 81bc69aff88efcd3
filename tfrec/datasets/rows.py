"""What a file of a table holds."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from tfrec.datasets.checks import RowNumbers


@dataclass(frozen=True)
class Rows:
    """What a file holds.

    Attributes:
        table: Its columns. Those of a CSV file are strings, null where nothing is written.
        numbers: The row number of each row of `table`, as people count: from 1, after the header. Of several files,
            text that names the file too.
        broken: Row number, or such text, and what is in the rows that do not have a value for each column; they are not
            in `table`.
        broken_values: What each of them has instead.
        undecodable: Of a column that has values which are no UTF-8, the rows of these, bool [num_rows]. They hold
            replacement characters.
    """

    table: pa.Table
    numbers: RowNumbers
    broken: Sequence[tuple[int | str, str]]
    undecodable: dict[str, np.ndarray] = field(default_factory=dict)
    broken_values: list[list[str]] = field(default_factory=list)
