"""`python -m tfrec.recommend`: asks a served model over gRPC, and prints titles."""

import csv
import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tfrec import console
from tfrec.cli import filter_inputs, messages_for_errors, new_app, number_or_date, parse_filter, start_tensorflow
from tfrec.errors import InputError

app = new_app()

EXAMPLES = """
[bold]Examples[/bold]

  python -m tfrec.recommend --model movies --history "Star Wars (1977)" --history 172 --count 5

  python -m tfrec.recommend --model shop --history sku-204 --event view --time 2024-05-01T12:30:00Z
  --history sku-088 --event purchase --time 2024-05-01T12:31:10Z

  python -m tfrec.recommend --model movies --history 172 --candidate 50 --candidate "Toy Story (1995)"

  python -m tfrec.recommend --model clicks --history 172 --label 1 --history 50 --label 0 --candidate 181
  --attribute user_id=7 --attribute gender=F

  python -m tfrec.recommend --model shop --history sku-204 --filter category=shoes --filter category=boots
  --filter "price<=100" --filter "available_until>=2024-05-01"

  python -m tfrec.recommend --model movies --similar "Toy Story (1995)"

  python -m tfrec.recommend --model movies --search "a war in space" --server 10.0.0.5:8500 --titles titles.tsv

Ask either server: python -m tfrec.serve, or TensorFlow Serving.
"""


@app.command(epilog=EXAMPLES)
def recommend(
    model: Annotated[str, typer.Option(help="The name under which the model is served.", show_default=False)],
    history: Annotated[
        list[str] | None,
        typer.Option(
            help="What the user did, oldest first: an item's id or title. Once for each item.", show_default=False
        ),
    ] = None,
    event: Annotated[
        list[str] | None,
        typer.Option(
            help='What was done with it, for a model that reads events: once for each --history, "" if unknown.',
            show_default=False,
        ),
    ] = None,
    time: Annotated[
        list[str] | None,
        typer.Option(
            help="When, for a model that reads times: seconds since 1970 or ISO 8601 (UTC unless it names a zone), "
            'once for each --history, "" if unknown.',
            show_default=False,
        ),
    ] = None,
    label: Annotated[
        list[float] | None,
        typer.Option(
            help="Whether it was liked, 1 or 0, for a model that reads labels: once for each --history.",
            show_default=False,
        ),
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(help="An item that is not to be recommended.", show_default=False)
    ] = None,
    filter: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=VALUE",
            help="What the items must be, of a model that was exported with filters: of this category, or with "
            "COLUMN>=N and COLUMN<=N between these numbers or dates. Several categories of a column are alternatives.",
            show_default=False,
        ),
    ] = None,
    attribute: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="What is known of the user or of the moment, as in country=NO or user_id=7.",
            show_default=False,
        ),
    ] = None,
    candidate: Annotated[
        list[str] | None,
        typer.Option(
            help="An item to rank by how probably it is clicked or comes next, instead: of a model that predicts the "
            "click, or has a head. Once for each item.",
            show_default=False,
        ),
    ] = None,
    outcome: Annotated[
        str | None,
        typer.Option(help="Rank --candidate by this outcome, of a model with several tasks.", show_default=False),
    ] = None,
    similar: Annotated[str | None, typer.Option(help="Items like this one, instead.", show_default=False)] = None,
    search: Annotated[str | None, typer.Option(help="Items that fit this text, instead.", show_default=False)] = None,
    count: Annotated[int, typer.Option(help="How many items; of --candidate all.", min=1)] = 10,
    server: Annotated[str, typer.Option(help="HOST:PORT of the gRPC port.")] = "127.0.0.1:8500",
    certificate: Annotated[
        Path | None,
        typer.Option(
            help="Encrypt: a PEM file with the server's certificate, or that of the authority which signed it.",
            show_default=False,
        ),
    ] = None,
    titles: Annotated[
        Path | None,
        typer.Option(
            help="titles.tsv of the version; looked for in saved_models/MODEL if not given.", show_default=False
        ),
    ] = None,
    wait: Annotated[float, typer.Option(help="Seconds to wait for the server to have the model.", min=0)] = 0.0,
    timeout: Annotated[float, typer.Option(help="Seconds that a request may take.", min=0)] = 10.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array instead of a table.")] = False,
) -> None:
    """Recommends what comes next for a history; without one, what is popular."""
    with messages_for_errors("recommend"):
        if sum(each is not None for each in (history, similar, search)) > 1:
            raise InputError("Expected one of --history, --similar and --search. Received: more than one.")
        if filter and (candidate is not None or similar is not None or search is not None):
            raise InputError(
                "Expected --filter where items are recommended. Received: beside --candidate, --similar or --search."
            )
        if candidate is not None and (exclude is not None or similar is not None or search is not None):
            raise InputError("Expected --candidate beside --history and --attribute alone. Received: another one too.")
        for flag, values in (("event", event), ("time", time), ("label", label)):
            if values and len(values) != len(history or []):
                raise InputError(
                    f"Expected --{flag} once for each --history, that is {len(history or [])} times. "
                    f"Received: {len(values)} times."
                    + ("" if flag == "label" else f' Write --{flag} "" where it is unknown.')
                )
        if outcome is not None and candidate is None:
            raise InputError("Expected --outcome beside --candidate. Received: none.")
        if label and candidate is None:
            raise InputError(
                "Expected --label beside --candidate, for a model that predicts the click. Received: none."
            )
        timestamps = [_seconds(each) for each in time or []]
        names = _read_titles(titles, model)
        history_ids = [_item_id(item, names) for item in history or []]
        excluded_ids = [_item_id(item, names) for item in exclude or []]
        candidate_ids = [_item_id(item, names, "ranks it as an unknown one") for item in candidate or []]
        attributes = dict(map(_attribute, attribute or []))
        filters = list(map(parse_filter, filter or []))
        trusted = None if certificate is None else _read_certificate(certificate)
        start_tensorflow()

        import grpc

        from tfrec.serving.client import Client, ServingError

        credentials = None if trusted is None else grpc.ssl_channel_credentials(trusted)
        try:
            with Client(server, model, timeout, credentials=credentials) as client:
                if wait:
                    client.wait_until_available(wait)
                if similar is not None:
                    [found] = client.similar_items([_item_id(similar, names)])
                elif search is not None:
                    [found] = client.search([search])
                else:
                    inputs = client.metadata()["serving_default"].inputs
                    numeric = {name for name, spec in inputs.items() if spec.dtype.is_floating}
                    known = {
                        name: [number_or_date(f"--attribute {name}=N", value) if name in numeric else value]
                        for name, value in attributes.items()
                    }
                    for flag, name, values in (
                        ("event", "history_events", event),
                        ("time", "history_timestamps", time),
                        ("label", "history_labels", label),
                    ):
                        if history_ids and name in inputs and not values:
                            raise InputError(
                                f"Expected --{flag} for each --history: the model reads {name}. Received: none. "
                                + ("" if flag == "label" else f'Write --{flag} "" where it is unknown.')
                            )
                    events, seconds = [event] if event else None, [timestamps] if time else None
                    if candidate is not None:
                        labels = [label] if label else None
                        beside = (known, events, seconds, labels, outcome)
                        [found] = client.rank([history_ids], [candidate_ids], None, *beside)
                    else:
                        wanted = filter_inputs(filters, set(inputs))
                        [found] = client.recommend(
                            [history_ids], [excluded_ids], None, None, known, events, seconds, wanted
                        )
        except (ServingError, ValueError) as error:
            raise InputError(str(error)) from error
        if candidate is None:
            found = found[:count]
        if as_json:
            typer.echo(json.dumps([{"item_id": id, "title": names.get(id), "score": score} for id, score in found]))
            return
        heading = f"like {similar}" if similar else f"found for “{search}”" if search else "recommended"
        heading = "candidates, best first" if candidate else heading
        if history:
            heading += " after " + ", ".join(names.get(id, id) for id in history_ids)
        table = Table("", "item", "title", "score", title=Text(heading))
        for place, (id, score) in enumerate(found, 1):
            table.add_row(str(place), Text(id), Text(names.get(id, "")), f"{score:.4f}")
        Console().print(table)
        if not found:
            console.say("nothing was found: the server knows no such item, or everything is excluded or filtered out")


