"""`python -m tfrec.report`: the page of an evaluated run, or one that compares several, of what their folders hold."""

from pathlib import Path
from typing import Annotated

import typer

from tfrec import console
from tfrec.cli import messages_for_errors, new_app

app = new_app()

EXAMPLES = """
[bold]Examples[/bold]

  python -m tfrec.report runs/movielens-100k/two_tower runs/movielens-100k/jd_tower

  python -m tfrec.report runs/ads/deepfm runs/ads/din runs/ads/gbdt --output rankers.html

  python -m tfrec.report runs/movielens-100k/two_tower
"""


@app.command(epilog=EXAMPLES)
def report(
    runs: Annotated[list[Path], typer.Argument(help="Folders of evaluated runs.", show_default=False)],
    output: Annotated[
        Path | None,
        typer.Option(help="The page; report.html in the run's folder, of several comparison.html.", show_default=False),
    ] = None,
) -> None:
    """Writes a page for a browser: of one run, or one that compares several.

    It reads what tfrec.evaluate left in the folders and computes nothing anew, so it takes a second. Runs that were
    tested on the same cases are compared case by case. Baselines of every kind stand beside a run with tfrec.compare.
    """
    with messages_for_errors("report"):
        from tfrec.pages.comparison_page import compare_runs
        from tfrec.pages.run_page import run_page
        from tfrec.training.run import Run, write_text

        if len(runs) == 1:
            run = Run.open(runs[0])
            path, page = output or run.page, run_page(run)
        else:
            path = output or Path("comparison.html")
            page = compare_runs(runs, path)
        write_text(path, page)
        console.say(f"written to {path}")


if __name__ == "__main__":
    app()
