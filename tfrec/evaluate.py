"""`python -m tfrec.evaluate`: a run's test metrics, beside those of what it must beat."""

import sys
import time
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
    from tfrec.models.ranking_model import RankingModel
    from tfrec.models.retrieval_model import RetrievalModel
    from tfrec.pages.findings import Curve, Findings, Table
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

    The tables go to stdout, the same figures and those of every cohort to metrics.json in the run's folder, all of it
    with charts and examples to report.html, a page for a browser, and to TensorBoard's folder. It warns if a baseline
    wins. A run that trained its text backbone needs it again: it is looked for in --data-root.
    """
    started = time.perf_counter()
    with messages_for_errors("evaluate"):
        from tfrec.training.commands import note_command, this_command
        from tfrec.training.run import Run, write_json
        from tfrec.training.weights_and_biases import require_wandb

        opened = Run.open(run)
        if opened.config.training.wandb_project is not None:
            require_wandb()
        start_tensorflow()

        from tfrec.evaluation import SAMPLED_WARNING, format_beyond, format_cohorts, format_table
        from tfrec.pages.run_page import write_run_page

        if opened.config.ranks:
            if rank_candidates != RANK_CANDIDATES:
                console.say("note: the model predicts the click of given candidates; --rank-candidates changes nothing")
            if cohorts:
                console.say("note: the model predicts the click of given candidates; --cohorts changes nothing")
            reports, findings = _test_clicks(opened)
        else:
            reports, findings = _test_lists(opened, data_root, rank_candidates)
        write_json(opened.metrics, [report.to_dict() for report in reports])
        findings.save(opened.findings)
        by_name = {report.name: report for report in reports}
        for table in findings.tables:
            shown = [by_name[name] for name in (*table.models, *table.baselines)]
            Console().print(format_table(shown))
            if shown[0].beyond:
                Console().print(format_beyond(shown))
            if cohorts and shown[0].cohorts:
                Console().print(format_cohorts(shown, opened.config.evaluation.monitor))
            _tell(table, by_name, opened)
        if opened.config.evaluation.num_negatives is not None:
            console.say(SAMPLED_WARNING)
        note_command(opened, this_command("evaluate", sys.argv[1:], time.perf_counter() - started))
        write_run_page(opened)
        console.say(f"written to {opened.metrics}    to look at: {opened.page}    next: python -m tfrec.export {run}")
        _tell_trackers(opened, findings, by_name)


def _test_lists(run: "Run", data_root: Path, rank_candidates: int) -> "tuple[list[Report], Findings]":
    """Of a model that recommends, and of the baselines."""
    from tfrec.baselines import ContentSimilarity, Popularity, Random
    from tfrec.datasets.leakage import check_split
    from tfrec.evaluation import evaluate as measure
    from tfrec.features.prepared import Prepared
    from tfrec.features.vocabulary import NUM_SPECIAL
    from tfrec.models.ranking_recommender import RankingRecommender
    from tfrec.models.retrieval_model import RetrievalRecommender
    from tfrec.pages.data_description import describe_split
    from tfrec.pages.examples import list_examples
    from tfrec.pages.findings import Findings, Table, hash_of
    from tfrec.training.tensorboard import write_projector
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
    write_projector(run, retrieval.item_vectors.numpy(), prepared)
    test, cutoff = split.test, settings.cutoffs[0]
    cases = hash_of(prepared.users.ids[test.users], prepared.items.ids[test.targets.values], test.histories.values)
    return reports, Findings(
        tables=(Table.of("", reports, len(models), settings, cases),),
        curve=_curve(run, model),
        data=describe_split(split, num_items),
        list_examples=list_examples(retrieval, prepared, reports[0].per_case[f"hit_rate@{cutoff}"], cutoff),
    )


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


def _test_clicks(run: "Run") -> "tuple[list[Report], Findings]":
    """For each task of a model that predicts the click: of it, calibrated and not, and of the baselines."""
    import numpy as np

    from tfrec.baselines import click_baselines, value_baselines
    from tfrec.datasets.splits import TEST
    from tfrec.evaluation import evaluate_clicks, evaluate_values, histogram_edges, reliability
    from tfrec.evaluation.click_metrics import sigmoid
    from tfrec.features.prepared_impressions import PreparedImpressions
    from tfrec.pages.data_description import describe_impressions
    from tfrec.pages.examples import click_examples
    from tfrec.pages.findings import Findings, Table, hash_of
    from tfrec.training.trainer import load_calibrations, load_ranker

    prepared = PreparedImpressions.load(run.prepared)
    model = load_ranker(run, prepared)
    rows = model.rows(prepared, TEST)
    numbers = rows.numbers.numpy()
    users = prepared.impressions.users[numbers]
    all_logits = model.predict_logits(rows).reshape(len(numbers), -1)
    calibrations = load_calibrations(run, model, prepared)
    settings, labels_are_known = run.config.evaluation, run.config.features.history_labels
    shown = prepared.impressions
    cases = hash_of(prepared.users.ids[users], prepared.items.ids[shown.items[numbers]], shown.labels[numbers])

    def findings(tables: "list[Table]", predictions: np.ndarray) -> Findings:
        return Findings(
            tables=tuple(tables),
            curve=_curve(run, model),
            data=describe_impressions(shown, len(prepared.users.ids), len(prepared.titles)),
            click_examples=click_examples(shown, prepared.titles, predictions),
        )

    if model.predicts_values:
        worth = {model.name: np.exp(all_logits[:, 0].astype(np.float64))}
        worth |= value_baselines(prepared, labels_are_known, run.config.training.seed)
        happened = shown.labels[numbers], shown.values[numbers]
        reports = [evaluate_values(name, *happened, each, users, settings) for name, each in worth.items()]
        predicted = worth[model.name]
        diagram = reliability(model.name, happened[1], predicted, users, settings)
        return reports, findings([Table.of("", reports, 1, settings, cases, (diagram,))], predicted)
    every: list[Report] = []
    tables = []
    first: np.ndarray | None = None
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
        every += reports
        own = {f"{prefix}{name}": sigmoid(predictions[name]) for name in list(predictions)[:num_models]}
        edges = histogram_edges(*own.values())
        shown_task = task if len(model.tasks(prepared)) > 1 else ""
        diagrams = [reliability(name, labels[numbers], each, users, settings, edges) for name, each in own.items()]
        tables.append(Table.of(shown_task, reports, num_models, settings, cases, diagrams))
        first = next(iter(own.values())) if first is None else first
    assert first is not None  # The label is a task.
    return every, findings(tables, first)


def _curve(run: "Run", model: "RetrievalModel | RankingModel") -> "Curve":
    from math import prod

    from tfrec.models.gbdt import GBDT
    from tfrec.pages.findings import Curve
    from tfrec.training.checkpoint import read_state

    state = read_state(run.latest)
    # Trees have none.
    num_weights = None if isinstance(model, GBDT) else sum(prod(each.shape) for each in model.trainable_variables)
    return Curve(tuple(state["history"]), state["best_epoch"], tuple(state.get("seconds", ())), num_weights)


def _tell(table: "Table", reports: "dict[str, Report]", run: "Run") -> None:
    """Says what a head changes, and warns of baselines that are better than the model."""
    from tfrec.evaluation import compare

    settings = run.config.evaluation
    if not run.config.ranks:
        for name in table.models[1:]:
            comparison = compare(reports[name], reports[table.models[0]], settings.monitor, settings)
            console.say(f"{comparison}; --rank-candidates of tfrec.export chooses")
    p_values = [(each.baseline, each.p_value) for each in table.comparisons if each.p_value is not None]
    if p_values:
        told = ", ".join(f"{name} {p_value:.4f}" for name, p_value in p_values)
        console.say(f"p-values of the differences in {settings.monitor} (sign flips, Holm's correction): {told}")
    for comparison in table.comparisons:
        if comparison.baseline_wins:
            console.say(f"warning: {comparison}. Train longer, or look at the data, before you use this model.")


def _tell_trackers(run: "Run", findings: "Findings", reports: "dict[str, Report]") -> None:
    """The test metrics to TensorBoard, and to Weights & Biases if it is asked for."""
    from tfrec.training.tensorboard import write_test
    from tfrec.training.weights_and_biases import tell_results, wandb_run

    metrics: dict[str, float] = {}
    for table in findings.tables:
        report = reports[table.models[0]]
        prefix = "" if table is findings.tables[0] else f"{table.task}_"
        for estimates in (report.metrics, report.beyond):
            metrics |= {f"{prefix}{name}": each.mean for name, each in estimates.items()}
    write_test(run, metrics, findings.curve.best_epoch)
    with wandb_run(run) as tracker:
        if tracker is not None:
            tell_results(tracker, metrics, run.page)


if __name__ == "__main__":
    app()
