"""What the command lines share: reading overrides, and turning errors into messages."""

import contextlib
import math
import os
import re
import sys
import tomllib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from tfrec import console
from tfrec.errors import ExportError, InputError, TrainingError

DataRoot = Annotated[
    Path, typer.Option("--data-root", help="Folder of data sets, text backbones and the vectors of texts.")
]

Block = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="A text file with the id of an item a line: these are not recommended, not similar and not found.",
        show_default=False,
    ),
]

BAD_INPUT, FAILURE, INTERRUPTED = 2, 1, 130


def new_app() -> typer.Typer:
    """A command line without the extras that tfrec does not use."""
    return typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)


@contextlib.contextmanager
def messages_for_errors(command: str, going_on: str = "") -> Iterator[None]:
    """Errors that a person can mend end the command with their message and no traceback.

    Args:
        command: Its name.
        going_on: What to say to a person who interrupted it.

    Exit status: 2 for bad input, 1 for a training or export that failed, 130 for Ctrl-C.
    """
    try:
        yield
    except InputError as error:
        _print_error(str(error))
        raise typer.Exit(BAD_INPUT) from error
    except (TrainingError, ExportError) as error:
        _print_error(str(error))
        raise typer.Exit(FAILURE) from error
    except OSError as error:
        _print_error(f"{error}. Make room, or choose another folder.")
        raise typer.Exit(BAD_INPUT) from error
    except KeyboardInterrupt as error:
        console.say(f"{command} was interrupted{going_on}")
        raise typer.Exit(INTERRUPTED) from error


def read_block(path: Path | None) -> tuple[str, ...]:
    """The ids of a file of --block, each once; none without a file.

    Raises:
        InputError: It can't be read.
    """
    if path is None:
        return ()
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"Expected a text file with an item's id a line as --block. Received: {error}") from error
    return tuple(dict.fromkeys(id for line in lines if (id := line.strip())))


def start_tensorflow() -> None:
    """Imports TensorFlow, which takes seconds, without its start-up chatter about GPUs that are not there."""
    console.say("starting TensorFlow")
    sys.stderr.flush()
    # The chatter comes from C++, before any setting of TensorFlow's is read: only the file descriptor stops it.
    kept = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        import tensorflow as tf

        tf.config.list_physical_devices()
        tf.get_logger().setLevel("ERROR")
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def parse_settings(settings: list[str]) -> dict[str, Any]:
    """`["training.epochs=3", "backbone.name=minilm"]` -> `{"training.epochs": 3, "backbone.name": "minilm"}`.

    Raises:
        InputError: There is no `=`.
    """
    parsed = {}
    for setting in settings:
        key, separator, value = setting.partition("=")
        if not separator or not key:
            raise InputError(f"Expected --set KEY=VALUE, as in --set training.epochs=3. Received: {setting!r}")
        parsed[key.strip()] = parse_value(value)
    return parsed


def parse_value(value: str) -> Any:
    """A value in TOML's notation (3, 0.1, true, [64, 32]); whatever is none is a string."""
    try:
        return tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return value


def parse_filter(entry: str) -> tuple[str, str, str]:
    """`"price<=100"` -> `("price", "<=", "100")`.

    Raises:
        InputError: It is no filter.
    """
    found = re.fullmatch(r"(\w+)(>=|<=|=)(.*)", entry)
    if found is None:
        raise InputError(f"Expected --filter COLUMN=VALUE, COLUMN>=N or COLUMN<=N. Received: {entry!r}")
    column, relation, value = found.groups()
    return column.lower(), relation, value


def filter_inputs(filters: list[tuple[str, str, str]], inputs: set[str]) -> dict[str, list[Any]]:
    """What `Client.recommend` takes as filters; a number that must be equal is between itself and itself."""
    given: dict[str, list[Any]] = {}
    for column, relation, value in filters:
        if f"filter_{column}_min" not in inputs:
            if relation != "=" and f"filter_{column}" in inputs:
                raise InputError(f"Expected --filter {column}=VALUE, a category. Received: {column}{relation}{value}")
            given.setdefault(column, [[]])[0].append(value)
            continue
        limit = number_or_date(f"--filter {column}{relation}N", value)
        # Several limits of a number all hold.
        if relation != "<=":
            given[f"{column}_min"] = [max(limit, *given.get(f"{column}_min", [limit]))]
        if relation != ">=":
            given[f"{column}_max"] = [min(limit, *given.get(f"{column}_max", [limit]))]
    return given


def number_or_date(what: str, value: str) -> float:
    """A number, or a date as the model knows it."""
    from tfrec.serving.rows import days

    try:
        number = float(value)
    except ValueError:
        try:
            number = days(datetime.fromisoformat(value))
        except ValueError:
            number = math.nan
    if math.isnan(number):
        raise InputError(f"Expected a number in {what}, or a date as in 2024-05-01. Received: {value!r}")
    return number


def _print_error(message: str) -> None:
    console.CONSOLE.print("error:", style="bold red", end=" ")
    console.say(message)
