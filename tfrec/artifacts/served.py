"""What can be written as a version."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
import tensorflow as tf


class Served(Protocol):
    """The signatures of a model.

    Attributes:
        ids: Of the items, in order: object [num_items].
        lookup_tables: What an export must track beside the variables.
        optional: Input -> what stands for it where a request leaves it out.
        may_widen: Whether inputs may be filled up with copies of their first element, as `pad_variable_length_inputs`
            does, to batch requests of several widths.
    """

    ids: np.ndarray
    optional: Mapping[str, np.ndarray]
    may_widen: bool

    @property
    def lookup_tables(self) -> Sequence[tf.Module]: ...

    def endpoints(self) -> dict[str, tuple[Callable[..., dict[str, tf.Tensor]], Mapping[str, tf.TensorSpec]]]:
        """Name -> function of named tensors, and what they are."""
        ...


def with_a_row_each(
    inputs: Mapping[str, tf.Tensor], optional: Mapping[str, np.ndarray], counted: str
) -> dict[str, tf.Tensor]:
    """What stands for a request's optional inputs has one row, whatever the batch: here it gets one for each.

    Args:
        inputs: The request's.
        optional: As of `Served`.
        counted: The input that says how many rows there are.
    """
    batch_size = tf.shape(inputs[counted])[:1]
    return {
        name: tf.broadcast_to(values, tf.concat([batch_size, tf.shape(values)[1:]], axis=0))
        if name in optional
        else values
        for name, values in inputs.items()
    }


def example_histories(histories: Sequence[Sequence[str]], length: int) -> tuple[np.ndarray, list[str]]:
    """Histories to ask an example with, an empty one and one of unknown ids added: their last items padded with "",
    object [len(histories) + 2, length]; and the last item of each, "" of the empty one."""
    rows = [*(list(history)[-length:] for history in histories), [], ["no such item"]]
    return np.array([row + [""] * (length - len(row)) for row in rows], object), [
        row[-1] if row else "" for row in rows
    ]
