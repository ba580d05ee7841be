"""A template, compiled once and drawn often, and the context that it is drawn in."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from lib_lora_train.prompt.limits import DEFAULT_LIMITS, Limits
from lib_lora_train.prompt.nodes import Assign, Body, number
from lib_lora_train.prompt.parse import parse
from lib_lora_train.prompt.syntax import DEFAULT_SYNTAX, Syntax, is_plain
from lib_lora_train.prompt.tokens import Report
from lib_lora_train.prompt.wildcards import Wildcards

Missing = Literal["literal", "error", "empty"]
KEPT_LINES = 20_000
KEPT_TEMPLATES = 64


class Template:
    """A compiled template: its tree, its assignments, and what was noted while reading it."""

    def __init__(self, source: str, name: str, body: Body, notes: list[str]) -> None:
        self.source = source
        self.name = name
        self.body = body
        self.notes = notes
        self.assignments: list[Assign] = number(body)


def read_template(source: str, syntax: Syntax, limits: Limits, lenient: bool, name: str = "prompt") -> Template:
    """Read a template anew. Line ends become `\\n`."""
    source = source.replace("\r\n", "\n").replace("\r", "\n") if "\r" in source else source
    report = Report(source, name, lenient, [])
    plain = len(source) * 4 <= limits.template_bytes and is_plain(source, syntax)
    return Template(source, name, source if plain else parse(report, syntax, limits), report.notes)


def compile_template(
    source: str,
    syntax: Syntax = DEFAULT_SYNTAX,
    limits: Limits = DEFAULT_LIMITS,
    lenient: bool = False,
    name: str = "prompt",
) -> Template:
    """Read a template; the same arguments give the same object back without reading again.

    `lenient` takes what cannot be read as text and notes it. Raises TemplateError (strict) and LimitReached.
    """
    return _kept(source, syntax, limits, lenient, name)


_kept = lru_cache(maxsize=256)(read_template)


class Context:
    """Everything that a prompt depends on besides its template and seed."""

    def __init__(
        self,
        wildcards: Wildcards | None = None,
        *,
        syntax: Syntax = DEFAULT_SYNTAX,
        limits: Limits = DEFAULT_LIMITS,
        lenient: bool = False,
        missing: Missing = "literal",
    ) -> None:
        self.wildcards = wildcards if wildcards is not None else Wildcards()
        self.syntax = syntax
        self.limits = limits
        self.lenient = lenient
        self.missing: Missing = missing
        self._templates: dict[tuple[str, str], Template] = {}
        self._lines: dict[tuple[str, str], str | Template] = {}

    def template(self, source: str, name: str = "prompt") -> Template:
        """The compiled template."""
        known = self._templates.get((name, source))
        if known is None:
            if len(self._templates) >= KEPT_TEMPLATES:
                self._templates.clear()
            known = self._templates[name, source] = compile_template(
                source, self.syntax, self.limits, self.lenient, name
            )
        return known

    def line(self, text: str, name: str) -> str | Template:
        """A wildcard's line: itself when it is plain text, else compiled (and kept)."""
        known = self._lines.get((name, text))
        if known is None:
            if len(self._lines) >= KEPT_LINES:
                self._lines.clear()
            template = read_template(text, self.syntax, self.limits, self.lenient, f"wildcard {name}")
            known = self._lines[name, text] = template.body if isinstance(template.body, str) else template
        return known
