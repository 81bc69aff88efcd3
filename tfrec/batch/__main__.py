"""`python -m tfrec.batch`: recommending for all users and encoding items, as Apache Beam pipelines."""

import string
from typing import Annotated, Any

import typer

from tfrec import console
from tfrec.cli import filter_inputs, messages_for_errors, new_app, parse_filter, start_tensorflow
from tfrec.errors import InputError

app = new_app()

RECOMMEND_EXAMPLES = """
[bold]Examples[/bold]

  python -m tfrec.batch recommend --model saved_models/movies --interactions "ratings-*.parquet"
  --column item_id=movie_id --output recommendations

  python -m tfrec.batch recommend --model saved_models/shop/3 --histories "histories-*.jsonl" --count 20
  --filter category=shoes --output today -- --direct_num_workers=4 --direct_running_mode=multi_processing

  python -m tfrec.batch recommend --model gs://models/shop/3 --interactions "gs://logs/orders-*.csv.gz"
  --output gs://answers/today -- --runner=DataflowRunner --project=PROJECT --sdk_container_image=IMAGE
"""

ENCODE_EXAMPLES = """
[bold]Examples[/bold]

  python -m tfrec.batch encode --model saved_models/movies --items "movies-*.csv" --output vectors

  python -m tfrec.batch encode --model saved_models/shop/3 --items items.parquet --column item_id=sku
  --template "{name}. {brand}" --output vectors -- --runner=FlinkRunner --flink_master=HOST:8081
"""

Model = Annotated[
    str,
    typer.Option(help="An exported version, or a model's folder, of which the newest is taken.", show_default=False),
]
OutputFolder = Annotated[str, typer.Option("--output", help="The folder for the shards.", show_default=False)]
Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--column", metavar="ROLE=COLUMN", help="Which column is what, where names differ.", show_default=False
    ),
]
BatchSize = Annotated[int, typer.Option(help="The most rows that the model is asked for at once.", min=1)]
Shards = Annotated[int, typer.Option(help="How many files to write; 0: as many as the runner likes.", min=0)]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Remove what an earlier run has written there.")]
BeamOptions = Annotated[
    list[str] | None,
    typer.Argument(metavar="-- BEAM OPTIONS", help="Beam's own: the runner, its workers.", show_default=False),
]


@app.callback()
def batch() -> None:
    """Batch work on an exported model, as Apache Beam pipelines: on this machine, or on Spark, Flink or Dataflow.

    It needs Beam, which has an environment of its own: see docs/batch.md.
    """


@app.command(epilog=RECOMMEND_EXAMPLES)
def recommend(
    model: Model,
    output: OutputFolder,
    histories: Annotated[
        str | None,
        typer.Option(
            metavar="PATTERN",
            help="Files with a history a row, Parquet or JSON lines: user_id, history_item_ids (a list, oldest first), "
            "and whatever else the signature recommend takes.",
            show_default=False,
        ),
    ] = None,
    interactions: Annotated[
        str | None,
        typer.Option(
            metavar="PATTERN",
            help="Instead of these, files with an interaction a row, CSV, Parquet or JSON lines: user_id, item_id, "
            "timestamp, and event for a model that reads events.",
            show_default=False,
        ),
    ] = None,
    column: Columns = None,
    count: Annotated[
        int | None, typer.Option(help="Items a user; all that the model gives if not given.", min=1, show_default=False)
    ] = None,
    filter: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=VALUE",
            help="What the items must be, as in tfrec.recommend; for users whose row does not say so itself.",
            show_default=False,
        ),
    ] = None,
    batch_size: BatchSize = 128,
    shards: Shards = 0,
    overwrite: Overwrite = False,
    beam_options: BeamOptions = None,
) -> None:
    """Recommends for every user: Parquet files of user_id, item_ids, scores, model and model_version."""
    with messages_for_errors("batch"):
        if (histories is None) == (interactions is None):
            raise InputError("Expected either --histories or --interactions. Received: both, or none.")
        if histories is not None and column:
            raise InputError("Expected --column beside --interactions: histories have the signature's names.")
        _start()

        from tfrec.batch.model import ModelVersion
        from tfrec.batch.recommend import Recommend, add_recommend
        from tfrec.batch.run import Output, run
        from tfrec.batch.tables import ReadTable

        pattern = histories or interactions or ""
        version = ModelVersion.find(model)
        signature = version.signature("recommend")
        most = signature.outputs["item_ids"].shape
        if count is not None and most is not None and most[1] is not None and count > most[1]:
            raise InputError(f"Expected --count of at most {most[1]}, which this model gives. Received: {count}.")
        filters = {
            name: values[0]
            for name, values in filter_inputs(list(map(parse_filter, filter or [])), set(signature.inputs)).items()
        }
        if strangers := sorted(name for name in filters if f"filter_{name}" not in signature.inputs):
            raise InputError(f"Expected --filter by what the model was exported with. Received: {strangers}.")
        table = ReadTable(pattern)
        columns = None
        if interactions is not None:
            reads_events = "history_events" in signature.inputs
            columns = _columns(column or [], ["user_id", "item_id", "timestamp", *(["event"] if reads_events else [])])
            table.require(columns.values(), "--column ROLE=COLUMN")
        else:
            table.require(["user_id", "history_item_ids"], "a column of this name")
        written = Output(output, "recommendations", shards)
        written.clear(overwrite)
        ask = Recommend(version, signature, count, filters)
        summary = run(
            lambda pipeline: add_recommend(pipeline, table, columns, ask, written, batch_size),
            written,
            version,
            beam_options or [],
        )
        _tell(summary, output)


