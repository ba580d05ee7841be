"""How variants, variables and wraps are drawn, and the table of all steps."""

from __future__ import annotations

import re
from collections.abc import Mapping

from lib_lora_train.prompt.actions import (
    CUT,
    OPEN,
    Cut,
    Join,
    Open,
    assemble,
    caught,
    cut_step,
    finish,
    join_step,
    mode_of,
    open_step,
    sequence,
    switch,
)
from lib_lora_train.prompt.choose import ALL, RANDOM, clamp, cycled_picks, random_count, random_picks, turned_picks
from lib_lora_train.prompt.errors import VariableError
from lib_lora_train.prompt.machine import Binding, Frame, Leave, Machine, Step, leave
from lib_lora_train.prompt.nodes import Access, Assign, Body, Variant, Wildcard, Wrap, items_of, joined
from lib_lora_train.prompt.stream import pick
from lib_lora_train.prompt.wild import LineCall, Lookup, line_step, lookup_step, named, wildcard

_MARKER = re.compile("\\.{3,}|[\u1801\u2026\u22ee\u22ef\u22f0\u22f1\ufe19]")


class Store:
    """Ends catching: the text becomes a variable's value."""

    def __init__(self, assign: Assign, older: Binding | None) -> None:
        self.assign = assign
        self.older = older


class Framed:
    """Ends catching: the first text is put around the second."""


FRAMED = Framed()


def variant(node: Variant, m: Machine) -> Body | None:
    """`{a|b}`. The first lines are the ways that nearly every draw takes."""
    if m.quick and node.simple:
        index = pick(m.key ^ node.key, len(node.options), node.cumulative)
    elif node.simple and m.turning is not None:
        index = node.distinct[m.turning.next(len(node.distinct))]
    else:
        return _any_variant(node, m)
    m.drawn.append((m.frame, node, (index,)))
    return node.options[index]


def _any_variant(node: Variant, m: Machine) -> Body | None:
    mode = mode_of(node.header.sampler, m)
    pool = node.pool(node.distinct if mode == ALL else range(len(node.options))) if node.multiple else None
    if pool is not None:
        return named(pool, m, node)
    high = node.header.high
    if node.multiple and high is not None and high > len(node.options):
        m.note(f"{_place(node, m)}: {high} picks are asked for, but there are {len(node.options)} options.")
    if node.all_zero:
        m.note(f"{_place(node, m)}: All weights are 0, so all options count alike.")
    back = switch(mode, m)
    picks = _held(node, m)
    if picks is None:
        picks = _pick(node, mode, m)
    m.drawn.append((m.frame, node, tuple(picks)))
    if node.multiple:
        return assemble([node.options[index] for index in picks], node.header.separator, m, back)
    value = node.options[picks[0]]
    return finish(back, m, value) if isinstance(value, str) else sequence(value, back)


def _held(node: Variant, m: Machine) -> list[int] | None:
    """The options that are held fixed here; moved ones are found again by what they say."""
    if m.draw.held is None or m.frame is None:
        return None
    choice = m.draw.held.get(m.frame.prefix + node.path)
    if choice is None or choice.kind != "variant" or (not node.multiple and len(choice.picks) != 1):
        return None
    picks = list(choice.picks)
    for index, (place, text) in enumerate(zip(picks, choice.texts, strict=False)):
        if not (0 <= place < len(node.options) and node.label(place) == text):
            found = next((other for other in range(len(node.options)) if node.label(other) == text), None)
            if found is None:
                m.note(f"The held choice '{text}' is no longer an option; it was drawn again.")
                return None
            picks[index] = found
    return picks


