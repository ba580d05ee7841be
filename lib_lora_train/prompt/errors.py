"""The errors of the prompt language. Each shows the place with a caret, the reason and the cure."""

from __future__ import annotations

from dataclasses import dataclass

from lib_lora_train.errors import LoraLoopError

CONTEXT_CHARACTERS = 60


@dataclass(frozen=True)
class Place:
    """A stretch of a template: `source[start:end]`; `name` says which template ("prompt", "wildcard hue")."""

    source: str
    start: int
    end: int
    name: str = "prompt"

    @property
    def line(self) -> int:
        """The line, counted from 1."""
        return self.source.count("\n", 0, self.start) + 1

    @property
    def column(self) -> int:
        """The column in characters, counted from 1."""
        return self.start - self.source.rfind("\n", 0, self.start)

    def __str__(self) -> str:
        return f"{self.name}, line {self.line}, column {self.column}"

    def picture(self) -> str:
        """The line with a caret under the place, cut to a readable width."""
        first = self.source.rfind("\n", 0, self.start) + 1
        last = self.source.find("\n", self.start)
        last = len(self.source) if last < 0 else last
        left = max(first, self.start - CONTEXT_CHARACTERS)
        right = min(last, self.start + CONTEXT_CHARACTERS)
        before = ("…" if left > first else "") + "".join(" " if c < " " else c for c in self.source[left : self.start])
        after = "".join(" " if c < " " else c for c in self.source[self.start : right])
        carets = "^" * max(1, min(self.end, right) - self.start)
        return f"  {before}{after}{'…' if right < last else ''}\n  {' ' * len(before)}{carets}"


class PromptError(LoraLoopError):
    """A prompt that cannot be expanded: where, why and what to do. `place` is None when there is no one place."""

    def __init__(self, reason: str, place: Place | None = None) -> None:
        self.reason = reason
        self.place = place
        super().__init__(f"{place}: {reason}\n{place.picture()}" if place else reason)


class TemplateError(PromptError):
    """The template is not well formed."""


class VariableError(PromptError):
    """A variable is used before it is set, or refers to itself."""


class WildcardError(PromptError):
    """A wildcard is missing, refused, or refers to itself."""


class WildcardFileError(PromptError):
    """A wildcard file cannot be read as it is (encoding, size, structure)."""

    exit_code = 3


class LimitReached(PromptError):
    """A limit of `Limits` was reached: size, depth, expansions or time."""


class NotCountable(PromptError):
    """The exact number of combinations would take too long to work out."""
