"""What people read while something runs: to stderr, so that stdout holds results alone."""

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
