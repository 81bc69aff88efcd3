"""Who did what when, in order."""

import numpy as np


def by_group_and_time(groups: np.ndarray, times: np.ndarray) -> np.ndarray:
    """The rows by group, those of a group by time, those of a time as they stand: int64 [num_rows].

    It is `np.lexsort((times, groups))`. Whole times that fit into one number of 64 bits beside their group are ordered
    in a third of its time, for which NumPy has vector instructions.

    Args:
        groups: int32 [num_rows], from 0 on, such as codes of users.
        times: int64 or float64 [num_rows].

    Example:
        >>> by_group_and_time(np.array([1, 0, 1], np.int32), np.array([20, 10, 10]))
        array([1, 2, 0])
    """
    if not len(times) or times.dtype.kind != "i":
        return np.lexsort((times, groups))
    low = int(times.min())
    num_bits = (int(times.max()) - low).bit_length()
    if num_bits + int(groups.max()).bit_length() > 63:
        return np.lexsort((times, groups))
    keys = (groups.astype(np.int64) << num_bits) | (times - low)
    order = np.argsort(keys)
    keys = keys[order]
    ties = np.cumsum(keys[1:] != keys[:-1])
    order[1:] |= ties << 32
    order.sort()  # Of equal keys the rows are in any order until here.
    order &= 0xFFFFFFFF
    return order
