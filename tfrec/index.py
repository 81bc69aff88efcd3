"""`python -m tfrec.index`: another catalogue for a model that is trained, as its next version."""

import json
from pathlib import Path
from typing import Annotated

import typer

from tfrec import console
from tfrec.cli import Block, DataRoot, messages_for_errors, new_app, read_block, start_tensorflow
from tfrec.config import ExportConfig
from tfrec.errors import InputError

app = new_app()

EXAMPLES = """
[bold]Examples[/bold]

  python -m tfrec.index runs/shop --items items.csv

  python -m tfrec.index runs/shop --items today.parquet --output saved_models/shop

  python -m tfrec.index runs/shop --items items.csv --block recalled.txt
"""


@app.command(epilog=EXAMPLES)
def index(
    run: Annotated[Path, typer.Argument(help="The folder of a trained run.", show_default=False)],
    items: Annotated[Path, typer.Option(help="The catalogue as it is now, in the form of the run's items table.")],
    output: Annotated[
        Path | None,
        typer.Option(help="The model's folder; saved_models/NAME OF THE RUN if not given.", show_default=False),
    ] = None,
    data_root: DataRoot = Path("data"),
    block: Block = None,
    version: Annotated[
        int | None,
        typer.Option(help="The version's number; one more than the highest if not given.", min=1, show_default=False),
    ] = None,
) -> None:
    """Writes a version with another catalogue, without training.

    Items that are new are encoded by the run's item tower: by their text and attributes, since they have no
    interactions yet. Changed ones are encoded anew. Items that the table lacks are no longer recommended, and histories
    with them are read as before. In all else the version is as the newest one in the model's folder; what is blocked
    there, too, unless --block names what is from now on.
    """
    with messages_for_errors("index"):
        from tfrec.training.run import Run

        opened = Run.open(run)
        if opened.config.ranks:
            raise InputError(
                f"Expected a run that retrieves. Received: {opened.config.model.name}, which ranks what it is given. "
                "Train it anew to make it know new items."
            )
        if not items.is_file():
            raise InputError(f"Expected a table of items at {items}. Received: no such file.")
        start_tensorflow()

        from tfrec.artifacts.export import export
        from tfrec.artifacts.version import CARD, newest_version

        base_path = output or Path("saved_models") / run.resolve().name
        newest = newest_version(base_path)
        card = json.loads((newest / CARD).read_text(encoding="utf-8")) if newest and (newest / CARD).is_file() else {}
        config = ExportConfig(**{key: card[key] for key in ExportConfig.model_fields if key in card})
        if block is not None:
            config = config.model_copy(update={"blocked": read_block(block)})
        folder = export(opened, data_root, base_path, config, version, items)
        console.say(f"written to {folder}")
        typer.echo(folder)


if __name__ == "__main__":
    app()
