"""A tokenizer in CLIP's format that knows the world's words: CLIP's own merges, cut down to those that they need."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable
from pathlib import Path

from lib_lora_train.demo.world.captions import caption
from lib_lora_train.demo.world.characters import CHARACTERS
from lib_lora_train.demo.world.dice import Dice
from lib_lora_train.demo.world.scene import random_scene
from lib_lora_train.demo.world.styles import HELD_OUT_STYLES
from lib_lora_train.train.base.tokenizer import PACKAGED

_BEGIN, _END = "<|startoftext|>", "<|endoftext|>"
_HEAD = "#version: 0.2"
# What people type anyway.
_COMMON = """a an the of in on at with and or no not as by from to is are very new old best quality masterpiece highly
detailed sharp clean simple background picture image drawing painting art style photo photograph person man woman girl
boy face animal character mascot toy thing day light dark bright colourful colorful color colour gray"""


def known_words(samples: int = 20_000) -> set[str]:
    """Every word that captions use, and some that people type anyway; names that mean nothing are left out."""
    words: set[str] = set(_COMMON.split())
    counts: dict[str, int] = {}
    for number in range(samples):
        dice = Dice("words", number)
        for word in re.findall(r"[a-z]+", caption(random_scene(dice), dice)):
            counts[word] = counts.get(word, 0) + 1
    words |= {word for word, count in counts.items() if count > samples // 1000}
    words |= {one.class_word for one in CHARACTERS} | set(" ".join(HELD_OUT_STYLES).split())
    return words


def write_tokenizer(folder: Path, words: Iterable[str]) -> int:
    """Write vocab.json and merges.txt that spell `words` as CLIP does; returns how many tokens there are."""
    merges = [
        tuple(line.split())
        for line in (PACKAGED / "merges.txt").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    ranks = {(pair[0], pair[1]): rank for rank, pair in enumerate(merges)}
    used: set[tuple[str, str]] = set()
    for word in words:
        used |= _merged(word, ranks)
    kept = sorted(used, key=ranks.__getitem__)
    numbers: dict[str, int] = json.loads((PACKAGED / "vocab.json").read_text(encoding="utf-8"))
    bytes_first = sorted((text for text in numbers if numbers[text] < 512), key=numbers.__getitem__)
    tokens = [*bytes_first, *(first + second for first, second in kept), _BEGIN, _END]
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = {text: number for number, text in enumerate(dict.fromkeys(tokens))}
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False) + "\n", encoding="utf-8")
    lines = [_HEAD, *(" ".join(pair) for pair in kept)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return len(vocabulary)


def _merged(word: str, ranks: dict[tuple[str, str], int]) -> set[tuple[str, str]]:
    """The merges that byte pair encoding makes to spell `word`."""
    parts = [*word[:-1], word[-1] + "</w>"]
    found: set[tuple[str, str]] = set()
    while len(parts) > 1:
        pairs = [(ranks.get(pair, len(ranks)), place) for place, pair in enumerate(itertools.pairwise(parts))]
        rank, place = min(pairs)
        if rank == len(ranks):
            break
        found.add((parts[place], parts[place + 1]))
        parts[place : place + 2] = [parts[place] + parts[place + 1]]
    return found
