"""How wildcards are drawn: from a name to values, from values to picks, from a pick to the text of its line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lib_lora_train.prompt.actions import CUT, OPEN, assemble, caught, finish, mode_of, sequence, switch
from lib_lora_train.prompt.choose import ALL, RANDOM, clamp, cycle_length, cycled_picks, random_count, turned_picks
from lib_lora_train.prompt.errors import WildcardError
from lib_lora_train.prompt.machine import Binding, Leave, Machine
from lib_lora_train.prompt.nodes import Body, Variant, Wildcard
from lib_lora_train.prompt.stream import pick, picks
from lib_lora_train.prompt.wildcards import Collection

if TYPE_CHECKING:
    from lib_lora_train.prompt.template import Template


class Lookup:
    """Ends catching: the text is a wildcard's name. `variant` picks among the lines when there is one around."""

    def __init__(self, node: Wildcard, variant: Variant | None) -> None:
        self.node = node
        self.variant = variant


class LineCall:
    """One of several picked lines that hold constructs of their own."""

    def __init__(self, call: tuple[Wildcard, Variant | None, str], template: Template, number: int) -> None:
        self.node, self.variant, self.name = call
        self.template = template
        self.number = number


def wildcard(node: Wildcard, m: Machine) -> Body | None:
    """`__name__`; the first lines are the way of nearly every draw."""
    if m.quick and node.simple:
        collection = _found(node, node.spelled, m)
        if isinstance(collection, str):
            return collection
        values = collection.values
        index = pick(m.key ^ node.key, values.size, values.cumulative)
        text = values.text(index)
        m.drawn.append((m.frame, node, (index,), node.spelled, collection, (text,)))
        template = m.context.line(text, node.spelled)
        return template if isinstance(template, str) else _enter(LineCall((node, None, node.spelled), template, 0), m)
    return named(node, m, None)


def named(node: Wildcard, m: Machine, variant: Variant | None) -> Body | None:
    """Draw from `node`; `variant` is the `{2$$__name__}` around it."""
    if isinstance(node.name, str):
        return _expand(node, node.name, variant, m)
    return sequence(OPEN, node.name, CUT, Lookup(node, variant))


def lookup_step(action: Lookup, m: Machine) -> Body | None:
    """The name is known now. Text comes back as a sequence, because catching has ended and the machine must notice."""
    (name,) = caught(m)
    return sequence(_expand(action.node, name, action.variant, m))


def _expand(node: Wildcard, name: str, variant: Variant | None, m: Machine) -> Body | None:
    collection = _found(node, name, m)
    if isinstance(collection, str):
        return collection
    site = variant or node
    mode = mode_of(variant.header.sampler if variant and variant.header.sampler else node.sampler, m)
    back = switch(mode, m)
    held = m.draw.held.get(m.frame.prefix + site.path) if m.draw.held is not None and m.frame is not None else None
    if held is not None and held.kind == "wildcard":
        indices, texts = held.picks, list(held.texts)
    else:
        indices = _pick(collection, site, variant, mode, m)
        texts = [collection.values.text(index) for index in indices]
    m.drawn.append((m.frame, site, indices, name, collection, texts))
    return _bodies((node, variant, name), texts, m, back)


def _bodies(
    call: tuple[Wildcard, Variant | None, str], texts: Sequence[str], m: Machine, back: Leave | None
) -> Body | None:
    """The lines as text where they are plain, as calls where they are templates."""
    _, variant, name = call
    line = m.context.line
    if variant is None:
        template = line(texts[0], name)
        if isinstance(template, str):
            return finish(back, m, template)
        return sequence(_enter(LineCall(call, template, 0), m), back)
    values: list[Body] = []
    for number, text in enumerate(texts):
        template = line(text, name)
        values.append(template if isinstance(template, str) else sequence(LineCall(call, template, number + 1)))
    return assemble(values, variant.header.separator, m, back)


def line_step(call: LineCall, m: Machine) -> Body | None:
    """Go into a line."""
    return _enter(call, m)


def _enter(call: LineCall, m: Machine) -> Body:
    outer = m.frame
    assert outer is not None
    back = m.enter(call.variant or call.node, call.template, call.name, call.number)
    parameters = call.node.parameters
    if parameters or call.template.assignments:
        given = {key: Binding(value, outer.template, call.node.start, call.node.end) for key, value in parameters}
        m.scope = {**m.scope, **given}
    return sequence(call.template.body, back)


def _found(node: Wildcard, name: str, m: Machine) -> Collection | str:
    """The values of `name`, or the text that stands for it when there are none."""
    frame, context = m.frame, m.context
    assert frame is not None
    try:
        collection = context.wildcards.find(name)
        reason = "" if collection is not None else context.wildcards.reason(name)
    except WildcardError as error:
        collection, reason = None, error.reason
    if collection is not None:
        if collection.note:
            m.note(collection.note)
        return collection
    if context.missing == "error":
        raise WildcardError(reason, frame.place(node))
    m.note(f"{frame.place(node)}: {reason}")
    if context.missing == "empty":
        return ""
    wrap = context.syntax.wildcard
    return frame.template.source[node.start : node.end] if node.parameters else f"{wrap}{node.sampler}{name}{wrap}"


def _pick(
    collection: Collection, site: Wildcard | Variant, variant: Variant | None, mode: str, m: Machine
) -> Sequence[int]:
    values = collection.values
    if mode == RANDOM:
        key = m.key ^ site.key
        if variant is None:
            return (pick(key, values.size, values.cumulative),)
        low, high = clamp(variant.header.low, variant.header.high, values.size)
        return _different(collection, key, random_count(key, low, high), m)
    if variant is None and mode != ALL:
        length, step = cycle_length(values.size, values.cumulative)
        return (collection.at(m.turn(length), step),)
    options = collection.distinct
    low, high = clamp(variant.header.low, variant.header.high, len(options)) if variant else (1, 1)
    if mode == ALL:
        assert m.draw.odometer is not None
        return [options[index] for index in turned_picks(m.draw.odometer, low, high, len(options))]
    return [options[index] for index in cycled_picks(m.turn, low, high, len(options))]


def _different(collection: Collection, key: int, count: int, m: Machine) -> list[int]:
    """`count` lines that say different things (fewer when there are not so many)."""
    values, chosen = collection.values, dict[str, int]()
    for tries, index in enumerate(picks(key, values.size, values.cumulative) if count else ()):
        chosen.setdefault(values.text(index), index)
        if len(chosen) == count:
            break
        if tries % 256 == 255:
            m.tick()
    return list(chosen.values())