@app.command(epilog=ENCODE_EXAMPLES)
def encode(
    model: Model,
    output: OutputFolder,
    items: Annotated[
        str,
        typer.Option(
            metavar="PATTERN", help="Files with an item a row, CSV, Parquet or JSON lines.", show_default=False
        ),
    ],
    column: Columns = None,
    text: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help='A text column, joined to the next by ". ".', show_default=False),
    ] = None,
    template: Annotated[
        str | None,
        typer.Option(
            help='How an item is put into words, as "{title}. {genres}"; as the model was trained to, if neither this '
            "nor --text is given.",
            show_default=False,
        ),
    ] = None,
    batch_size: BatchSize = 128,
    shards: Shards = 0,
    overwrite: Overwrite = False,
    beam_options: BeamOptions = None,
) -> None:
    """Encodes items by what they say, as if new: Parquet files of item_id, vector, model and model_version."""
    with messages_for_errors("batch"):
        if text and template:
            raise InputError("Expected either --text or --template. Received: both.")
        _start()

        from tfrec.batch.encode import Encode, Texts, add_encode
        from tfrec.batch.model import ModelVersion
        from tfrec.batch.run import Output, run
        from tfrec.batch.tables import ReadTable

        version = ModelVersion.find(model)
        version.signature("embed_item")
        if not text:
            template = template or version.text_template()
            if template is None:
                raise InputError(
                    "Expected --text COLUMN, once for each text column in the order of the training, or --template: "
                    "the model's card names no template. Received: neither."
                )
        [item_id] = _columns(column or [], ["item_id"]).values()
        read = [name for _, name, _, _ in string.Formatter().parse(template) if name] if template else text or []
        table = ReadTable(items)
        table.require([item_id, *read], "--column item_id=COLUMN, --text or --template")
        written = Output(output, "vectors", shards)
        written.clear(overwrite)
        texts, ask = Texts(item_id, text or (), template, read), Encode(version)
        summary = run(
            lambda pipeline: add_encode(pipeline, table, texts, ask, written, batch_size),
            written,
            version,
            beam_options or [],
        )
        _tell(summary, output)


def _start() -> None:
    try:
        import apache_beam  # noqa: F401
    except ImportError as error:
        raise InputError(
            "Expected Apache Beam, which needs an environment of its own: pip install --constraint "
            f"constraints-beam.txt '.[beam]', see docs/batch.md. Received: {error}."
        ) from error
    start_tensorflow()


def _columns(entries: list[str], roles: list[str]) -> dict[str, str]:
    """Role -> column."""
    columns = {role: role for role in roles}
    for entry in entries:
        role, separator, name = entry.partition("=")
        if not separator or role not in columns:
            raise InputError(f"Expected --column ROLE=COLUMN with one of {roles} as ROLE. Received: {entry!r}")
        columns[role] = name
    return columns


def _tell(summary: dict[str, Any], output: str) -> None:
    if rejected := summary.get("rejected"):
        console.say(f"warning: {rejected:,} rows were rejected; {output}/rejected-* say why")
    for name, value in summary.items():
        console.say(f"{name}: {value:,}" if isinstance(value, int) and name != "model_version" else f"{name}: {value}")
    typer.echo(output)


if __name__ == "__main__":
    app()
