"""`python -m tfrec.evaluate`: a run's test metrics, beside those of what it must beat."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from tfrec import console
from tfrec.cli import DataRoot, messages_for_errors, new_app, start_tensorflow
from tfrec.config import RANK_CANDIDATES

if TYPE_CHECKING:
    from tfrec.evaluation import Background, Recommender, Report
    from tfrec.features.prepared import Prepared
    from tfrec.training.run import Run

app = new_app()

EXAMPLES = """
[bold]Examples[/bold]

  python -m tfrec.evaluate runs/movielens-100k/two_tower

  python -m tfrec.train movielens-1m/jd_tower --set model.head=mlp --run runs/films
  python -m tfrec.evaluate runs/films --rank-candidates 500

  python -m tfrec.evaluate runs/movielens-100k/two_tower --cohorts

  python -m tfrec.train movielens-1m/din
  python -m tfrec.evaluate runs/movielens-1m/din
"""


@app.command(epilog=EXAMPLES)
def evaluate(
    run: Annotated[Path, typer.Argument(help="The folder of a trained run.", show_default=False)],
    data_root: DataRoot = Path("data"),
    rank_candidates: Annotated[
        int, typer.Option(help="Items that a model with a head retrieves and then ranks.", min=1)
    ] = RANK_CANDIDATES,
    cohorts: Annotated[
        bool, typer.Option("--cohorts", help="Print the watched metric by length of history and popularity, too.")
    ] = False,
) -> None:
    """Tests a run, and sets it beside what it must beat.

    A model that recommends ranks the whole catalogue for each test case; beside it stand popularity, chance and similar
    texts. A model with a head is there twice: by what it retrieves, and with the first of that ranked by the head.

    A model that predicts the click is there as it was trained and calibrated; beside it stand a logistic regression,
    the rate of clicks and chance. One with several tasks has a table for each. One of what impressions are worth stands
    beside a Poisson regression, the mean and chance.

    The tables go to stdout, the same figures and those of every cohort to metrics.json in the run's folder. It warns if
    a baseline wins. A run that trained its text backbone needs it again: it is looked for in --data-root.
    """
    with messages_for_errors("evaluate"):
        from tfrec.training.run import Run, write_json

        opened = Run.open(run)
        start_tensorflow()

        from tfrec.evaluation import SAMPLED_WARNING, format_beyond, format_cohorts, format_table

        if opened.config.ranks:
            if rank_candidates != RANK_CANDIDATES:
                console.say("note: the model predicts the click of given candidates; --rank-candidates changes nothing")
            if cohorts:
                console.say("note: the model predicts the click of given candidates; --cohorts changes nothing")
            tables = _test_clicks(opened)
        else:
            tables = [_test_lists(opened, data_root, rank_candidates)]
        write_json(opened.metrics, [report.to_dict() for reports, _ in tables for report in reports])
        for reports, num_models in tables:
            Console().print(format_table(reports))
            if any(report.beyond for report in reports):
                Console().print(format_beyond(reports))
            if cohorts and reports[0].cohorts:
                Console().print(format_cohorts(reports, opened.config.evaluation.monitor))
            _compare(reports, num_models, opened)
        if opened.config.evaluation.num_negatives is not None:
            console.say(SAMPLED_WARNING)
        console.say(f"written to {opened.metrics}    next: python -m tfrec.export {run}")


def _test_lists(run: "Run", data_root: Path, rank_candidates: int) -> "tuple[list[Report], int]":
    """Of a model that recommends, and of the baselines; and how many are the model's."""
    from tfrec.baselines import ContentSimilarity, Popularity, Random
    from tfrec.datasets.leakage import check_split
    from tfrec.evaluation import evaluate as measure
    from tfrec.features.prepared import Prepared
    from tfrec.features.vocabulary import NUM_SPECIAL
    from tfrec.models.ranking_recommender import RankingRecommender
    from tfrec.models.retrieval_model import RetrievalRecommender
    from tfrec.training.trainer import load_model

    prepared = Prepared.load(run.prepared)
    split, num_items = prepared.split, len(prepared.counts)
    check_split(split, run.config.split.kind)
    model = load_model(run, prepared, data_root)
    retrieval = RetrievalRecommender(model)
    models: list[Recommender] = [retrieval]
    if model.head is not None:
        models.append(RankingRecommender(retrieval, rank_candidates, split.candidates))
    elif rank_candidates != RANK_CANDIDATES:
        console.say("note: the model has no head; --rank-candidates changes nothing")
    recommenders = [
        *models,
        Popularity(split.train, num_items),
        Random(split.train, num_items, seed=run.config.training.seed),
    ]
    if "text" in prepared.items.arrays:
        recommenders.append(ContentSimilarity(prepared.items.arrays["text"][NUM_SPECIAL:]))
    settings = run.config.evaluation
    background = _background(prepared)
    reports = [
        measure(each, split.test, num_items, settings, split.candidates, background=background) for each in recommenders
    ]
    return reports, len(models)


