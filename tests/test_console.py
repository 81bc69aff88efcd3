import io

import pytest
from rich.console import Console

from tfrec import console


class Clock:
    """Stands for time.monotonic: each look at it is so many seconds after the one before."""

    def __init__(self, seconds: float) -> None:
        self.now = 0.0
        self.seconds = seconds

    def monotonic(self) -> float:
        self.now += self.seconds
        return self.now


def said(monkeypatch: pytest.MonkeyPatch, is_terminal: bool) -> io.StringIO:
    written = io.StringIO()
    monkeypatch.setattr(
        console, "CONSOLE", Console(file=written, width=200, force_terminal=is_terminal, highlight=False)
    )
    return written


def test_a_log_gets_a_line_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    written = said(monkeypatch, is_terminal=False)
    monkeypatch.setattr(console, "time", Clock(25.0))
    bar = console.ProgressBar("epoch 1/2", 3_000, 500, "step")
    bar.start()
    for _ in range(25):
        bar.advance(100, lambda rate: f"{rate * 16:.0f} examples/s")
    bar.stop()
    lines = written.getvalue().splitlines()
    # Every third step, 75 s after the line before: 4 steps a second, and so 550 s for the remaining 2,200.
    assert lines[0] == "epoch 1/2: step 800 of 3,000, 64 examples/s, 0:09:10 left"
    assert [line.split(" of ")[0].split()[-1] for line in lines[:-1]] == [
        f"{step:,}" for step in range(800, 3_000, 300)
    ]
    assert "3000/3000" in lines[-1]


def test_a_terminal_gets_the_bar_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    written = said(monkeypatch, is_terminal=True)
    monkeypatch.setattr(console, "SECONDS_BETWEEN_LINES", 0.0)
    with console.progress("encoding texts", 3) as advance:
        advance(1)
        advance(1)
    assert "encoding texts" in written.getvalue()
    assert " of 3" not in written.getvalue()


def test_what_is_quick_says_nothing_between(monkeypatch: pytest.MonkeyPatch) -> None:
    written = said(monkeypatch, is_terminal=False)
    with console.progress("encoding texts", 3) as advance:
        advance(2)
    [line] = written.getvalue().splitlines()
    assert "2/3" in line
