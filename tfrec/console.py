"""What people read while something runs: to stderr, so that stdout holds results alone."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

CONSOLE = Console(stderr=True, highlight=False)

SECONDS_BETWEEN_LINES = 60.0
"""Where no terminal shows the bar."""


def say(message: str) -> None:
    """Prints a line."""
    CONSOLE.print(message, markup=False, soft_wrap=True)


class ProgressBar:
    """Counts and estimates the time that is left: a bar on a terminal; elsewhere, as in a log, a line a minute and the
    bar as it stands at the end. It shows from `start` to `stop`.

    Args:
        description: What is done.
        total: How many there are.
        completed: How many were done before.
        unit: What is counted, in the lines.
    """

    def __init__(self, description: str, total: int, completed: int = 0, unit: str = "") -> None:
        self.description = description
        self.total = total
        self.completed = completed
        self.unit = unit
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        self._bar = Progress(*columns, console=CONSOLE)
        self._task = self._bar.add_task(description, total=total, completed=completed)
        self._last_line = time.monotonic(), completed

    def start(self) -> None:
        """Shows it, and begins to count the time."""
        self._last_line = time.monotonic(), self.completed
        self._bar.start()

    def advance(self, count: int = 1, details: Callable[[float], str] | None = None) -> None:
        """So many more are done.

        Args:
            count: How many.
            details: What a line says beside, of how many are done a second since the line before; asked only when a
                line is due.
        """
        self.completed += count
        self._bar.advance(self._task, count)
        now, (then, before) = time.monotonic(), self._last_line
        if CONSOLE.is_terminal or now - then < SECONDS_BETWEEN_LINES or self.completed in (before, self.total):
            return
        self._last_line = now, self.completed
        rate = (self.completed - before) / (now - then)
        left = timedelta(seconds=round((self.total - self.completed) / rate))
        parts = [f"{self.unit} {self.completed:,} of {self.total:,}".lstrip()]
        parts += [details(rate)] if details else []
        say(f"{self.description}: {', '.join(parts)}, {left} left")

    def stop(self) -> None:
        """Ends it, and gives the terminal its cursor back; again, it does nothing."""
        if self._bar.live.is_started:
            self._bar.stop()


@contextmanager
def progress(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """Shows a bar as long as something is done; what it yields is told how much was. Nothing is shown of nothing."""
    if not total:
        yield lambda count: None
        return
    bar = ProgressBar(description, total)
    bar.start()
    try:
        yield bar.advance
    finally:
        bar.stop()