def _pick(node: Variant, mode: str, m: Machine) -> list[int]:
    header, key = node.header, m.key ^ node.key
    if mode == RANDOM:
        if not node.multiple:
            return [pick(key, len(node.options), node.cumulative)]
        low, high = clamp(header.low, header.high, len(node.possible))
        return random_picks(key, random_count(key, low, high), len(node.options), node.cumulative)
    options = node.distinct if mode == ALL else node.possible
    low, high = clamp(header.low, header.high, len(options)) if node.multiple else (1, 1)
    if mode == ALL:
        assert m.draw.odometer is not None
        return [options[index] for index in turned_picks(m.draw.odometer, low, high, len(options))]
    return [options[index] for index in cycled_picks(m.turn, low, high, len(options))]


def access(node: Access, m: Machine) -> Body | None:
    """`${name}`: the value is drawn anew at each use, unless it was set with `=!`."""
    frame = m.frame
    assert frame is not None
    binding = m.scope.get(node.name)
    body = node.default if binding is None else binding.body
    if body is None:
        raise _unset(node, frame)
    if isinstance(body, str):
        return body
    outer: Frame | None = frame
    while binding is not None and outer is not None:
        if outer.binding is binding:
            reason = f"The variable '{node.name}' refers to itself, set at {binding.place()}; use '=!' to build on its older value."
            raise VariableError(reason, frame.place(node))
        outer = outer.parent
    back = m.enter(node, frame.template if binding is None else binding.template, f"${node.name}", 0, binding)
    return sequence(body, back)


def _unset(node: Access, frame: Frame) -> VariableError:
    later = [assign for assign in frame.template.assignments if assign.name == node.name and assign.start > node.start]
    if later:
        place = frame.place(later[0])
        return VariableError(
            f"The variable '{node.name}' is used before it is set at {place}; move that in front.", frame.place(node)
        )
    cure = f"write ${{{node.name}=…}} in front of it, or a default as in ${{{node.name}:…}}."
    return VariableError(f"The variable '{node.name}' is not set; {cure}", frame.place(node))


def assign(node: Assign, m: Machine) -> Body | None:
    """`${name=value}` and its kin: writes nothing."""
    older = m.scope.get(node.name)
    if node.operator == "?=" and older is not None:
        return None
    if (
        node.operator == "="
        and older is not None
        and m.frame is not None
        and older.template is m.frame.template
        and older.start != node.start
    ):
        m.note(
            f"The variable '{node.name}' is set twice, at {older.place()} and at {_place(node, m)}; each counts from its place on."
        )
    if node.eager and not isinstance(node.value, str):
        back = None
        if m.draw.batch_key is not None:
            back = Leave(m)
            m.key = m.draw.batch_key
            m.position = 0
        return sequence(OPEN, node.value, CUT, back, Store(node, older))
    _store(node, node.value, older, m)
    return None


def _store(node: Assign, value: Body, older: Binding | None, m: Machine) -> None:
    assert m.frame is not None
    if node.operator == "+=" and older is not None:
        value = joined([*items_of(older.body), *items_of(value)])
    m.scope[node.name] = Binding(value, m.frame.template, node.start, node.end)


def store_step(action: Store, m: Machine) -> None:
    """The value of a variable that is drawn once."""
    (text,) = caught(m)
    _store(action.assign, text, action.older, m)


def wrap(node: Wrap, _m: Machine) -> Body | None:
    """`%{before ... after$$inner}`."""
    return sequence(OPEN, node.frame, CUT, node.inner, CUT, FRAMED)


def framed_step(_action: Framed, m: Machine) -> None:
    """The first marker of the frame gives way to the inside; without a marker the frame comes first."""
    frame, inner = caught(m)
    found = _MARKER.search(frame)
    m.out.append(frame + inner if found is None else frame[: found.start()] + inner + frame[found.end() :])


def _place(node: Variant | Assign, m: Machine) -> str:
    assert m.frame is not None
    return str(m.frame.place(node))


STEPS: Mapping[type, Step] = {
    Variant: variant,
    Wildcard: wildcard,
    Access: access,
    Assign: assign,
    Wrap: wrap,
    Open: open_step,
    Cut: cut_step,
    Join: join_step,
    Store: store_step,
    Lookup: lookup_step,
    LineCall: line_step,
    Framed: framed_step,
    Leave: leave,
}
