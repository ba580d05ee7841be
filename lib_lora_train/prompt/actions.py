"""What the steps share: catching text, switching the mode, and joining picks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from lib_lora_train.prompt.choose import ALL, CYCLE, RANDOM
from lib_lora_train.prompt.machine import Leave, Machine, leave
from lib_lora_train.prompt.nodes import Body


class Open:
    """Starts to catch text instead of writing it."""


class Cut:
    """Ends one caught text and starts the next."""


class Join:
    """Ends catching: the texts, joined by a separator."""

    def __init__(self, separator: str) -> None:
        self.separator = separator


OPEN, CUT = Open(), Cut()


def open_step(_action: Open, m: Machine) -> None:
    """Catch from here on."""
    m.saved.append((m.out, []))
    m.out = []


def cut_step(_action: Cut, m: Machine) -> None:
    """One text is whole."""
    m.saved[-1][1].append("".join(m.out))
    m.out = []


def caught(m: Machine) -> list[str]:
    """End catching: the texts."""
    m.out, texts = m.saved.pop()
    return texts


def join_step(action: Join, m: Machine) -> None:
    """The picks are whole."""
    texts = caught(m)
    m.out.append(join(texts, action.separator))


def sequence(*parts: object) -> Body:
    """Texts, nodes and actions to go on with; bodies are spread out, None is nothing."""
    items: list[Any] = []
    for part in parts:
        if isinstance(part, tuple):
            items += cast("tuple[Any, ...]", part)
        elif part is not None:
            items.append(part)
    return tuple(items)


def assemble(values: Sequence[Body], separator: str, m: Machine, back: Leave | None) -> Body:
    """Several picks, joined."""
    if all(isinstance(value, str) for value in values):
        return finish(back, m, join(cast("Sequence[str]", values), separator))
    parts: list[object] = [OPEN]
    for value in values:
        parts += [value, CUT]
    return sequence(*parts, Join(separator), back)


def join(texts: Sequence[str], separator: str) -> str:
    """The texts with the separator between; what an empty first or last text leaves of it is cut, once at each end."""
    text = separator.join(texts)
    return text.removeprefix(separator).removesuffix(separator) if len(texts) > 1 else text


def mode_of(sampler: str, m: Machine) -> str:
    """The mode of a place: its own sampler or the one around it; `!` means random where nothing is enumerated."""
    mode = sampler or m.mode
    return RANDOM if mode == ALL and m.draw.odometer is None else mode


def switch(mode: str, m: Machine) -> Leave | None:
    """Make `mode` that of everything inside; the result leads back (None when nothing changes)."""
    if mode == m.mode and mode != CYCLE:
        return None
    back = Leave(m)
    m.mode = mode
    m.choose_way()
    return back


def finish(back: Leave | None, m: Machine, text: str) -> str:
    """Lead back at once, for a value that is plain text."""
    if back is not None:
        leave(back, m)
    return text
