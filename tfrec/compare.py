"""`python -m tfrec.compare`: every baseline of the field, tuned, beside trained runs, in one table."""

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from tfrec import console
from tfrec.cli import DataRoot, messages_for_errors, new_app, parse_settings, start_tensorflow
from tfrec.config import BASELINE_NAMES, HYBRID_NAMES, NOT_SERVED, Config, recipe_names
from tfrec.errors import InputError

if TYPE_CHECKING:
    from tfrec.evaluation import Comparison
    from tfrec.leaderboard import Leaderboard, Material, Result, TrainedModel
    from tfrec.training.commands import Command
    from tfrec.training.run import Run

app = new_app()

NAMES = (*BASELINE_NAMES, *HYBRID_NAMES)

EXAMPLES = f"""
[bold]Examples[/bold]

  python -m tfrec.compare movielens-100k/two_tower

  python -m tfrec.compare movielens-100k/two_tower --run runs/movielens-100k/two_tower

  python -m tfrec.compare --run runs/shop --baseline popularity --baseline ease --baseline learned_blend

  python -m tfrec.compare shop.toml --baseline ease
  python -m tfrec.export runs/compare/shop --baseline ease

  python -m tfrec.compare movielens-1m/jd_tower --set split.kind=global_time --no-tune --output runs/compare/by-time

Baselines: {", ".join(NAMES)}.
What each is: docs/baselines.md. What was finished is kept: the same command goes on.
"""


@app.command(epilog=EXAMPLES)
def compare(
    recipe: Annotated[
        str | None,
        typer.Argument(help="A recipe's name, or a TOML file; not needed beside --run.", show_default=False),
    ] = None,
    run: Annotated[
        list[Path] | None,
        typer.Option(help="A trained run on the same data and split. Once for each.", show_default=False),
    ] = None,
    baseline: Annotated[
        list[str] | None, typer.Option(help="Only this baseline. Once for each.", show_default=False)
    ] = None,
    tune: Annotated[
        bool, typer.Option("--tune/--no-tune", help="Choose hyperparameters, or take the defaults.")
    ] = True,
    output: Annotated[
        Path | None,
        typer.Option(help="Folder of the results; runs/compare/RECIPE if not given.", show_default=False),
    ] = None,
    data_root: DataRoot = Path("data"),
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any setting of the configuration.")
    ] = None,
) -> None:
    """Fits what a model must beat to a recipe's data, chooses hyperparameters by the validation cases, and tests all.

    Popularity, neighbours, factorisations, linear models, texts, and hybrids of them; trained runs stand beside them,
    and take part in the learned blend. What a catalogue is too large for is left out, and the reason said.

    The table goes to stdout, best first, the same figures to metrics.json in the folder of the results, and with charts
    to report.html, a page for a browser.
    """
    started = time.perf_counter()
    with messages_for_errors("compare", "; the same command goes on from here"):
        from tfrec.training.commands import this_command
        from tfrec.training.run import COMPARISON, Run, write_json, write_text

        names = tuple(baseline or NAMES)
        if unknown := sorted(set(names) - set(NAMES)):
            raise InputError(f"Expected --baseline to be one of {', '.join(NAMES)}. Received: {', '.join(unknown)}.")
        runs = [Run.open(folder) for folder in run or []]
        if recipe is None and not runs:
            raise InputError(
                "Expected a recipe, a TOML file or --run FOLDER. Received: none of them. "
                "See python -m tfrec.compare --help."
            )
        overrides = parse_settings(settings or [])
        config = runs[0].config if recipe is None else Config.load(recipe, overrides)
        if recipe is None and overrides:
            raise InputError("Expected --set beside a recipe: a run has its settings. Received: --set beside --run.")
        for each in [config, *(opened.config for opened in runs)]:
            if each.ranks:
                raise InputError(
                    f"Expected a model that recommends. Received: {each.model.name!r}, which predicts the click; "
                    "tfrec.evaluate sets that beside its baselines."
                )
        name = runs[0].folder.name if recipe is None else recipe if recipe in recipe_names() else Path(recipe).stem
        folder = output or Path("runs") / "compare" / name
        start_tensorflow()

        from tfrec import leaderboard
        from tfrec.evaluation import SAMPLED_WARNING

        material = leaderboard.gather(config, data_root, names)
        decisive = {**_decisive(config), "data_contents": material.digest()}
        models = [leaderboard.TrainedModel(opened, data_root) for opened in runs]
        for model in models:
            material = replace(material, split=leaderboard.with_context_of(model, material.split))
        board = leaderboard.Leaderboard(
            folder,
            decisive,
            material.split,
            material.num_items,
            config.evaluation,
            is_tuned=tune,
            seed=config.training.seed,
        )
        write_json(folder / COMPARISON, config.model_dump(mode="json"))
        leaderboard.play(board, material, names, models)

        monitor = config.evaluation.monitor
        results = board.ordered([*names, *(model.name for model in models)])
        if not results:
            raise InputError("Expected a baseline that fits the data. Received: none. The notes say why.")
        write_json(folder / "metrics.json", [result.to_dict() for result in results])
        Console().print(leaderboard.format_leaderboard(results, monitor, int(monitor.partition("@")[2])))
        for verdict in leaderboard.verdicts(board, names, models):
            console.say(verdict)
        if config.evaluation.num_negatives is not None:
            console.say(SAMPLED_WARNING)
        command = this_command("compare", sys.argv[1:], time.perf_counter() - started)
        write_text(folder / "report.html", _page(board, results, models, runs, material, command))
        console.say(f"written to {folder / 'metrics.json'}    to look at: {folder / 'report.html'}")
        best = board.best([name for name in names if name not in NOT_SERVED])
        if best is not None and not models:
            where = f" --data-root {data_root}" if data_root != Path("data") else ""
            console.say(f"next: python -m tfrec.export {folder} --baseline {best}{where}")


def _page(
    board: "Leaderboard",
    results: "Sequence[Result]",
    models: "Sequence[TrainedModel]",
    runs: "Sequence[Run]",
    material: "Material",
    command: "Command",
) -> str:
    from tfrec.leaderboard import comparisons
    from tfrec.pages.comparison_page import Competitor, comparison_page, of_run
    from tfrec.pages.data_description import describe_split
    from tfrec.pages.words import verdict

    by_name = {model.name: run for model, run in zip(models, runs, strict=True)}
    competitors = [
        replace(
            of_run(by_name[name], result.report, board.folder)
            if (name := result.report.name) in by_name
            else Competitor(result.report, is_model=False, chosen=result.chosen, fit_seconds=result.fit_seconds),
            size=result.size,
        )
        for result in results
    ]
    found: Sequence[Comparison] = comparisons(results, models, board)
    decision = None
    if found:
        # What is made of the model says nothing against it.
        first = board.results[found[0].model]
        others = [each.report for each in results if first.report.name not in each.parameters.get("parts", ())]
        others = [report for report in others if report is not first.report]
        best_is = "the best baseline" if models else "the next best"
        decision = verdict(first.report, others, found, board.config.monitor, best_is)
    return comparison_page(
        f"Baselines on {material.dataset.name}" if material.dataset else "Baselines",
        competitors,
        board.config.monitor,
        "test cases",
        found,
        decision,
        data=describe_split(material.split, material.num_items),
        commands=[command],
    )


def _decisive(config: Config) -> dict[str, object]:
    """What the results depend on, beside the data."""
    everything = config.model_dump(mode="json")
    return {
        **{section: everything[section] for section in ("data", "split", "evaluation", "backbone")},
        "text_template": config.features.text_template,
        "seed": config.training.seed,
    }


if __name__ == "__main__":
    app()
