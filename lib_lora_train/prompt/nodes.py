"""The tree of a template. A body is a plain string, or a tuple of strings and nodes.

Nodes are made bottom-up by the parser; `number` then gives each its path, from which its random key follows.
How a node is drawn stands in `draw`, counted in `count`, written back in `format`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import Union

from lib_lora_train.prompt.stream import key_of, running
from lib_lora_train.prompt.syntax import WEIGHT
from lib_lora_train.prompt.tokens import UNIT, Header

Node = Union["Variant", "Wildcard", "Access", "Assign", "Wrap"]
Item = Union[str, "Node"]
Body = Union[str, "tuple[Item, ...]"]


class Site:
    """Where something is drawn or looked up: `start … end` in its template, its path, and the key of that path."""

    def __init__(self, start: int, end: int) -> None:
        self.start = start
        self.end = end
        self.path = ""
        self.key = 0

    def settle(self, path: str) -> None:
        """Give the node its place among the others."""
        self.path = path
        self.key = key_of(path)

    def children(self) -> list[tuple[str, Body]]:
        """The bodies inside, each with what its path continues by."""
        return []


class Variant(Site):
    """`{a|3::b}`: options with weights in millionths (None when all are 1), and how many are picked."""

    def __init__(self, header: Header, options: list[Body], weights: list[int], place: tuple[int, int]) -> None:
        super().__init__(*place)
        self.header = header
        self.options = options
        self.given = weights
        self.all_zero = not any(weights)
        self.weights = [UNIT] * len(weights) if self.all_zero else weights
        self.source = ""
        self.spans: dict[int, tuple[int, int]] = {}
        equal = min(self.weights) == max(self.weights)
        self.cumulative = None if equal else running(self.weights)
        self.multiple = header.bounded and (len(options) > 1 or self.pool([0]) is not None)
        self.simple = not self.multiple and not header.sampler and not self.all_zero

    def pool(self, options: Sequence[int]) -> Wildcard | None:
        """The wildcard whose lines are picked, when it is the only one of `options` (`{2$$__hue__}`)."""
        only = self.options[options[0]]
        if len(options) == 1 and isinstance(only, tuple) and len(only) == 1 and isinstance(only[0], Wildcard):
            return only[0]
        return None

    @cached_property
    def possible(self) -> list[int]:
        """The options with a weight above 0."""
        return [index for index, weight in enumerate(self.weights) if weight]

    @cached_property
    def distinct(self) -> list[int]:
        """The options that can be drawn, without those written the same as an earlier one."""
        seen: dict[str, int] = {}
        for index in self.possible:
            seen.setdefault(self.label(index), index)
        return list(seen.values())

    def label(self, index: int) -> str:
        """An option as it is written, without its weight."""
        option = self.options[index]
        if isinstance(option, str):
            return option
        start, end = self.spans[index]
        source = self.source[start:end]
        found = WEIGHT.match(source)
        return source[found.end() if found else 0 :].strip()

    def children(self) -> list[tuple[str, Body]]:
        return [(f".{index}", option) for index, option in enumerate(self.options) if not isinstance(option, str)]

    def trim(self) -> None:
        """Drop the options' trailing blanks: a blank follows the closing brace, and two would be one too many."""
        self.options = [rstrip(option) for option in self.options]


class Wildcard(Site):
    """`__name(key=value)__`."""

    def __init__(self, sampler: str, name: Body, parameters: list[tuple[str, Body]], place: tuple[int, int]) -> None:
        super().__init__(*place)
        self.sampler = sampler
        self.name = name
        self.parameters = parameters
        self.spelled = name if isinstance(name, str) else ""
        self.simple = bool(self.spelled) and not sampler

    def children(self) -> list[tuple[str, Body]]:
        return [(".name", self.name), *((f"({key})", value) for key, value in self.parameters)]


class Access(Site):
    """`${name}` or `${name:default}`; default None is "must be set"."""

    def __init__(self, name: str, default: Body | None, place: tuple[int, int]) -> None:
        super().__init__(*place)
        self.name = name
        self.default = default

    def children(self) -> list[tuple[str, Body]]:
        return [] if self.default is None else [(":", self.default)]


class Assign(Site):
    """`${name=value}`; operator is one of `=`, `?=`, `+=`, each also with `!` (drawn once, at once)."""

    def __init__(self, name: str, operator: str, value: Body, place: tuple[int, int]) -> None:
        super().__init__(*place)
        self.name = name
        self.operator = operator.rstrip("!")
        self.eager = operator.endswith("!")
        self.value = value

    def children(self) -> list[tuple[str, Body]]:
        return [("", self.value)]


class Wrap(Site):
    """`%{before ... after$$inner}`."""

    def __init__(self, frame: Body, inner: Body, place: tuple[int, int]) -> None:
        super().__init__(*place)
        self.frame = frame
        self.inner = inner

    def children(self) -> list[tuple[str, Body]]:
        return [(".frame", self.frame), (".inner", self.inner)]


def number(body: Body) -> list[Assign]:
    """Give every node below `body` its path; returns the assignments.

    A variant is named by its place among the variants of its sequence, a wildcard or variable by its name and its
    place among those of the same name: so a new option, wildcard or variable does not re-roll the others.
    """
    assignments: list[Assign] = []
    waiting: list[tuple[str, Body]] = [("", body)]
    while waiting:
        prefix, current = waiting.pop()
        counts: Counter[str] = Counter()
        for node in current if isinstance(current, tuple) else ():
            if isinstance(node, str):
                continue
            name = _name(node)
            place = counts[name]
            counts[name] += 1
            if isinstance(node, Variant):
                node.settle(f"{prefix}{place}")
            else:
                node.settle(f"{prefix}{name}" + (f"#{place}" if place else ""))
            waiting += [(f"{node.path}{part}/", inner) for part, inner in node.children()]
            if isinstance(node, Assign):
                assignments.append(node)
    return assignments


def _name(node: Node) -> str:
    if isinstance(node, Variant):
        return ""
    if isinstance(node, Wildcard):
        return node.name if isinstance(node.name, str) else "*"
    if isinstance(node, Access):
        return f"${node.name}"
    return f"${node.name}=" if isinstance(node, Assign) else "%"


def joined(items: Sequence[Item]) -> Body:
    """A body of `items`: neighbouring texts become one, text alone becomes a string."""
    merged: list[Item] = []
    for item in items:
        if isinstance(item, str) and merged and isinstance(merged[-1], str):
            merged[-1] += item
        elif item != "":
            merged.append(item)
    for index, item in enumerate(merged[1:]):
        before = merged[index]
        if isinstance(item, str) and item[0].isspace() and isinstance(before, Variant):
            before.trim()
    if not merged:
        return ""
    return merged[0] if len(merged) == 1 and isinstance(merged[0], str) else tuple(merged)


def items_of(body: Body) -> tuple[Item, ...]:
    """The parts of a body."""
    return (body,) if isinstance(body, str) else body


def rstrip(body: Body) -> Body:
    """`body` without the blanks at its end."""
    if isinstance(body, str):
        return body.rstrip()
    last = body[-1]
    return joined([*body[:-1], last.rstrip()]) if isinstance(last, str) else body