def _read_titles(path: Path | None, model: str) -> dict[str, str]:
    if path is None:
        found = Path("saved_models", model).glob("*/assets.extra/titles.tsv")
        versions = {int(each.parts[-3]): each for each in found if each.parts[-3].isdigit()}
        path = versions[max(versions)] if versions else None
        if path is None:
            return {}
    csv.field_size_limit(1 << 30)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return {row["item_id"]: row["title"] for row in csv.DictReader(file, delimiter="\t")}
    except (OSError, KeyError, UnicodeDecodeError) as error:
        raise InputError(f"Expected the titles.tsv of an exported version. Received: {path} ({error})") from error


def _read_certificate(path: Path) -> bytes:
    try:
        text = path.read_bytes()
    except OSError as error:
        raise InputError(f"Expected a certificate in PEM format as --certificate. Received: {error}") from error
    if b"-----BEGIN CERTIFICATE-----" not in text:
        raise InputError(f"Expected a certificate in PEM format as --certificate. Received: {path}, which has none.")
    return text


def _seconds(time: str) -> int:
    """Seconds since 1970; 0, which is unknown, for nothing."""
    if not time:
        return 0
    try:
        return int(time)
    except ValueError:
        pass
    try:
        parsed = datetime.fromisoformat(time)
    except ValueError as error:
        raise InputError(
            f"Expected --time in seconds since 1970 or as in 2024-05-01T12:30:00Z. Received: {time!r}"
        ) from error
    return math.floor((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp())


def _attribute(entry: str) -> tuple[str, str]:
    name, separator, value = entry.partition("=")
    if not separator:
        raise InputError(f"Expected --attribute NAME=VALUE, as in --attribute country=NO. Received: {entry!r}")
    return name, value


def _item_id(item: str, names: dict[str, str], consequence: str = "ignores it") -> str:
    """An id stays what it is; a title becomes its id; anything else is sent as it is, as an unknown item."""
    if item in names:
        return item
    wanted = item.casefold()
    ids = [id for id, title in names.items() if title.casefold() == wanted]
    if not ids and names:
        near = [title for title in names.values() if wanted in title.casefold()][:5]
        hint = f" Titles like it: {', '.join(near)}." if near else ""
        console.say(f"warning: no item has the id or title {item!r}; the model {consequence}.{hint}")
    return ids[0] if ids else item


if __name__ == "__main__":
    app()
