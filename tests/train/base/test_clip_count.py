"""The page's count of tokens is the tokenizer's."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_lora_train.train.base.clip_count import chunks, count
from lib_lora_train.train.base.tokenizer import load_tokenizer

TEXTS = [
    "",
    "   ",
    "a photo of ohwx man, standing in a park, 8k, masterpiece",
    "it's you're I'LL they'd 'tis rock'n'roll !'s",
    "naïve façade, Ångström, İstanbul ΟΔΥΣΣΕΥΣ",
    "(red:1.2), [blue], <lora:me:0.8> {a|b} \\( 1girl_2 2024-05-01",
    "一只猫, ネコ, кошка, 고양이 🐈‍⬛ ½ ² Ⅷ",
    "tabs\tand\nlines\r\n and\u3000wide\x1cblanks",
    "supercalifragilisticexpialidocious " * 12,
]


@pytest.mark.parametrize("text", TEXTS)
def test_it_counts_what_the_tokenizer_counts(text: str) -> None:
    assert count(text) == load_tokenizer().count(text)


LETTERS = st.characters(max_codepoint=0x2FFF, exclude_categories=("Cs", "Cn"))


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(LETTERS, max_size=80), st.text("aetns' ,.!12é\n", max_size=120)))
def test_it_counts_any_text_as_the_tokenizer_does(text: str) -> None:
    assert count(text) == load_tokenizer().count(text)


def test_75_tokens_are_a_chunk() -> None:
    assert [chunks(tokens) for tokens in (0, 1, 75, 76, 150, 151)] == [1, 1, 1, 2, 2, 3]
