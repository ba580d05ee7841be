"""The names that a WebUI knows, by kind, and finding the one that somebody meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

CHECKPOINT = "checkpoint"
VAE = "VAE"
SAMPLER = "sampler"
SCHEDULER = "scheduler"
UPSCALER = "upscaler"
STYLE = "style"
LORA = "LoRA"


@dataclass(frozen=True)
class Entry:
    """One thing with a name: `name` is what the host wants to be given, `aliases` what people may write instead."""

    name: str
    aliases: tuple[str, ...] = ()
    path: str = ""


@dataclass(frozen=True)
class Found:
    """What a name means: the entry, or the names to choose from (`ambiguous`: all fit; else: the nearest)."""

    entry: Entry | None
    candidates: tuple[str, ...] = ()
    ambiguous: bool = False


@dataclass(frozen=True)
class Catalogue:
    """All names of a host, by kind (the constants above)."""

    entries: Mapping[str, tuple[Entry, ...]] = field(default_factory=lambda: dict[str, tuple[Entry, ...]]())

    def names(self, kind: str) -> tuple[str, ...]:
        """The names of one kind, in the host's order."""
        return tuple(entry.name for entry in self.entries.get(kind, ()))

    def find(self, kind: str, wanted: str) -> Found:
        """The one entry that `wanted` names, by steps from exact to generous; a step with several answers is ambiguous.

        Steps: the exact name or alias; without capitals and with either slash; without the file's ending; a part of
        exactly one name. Never guesses between two.
        """
        entries = self.entries.get(kind, ())
        for step in (_exact, _plain, _stem):
            want = step(wanted)
            fitting = _distinct(
                entry for entry in entries if want in {step(word) for word in (entry.name, *entry.aliases)}
            )
            if fitting:
                return _answer(fitting)
        want = _stem(wanted)
        if len(want) >= 3:
            fitting = _distinct(entry for entry in entries if want in _plain(entry.name))
            if fitting:
                return _answer(fitting)
        words = {_plain(word): entry.name for entry in reversed(entries) for word in (entry.name, *entry.aliases)}
        near = difflib.get_close_matches(_plain(wanted), words, n=3, cutoff=0.5)
        return Found(None, tuple(dict.fromkeys(words[word] for word in near)))


def _distinct(entries: Iterable[Entry]) -> list[Entry]:
    return list({entry.name: entry for entry in entries}.values())


def _answer(fitting: list[Entry]) -> Found:
    if len(fitting) == 1:
        return Found(fitting[0])
    return Found(None, tuple(entry.name for entry in fitting[:8]), ambiguous=True)


def _exact(word: str) -> str:
    return word.strip()


def _plain(word: str) -> str:
    return word.strip().replace("\\", "/").strip("/").casefold()


def _stem(word: str) -> str:
    return re.sub(r"\.(safetensors|ckpt|pt|pth|bin|gguf)(?=$| \[)", "", _plain(word))
