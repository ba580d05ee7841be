"""HTML that is always escaped: text becomes HTML only in here."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def text(value: object) -> Html:
    """Any value as text."""
    return value if isinstance(value, Html) else Html(escape(str(value), quote=True))


def element(name: str, *children: object, **attributes: object) -> Html:
    """`<name attributes>children</name>`. Children that are not `Html` are escaped, attributes always.

    `class_` is class, `data_x` is data-x; an attribute that is None or False is left out, True stands without a value.
    """
    written = [name]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        label = key.rstrip("_").replace("_", "-")
        written.append(label if value is True else f'{label}="{escape(str(value), quote=True)}"')
    return Html(f"<{' '.join(written)}>{joined(children)}</{name}>")


def joined(parts: Iterable[object], between: str = "") -> Html:
    """Several parts one after the other, each escaped unless it is HTML."""
    return Html(between.join(text(part) for part in parts))
