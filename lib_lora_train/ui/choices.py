"""The choices that a template offers, read out of its tree: exact odds without drawing, and the wildcards it names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lib_lora_train.prompt.choose import clamp
from lib_lora_train.prompt.errors import PromptError
from lib_lora_train.prompt.nodes import Body, Node, Variant, Wildcard
from lib_lora_train.prompt.stream import weight
from lib_lora_train.prompt.template import Template
from lib_lora_train.prompt.wildcards import Wildcards

MOST_SITES = 40
MOST_VALUES = 8


@dataclass(frozen=True)
class Site:
    """One choice of a template. `values` holds (text, probability) of the likeliest values, at most `MOST_VALUES`.

    `low` … `high` is how many are picked; with more than one the probabilities are those of the first pick.
    """

    source: str
    size: int
    values: tuple[tuple[str, float], ...]
    low: int = 1
    high: int = 1


@dataclass(frozen=True)
class Unknown:
    """A wildcard that nothing was found for, and where was looked."""

    name: str
    reason: str


def nodes(body: Body) -> Iterator[Node]:
    """Every construct of a template, in the order in which they stand."""
    waiting = [body]
    while waiting:
        current = waiting.pop()
        found = [item for item in current if not isinstance(item, str)] if isinstance(current, tuple) else []
        inner = [child for item in found for _, child in item.children()]
        yield from found
        waiting += reversed(inner)


def sites(template: Template, wildcards: Wildcards) -> list[Site]:
    """The first `MOST_SITES` choices of a template; wildcards that are unknown or unreadable are not among them."""
    found: list[Site] = []
    pooled: set[int] = set()
    for node in nodes(template.body):
        if len(found) >= MOST_SITES:
            break
        source = template.source[node.start : node.end]
        if isinstance(node, Variant):
            pool = node.pool([0]) if node.multiple and len(node.options) == 1 else None
            if pool is None:
                found.append(_of_variant(node, source))
            elif (site := _of_wildcard(pool, source, wildcards)) is not None:
                high = node.header.high
                found.append(Site(source, site.size, site.values, *clamp(node.header.low, high, site.size)))
                pooled.add(id(pool))
        elif isinstance(node, Wildcard) and id(node) not in pooled:
            site = _of_wildcard(node, source, wildcards)
            if site is not None:
                found.append(site)
    return found


def unknown(template: Template, wildcards: Wildcards) -> list[Unknown]:
    """The wildcards named in the template (not those in a drawn name) that do not exist or cannot be read."""
    found: dict[str, Unknown] = {}
    for node in nodes(template.body):
        if isinstance(node, Wildcard) and node.spelled and node.spelled not in found:
            try:
                if wildcards.find(node.spelled) is None:
                    found[node.spelled] = Unknown(node.spelled, wildcards.reason(node.spelled))
            except PromptError as error:
                found[node.spelled] = Unknown(node.spelled, error.reason)
    return list(found.values())


def _of_variant(node: Variant, source: str) -> Site:
    size = len(node.options)
    total = sum(node.weights)
    values = [(node.label(index), node.weights[index] / total) for index in range(size)]
    values.sort(key=lambda pair: -pair[1])
    low, high = clamp(node.header.low, node.header.high, size) if node.multiple else (1, 1)
    return Site(source, size, tuple(values[:MOST_VALUES]), low, high)


def _of_wildcard(node: Wildcard, source: str, wildcards: Wildcards) -> Site | None:
    try:
        collection = wildcards.find(node.spelled) if node.spelled else None
    except PromptError:
        return None
    if collection is None:
        return None
    values = collection.values
    sums = values.cumulative
    shares = [
        (values.text(index), 1 / values.size if sums is None else weight(sums, index) / sums[-1])
        for index in range(min(values.size, MOST_VALUES if sums is None else 1000))
    ]
    shares.sort(key=lambda pair: -pair[1])
    return Site(source, values.size, tuple(shares[:MOST_VALUES]))
