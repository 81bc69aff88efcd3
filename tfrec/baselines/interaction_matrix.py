"""Who did what, as a sparse matrix that describes itself."""

from functools import cached_property

import numpy as np
from scipy import sparse

from tfrec.datasets.ragged import Ragged

TOP_SHARES = (0.01, 0.1, 0.2)
"""The most popular shares of the catalogue that `describe` looks at: the head of the long tail."""

QUANTILES = {"least": 0.0, "quartile 1": 0.25, "median": 0.5, "quartile 3": 0.75, "most": 1.0}


class InteractionMatrix:
    """Users × items: how often each did what.

    Args:
        rows: What each user did, a row a user: a split's training part, or the histories of a batch.
        num_items: Size of the catalogue.

    Attributes:
        counts: float32 CSR [num_users, num_items]: how often; what never happened is not stored.
        binary: The same with ones.

    Example:
        >>> matrix = InteractionMatrix(split.train, dataset.num_items)
        >>> matrix.num_users, matrix.num_items, matrix.density
        (943, 1682, 0.0618)
        >>> print(matrix)  # doctest: +SKIP
    """

    def __init__(self, rows: Ragged, num_items: int) -> None:
        ones = np.ones(len(rows.values), np.float32)
        # Copies: sum_duplicates sorts in place. 32 bits, for scikit-learn takes no others.
        items, offsets = (array.astype(np.int32) for array in (rows.values, rows.offsets))
        self.counts = sparse.csr_array((ones, items, offsets), shape=(len(rows), num_items))
        self.counts.sum_duplicates()
        self.num_interactions = len(rows.values)

    @cached_property
    def binary(self) -> sparse.csr_array:
        matrix = self.counts.copy()
        matrix.data = np.ones_like(matrix.data)
        return matrix

    @property
    def num_users(self) -> int:
        """Rows, those without interactions too."""
        return int(self.counts.shape[0])

    @property
    def num_items(self) -> int:
        """Columns, those that nobody interacted with too."""
        return int(self.counts.shape[1])

    @property
    def density(self) -> float:
        """Share of the pairs of user and item that occur. Sparsity is 1 less this."""
        return float(self.counts.nnz / max(self.num_users * self.num_items, 1))

    @property
    def per_user(self) -> np.ndarray:
        """Interactions of each user, repeats included: int64 [num_users]."""
        return self.counts.sum(axis=1).astype(np.int64)

    @property
    def per_item(self) -> np.ndarray:
        """Interactions of each item, repeats included: int64 [num_items]."""
        return self.counts.sum(axis=0).astype(np.int64)

    @property
    def gini(self) -> float:
        """How unequal the items' popularity is: 0 where all are alike, towards 1 where one has all.

        `sum over i of (2 i - n - 1) x_i / (n sum of x)`, the n items in increasing order of their interactions x
        (Gini 1912; as Fleder and Hosanagar, "Blockbuster Culture's Next Rise or Fall", 2009, use it for catalogues).
        """
        counts = np.sort(self.per_item)
        weights = 2 * np.arange(1, len(counts) + 1) - len(counts) - 1
        return float(weights @ counts / max(len(counts) * counts.sum(), 1))

    def share_of_top(self, share: float) -> float:
        """Share of the interactions that the most popular `share` of the items has, rounded up to whole items."""
        counts = np.sort(self.per_item)[::-1]
        return float(counts[: int(np.ceil(share * len(counts)))].sum() / max(counts.sum(), 1))

    def describe(self) -> dict[str, float]:
        """The figures by name, in the order of the table that `print` shows."""
        facts: dict[str, float] = {
            "users": self.num_users,
            "items": self.num_items,
            "interactions": self.num_interactions,
            "distinct pairs": int(self.counts.nnz),
            "density": self.density,
            "sparsity": 1 - self.density,
            "items never seen": int(np.count_nonzero(self.per_item == 0)),
            "Gini of item popularity": self.gini,
        }
        for share in TOP_SHARES:
            facts[f"interactions of the top {share:.0%} of items"] = self.share_of_top(share)
        for name, counts in (("user", self.per_user), ("item", self.per_item)):
            for label, quantile in QUANTILES.items():
                facts[f"interactions per {name}, {label}"] = float(np.quantile(counts, quantile)) if len(counts) else 0
        return facts

    def __str__(self) -> str:
        facts = self.describe()
        width = max(map(len, facts))
        shares = ("density", "sparsity", "interactions of")
        lines = []
        for name, value in facts.items():
            shown = f"{value:.2%}" if name.startswith(shares) else f"{value:,.3g}" if value % 1 else f"{int(value):,}"
            lines.append(f"{name:<{width}}  {shown:>12}")
        return "\n".join(lines)
