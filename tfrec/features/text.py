"""How an item is put into words."""

import string
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from tfrec.datasets.dataset import Dataset
from tfrec.errors import InputError


def item_texts(dataset: Dataset, template: str | None) -> list[str]:
    """What each item says about itself, [num_items]; see render_texts.

    Raises:
        InputError: No item says anything, or the template does not fit.
    """
    texts = render_texts(dataset.items, dataset.item_roles.text, template)
    if not any(texts):
        raise InputError(
            "Expected items with text, for the model to read. Received: no text column, or only empty ones. "
            "Name one with --text COLUMN, or pass --set model.use_text=false to train on ids and attributes alone."
        )
    return texts


def render_texts(items: pd.DataFrame, columns: tuple[str, ...], template: str | None = None) -> list[str]:
    """One text an item.

    Args:
        items: The items table.
        columns: Its text columns.
        template: `"{title}. {genres}"`, over any column of `items`; None: the text columns joined by ". ".

    Returns:
        [num_items] strings, white space folded; empty for an item whose columns are all empty.

    Raises:
        InputError: The template names a column that the table lacks, asks for a format that a column's values don't
            have, or is no template.

    Example:
        >>> items = pd.DataFrame({"title": ["Heat"], "genres": ["Crime"]})
        >>> render_texts(items, ("title", "genres"), "{title} is a {genres} film")
        ['Heat is a Crime film']
    """
    if template is None:
        parts = [items[column].fillna("").astype(str) for column in columns]
        rows = zip(*parts, strict=True) if parts else ([""] for _ in range(len(items)))
        return [" ".join(". ".join(part for part in row if part.strip()).split()) for row in rows]
    try:
        names = [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
    except ValueError as error:
        raise InputError(
            f"Expected a text_template like '{{title}}. {{genres}}'. Received: {template!r} ({error})"
        ) from error
    missing = [name for name in names if name not in items.columns]
    if missing or not names:
        raise InputError(
            f"Expected features.text_template to name columns of the items table, which are {list(items.columns)}. "
            f"Received: {template!r}. Declare a column with --text COLUMN, or change the template."
        )
    used = [items[name].astype(object).where(items[name].notna(), "") for name in names]
    formatter = _ColumnFormatter()
    try:
        texts = [formatter.vformat(template, (), dict(zip(names, row, strict=True))) for row in zip(*used, strict=True)]
    except (ValueError, KeyError) as error:
        raise InputError(
            f"Expected features.text_template with formats that fit the columns, like {{year:.0f}} for a number. "
            f"Received: {template!r} ({error})"
        ) from error
    # A template's own words say nothing of an item of which nothing is known.
    says = [any(str(value).strip() for value in row) for row in zip(*used, strict=True)]
    return [" ".join(text.split()) if is_said else "" for text, is_said in zip(texts, says, strict=True)]


class _ColumnFormatter(string.Formatter):
    """Takes a field's name for a column's name as it is (`{meta.title}`), and leaves missing values empty."""

    def get_field(self, field_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, str]:
        return kwargs[field_name], field_name

    def format_field(self, value: Any, format_spec: str) -> str:
        return "" if isinstance(value, str) and not value else super().format_field(value, format_spec)
