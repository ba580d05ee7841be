"""The formatter: one way to write a template, which means the same.

Variants get no blanks that do not count, weights lose needless digits, counts their longest form; long variants may be
spread over lines. The tree is the same before and after, so the same seeds give the same prompts.
"""

from __future__ import annotations

from collections.abc import Iterator

from lib_lora_train.prompt.nodes import Access, Assign, Body, Variant, Wildcard, Wrap, items_of
from lib_lora_train.prompt.syntax import BAD_WEIGHT, DEFAULT_SYNTAX, WEIGHT, Syntax, escape
from lib_lora_train.prompt.template import Template
from lib_lora_train.prompt.tokens import UNIT


def format_template(template: Template, syntax: Syntax = DEFAULT_SYNTAX) -> str:
    """The template, written plainly on one line (its own line ends stay). Comments are dropped."""
    return _written(template.body, syntax, False)


def _written(body: Body, syntax: Syntax, option: bool) -> str:
    """`body` as a template; `option` is the value of an option, whose start may look like a weight or a sampler."""
    items = items_of(body)
    parts: list[str] = []
    for place, item in enumerate(items):
        if isinstance(item, str):
            text = escape(item, syntax)
            if place + 1 < len(items):  # backslashes in front of a construct would make it text
                text += "\\" * (len(text) - len(text.rstrip("\\")))
            parts.append(text)
        else:
            parts.append("".join(_node(item, syntax)))
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


def _node(node: Variant | Wildcard | Access | Assign | Wrap, syntax: Syntax) -> Iterator[str]:
    if isinstance(node, Variant):
        yield syntax.variant_start + _header(node)
        yield "|".join(_option(option, weight, syntax) for option, weight in zip(node.options, node.given, strict=True))
        yield syntax.variant_end
    elif isinstance(node, Wildcard):
        parameters = ",".join(f"{key}={_written(value, syntax, False)}" for key, value in node.parameters)
        yield syntax.wildcard + node.sampler + _written(node.name, syntax, False)
        yield (f"({parameters})" if parameters else "") + syntax.wildcard
    elif isinstance(node, Access):
        yield "${" + node.name + ("" if node.default is None else ":" + _written(node.default, syntax, False)) + "}"
    elif isinstance(node, Assign):
        yield "${" + node.name + node.operator + ("!" if node.eager else "") + _written(node.value, syntax, False) + "}"
    else:
        yield "%{" + _written(node.frame, syntax, False) + "$$" + _written(node.inner, syntax, False) + "}"


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
    written = _written(option, syntax, weight == UNIT)
    if weight == UNIT:
        return written
    whole, fraction = divmod(weight, UNIT)
    return f"{whole}{f'.{fraction:06d}'.rstrip('0') if fraction else ''}::{written}"
