"""Open Bandit (Saito et al. 2021): clicks on a fashion shop's recommendations, with positions and propensities."""

from pathlib import Path

import pandas as pd
import pyarrow as pa

from tfrec.datasets.assemble import assemble
from tfrec.datasets.dataset import Dataset, Roles
from tfrec.downloads import Source, Wheel, fetch
from tfrec.errors import InputError

POLICIES, CAMPAIGNS = ("random", "bts"), ("all", "men", "women")
SOURCES: list[Source] = [
    Wheel(
        "obp",
        "0.4.1",
        "sha256:87dec9caf4283c25ab13036532e0a24566f1c7bdcad1653a8ded43b2f5ef8208",
        "obp/dataset/obd",
        size=1_338_290,
    )
]
_USER_FEATURES = tuple(f"user_feature_{number}" for number in range(4))
_ITEM_FEATURES = tuple(f"item_feature_{number}" for number in range(4))


def load_open_bandit(data_root: Path) -> Dataset:
    """Reads Open Bandit from `data_root`, fetching its sample of 6 × 10,000 impressions first if it is not there.

    Three campaigns of ZOZOTOWN, each shown by a random policy and by Bernoulli Thompson sampling; the full data have
    the same files. Nothing says who the user is: there is one, and what is known of them is context.

    Args:
        data_root: Holds the folder `open-bandit`, with POLICY/CAMPAIGN/CAMPAIGN.csv and item_context.csv; of those that
            are there.

    Returns:
        `label` is the click. Items of a campaign with `campaign` and `item_feature_1` to `3` (categorical) and
        `item_feature_0` (numeric). The context is the `position` (1 to 3, from the left), the `policy` and
        `user_feature_0` to `3` (categorical). Each interaction has a `propensity`, the probability with which the
        policy showed this item there.

    Raises:
        InputError: The folder holds something else, or nothing could be fetched.
    """
    folder = data_root / "open-bandit"
    if not folder.is_dir() or not any(folder.iterdir()):
        fetch("open-bandit", SOURCES, folder)
    shown, items = [], {}
    for policy in POLICIES:
        for campaign in CAMPAIGNS:
            path = folder / policy / campaign / f"{campaign}.csv"
            if path.is_file():
                shown.append(_read_impressions(path, policy, campaign))
                items[campaign] = _read_items(path.with_name("item_context.csv"), campaign)
    if not shown:
        raise InputError(
            f"Expected files like {Path(POLICIES[0], CAMPAIGNS[0], CAMPAIGNS[0])}.csv in {folder}. Received: none. "
            "Remove the folder to have it fetched again."
        )
    return assemble(
        "Open Bandit",
        pa.Table.from_pandas(pd.concat(shown, ignore_index=True), preserve_index=False),
        pd.concat(items.values(), ignore_index=True),
        item_roles=Roles(categorical=("campaign", *_ITEM_FEATURES[1:]), numeric=_ITEM_FEATURES[:1]),
        context_roles=Roles(categorical=("position", "policy", *_USER_FEATURES)),
    )


def _read_impressions(path: Path, policy: str, campaign: str) -> pd.DataFrame:
    columns = ["timestamp", "item_id", "position", "click", "propensity_score", *_USER_FEATURES]
    table = pd.read_csv(path, usecols=columns, dtype=dict.fromkeys(("item_id", "position", *_USER_FEATURES), "str"))
    times = pd.to_datetime(table["timestamp"], format="ISO8601", utc=True)
    return pd.DataFrame(
        {
            "user_id": "anyone",
            "item_id": campaign + "-" + table["item_id"],
            "timestamp": (times - pd.Timestamp(0, tz="UTC")).dt.total_seconds(),
            "label": table["click"].astype("float32"),
            "propensity": table["propensity_score"].astype("float32"),
            "position": table["position"],
            "policy": policy,
            **{name: table[name] for name in _USER_FEATURES},
        }
    )


def _read_items(path: Path, campaign: str) -> pd.DataFrame:
    table = pd.read_csv(path, dtype=dict.fromkeys(("item_id", *_ITEM_FEATURES[1:]), "str"))
    features = {name: table[name] for name in _ITEM_FEATURES[1:]}
    return pd.DataFrame(
        {
            "item_id": campaign + "-" + table["item_id"],
            "campaign": pd.Series([campaign] * len(table), dtype="str"),
            **features,
            _ITEM_FEATURES[0]: table[_ITEM_FEATURES[0]].astype("float32"),
        }
    )
