"""What people read while something runs: to stderr, so that stdout holds results alone."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

CONSOLE = Console(stderr=True, highlight=False)


def say(message: str) -> None:
    """Prints a line."""
    CONSOLE.print(message, markup=False, soft_wrap=True)


def progress_bar() -> Progress:
    """A bar that counts and estimates the time that is left."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=CONSOLE
    )


@contextmanager
def progress(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """Shows a bar as long as something is done; what it yields is told how much was. Nothing is shown of nothing."""
    if not total:
        yield lambda count: None
        return
    with progress_bar() as bar:
        task = bar.add_task(description, total=total)
        yield lambda count: bar.advance(task, count)
