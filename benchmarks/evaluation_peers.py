"""What `evaluation.py` asks of ranx, in an environment of its own: a line of JSON.

python benchmarks/evaluation_peers.py ranx LISTS.npz CUTOFF ...
"""

import json
import sys

import numpy as np


def main() -> None:
    name, file, cutoffs = sys.argv[1], sys.argv[2], [int(cutoff) for cutoff in sys.argv[3:]]
    with np.load(file) as arrays:
        title, metrics = {"ranx": with_ranx}[name](arrays["items"], arrays["scores"], arrays["targets"], cutoffs)
    print(json.dumps({"name": title, "metrics": metrics}))


def with_ranx(items, scores, targets, cutoffs):
    import ranx

    relevant = ranx.Qrels({f"u{user}": {f"i{item}": 1} for user, item in enumerate(targets)})
    run = ranx.Run(
        {
            f"u{user}": {f"i{item}": float(score) for item, score in zip(*row, strict=True)}
            for user, row in enumerate(zip(items, scores, strict=True))
        }
    )
    names = [f"{metric}@{k}" for metric in ("recall", "hit_rate", "ndcg", "mrr") for k in cutoffs]
    told = ranx.evaluate(relevant, run, names)
    return "ranx", {metric: float(told[metric]) for metric in names}


if __name__ == "__main__":
    main()
