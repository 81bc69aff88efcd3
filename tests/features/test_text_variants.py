"""Variants of items' texts."""

import pandas as pd
import pytest

from tfrec.config import AugmentationConfig
from tfrec.features.text_variants import text_variants

WORDS = " ".join(f"word{number}" for number in range(1000))


def is_part(some: list[str], words: list[str]) -> bool:
    """Whether they are among the words, in their order."""
    rest = iter(words)
    return all(word in rest for word in some)


def test_words_are_left_out_and_the_others_keep_their_order() -> None:
    items = pd.DataFrame({"title": [WORDS, "Heat", "", None]})
    settings = AugmentationConfig(text_variants=3, word_dropout=0.3)
    variants = text_variants(items, ("title",), None, settings, seed=0)
    assert len(variants) == 3
    for long, *others in variants:
        assert is_part(long.split(), WORDS.split())
        # 1000 words: standard deviation .014.
        assert len(long.split()) / 1000 == pytest.approx(0.7, abs=0.05)
        assert others == ["Heat", "", ""]
    assert len({long for long, *_ in variants}) == 3
    assert text_variants(items, ("title",), None, settings, seed=0) == variants
    assert text_variants(items, ("title",), None, settings, seed=1) != variants


def test_something_is_always_left() -> None:
    items = pd.DataFrame({"title": ["The long goodbye"], "genres": ["Crime"]})
    settings = AugmentationConfig(text_variants=200, word_dropout=0.95, column_dropout=0.95)
    variants = {text for [text] in text_variants(items, ("title", "genres"), None, settings, seed=0)}
    assert {"The", "long", "goodbye", "Crime"} <= variants
    assert "" not in variants


def test_columns_are_left_out_and_change_their_order() -> None:
    items = pd.DataFrame({"title": ["Heat", "Alien"], "genres": ["Crime", None]})
    settings = AugmentationConfig(text_variants=400, word_dropout=0.0, column_dropout=0.2)
    variants = text_variants(items, ("title", "genres"), None, settings, seed=0)
    seen = [first for first, _ in variants]
    assert set(seen) == {"Heat. Crime", "Crime. Heat", "Heat", "Crime"}
    # Neither is left out with .8², and of two that would be both, one is; standard deviation .024.
    both = sum(text in ("Heat. Crime", "Crime. Heat") for text in seen) / 400
    assert both == pytest.approx(0.64, abs=0.08)
    assert seen.count("Heat. Crime") == pytest.approx(seen.count("Crime. Heat"), abs=60)
    assert {second for _, second in variants} == {"Alien"}


def test_a_template_keeps_its_order_and_leaves_values_empty() -> None:
    items = pd.DataFrame({"title": ["Heat"], "year": [1995.0]})
    settings = AugmentationConfig(text_variants=100, word_dropout=0.0, column_dropout=0.4)
    variants = text_variants(items, ("title",), "{title} of {year:.0f}", settings, seed=0)
    assert {text for [text] in variants} == {"Heat of 1995", "of 1995", "Heat of"}


def test_none_are_asked_for() -> None:
    assert text_variants(pd.DataFrame({"title": ["Heat"]}), ("title",), None, AugmentationConfig(), seed=0) == []
