"""What a comparison has chosen, fitted anew."""

from collections.abc import Mapping

from tfrec.baselines import WeightedHybrid
from tfrec.config import BASELINE_NAMES, HYBRID_NAMES, NOT_SERVED
from tfrec.errors import InputError
from tfrec.evaluation import Recommender
from tfrec.leaderboard.entries import baseline_entries, hybrid_entries
from tfrec.leaderboard.material import Material
from tfrec.leaderboard.result import Result


def parts_of(name: str, results: Mapping[str, Result]) -> tuple[str, ...]:
    """The baselines that one is made of: itself, unless it is a hybrid.

    Args:
        name: Of a baseline or hybrid.
        results: The comparison's, by name.

    Raises:
        InputError: It was not compared, or something in it can't be served.
    """
    if name not in results:
        known = sorted(set(results) & {*BASELINE_NAMES, *HYBRID_NAMES} - set(NOT_SERVED))
        raise InputError(
            f"Expected --baseline with something that was compared: {', '.join(known) or 'nothing yet'}. "
            f"Received: {name!r}. Compare it first: python -m tfrec.compare … --baseline {name}"
        )
    parts = tuple(results[name].parameters.get("parts", (name,)))
    if trained := [part for part in parts if part not in BASELINE_NAMES]:
        raise InputError(
            f"Expected what is made of baselines alone. Received: {name} with {', '.join(trained)} in it. Compare "
            "without --run and with another --output, or export the run itself."
        )
    if unfit := [part for part in parts if part in NOT_SERVED]:
        inside = f"{name} is made of {unfit[0]}, and " if parts != (name,) else ""
        raise InputError(
            f"Expected --baseline with something that can be served. Received: {name}: {inside}{NOT_SERVED[unfit[0]]}."
        )
    return parts


def fit_chosen(name: str, results: Mapping[str, Result], material: Material) -> Recommender:
    """A baseline, or a hybrid with its parts, fitted to the training part with the hyperparameters that were chosen.

    The weights of a learned blend are those that it had learned.

    Args:
        name: As of `parts_of`.
        results: The comparison's, by name.
        material: What to fit to.

    Raises:
        InputError: As of `parts_of`; or a part does not fit the data any more.
    """
    parts = parts_of(name, results)
    entries = {entry.name: entry for entry in baseline_entries(material)}
    fitted = []
    for part in parts:
        if entries[part].unfit:
            raise InputError(f"Expected data that {part} fits. Received: {entries[part].unfit}.")
        chosen = results[part].parameters if part in results else {}
        fitted.append((part, entries[part].build(**chosen)))
    if name not in HYBRID_NAMES:
        return fitted[0][1]
    chosen = {key: value for key, value in results[name].parameters.items() if key != "parts"}
    if name == "learned_blend":
        return WeightedHybrid([recommender for _, recommender in fitted], **chosen)
    first, second = fitted
    [entry] = [each for each in hybrid_entries(material, first, second) if each.name == name]
    return entry.fit(**chosen)
