from pathlib import Path

import numpy as np
import pytest

from tests.backbones.tiny import make_tiny_gpt
from tfrec.backbones.gpt import NO_TOKEN, load_gpt, load_gpt_tokenizer, tokenize_items
from tfrec.errors import InputError


@pytest.fixture(scope="module")
def tiny_gpt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_gpt(tmp_path_factory.mktemp("gpt") / "tiny")


def test_a_folder_has_the_weights_and_no_dropout(tiny_gpt: Path) -> None:
    gpt = load_gpt(str(tiny_gpt), num_places=24)
    np.testing.assert_array_equal(gpt.token_embedding.embeddings[0], np.full(12, 0.25))
    inputs = {"token_ids": np.array([[1, 2, 3]]), "padding_mask": np.ones((1, 3))}
    np.testing.assert_array_equal(gpt(inputs, training=True), gpt(inputs, training=False))


def test_too_few_positions_say_what_to_lower(tiny_gpt: Path) -> None:
    with pytest.raises(InputError, match=r"24 positions and 25 places(.|\n)*features.history_length"):
        load_gpt(str(tiny_gpt), num_places=25)


def test_what_can_not_be_had_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"the folder .*nothing(.|\n)*model.gpt=FOLDER"):
        (tmp_path / "nothing").mkdir()
        load_gpt(str(tmp_path / "nothing"), num_places=3)
    with pytest.raises(InputError, match=r"the KerasHub preset \(there is no such folder\) no_such_gpt"):
        load_gpt_tokenizer("no_such_gpt")


def test_a_bert_is_no_gpt(tiny_backbone: Path) -> None:
    with pytest.raises(InputError, match=r"Expected a GPT-2 .*Received: a BertBackbone"):
        load_gpt(str(tiny_backbone), num_places=3)


def test_an_items_words_end_with_the_end(tiny_gpt: Path) -> None:
    tokenizer = load_gpt_tokenizer(str(tiny_gpt))
    end = tokenizer.end_token_id
    a, b = tokenizer.token_to_id("a"), tokenizer.token_to_id("b")
    tokens = tokenize_items(["ab", "", "abab"], tokenizer, end, item_tokens=4).numpy()
    none = NO_TOKEN
    np.testing.assert_array_equal(tokens, [[a, b, end, none], [end, none, none, none], [a, b, a, end]])
