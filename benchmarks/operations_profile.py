"""TensorBoard's profile, read: which TensorFlow operations take the time of the processor."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CALLS = ("PartitionedCall", "StatefulPartitionedCall", "While", "StatelessWhile", "If", "StatelessIf")
"""Operations whose time is that of others."""


@contextmanager
def profiling(folder: Path) -> Iterator[None]:
    """Writes a profile, for TensorBoard too, of what happens inside."""
    import tensorflow as tf

    tf.profiler.experimental.start(str(folder))
    try:
        yield
    finally:
        tf.profiler.experimental.stop()


def operation_times(folder: Path) -> tuple[Counter[str], dict[str, str]]:
    """Seconds of each type of operation, without what ran inside it on the same thread, over all threads.

    Args:
        folder: Where a profile was written; the newest counts.

    Returns:
        The seconds by type, and of each type the node that took most.
    """
    from tensorflow.tsl.profiler.protobuf.xplane_pb2 import XSpace

    space = XSpace()
    newest = max(folder.rglob("*.xplane.pb"), key=lambda path: path.stat().st_mtime)
    space.ParseFromString(newest.read_bytes())
    nodes: Counter[tuple[str, str]] = Counter()
    for plane in space.planes:
        for line in plane.lines:
            for name, seconds in _self_times(plane, line):
                node, _, kind = name.rpartition(":")
                nodes[kind, node] += seconds  # type: ignore[assignment]  # A Counter may hold floats.
    kinds: Counter[str] = Counter()
    heaviest: dict[str, str] = {}
    for (kind, node), seconds in nodes.most_common():
        if kind not in CALLS:
            kinds[kind] += seconds
            heaviest.setdefault(kind, node)
    return kinds, heaviest


def _self_times(plane: Any, line: Any) -> Iterator[tuple[str, float]]:
    """Of the events that are operations, which are nested: "node:Type" and the seconds of each by itself."""
    events = [
        (event.offset_ps, event.duration_ps, plane.event_metadata[event.metadata_id].name)
        for event in line.events
        if plane.event_metadata[event.metadata_id].display_name
    ]
    around: list[list[Any]] = []  # Of each: when it ends, its name, its own time.
    for start, duration, name in sorted(events, key=lambda event: (event[0], -event[1])):
        while around and around[-1][0] <= start:
            _, ended, own = around.pop()
            yield ended, own * 1e-12
        if around:
            around[-1][2] -= duration
        around.append([start + duration, name, duration])
    for _, ended, own in around:
        yield ended, own * 1e-12
