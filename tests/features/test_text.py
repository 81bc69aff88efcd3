"""Items in words."""

import numpy as np
import pandas as pd
import pytest

from tfrec.errors import InputError
from tfrec.features.text import render_texts

ITEMS = pd.DataFrame(
    {
        "title": ["  Heat\n(1995)", "", "Alien"],
        "genres": ["Crime  Thriller", "Drama", ""],
        "brand": pd.Series(["Warner", None, None], dtype="str"),
        "year": np.array([1995, np.nan, 1979], np.float32),
        "meta.studio": ["A", "B", "C"],
    }
)


def test_text_columns_are_joined_without_the_empty_ones() -> None:
    assert render_texts(ITEMS, ("title", "genres")) == ["Heat (1995). Crime Thriller", "Drama", "Alien"]


def test_without_text_columns_texts_are_empty() -> None:
    assert render_texts(ITEMS, ()) == ["", "", ""]


def test_a_template_reads_any_column_and_leaves_missing_values_empty() -> None:
    texts = render_texts(ITEMS, ("title",), "{brand}: {title},   {genres}")
    assert texts == ["Warner: Heat (1995), Crime Thriller", ": , Drama", ": Alien,"]


def test_a_template_may_format_numbers_and_double_braces() -> None:
    assert render_texts(ITEMS, (), "{{{year:.0f}}}") == ["{1995}", "", "{1979}"]


def test_of_what_nothing_is_known_a_template_says_nothing() -> None:
    items = pd.DataFrame({"title": ["Heat", "", " "], "genres": ["Crime", "", ""]})
    assert render_texts(items, (), "{title}. {genres}") == ["Heat. Crime", "", ""]


def test_a_column_may_have_a_dot_in_its_name() -> None:
    assert render_texts(ITEMS, (), "by {meta.studio}") == ["by A", "by B", "by C"]


@pytest.mark.parametrize(
    ("template", "part"),
    [
        ("{titel}", "'{titel}'"),
        ("{}", "'{}'"),
        ("no column", "'no column'"),
        ("{title.upper}", "'{title.upper}'"),
        ("{title", "'{title'"),
        ("{title:d}", "'{title:d}'"),
        ("{title:{width}}", "'{title:{width}}'"),
    ],
)
def test_a_template_that_cannot_be_filled_is_named(template: str, part: str) -> None:
    with pytest.raises(InputError, match=r"Expected.*text_template") as error:
        render_texts(ITEMS, ("title",), template)
    assert f"Received: {part}" in str(error.value)


def test_a_missing_column_is_answered_with_the_columns() -> None:
    with pytest.raises(InputError, match="'title', 'genres', 'brand', 'year'"):
        render_texts(ITEMS, ("title",), "{titel}")
