"""`python -m tfrec.export`: a run's best epoch, or a baseline, as a version for TensorFlow Serving."""

from pathlib import Path
from typing import Annotated

import typer

from tfrec import console
from tfrec.cli import Block, DataRoot, messages_for_errors, new_app, read_block, start_tensorflow
from tfrec.config import BASELINE_NAMES, HYBRID_NAMES, INDEX_RECALL, NOT_SERVED, ExportConfig, IndexKind
from tfrec.errors import InputError

app = new_app()

EXAMPLES = """
[bold]Examples[/bold]

  python -m tfrec.export runs/movielens-100k/two_tower --output saved_models/movies

  python -m tfrec.train movielens-1m/jd_tower --set model.head=mlp --run runs/films
  python -m tfrec.export runs/films --top-k 20 --rank-candidates 100

  python -m tfrec.compare movielens-100k/two_tower --baseline ease
  python -m tfrec.export runs/compare/movielens-100k/two_tower --baseline ease --output saved_models/movies

  python -m tfrec.export runs/shop --index lists --index-recall 0.98

  python -m tfrec.export runs/shop --top-k 20 --filter category --filter price --diversity 0.3 --cap brand=3

  python -m tfrec.serve --model_name movies --model_base_path saved_models/movies
"""


@app.command(epilog=EXAMPLES)
def export(
    run: Annotated[
        Path,
        typer.Argument(help="The folder of a trained run, or of tfrec.compare for --baseline.", show_default=False),
    ],
    output: Annotated[
        Path | None,
        typer.Option(help="The model's folder; saved_models/NAME OF THE RUN if not given.", show_default=False),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            help="A baseline that was compared, instead of a trained run: fitted to the tables as they are now, with "
            "the hyperparameters that were chosen.",
            show_default=False,
        ),
    ] = None,
    all_interactions: Annotated[
        bool,
        typer.Option(
            "--all-interactions",
            help="Fit --baseline to what was held out, too; nothing is left then to measure it by.",
        ),
    ] = False,
    data_root: DataRoot = Path("data"),
    top_k: Annotated[int, typer.Option(help="Items in an answer.", min=1)] = 100,
    rank_candidates: Annotated[
        int,
        typer.Option(
            help="Items that recommend retrieves for the model's head to rank, at least --top-k; 0: no ranking.", min=0
        ),
    ] = 0,
    index: Annotated[
        IndexKind,
        typer.Option(
            help="How items are found. exact: all are looked at. rounded: all, in 8 bits first; quicker, for "
            "Linux on x86. lists: the cells of items nearest to the query. auto: exact, from 200,000 items on lists."
        ),
    ] = "auto",
    index_recall: Annotated[
        float,
        typer.Option(
            help="The share of the exact answer that lists are to find; measured, and written into the model's card.",
            min=0.01,
            max=1,
        ),
    ] = INDEX_RECALL,
    filter: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN",
            help="A column of the items table by which requests may narrow the answer: a categorical one by values, a "
            "numeric one, or one of dates, by limits. Once for each.",
            show_default=False,
        ),
    ] = None,
    block: Block = None,
    diversity: Annotated[
        float,
        typer.Option(
            help="From 0, the best items, towards 1: what an item loses for being like one before it (MMR).",
            min=0,
            max=0.99,
        ),
    ] = 0.0,
    cap: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=N",
            help="At most N items of one category of this column in an answer. Once for each column.",
            show_default=False,
        ),
    ] = None,
    pool: Annotated[
        int,
        typer.Option(
            help="Items among which --diversity and --cap choose; 0: what is ranked, or else five times --top-k.", min=0
        ),
    ] = 0,
    version: Annotated[
        int | None,
        typer.Option(help="The version's number; one more than the highest if not given.", min=1, show_default=False),
    ] = None,
) -> None:
    """Writes one SavedModel, of a run's best epoch or of a baseline: strings in, item ids and scores out.

    Before it gets its number, its operations are audited, its answers compared with the live model's (in Python and
    through a v1 Session, the way TensorFlow Serving loads), and its warm-up requests replayed.
    """
    with messages_for_errors("export"):
        config = ExportConfig(
            top_k=top_k,
            rank_candidates=rank_candidates,
            filters=tuple(filter or ()),
            blocked=read_block(block),
            diversity=diversity,
            caps=dict(map(_cap, cap or [])),
            pool=pool,
            index=index,
            index_recall=index_recall,
        )
        from tfrec.training.run import Run, comparison_config

        base_path = output or Path("saved_models") / run.resolve().name
        if baseline is None:
            if all_interactions:
                raise InputError("Expected --all-interactions beside --baseline. Received: a trained run.")
            opened = Run.open(run)
            start_tensorflow()

            from tfrec.artifacts.export import export as write

            folder = write(opened, data_root, base_path, config, version)
        else:
            _check_baseline(baseline)
            comparison_config(run)
            start_tensorflow()

            from tfrec.artifacts.baseline_export import export_baseline

            folder = export_baseline(run, baseline, data_root, base_path, config, version, all_interactions)
        console.say(f"written to {folder}")
        console.say(f"next: python -m tfrec.serve --model_name {folder.parent.name} --model_base_path {folder.parent}")
        typer.echo(folder)


def _check_baseline(name: str) -> None:
    served = [each for each in (*BASELINE_NAMES, *HYBRID_NAMES) if each not in NOT_SERVED]
    if name not in served:
        why = f": {NOT_SERVED[name]}" if name in NOT_SERVED else ""
        raise InputError(f"Expected --baseline to be one of {', '.join(served)}. Received: {name}{why}.")


def _cap(entry: str) -> tuple[str, int]:
    column, _, limit = entry.rpartition("=")
    if not column or not limit.isdecimal() or not int(limit):
        raise InputError(f"Expected --cap COLUMN=N, as in --cap brand=3. Received: {entry!r}")
    return column, int(limit)


if __name__ == "__main__":
    app()
