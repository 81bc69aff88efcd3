"""Other ways to put an item into words."""

import string

import numpy as np
import pandas as pd

from tfrec.config import AugmentationConfig
from tfrec.features.text import render_texts


def text_variants(
    items: pd.DataFrame, columns: tuple[str, ...], template: str | None, settings: AugmentationConfig, seed: int
) -> list[list[str]]:
    """Texts that say less than the true ones, or say it in another order, for training to vary.

    Each leaves out some of an item's columns and some of the words of what is left, each with its probability, but
    never all of them: the random deletion of Wei and Zou 2019, "EDA: Easy data augmentation techniques for boosting
    performance on text classification tasks". Without a template the columns stand in an order that is drawn for each
    variant, their random swap; a template has its order.

    Args:
        items, columns, template: As render_texts takes them.
        settings: `text_variants`, how many; `column_dropout` and `word_dropout`.
        seed: Draws them.

    Returns:
        `text_variants` lists of [num_items] strings; empty for an item whose true text is.

    Example:
        >>> items = pd.DataFrame({"title": ["The long goodbye"], "genres": ["Crime"]})
        >>> text_variants(items, ("title", "genres"), None, AugmentationConfig(text_variants=2), seed=0)
        [['The long goodbye'], ['The long Crime']]
    """
    generator = np.random.default_rng(seed)
    names = list(columns)
    if template is not None:
        parsed = [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
        names = list(dict.fromkeys(parsed))
    says = np.stack([items[name].notna() & (items[name].astype(str).str.strip() != "") for name in names], axis=1)
    variants = []
    for _ in range(settings.text_variants):
        draws = np.where(says, generator.random(says.shape), -1.0)
        kept = (draws >= settings.column_dropout) | (draws == draws.max(axis=1, keepdims=True, initial=-1.0))
        less = pd.DataFrame({name: items[name].astype(object).where(kept[:, i], None) for i, name in enumerate(names)})
        order = tuple(columns[place] for place in generator.permutation(len(columns)))
        texts = render_texts(less, order, template)
        variants.append([_with_fewer_words(text, settings.word_dropout, generator) for text in texts])
    return variants


def _with_fewer_words(text: str, dropout: float, generator: np.random.Generator) -> str:
    words = text.split()
    draws = generator.random(len(words))
    return " ".join(word for word, draw in zip(words, draws, strict=True) if draw >= dropout or draw == draws.max())
