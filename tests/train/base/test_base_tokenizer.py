"""Tokens are those of transformers' CLIP tokenizer; chunks are those of the WebUIs."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import CLIPTokenizer, CLIPTokenizerFast

from lib_lora_train.train.base.info import BaseInfo
from lib_lora_train.train.base.tokenizer import PACKAGED, ClipTokenizer, load_tokenizer, tokenizer_for
from lib_lora_train.train.errors import BaseError

FILES = {"vocab_file": str(PACKAGED / "vocab.json"), "merges_file": str(PACKAGED / "merges.txt")}
OURS = load_tokenizer()
THEIRS = CLIPTokenizerFast(**FILES)
SLOW = CLIPTokenizer(**FILES)
CAPTIONS = [
    "",
    "a photo of ohwx man",
    "ohwx man, beach,  sunglasses ,smile",
    "masterpiece, best quality, (ohwx man:1.2), 8k",
    "it's John's cat; they'll see we've 100% CAPS-LOCK",
    "фото человека на пляже",
    "写真 of 猫 🐈‍⬛ café naïve",
    "<|endoftext|> in the middle <|startoftext|>",
    "tab\tnew\nline   wide\u00a0space",
    "__wild__ {a|b} [x:y:0.5]",
]


@pytest.mark.parametrize("caption", CAPTIONS)
def test_equals_transformers(caption: str) -> None:
    assert OURS.encode(caption) == THEIRS(caption, add_special_tokens=False).input_ids


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60))
def test_equals_transformers_on_any_text(caption: str) -> None:
    assert OURS.encode(caption) == THEIRS(caption, add_special_tokens=False).input_ids


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60))
def test_equals_the_slow_tokenizer_on_ascii(caption: str) -> None:
    assert OURS.encode(caption) == SLOW(caption, add_special_tokens=False).input_ids


def test_packaged_vocabulary_is_clips() -> None:
    assert OURS.size == len(json.loads((PACKAGED / "vocab.json").read_text(encoding="utf-8"))) == 49408
    assert (OURS.begin, OURS.end) == (49406, 49407)
    merges = (PACKAGED / "merges.txt").read_bytes().replace(b"\r\n", b"\n")
    assert hashlib.sha256(merges).hexdigest() == "9fd691f7c8039210e0fced15865466c65820d09b63988b0174bfe25de299051a"


def test_short_caption_is_padded_with_ends() -> None:
    (chunk,) = OURS.chunks("a photo")
    assert len(chunk) == 77
    assert chunk == THEIRS("a photo", padding="max_length", max_length=77).input_ids


def test_chunk_count_follows_max_tokens() -> None:
    for tokens, count in ((75, 1), (76, 2), (150, 2), (225, 3)):
        chunks = OURS.chunks("cat", tokens)
        assert len(chunks) == count and {len(chunk) for chunk in chunks} == {77}
    assert chunks[1] == [OURS.begin] + [OURS.end] * 76


def test_long_caption_is_cut_at_a_near_comma() -> None:
    cat, comma, dog = OURS.encode("cat , dog")
    first, second = OURS.chunks("cat " * 60 + "," + "dog " * 20, 150)
    assert first[1:62] == [cat] * 60 + [comma] and first[62:] == [OURS.end] * 15
    assert second[1:22] == [dog] * 20 + [OURS.end]
    far, rest = OURS.chunks("cat " * 40 + "," + "dog " * 40, 150)
    assert far[1:76] == [cat] * 40 + [comma] + [dog] * 34 and rest[1:8] == [dog] * 6 + [OURS.end]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(["cat", ",", "dog"]), max_size=260), st.sampled_from([75, 150, 225]))
def test_no_token_is_lost_that_fits(words: list[str], limit: int) -> None:
    ids = OURS.encode(" ".join(words))
    content = [
        token for chunk in OURS.chunks(" ".join(words), limit) for token in chunk if token not in (OURS.begin, OURS.end)
    ]
    assert content == ids[: len(content)]
    if len(ids) <= limit:
        assert content == ids


def reduced(folder: Path, size: int = 40) -> Path:
    folder.mkdir(parents=True)
    words = [*(chr(97 + i) for i in range(26)), *(chr(97 + i) + "</w>" for i in range(26)), ",</w>"][: size - 2]
    vocabulary = {word: number for number, word in enumerate([*words, "<|startoftext|>", "<|endoftext|>"])}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    return folder


def test_a_base_brings_its_own_tokenizer(tmp_path: Path) -> None:
    reduced(tmp_path / "small.tokenizer", 55)
    info = BaseInfo(tmp_path / "small.safetensors", "ldm", "sd1", configs={"text_encoder": {"vocab_size": 55}})
    tokenizer = tokenizer_for(info)
    assert tokenizer.size == 55 and tokenizer.encode("ab c") == [0, 27, 28]
    assert tokenizer.chunks("a")[0][:3] == [53, 26, 54]


def test_vocabulary_must_fit_the_embedding(tmp_path: Path) -> None:
    info = BaseInfo(tmp_path / "small.safetensors", "ldm", "sd1", configs={"text_encoder": {"vocab_size": 1000}})
    with pytest.raises(BaseError, match=r"knows 1,000 tokens.*vocab\.json and merges\.txt into small\.tokenizer"):
        tokenizer_for(info)
    grown = BaseInfo(tmp_path / "grown.safetensors", "ldm", "sd1", configs={"text_encoder": {"vocab_size": 49410}})
    assert tokenizer_for(grown).size == 49408


def test_damaged_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(BaseError, match="cannot be read"):
        ClipTokenizer(tmp_path)
    (reduced(tmp_path / "t") / "vocab.json").write_text('{"a": 0, "<|endoftext|>": 1}', encoding="utf-8")
    with pytest.raises(BaseError, match="lacks"):
        ClipTokenizer(tmp_path / "t")
