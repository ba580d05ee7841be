"""What was drawn: one `Choice` for each variant and wildcard of a prompt, enough to replay it or to hold some of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Choice:
    """One draw.

    `path` is its place in the template ("0.1/hue" is the wildcard hue in option 1 of the first variant; ">" leads into a
    wildcard's line or a variable's value). `source` is the wildcard's name, or the template's text of the variant.
    `picks` are indices among `size` options or lines, `texts` what they say, `odds` each one's share of all weights.
    `start` and `end` are the place in the template (of the wildcard's line, for choices inside one).
    """

    path: str
    kind: str
    source: str
    picks: tuple[int, ...]
    texts: tuple[str, ...]
    size: int
    odds: tuple[float, ...]
    start: int
    end: int

    def to_json(self) -> dict[str, Any]:
        """Plain lists and numbers for JSON."""
        lists = {"picks": list(self.picks), "texts": list(self.texts), "odds": list(self.odds)}
        return {**asdict(self), **lists}

    @staticmethod
    def from_json(fields: Mapping[str, Any]) -> Choice:
        """The choice that `to_json` wrote. Raises KeyError when a field is missing."""
        values: dict[str, Any] = {name: fields[name] for name in Choice.__dataclass_fields__}
        values.update({name: tuple(fields[name]) for name in ("picks", "texts", "odds")})
        return Choice(**values)


def held(choices: Iterable[Choice], *prefixes: str) -> dict[str, Choice]:
    """The choices whose path starts with one of `prefixes` (all of them, without any), ready to be held fixed."""
    return {choice.path: choice for choice in choices if not prefixes or choice.path.startswith(prefixes)}
