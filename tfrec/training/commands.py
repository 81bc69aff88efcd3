"""Which commands made a run: when, with which versions, how long."""

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version

from tfrec import __version__
from tfrec.training.run import Run, write_json


@dataclass(frozen=True)
class Command:
    """A command that came to its end.

    Attributes:
        line: As it was typed.
        ended: When, in UTC, as in 2026-11-28T14:05:00+00:00.
        seconds: How long it took.
        versions: Of Python, of tfrec and of what the figures depend on.
    """

    line: str
    ended: str
    seconds: float
    versions: Mapping[str, str]


def this_command(module: str, arguments: Sequence[str], seconds: float) -> Command:
    """The one that ends now."""
    versions = {"python": sys.version.split()[0], "tfrec": __version__}
    versions |= {name: version(name) for name in ("tensorflow", "keras", "numpy")}
    return Command(
        line=shlex.join(["python", "-m", f"tfrec.{module}", *arguments]),
        ended=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(seconds, 1),
        versions=versions,
    )


def note_command(run: Run, command: Command) -> None:
    """Adds it to the run's `commands.json`."""
    write_json(run.commands, [asdict(each) for each in (*commands_of(run), command)])


def commands_of(run: Run) -> list[Command]:
    """Those that are noted, oldest first; none of a run of an earlier tfrec."""
    if not run.commands.is_file():
        return []
    return [Command(**each) for each in json.loads(run.commands.read_text(encoding="utf-8"))]