def _background(prepared: "Prepared") -> "Background":
    """What training knew. Categories are those of the first column of which items have several, else of the first."""
    from tfrec.evaluation.background import Background, shares
    from tfrec.features.vocabulary import NUM_SPECIAL

    arrays = prepared.items.arrays
    columns = [column.name for column in prepared.items.columns if column.kind == "categorical"]
    columns.sort(key=lambda name: -arrays[name].ndim)
    return Background(
        counts=prepared.counts,
        trained=prepared.split.train.lengths,
        vectors=arrays["text"][NUM_SPECIAL:] if "text" in arrays else None,
        categories=shares(arrays[columns[0]][NUM_SPECIAL:], NUM_SPECIAL) if columns else None,
    )


def _test_clicks(run: "Run") -> "list[tuple[list[Report], int]]":
    """For each task of a model that predicts the click: of it, calibrated and not, and of the baselines; and how many
    are the model's."""
    import numpy as np

    from tfrec.baselines import click_baselines, value_baselines
    from tfrec.datasets.splits import TEST
    from tfrec.evaluation import evaluate_clicks, evaluate_values
    from tfrec.features.prepared_impressions import PreparedImpressions
    from tfrec.training.trainer import load_calibrations, load_ranker

    prepared = PreparedImpressions.load(run.prepared)
    model = load_ranker(run, prepared)
    rows = model.rows(prepared, TEST)
    numbers = rows.numbers.numpy()
    users = prepared.impressions.users[numbers]
    all_logits = model.predict_logits(rows).reshape(len(numbers), -1)
    calibrations = load_calibrations(run, model, prepared)
    settings, labels_are_known = run.config.evaluation, run.config.features.history_labels
    if model.predicts_values:
        worth = {model.name: np.exp(all_logits[:, 0].astype(np.float64))}
        worth |= value_baselines(prepared, labels_are_known, run.config.training.seed)
        happened = prepared.impressions.labels[numbers], prepared.impressions.values[numbers]
        return [([evaluate_values(name, *happened, each, users, settings) for name, each in worth.items()], 1)]
    tables = []
    for number, (task, labels) in enumerate(model.tasks(prepared).items()):
        logits = all_logits[:, number]
        predictions = {model.name: logits}
        if model.settings.calibration != "none":
            predictions = {f"{model.name}, calibrated": calibrations[task](logits), **predictions}
        num_models = len(predictions)
        predictions |= click_baselines(prepared, labels, labels_are_known, run.config.training.seed)
        prefix = f"{task}: " if number else ""
        reports = [
            evaluate_clicks(prefix + name, labels[numbers], each, users, settings) for name, each in predictions.items()
        ]
        tables.append((reports, num_models))
    return tables


def _compare(reports: "list[Report]", num_models: int, run: "Run") -> None:
    """Says what a head changes, and warns of baselines that are better than the model."""
    from tfrec.evaluation import compare, corrected

    settings = run.config.evaluation
    if not run.config.ranks:
        for ranked in reports[1:num_models]:
            comparison = compare(ranked, reports[0], settings.monitor, settings)
            console.say(f"{comparison}; --rank-candidates of tfrec.export chooses")
    comparisons = [compare(reports[0], baseline, settings.monitor, settings) for baseline in reports[num_models:]]
    if comparisons and all(each.p_value is not None for each in comparisons):
        told = ", ".join(f"{each.baseline} {each.p_value:.4f}" for each in corrected(comparisons))
        console.say(f"p-values of the differences in {settings.monitor} (sign flips, Holm's correction): {told}")
    for comparison in comparisons:
        if comparison.baseline_wins:
            console.say(f"warning: {comparison}. Train longer, or look at the data, before you use this model.")


if __name__ == "__main__":
    app()
