"""From tokens to the tree, by lark's LALR parser and `grammar.lark`. The parser is built at the first use (lazily)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from lib_lora_train.prompt.errors import LimitReached
from lib_lora_train.prompt.limits import Limits
from lib_lora_train.prompt.nodes import Access, Assign, Body, Item, Variant, Wildcard, Wrap, joined
from lib_lora_train.prompt.scan import Scanner
from lib_lora_train.prompt.syntax import Syntax
from lib_lora_train.prompt.tokens import UNIT, Header, Report, Token, weighted

Option = tuple[Body, int]
"""An option's body and its weight in millionths."""


def parse(report: Report, syntax: Syntax, limits: Limits) -> Body:
    """The tree of a template. Raises TemplateError with a caret (strict), LimitReached."""
    size = len(report.source.encode("utf-8", "surrogatepass"))
    if size > limits.template_bytes:
        reason = f"The {report.name} is {size:,} bytes long, more than the limit of {limits.template_bytes:,}; shorten it or move lists to wildcard files."
        raise LimitReached(reason)
    marks = Scanner(report, syntax, limits).scan()
    return cast(Body, parser().parse(cast(Any, Emitter(report).emit(marks))))


@lru_cache(maxsize=1)
def parser() -> Any:
    """The LALR parser of `grammar.lark` (about 20 ms to build, once a process; importing lark takes about 0.1 s)."""
    from lark import Lark
    from lark.lexer import Lexer

    class Given(Lexer):
        """Hands on the tokens that were made before."""

        def __init__(self, _configuration: Any) -> None:
            pass

        def lex(self, data: Any, *_state: Any) -> Iterator[Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
            return iter(data)

    grammar = Path(__file__).with_name("grammar.lark").read_text(encoding="utf-8")
    make = cast(Callable[..., Any], Lark)
    return make(grammar, start="body", parser="lalr", lexer=Given, transformer=Builder())


class Emitter:
    """Puts the text between the marks, strips and weighs options, and gathers runs of plain options in one token."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.tokens: list[Token] = []
        self.pieces: list[str] = []
        self.start = 0
        self.gap = False
        self.variants: list[Run] = []
        self.inside: list[bool] = [False]

    def emit(self, marks: list[Token]) -> list[Token]:
        """The tokens for the parser."""
        source, position = self.report.source, 0
        for mark in marks:
            if mark.start_pos > position:
                self.piece(source[position : mark.start_pos], position)
            position = mark.end_pos
            if mark.type == "COMMENT":
                self.gap = True
            elif mark.type == "LITERAL":
                self.piece(cast(str, mark.value), mark.start_pos)
            elif mark.type == "SKIP":
                self.text()
            elif mark.type in ("BAR", "CLOSE"):
                self.end_option(mark)
            else:
                self.begin(mark)
        if len(source) > position:
            self.piece(source[position:], position)
        self.text()
        return self.tokens

    def piece(self, text: str, start: int) -> None:
        """Keep some text until its end is known; a comment between two texts counts as one blank."""
        if not self.pieces:
            self.start = start
        elif self.gap:
            self.pieces.append(" ")
        self.gap = False
        self.pieces.append(text)

    def take(self) -> str:
        """The text kept so far."""
        text = "".join(self.pieces)
        self.pieces.clear()
        self.gap = False
        return text

    def text(self) -> None:
        """Hand on the text kept so far."""
        if self.pieces:
            self.tokens.append(Token("TEXT", self.take(), self.start, self.start))

    def begin(self, mark: Token) -> None:
        """A construct starts or ends: what stood before it is text, maybe the start of an option."""
        if self.inside[-1] and not self.variants[-1].started:
            self.start_option()
        self.text()
        self.tokens.append(mark)
        if mark.type.endswith("_END"):
            self.inside.pop()
        elif mark.type == "OPEN":
            mark.value = (mark.value, self.report.source)
            self.variants.append(Run(mark))
            self.inside.append(True)
        elif mark.type not in ("PARAMETER", "MIDDLE"):
            self.inside.append(False)

    def start_option(self) -> None:
        """The first piece of an option that holds a construct: its weight."""
        run = self.variants[-1]
        run.started = True
        if run.plain:
            self.plain(run)
            self.tokens.append(run.bar)
        weight, text = self.weight()
        if weight is not None:
            self.tokens.append(Token("WEIGHT", weight, self.start, self.start))
        if text:
            self.tokens.append(Token("TEXT", text, self.start, self.start))

    def end_option(self, mark: Token) -> None:
        """A bar or the closing brace."""
        run = self.variants[-1]
        closing = mark.type == "CLOSE"
        if run.started:
            self.text()
            if not closing:
                self.tokens.append(mark)
                run.started = False
        else:
            weight, text = self.weight()
            run.plain.append((text, UNIT if weight is None else weight))
            run.bar = mark
        if closing:
            if run.plain:
                self.plain(run)
            self.tokens.append(mark)
            self.variants.pop()
            self.inside.pop()

    def plain(self, run: Run) -> None:
        """Hand on the plain options gathered so far."""
        self.tokens.append(Token("PLAIN", run.plain, 0, 0))
        run.plain = []

    def weight(self) -> tuple[int | None, str]:
        """The weight before the option's text kept so far, and the rest; blanks before either are dropped."""
        start = self.start
        weight, text = weighted(self.take(), lambda reason, a, b: self.report.problem(reason, start + a, start + b))
        return weight, text.lstrip() if weight is None else text


class Run:
    """An open variant: the plain options waiting, the last bar, and whether the current option already has tokens."""

    __slots__ = ("bar", "plain", "started")

    def __init__(self, bar: Token) -> None:
        self.plain: list[Option] = []
        self.bar = bar
        self.started = False


class Builder:
    """lark calls the method named like the rule at each reduction, so no tree is built and nothing recurses."""

    def body(self, items: list[Any]) -> Body:
        """The whole template."""
        return joined(_values(items))

    def option(self, items: list[Any]) -> list[Option]:
        """A run of plain options, or one other."""
        only = items[0]
        return cast("list[Option]", only.value) if isinstance(only, Token) else [only]

    def weighted(self, items: list[Any]) -> Option:
        """One option with constructs in it."""
        first = items[0]
        weight = UNIT
        if isinstance(first, Token) and first.type == "WEIGHT":
            weight = cast(int, first.value)
            items = items[1:]
        return joined(_values(items)), weight

    def variant(self, items: list[Any]) -> Variant:
        """`{…}` or `<…>`."""
        header, source = cast("tuple[Header, str]", items[0].value)
        options: list[Option] = []
        spans: dict[int, tuple[int, int]] = {}
        for place, run in enumerate(items):
            if isinstance(run, Token):
                continue
            if len(run) == 1 and not isinstance(run[0][0], str):
                spans[len(options)] = (items[place - 1].end_pos, items[place + 1].start_pos)
            options += cast("list[Option]", run)
        bodies, weights = [option[0] for option in options], [option[1] for option in options]
        variant = Variant(header, bodies, weights, (items[0].start_pos, items[-1].end_pos))
        variant.source, variant.spans = source, spans
        return variant

    def parameter(self, items: list[Any]) -> tuple[str, Body]:
        """`key=value`."""
        return cast(str, items[0].value), joined(_values(items[1:]))

    def wildcard(self, items: list[Any]) -> Wildcard:
        """`__name__`."""
        name = [item for item in items[1:-1] if not isinstance(item, tuple)]
        parameters = [cast("tuple[str, Body]", item) for item in items[1:-1] if isinstance(item, tuple)]
        place = (items[0].start_pos, items[-1].end_pos)
        return Wildcard(cast(str, items[0].value), joined(_values(name)), parameters, place)

    def access(self, items: list[Any]) -> Access:
        """`${name}`, `${name:default}`."""
        name, operator = cast("tuple[str, str]", items[0].value)
        default = joined(_values(items[1:-1])) if operator == ":" else None
        return Access(name, default, (items[0].start_pos, items[-1].end_pos))

    def assignment(self, items: list[Any]) -> Assign:
        """`${name=value}`."""
        name, operator = cast("tuple[str, str]", items[0].value)
        return Assign(name, operator, joined(_values(items[1:-1])), (items[0].start_pos, items[-1].end_pos))

    def wrap(self, items: list[Any]) -> Wrap:
        """`%{before ... after$$inner}`."""
        middle = next(index for index, item in enumerate(items) if isinstance(item, Token) and item.type == "MIDDLE")
        place = (items[0].start_pos, items[-1].end_pos)
        return Wrap(joined(_values(items[1:middle])), joined(_values(items[middle + 1 : -1])), place)


def _values(items: list[Any]) -> list[Item]:
    return [cast(str, item.value) if isinstance(item, Token) else item for item in items]
