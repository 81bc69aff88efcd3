"""Impressions, clicks and conversions with known probabilities: a model's error against the truth can be measured."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from tfrec.datasets.assemble import assemble
from tfrec.datasets.dataset import Dataset, Roles

CATEGORIES = ("shoes", "books", "garden", "toys", "sound", "kitchen")
DEVICES = ("phone", "desktop", "tablet")
NUM_SLOTS = 5
SPREAD = 0.8

_EFFECT_OF_DEVICE = np.array([0.3, 0.0, -0.4])
_DAY = 24 * 3600


@dataclass(frozen=True)
class ClickSimulation:
    """A data set and the truth that it was drawn from.

    Attributes:
        dataset: `label` is the click, and the outcome `bought` a purchase after it. Items with a `title` that names
            their `category` (categorical) and a `price` (numeric); users with a `country` (categorical, noise);
            impressions with a `device` (categorical), a `slot` (categorical, "1" is the best) and an `hour` (numeric).
        click_rates: The probability of a click on each impression, float64 [num_impressions].
        conversion_rates: The probability that a click, if there is one, ends in a purchase, float64 [num_impressions].
        expected_values: `click_rates` times the seconds that a click is watched on average, float64 [num_impressions];
            the interactions' `value` is how long it was.
    """

    dataset: Dataset
    click_rates: np.ndarray
    conversion_rates: np.ndarray
    expected_values: np.ndarray


def simulate_clicks(
    num_users: int = 200, num_items: int = 60, num_impressions: int = 10_000, *, rate: float = 0.2, seed: int = 0
) -> ClickSimulation:
    r"""Draws impressions of random items to random users, and what becomes of them.

    The log-odds of a click are $b + t_u + q_i + a_{u, c(i)} + d_{device} - 0.4 \log_2(slot) + h(hour)$: how much a user
    clicks at all, how good an item is, how much the user likes its category, and where and when it is shown. Those of a
    conversion after a click fall with the price and rise with the user's liking; so what is clicked converts more than
    what is not, and a model that learns from clicks alone is biased. What is clicked is watched for a lognormal time,
    longer the more the user likes the category and the later it is shown on the page.

    Args:
        num_users: Users.
        num_items: Items, spread evenly over the categories.
        num_impressions: Impressions, spread evenly over users and over thirty days.
        rate: About how many impressions are clicked.
        seed: The same seed gives the same data.

    Example:
        >>> simulation = simulate_clicks(num_impressions=1000)
        >>> simulation.dataset.interactions["label"].mean(), simulation.click_rates.mean()
        (0.194, 0.2)
    """
    generator = np.random.default_rng(seed)
    item_categories = np.arange(num_items) % len(CATEGORIES)
    tendencies = generator.normal(0, 0.5, num_users)
    qualities = generator.normal(0, 0.5, num_items)
    affinities = generator.normal(0, 1, (num_users, len(CATEGORIES)))
    prices = generator.lognormal(3, 0.6, num_items).astype(np.float32)

    users = generator.integers(num_users, size=num_impressions, dtype=np.int32)
    items = generator.integers(num_items, size=num_impressions, dtype=np.int32)
    devices = generator.choice(len(DEVICES), num_impressions, p=[0.6, 0.3, 0.1])
    slots = generator.integers(NUM_SLOTS, size=num_impressions)
    times = np.sort(generator.integers(30 * _DAY, size=num_impressions))
    hours = (times % _DAY // 3600).astype(np.float32)

    likings = affinities[users, item_categories[items]]
    logits = tendencies[users] + qualities[items] + likings + _EFFECT_OF_DEVICE[devices]
    logits += 0.3 * np.sin(hours * (2 * np.pi / 24)) - 0.4 * np.log2(slots + 1)
    click_rates = _sigmoid(logits + _intercept(logits, rate))
    conversion_rates = _sigmoid(-1.0 + 0.8 * likings - 0.7 * (np.log(prices[items]) - 3))
    clicked = generator.random(num_impressions) < click_rates
    bought = clicked & (generator.random(num_impressions) < conversion_rates)

    user_table = pd.DataFrame(
        {
            "user_id": [f"user-{user}" for user in range(num_users)],
            "country": generator.choice(["Chile", "Ghana", "Japan", "Norway"], num_users),
        }
    )
    mean_seconds = 60 * np.exp(0.5 * likings + 0.2 * slots)
    # A lognormal of mean 1.
    seconds = mean_seconds * generator.lognormal(-(SPREAD**2) / 2, SPREAD, num_impressions)

    interactions = pa.table(
        {
            "user_id": _dictionary(users, "user-", num_users),
            "item_id": _dictionary(items, "item-", num_items),
            "timestamp": times,
            "label": clicked.astype(np.float32),
            "bought": bought.astype(np.float32),
            "value": np.where(clicked, seconds, 0).astype(np.float32),
            "device": pa.array(np.array(DEVICES)[devices]),
            "slot": pa.array((slots + 1).astype(str)),
            "hour": hours,
        }
    )
    item_table = pd.DataFrame(
        {
            "item_id": [f"item-{item}" for item in range(num_items)],
            "title": [f"{CATEGORIES[category]} number {item}" for item, category in enumerate(item_categories)],
            "category": [CATEGORIES[category] for category in item_categories],
            "price": prices,
        }
    )
    dataset = assemble(
        "simulated clicks",
        interactions,
        item_table.astype({"item_id": "str", "title": "str", "category": "str"}),
        user_table.astype({"user_id": "str", "country": "str"}),
        item_roles=Roles(text=("title",), categorical=("category",), numeric=("price",)),
        user_roles=Roles(categorical=("country",)),
        context_roles=Roles(categorical=("device", "slot"), numeric=("hour",)),
        outcomes=("bought",),
        title="title",
    )
    return ClickSimulation(dataset, click_rates, conversion_rates, click_rates * mean_seconds)


def _intercept(logits: np.ndarray, rate: float) -> float:
    """What makes the mean probability of the first ten thousand impressions the rate, by bisection."""
    low, high = -20.0, 20.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if _sigmoid(logits[:10_000] + middle).mean() < rate else (low, middle)
    return middle


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))


def _dictionary(codes: np.ndarray, prefix: str, count: int) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(codes, pa.array([f"{prefix}{number}" for number in range(count)]))
