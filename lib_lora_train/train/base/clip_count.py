"""How many tokens a text has for CLIP, with nothing but Python: the page counts where no tokenizer library is.

The same steps as `tokenizer.ClipTokenizer`, so the same numbers; that a text names CLIP's own begin and end marks is
not thought of.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

CHUNK = 75
_MERGES = Path(__file__).parent / "clip_tokenizer" / "merges.txt"
_SHORT_FORMS = ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d")
_SEPARATORS = "\x1c\x1d\x1e\x1f"
"""Blank for Python, not for the tokenizer."""


@lru_cache(maxsize=20_000)
def count(text: str) -> int:
    """Tokens of `text`, without begin and end."""
    lowered = "".join(letter.lower() for letter in unicodedata.normalize("NFC", text))
    return sum(_pieces(word) for word in _words(lowered))


def chunks(tokens: int) -> int:
    """How many chunks of 75 so many tokens take; an empty text is one too."""
    return max(1, -(-tokens // CHUNK))


def _words(text: str) -> Iterator[str]:
    """Short forms, runs of letters, single digits, runs of other signs."""
    place = 0
    while place < len(text):
        kind = _kind(text[place])
        start, place = place, place + 1
        short = next((form for form in _SHORT_FORMS if text.startswith(form, start)), "")
        if short:
            place = start + len(short)
        elif kind in ("letter", "sign"):
            while place < len(text) and _kind(text[place]) == kind:
                place += 1
        if kind != "blank":
            yield text[start:place]


@lru_cache(maxsize=4096)
def _kind(letter: str) -> str:
    if letter.isspace() and letter not in _SEPARATORS:
        return "blank"
    if letter.isalpha():
        return "letter"
    return "digit" if unicodedata.category(letter).startswith("N") else "sign"


@lru_cache(maxsize=20_000)
def _pieces(word: str) -> int:
    """How many pieces are left of a word's bytes when all merges are done, the earliest in the list first."""
    ranks = _ranks()
    parts = [_LETTERS[byte] for byte in word.encode("utf-8", "replace")]
    parts[-1] += "</w>"
    while len(parts) > 1:
        best = min(pairwise(parts), key=lambda pair: ranks.get(pair, len(ranks)))
        if best not in ranks:
            break
        merged: list[str] = []
        place = 0
        while place < len(parts):
            if tuple(parts[place : place + 2]) == best:
                merged.append(parts[place] + parts[place + 1])
                place += 2
            else:
                merged.append(parts[place])
                place += 1
        parts = merged
    return len(parts)


@lru_cache(maxsize=1)
def _ranks() -> dict[tuple[str, str], int]:
    lines = _MERGES.read_text("utf-8").split("\n")[1:]
    pairs = [tuple(line.split()) for line in lines if line.strip()]
    return {(pair[0], pair[1]): rank for rank, pair in enumerate(pairs)}


def _byte_letters() -> list[str]:
    """The letter that stands for each byte in CLIP's list of merges: itself where it can be seen, else one from 256 on."""
    seen = {*range(33, 127), *range(161, 173), *range(174, 256)}
    unseen = iter(range(256, 512))
    return [chr(byte) if byte in seen else chr(next(unseen)) for byte in range(256)]


_LETTERS = _byte_letters()
