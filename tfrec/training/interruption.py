"""Ctrl-C and SIGTERM, which let a step end."""

import signal
import threading
from types import FrameType
from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Turns SIGINT and SIGTERM into a KeyboardInterrupt, at once or, where that is asked for, when there is time.

    Of two signals the second one is obeyed at once. Outside of the main thread, which alone gets signals, it does
    nothing.

    Attributes:
        can_wait: Whether a signal waits until somebody looks at `has_come`.
        has_come: A signal waits.
    """

    def __init__(self) -> None:
        self.can_wait = False
        self.has_come = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            # What is ignored, as under nohup, stays ignored.
            heeded = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
            self._before = {number: signal.signal(number, self._handle) for number in heeded}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.has_come or not self.can_wait:
            raise KeyboardInterrupt
        self.has_come = True
