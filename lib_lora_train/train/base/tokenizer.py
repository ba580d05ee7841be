"""CLIP's tokenizer and the WebUIs' way of cutting long captions into chunks of 75 tokens. Needs no torch.

The same steps as transformers' fast CLIP tokenizer, so the same numbers; what `ftfy` would change in a text first
(curly quotes, broken encodings) is left as it is, so that numbers do not depend on what else is installed.
"""

from __future__ import annotations

import functools
import importlib
from pathlib import Path
from typing import Any

from lib_lora_train.train.base.info import BaseInfo
from lib_lora_train.train.errors import BaseError

CHUNK = 75  # CLIP's 77 places less begin and end
BACKTRACK = 20  # a chunk is cut at a comma that is at most so many tokens back, as the WebUIs do by default
PACKAGED = Path(__file__).parent / "clip_tokenizer"
PACKAGED_SIZE = 49408
BEGIN, END = "<|startoftext|>", "<|endoftext|>"
_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


class ClipTokenizer:
    """Captions to token numbers. `folder` holds vocab.json and merges.txt; `size` counts the vocabulary.

    Raises BaseError when they cannot be read or lack the begin and end marks.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        library: Any = importlib.import_module("tokenizers")  # only here: to find a base's words, none is needed
        vocabulary, merges = str(folder / "vocab.json"), str(folder / "merges.txt")
        try:
            model = library.models.BPE.from_file(vocabulary, merges, unk_token=END, end_of_word_suffix="</w>")
        except Exception as error:  # the library raises bare Exception
            cure = "copy the base's tokenizer folder again"
            raise BaseError(f"The tokenizer in {folder} cannot be read ({str(error)[:80]}); {cure}.") from error
        normalizers, splitters, pattern = library.normalizers, library.pre_tokenizers, library.Regex
        self._tokenizer: Any = library.Tokenizer(model)
        self._tokenizer.normalizer = normalizers.Sequence(
            [normalizers.NFC(), normalizers.Replace(pattern(r"\s+"), " "), normalizers.Lowercase()]
        )
        words = splitters.Split(pattern(_WORDS), behavior="removed", invert=True)
        self._tokenizer.pre_tokenizer = splitters.Sequence([words, splitters.ByteLevel(add_prefix_space=False)])
        self.size: int = self._tokenizer.get_vocab_size()
        self.begin = self._id(BEGIN)
        self.end = self._id(END)
        self._comma: int | None = self._tokenizer.token_to_id(",</w>")
        marks = [library.AddedToken(BEGIN, normalized=True), library.AddedToken(END, normalized=False)]
        self._tokenizer.add_special_tokens(marks)

    def _id(self, mark: str) -> int:
        number: int | None = self._tokenizer.token_to_id(mark)
        if number is None:
            cure = "copy the base's tokenizer folder again"
            raise BaseError(f"The tokenizer in {self.folder} lacks {mark}; {cure}.")
        return number

    def encode(self, caption: str) -> list[int]:
        """The caption's tokens, without begin and end."""
        return self._tokenizer.encode(caption, add_special_tokens=False).ids

    def count(self, caption: str) -> int:
        """How many tokens the caption has, without begin and end."""
        return len(self.encode(caption))

    def chunks(self, caption: str, max_tokens: int = CHUNK) -> list[list[int]]:
        """`ceil(max_tokens / 75)` lists of 77 tokens: begin, up to 75, end, and ends to fill up.

        What does not fit is cut off. A chunk ends at a near comma, unless tokens would be lost by that.
        """
        limit = -(-max_tokens // CHUNK)
        ids = self.encode(caption)
        parts = self._split(ids, at_commas=True)
        if len(parts) > limit:
            parts = self._split(ids, at_commas=False)
        parts = parts[:limit] + [[]] * (limit - len(parts))
        return [[self.begin, *part, *[self.end] * (CHUNK + 1 - len(part))] for part in parts]

    def _split(self, ids: list[int], at_commas: bool) -> list[list[int]]:
        parts: list[list[int]] = []
        while len(ids) > CHUNK:
            cut = CHUNK
            if at_commas and ids[CHUNK] != self._comma:
                near = [place for place in range(CHUNK - BACKTRACK, CHUNK) if ids[place] == self._comma]
                cut = near[-1] + 1 if near else CHUNK
            parts.append(ids[:cut])
            ids = ids[cut:]
        return [*parts, ids]


@functools.lru_cache(maxsize=4)
def load_tokenizer(folder: Path = PACKAGED) -> ClipTokenizer:
    """The tokenizer of `folder`, kept for the next call; without argument CLIP's own."""
    return ClipTokenizer(folder)


def words_of(info: BaseInfo) -> Path:
    """The folder with the base's own vocab.json and merges.txt (see `tokenizer_for`), else CLIP's."""
    own = _own_words(info)
    return own if (own / "vocab.json").is_file() else PACKAGED


def _own_words(info: BaseInfo) -> Path:
    return info.path / "tokenizer" if info.layout == "diffusers" else info.path.with_suffix(".tokenizer")


def tokenizer_for(info: BaseInfo) -> ClipTokenizer:
    """The base's own tokenizer (`tokenizer/` in a diffusers folder, `NAME.tokenizer/` beside a file), else CLIP's.

    Raises BaseError when it does not fit the text encoder's vocabulary.
    """
    own, tokenizer = _own_words(info), load_tokenizer(words_of(info))
    rows = int(info.configs["text_encoder"].get("vocab_size", PACKAGED_SIZE))
    # Embeddings longer than CLIP's vocabulary hold learned words at the end, which captions just never name.
    if rows == tokenizer.size or (rows > tokenizer.size >= PACKAGED_SIZE):
        return tokenizer
    place = f"put the base's own vocab.json and merges.txt into {own.name} beside it"
    cure = "copy that folder again" if own == tokenizer.folder else place
    raise BaseError(
        f"{info.name} knows {rows:,} tokens, but its tokenizer ({tokenizer.folder.name}) has {tokenizer.size:,}; {cure}."
    )
