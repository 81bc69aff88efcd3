"""`python -m tfrec.evaluate`: a run's test metrics, beside popularity, chance and similar texts."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tfrec import console
from tfrec.cli import DataRoot, messages_for_errors, new_app, start_tensorflow
from tfrec.config import RANK_CANDIDATES

app = new_app()

EXAMPLES = """
[bold]Examples[/bold]

  python -m tfrec.evaluate runs/movielens-100k/two_tower

  python -m tfrec.train movielens-1m/jd_tower --set model.head=mlp --run runs/films
  python -m tfrec.evaluate runs/films --rank-candidates 500
"""


@app.command(epilog=EXAMPLES)
def evaluate(
    run: Annotated[Path, typer.Argument(help="The folder of a trained run.", show_default=False)],
    data_root: DataRoot = Path("data"),
    rank_candidates: Annotated[
        int, typer.Option(help="Items that a model with a head retrieves and then ranks.", min=1)
    ] = RANK_CANDIDATES,
) -> None:
    """Ranks the whole catalogue for each test case, and sets the run beside popularity, chance and similar texts.

    A model with a head is there twice: by what it retrieves, and with the first of that ranked by the head.

    The table goes to stdout, the same figures to metrics.json in the run's folder. It warns if a baseline wins. A run
    that trained its text backbone needs it again: it is looked for in --data-root.
    """
    with messages_for_errors("evaluate"):
        from tfrec.training.run import Run, write_json

        opened = Run.open(run)
        start_tensorflow()

        from tfrec.baselines import ContentSimilarity, Popularity, Random
        from tfrec.evaluation import Recommender, compare, format_table
        from tfrec.evaluation import evaluate as measure
        from tfrec.features.prepared import Prepared
        from tfrec.features.vocabulary import NUM_SPECIAL
        from tfrec.models.ranking_recommender import RankingRecommender
        from tfrec.models.retrieval_model import RetrievalRecommender
        from tfrec.training.trainer import load_model

        prepared = Prepared.load(opened.prepared)
        split, num_items = prepared.split, len(prepared.counts)
        model = load_model(opened, prepared, data_root)
        retrieval = RetrievalRecommender(model)
        models: list[Recommender] = [retrieval]
        if model.head is not None:
            models.append(RankingRecommender(retrieval, rank_candidates, split.candidates))
        elif rank_candidates != RANK_CANDIDATES:
            console.say("note: the model has no head; --rank-candidates changes nothing")
        recommenders = [
            *models,
            Popularity(split.train, num_items),
            Random(split.train, num_items, seed=opened.config.training.seed),
        ]
        if "text" in prepared.items.arrays:
            recommenders.append(ContentSimilarity(prepared.items.arrays["text"][NUM_SPECIAL:]))
        settings = opened.config.evaluation
        reports = [measure(each, split.test, num_items, settings, split.candidates) for each in recommenders]
        write_json(opened.metrics, [report.to_dict() for report in reports])
        Console().print(format_table(reports))
        for ranked in reports[1 : len(models)]:
            comparison = compare(ranked, reports[0], settings.monitor, settings)
            console.say(f"{comparison}; --rank-candidates of tfrec.export chooses")
        for baseline in reports[len(models) :]:
            comparison = compare(reports[0], baseline, settings.monitor, settings)
            if comparison.baseline_wins:
                console.say(f"warning: {comparison}. Train longer, or look at the data, before you use this model.")
        console.say(f"written to {opened.metrics}    next: python -m tfrec.export {run}")


if __name__ == "__main__":
    app()
