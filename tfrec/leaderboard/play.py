"""Who plays, and in what order: models, baselines, then the hybrids of the best of them."""

from collections.abc import Sequence

from tfrec import console
from tfrec.config import COLLABORATIVE_NAMES, CONTENT_NAMES, HYBRID_NAMES
from tfrec.evaluation import Comparison, Recommender, compare, corrected
from tfrec.leaderboard.entries import baseline_entries, hybrid_entries
from tfrec.leaderboard.leaderboard import Leaderboard
from tfrec.leaderboard.material import Material
from tfrec.leaderboard.result import Result
from tfrec.leaderboard.trained import TrainedModel


def play(board: Leaderboard, material: Material, names: Sequence[str], models: Sequence[TrainedModel]) -> None:
    """Adds to the board what is named and not there yet, and the models.

    Args:
        board: Takes the results.
        material: What baselines are fitted to.
        names: Of baselines and hybrids.
        models: Trained; the learned blend is made of them too.
    """
    for model in models:
        board.test(model.name, model, material.split.test, digest=model.digest)
    entries = {entry.name: entry for entry in baseline_entries(material)}
    fitted: dict[str, Recommender] = {}
    for name, entry in entries.items():
        if name not in names:
            continue
        if entry.unfit:
            console.say(f"note: {name} is left out: {entry.unfit}.")
            continue
        recommender = board.add(entry)
        # Only the best of each kind is needed again: all together might not fit the memory.
        for kind in (COLLABORATIVE_NAMES, CONTENT_NAMES):
            if recommender is not None and name in kind and board.best(kind) == name:
                fitted = {other: each for other, each in fitted.items() if other not in kind} | {name: recommender}

    def best(kind: Sequence[str]) -> tuple[str, Recommender] | None:
        name = board.best(kind)
        if name is None or entries[name].unfit:
            return None
        if name not in fitted:
            console.say(f"fitting {name} again, for the hybrids")
            fitted[name] = entries[name].build(**board.results[name].parameters)
        return name, fitted[name]

    if not set(names) & set(HYBRID_NAMES):
        return
    collaborative, content = best(COLLABORATIVE_NAMES), best(CONTENT_NAMES)
    if collaborative is None:
        console.say(f"note: hybrids are left out: they are made of the best of {', '.join(COLLABORATIVE_NAMES)}.")
        return
    for entry in hybrid_entries(material, collaborative, content, [(model.name, model) for model in models]):
        if entry.name in names:
            board.add(entry)


def comparisons(results: Sequence[Result], models: Sequence[TrainedModel], board: Leaderboard) -> list[Comparison]:
    """The first model, or the best where there is none, with each of the others; p-values are corrected.

    Args:
        results: Best first.
        models: Trained.
        board: Says how.
    """
    first = board.results[models[0].name] if models else results[0]
    others = [each for each in results if each is not first]
    metric = board.config.monitor
    return corrected([compare(first.report, each.report, metric, board.config, board.seed) for each in others])


def verdicts(board: Leaderboard, names: Sequence[str], models: Sequence[TrainedModel]) -> list[str]:
    """How each model stands against the best that is not made of it, and what is made of it against the model, by the
    paired bootstrap; then against each that is not made of it, by the randomisation test, with Holm's correction for
    their number. Without models, how the best stands against the second, which the same cases chose."""

    def against(first: Result, second: Result) -> Comparison:
        return compare(first.report, second.report, board.config.monitor, board.config, board.seed)

    ordered = board.ordered(names)
    if not models:
        return [str(against(*ordered[:2]))] if len(ordered) > 1 else []
    told = []
    for model in models:
        of_it = [each for each in ordered if model.name in each.parameters.get("parts", ())]
        others = [each for each in ordered if each.report.name not in {made.report.name for made in of_it}]
        told += [str(against(board.results[model.name], each)) for each in (*others[:1], *of_it[:1])]
        if others:
            comparisons = corrected([against(board.results[model.name], each) for each in others])
            p_values = ", ".join(f"{each.baseline} {each.p_value:.4f}" for each in comparisons)
            told.append(
                f"p-values of the differences from {model.name} in {board.config.monitor} (sign flips, Holm's "
                f"correction): {p_values}"
            )
    return told
