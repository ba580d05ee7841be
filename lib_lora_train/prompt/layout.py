"""The formatter: one way to write a template, which means the same.

Variants get no blanks that do not count, weights lose needless digits, counts their longest form; long variants may be
spread over lines. The tree is the same before and after, so the same seeds give the same prompts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lib_lora_train.prompt.nodes import Access, Assign, Body, Variant, Wildcard, Wrap, items_of
from lib_lora_train.prompt.syntax import BAD_WEIGHT, DEFAULT_SYNTAX, WEIGHT, Syntax, escape
from lib_lora_train.prompt.template import Template
from lib_lora_train.prompt.tokens import UNIT

_NODE = "\ue000"
_TAG = re.compile(r"<\w[\w.-]*:(?!:)[^<>|]*>")
_SPECIAL = re.compile(r"(?<!\\)(\\*)([{}|<]|\$(?=[{$]|\Z)|%(?=\{|\Z)|_(?=_|\Z)|(?:(?<=\s)|\A)#|(?<!/)/(?=[/*]))")


def format_template(template: Template, syntax: Syntax = DEFAULT_SYNTAX) -> str:
    """The template, written plainly on one line (its own line ends stay). Comments are dropped."""
    return _written(template.body, syntax, False)


def _written(body: Body, syntax: Syntax, inside: bool, option: bool = False) -> str:
    """`body` as a template. `inside` is within braces; an `option` may look as if it started with a weight or sampler."""
    items = items_of(body)
    outline = "".join(item if isinstance(item, str) else _NODE for item in items)
    tags = {place for tag in _TAG.finditer(outline) for place in range(*tag.span())}
    parts: list[str] = []
    place = 0
    for index, item in enumerate(items):
        if isinstance(item, str):
            text = _text(item, syntax, inside, {spot - place for spot in tags})
            if index + 1 < len(items):  # backslashes in front of a construct would make it text
                text += "\\" * (len(text) - len(text.rstrip("\\")))
            parts.append(text)
            place += len(item)
        else:
            parts.append("".join(_node(item, syntax)))
            place += 1
    written = "".join(parts)
    if option and (
        written[:1].isspace()
        or written[:1] in "~@!"
        or "$$" in written
        or WEIGHT.match(written)
        or BAD_WEIGHT.match(written)
    ):
        return "1::" + written
    return written


def _text(text: str, syntax: Syntax, inside: bool, tags: set[int]) -> str:
    """Text with backslashes only where it would mean something else; `tags` are the places of extra-network tags."""
    if syntax != DEFAULT_SYNTAX:
        return escape(text, syntax)

    def protected(found: re.Match[str]) -> str:
        mark = found[2]
        if mark == "/" and not found[1] and text[: found.start()].strip():
            return found[0]  # only where a value starts is it a comment
        if (mark in "}|" and not inside) or (mark == "<" and found.start(2) in tags):
            return found[0]
        return found[1] * 2 + "\\" + mark

    return _SPECIAL.sub(protected, text)


def _node(node: Variant | Wildcard | Access | Assign | Wrap, syntax: Syntax) -> Iterator[str]:
    if isinstance(node, Variant):
        yield syntax.variant_start + _header(node)
        yield "|".join(_option(option, weight, syntax) for option, weight in zip(node.options, node.given, strict=True))
        yield syntax.variant_end
    elif isinstance(node, Wildcard):
        parameters = ",".join(f"{key}={_written(value, syntax, True)}" for key, value in node.parameters)
        yield syntax.wildcard + node.sampler + _written(node.name, syntax, True)
        yield (f"({parameters})" if parameters else "") + syntax.wildcard
    elif isinstance(node, Access):
        yield "${" + node.name + ("" if node.default is None else ":" + _written(node.default, syntax, True)) + "}"
    elif isinstance(node, Assign):
        yield "${" + node.name + node.operator + ("!" if node.eager else "") + _written(node.value, syntax, True) + "}"
    else:
        yield "%{" + _written(node.frame, syntax, True) + "$$" + _written(node.inner, syntax, True) + "}"


def _header(node: Variant) -> str:
    header = node.header
    if not header.bounded:
        return header.sampler
    bound = (
        f"{header.low}-{'' if header.high is None else header.high}" if header.high != header.low else f"{header.low}"
    )
    separator = "" if header.separator == "," else escape(header.separator) + "$$"
    return f"{header.sampler}{bound}$${separator}"


def _option(option: Body, weight: int, syntax: Syntax) -> str:
    written = _written(option, syntax, True, weight == UNIT)
    if weight == UNIT:
        return written
    whole, fraction = divmod(weight, UNIT)
    return f"{whole}{f'.{fraction:06d}'.rstrip('0') if fraction else ''}::{written}"
