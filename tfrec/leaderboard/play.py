"""Who plays, and in what order: models, baselines, then the hybrids of the best of them."""

from collections.abc import Sequence

from tfrec import console
from tfrec.config import COLLABORATIVE_NAMES, CONTENT_NAMES, HYBRID_NAMES
from tfrec.evaluation import Recommender, compare
from tfrec.leaderboard.entries import baseline_entries, hybrid_entries
from tfrec.leaderboard.leaderboard import Leaderboard
from tfrec.leaderboard.material import Material
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
            fitted[name] = entries[name].fit(**board.results[name].parameters)
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


def verdicts(board: Leaderboard, names: Sequence[str], models: Sequence[TrainedModel]) -> list[str]:
    """How each model stands against the best that is not made of it, and what is made of it against the model, by the
    paired bootstrap; without models, how the best stands against the second."""
    ordered = board.ordered(names)
    pairs = []
    for model in models:
        for is_of_it in (False, True):
            others = [each for each in ordered if (model.name in each.parameters.get("parts", ())) == is_of_it]
            pairs += [(board.results[model.name], each) for each in others[:1]]
    if not models and len(ordered) > 1:
        pairs = [(ordered[0], ordered[1])]
    return [
        str(compare(first.report, second.report, board.config.monitor, board.config, board.seed))
        for first, second in pairs
    ]
