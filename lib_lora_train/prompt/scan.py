"""From text to tokens in one pass: which bracket belongs to which, and what is only text.

Hard groups (`{…}`, `${…}`, `%{…}`) must close. Soft frames (`<…>`, `[…]`, `__…__` and the parentheses in it) open on
trial and dissolve into text when they do not. Every mark is pushed and popped once, so the time is linear.
"""

from __future__ import annotations

import re
from collections import Counter

from lib_lora_train.prompt.errors import LimitReached
from lib_lora_train.prompt.limits import Limits
from lib_lora_train.prompt.syntax import ACCESS, COMMENT, PARAMETER, TAG, Syntax, patterns, unescape
from lib_lora_train.prompt.tokens import MAX_COUNT, Header, Report, Token

VARIANT, REFERENCE, WRAP, ROOT = "variant", "reference", "wrap", "root"
ANGLE, TAGGED, SQUARE, WILD, PAREN, PARAMETERS = "angle", "tag", "square", "wild", "paren", "parameters"
LONGEST_RUN = 64
"""So many equal characters are looked at after a backslash, which keeps the time linear."""
_BOUND_ATTEMPT = re.compile(r"[\s\d.+~@!-]*\Z")


class Frame:
    """An open bracket: its kind, its token (live only once it is closed) and the bars that belong to it."""

    __slots__ = ("bars", "kind", "marks", "token")

    def __init__(self, kind: str, token: Token) -> None:
        self.kind = kind
        self.token = token
        self.bars: list[Token] = []
        self.marks: list[Token] = []


class Group(Frame):
    """A hard bracket, with the soft frames that are open in it."""

    __slots__ = ("middle", "open", "soft")

    def __init__(self, kind: str, token: Token) -> None:
        super().__init__(kind, token)
        self.soft: list[Frame] = []
        self.open: Counter[str] = Counter()
        self.middle: Token | None = None

    def push(self, kind: str, token: Token) -> Frame:
        """Open a soft frame on trial."""
        frame = Frame(kind, token)
        self.soft.append(frame)
        self.open[kind] += 1
        return frame

    def pop(self) -> Frame:
        """Take the top soft frame off."""
        frame = self.soft.pop()
        self.open[frame.kind] -= 1
        return frame

    def dissolve(self, *until: str) -> None:
        """Make text of the soft frames above the nearest one of the kinds `until` (of all, without any).

        Their bars go to the frame that remains on top.
        """
        bars: list[Token] = []
        while self.soft and self.soft[-1].kind not in until:
            bars += self.pop().bars
        (self.soft[-1] if self.soft else self).bars += bars

    def drop(self) -> None:
        """Make text of the top soft frame alone."""
        bars = self.pop().bars
        (self.soft[-1] if self.soft else self).bars += bars

    @property
    def top(self) -> str:
        """The kind of the top soft frame, or the group's own."""
        return self.soft[-1].kind if self.soft else self.kind


class Scanner:
    """One scan of one template. `live` holds the marks that turned out to mean something, in any order."""

    def __init__(self, report: Report, syntax: Syntax, limits: Limits) -> None:
        self.source = report.source
        self.report = report
        self.syntax = syntax
        self.limits = limits
        self.patterns = patterns(syntax)
        self.groups = [Group(ROOT, Token("ROOT", None, 0, 0))]
        self.live: list[Token] = []
        # The last place where a block comment can end: without one, an open `/*` is text and costs nothing.
        self.last_comment_end = self.source.rfind("*/") if syntax.comments else -1
        self.line_comments = syntax.comments and "//" in self.source

    def scan(self) -> list[Token]:
        """The live marks in order of place. Raises TemplateError (strict) and LimitReached."""
        position = self.comment(0)
        while True:
            group = self.groups[-1]
            pattern = self.patterns.inner if group.open[WILD] else self.patterns.outer
            found = pattern.search(self.source, position)
            if found is None:
                break
            position = self.mark(found, group)
        self.finish()
        self.live.sort(key=lambda token: token.start_pos)
        return self.live

    def mark(self, found: re.Match[str], group: Group) -> int:
        """Handle one mark; returns where the scan goes on."""
        text, start, end = found[0], found.start(), found.end()
        if found.lastgroup == "comment":
            self.live.append(Token("COMMENT", None, start, end))
            return end
        if found.lastgroup == "run":
            return self.backslashes(text, start, end)
        if text == "${":
            return self.reference(start, end)
        if text == "%{":
            end = start + len(text) + _blanks(self.source, end)
            return self.open(WRAP, Token("WRAP", None, start, end))
        if text == "$$":
            return self.dollars(group, start, end)
        if text == self.syntax.variant_start and not (text == "<" and TAG.match(self.source, start)):
            header, end = self.header(start)
            return self.open(VARIANT, Token("OPEN", header, start, end))
        if text == self.syntax.variant_end or text.startswith("}"):
            return self.close(group, text, start)
        if text == self.syntax.wildcard:
            return self.wild(group, start, end)
        return self.parenthesis(group, text, start, end) if text in "()," else self.soft(group, text, start, end)

    def backslashes(self, run: str, start: int, end: int) -> int:
        """Backslashes before a mark: half of them stay, and an odd one makes the mark text. A1111's `\\(` is left alone."""
        length = self.protected(end) if len(run) % 2 else 0
        if self.source[end] not in "()[]":
            text = run[: len(run) // 2] + self.source[end : end + length]
            self.live.append(Token("LITERAL", text, start, end + length))
        return end + length

    def protected(self, position: int) -> int:
        """How much one backslash protects: a whole mark, but of `___` and `$${` only what is in front of the next mark."""
        mark = self.source[position]
        for repeated in (self.syntax.wildcard, "$$"):
            if repeated == mark * len(repeated):
                count = _run(self.source, position, mark)
                if mark == "$" and self.source.startswith("{", position + count):
                    count -= 1
                if count:
                    return count % len(repeated) or len(repeated)
        marks = ("${", "%{", self.syntax.wildcard, self.syntax.variant_start, self.syntax.variant_end)
        return max((len(mark) for mark in marks if self.source.startswith(mark, position)), default=1)

    def comment(self, position: int) -> int:
        """Skip block and `//` comments, which count only where a value starts; returns where the text goes on."""
        while position <= self.last_comment_end or self.line_comments:
            found = COMMENT.match(self.source, position)
            if found is None or (found[0].endswith("*/") and found.end() - 2 > self.last_comment_end):
                break
            self.live.append(Token("COMMENT", None, position, found.end()))
            position = found.end()
        return position

    def header(self, start: int) -> tuple[Header, int]:
        """The sampler, bound and separator after a brace, and where they end."""
        found = self.patterns.header.match(self.source, start)
        assert found is not None
        sampler, low, dash, high, below, most, separator = found.groups()
        if low is None and below is None:
            return Header(sampler), found.end()
        first = _count(low) if low is not None else 1
        last = _count(most) if below else _count(high) if high else None if dash else first
        if last is not None and last < first:
            reason = f"The range {first}-{last} is reversed; write {last}-{first}."
            self.report.problem(reason, found.start(2), found.end(4))
            first, last = last, first
        between = "," if separator is None else unescape(separator, self.syntax)
        return Header(sampler, first, last, between, bounded=True), found.end()

    def open(self, kind: str, token: Token) -> int:
        """Open a hard group. Raises LimitReached when it is too deep."""
        if len(self.groups) > self.limits.depth:
            reason = (
                f"Brackets are nested more than {self.limits.depth} deep; simplify the template or raise the limit."
            )
            raise LimitReached(reason, self.report.place(token.start_pos, token.end_pos))
        self.groups.append(Group(kind, token))
        return self.comment(token.end_pos)

    def reference(self, start: int, end: int) -> int:
        """`${`: a variable's use or assignment."""
        found = ACCESS.match(self.source, start)
        if found is None:
            reason = "'${' must be followed by a variable's name and by '}', ':', '=', '=!', '?=' or '+='; write \\${ for the characters themselves."
            self.report.problem(reason, start, end)
            return end
        name, operator = found[1], found[2]
        end = found.end(2) if operator.startswith("+") else found.end()  # a blank before what is added belongs to it
        token = Token("ACCESS" if operator in ("", ":") else "ASSIGN", (name, operator), start, end)
        return self.open(REFERENCE, token)

    def dollars(self, group: Group, start: int, end: int) -> int:
        """`$$`: the middle of a wrap, a bound that was not understood, or text."""
        if group.kind == WRAP and group.middle is None:
            group.dissolve()
            end += _blanks(self.source, end)
            group.middle = Token("MIDDLE", None, start, end)
            return self.comment(end)
        opened = group.token.end_pos
        if (
            group.kind == VARIANT
            and not group.bars
            and _BOUND_ATTEMPT.match(self.source[opened : min(start, opened + 40)])
        ):
            reason = "The part before '$$' must be a count or a range such as 2, 1-3, 2- or -3; write \\$\\$ for the characters themselves."
            self.report.problem(reason, group.token.start_pos, end)
        return end

    def close(self, group: Group, text: str, start: int) -> int:
        """A closing bracket of the innermost hard group; text when there is none of its kind."""
        wanted = self.syntax.variant_end if group.kind == VARIANT else "}"
        if group.kind == ROOT or not text.startswith(wanted) or (text == ">" and group.open[TAGGED]):
            return self.soft(group, text, start, start + (1 if text.startswith("}") else len(text)))
        group.dissolve()
        self.groups.pop()
        end = start + len(wanted)
        if group.kind == WRAP and group.middle is None:
            self.report.problem(
                "A wrap needs '$$' between frame and content, as in %{a framed ... print$${map|chart}}.",
                group.token.start_pos,
                end,
            )
            return end
        self.live += [group.token, *group.bars] if group.kind == VARIANT else [group.token]
        if group.middle is not None:
            self.live.append(group.middle)
        kind = {VARIANT: "CLOSE", REFERENCE: "ACCESS_END", WRAP: "WRAP_END"}[group.kind]
        self.live.append(Token(kind, None, start, end))
        return self.comment(end)

    def wild(self, group: Group, start: int, end: int) -> int:
        """A wildcard's mark: closes the open name if that is one, else opens a name."""
        if group.open[WILD] and group.top == SQUARE:
            below = next(frame.kind for frame in reversed(group.soft) if frame.kind != SQUARE)
            if below == WILD:
                group.dissolve(WILD)
        if group.top == WILD:
            frame = group.soft[-1]
            name = self.source[frame.token.end_pos : frame.marks[0].start_pos if frame.marks else start]
            if name and not name[0].isspace() and not name[-1].isspace() and "\n" not in name:
                group.pop()
                self.live += [frame.token, *frame.marks, Token("WILD_END", None, start, end)]
                return self.comment(end)
            group.drop()
        sampler = self.source[end : end + 1]
        sampler = sampler if sampler and sampler in "~@!" else ""
        group.push(WILD, Token("WILD", sampler, start, end + len(sampler)))
        return end

    def soft(self, group: Group, text: str, start: int, end: int) -> int:
        """Bars and the brackets that may be text."""
        if text in "|<>" and (group.top == WILD or (text == "|" and group.top in (PAREN, PARAMETERS))):
            group.dissolve(ANGLE, TAGGED, SQUARE)  # a wildcard's name holds none of these
        if text == "|":
            (group.soft[-1] if group.soft else group).bars.append(Token("BAR", None, start, end))
            return self.comment(end) if group.kind == VARIANT or group.open[ANGLE] else end
        if text == "[":
            group.push(SQUARE, Token("SQUARE", None, start, end))
        elif text == "]" and group.open[SQUARE]:
            group.dissolve(SQUARE)
            group.pop()
        elif text == "<" and TAG.match(self.source, start):
            group.push(TAGGED, Token("TAG", None, start, end))
        elif text == "<" and self.syntax.angle and group.open[ANGLE] < self.limits.depth:
            header, end = self.header(start)
            group.push(ANGLE, Token("OPEN", header, start, end))
            return self.comment(end)
        elif text == ">" and (group.open[ANGLE] or group.open[TAGGED]):
            group.dissolve(ANGLE, TAGGED)
            frame = group.pop()
            if frame.kind == ANGLE and frame.bars:
                self.live += [frame.token, *frame.bars, Token("CLOSE", None, start, end)]
        return end

    def parenthesis(self, group: Group, text: str, start: int, end: int) -> int:
        """Parentheses and commas; they matter only inside a wildcard."""
        if text == "(" and group.top in (WILD, PAREN, PARAMETERS):
            found = PARAMETER.match(self.source, start) if group.top == WILD else None
            if found is None:
                group.push(PAREN, Token("PAREN", None, start, end))
                return end
            group.soft[-1].marks.append(Token("PARAMETER", found[1], start, found.end()))
            group.push(PARAMETERS, Token("PAREN", None, start, end))
            return self.comment(found.end())
        if text == "," and group.top == PARAMETERS:
            found = PARAMETER.match(self.source, start)
            if found is not None:
                group.soft[-2].marks.append(Token("PARAMETER", found[1], start, found.end()))
                return self.comment(found.end())
        if text == ")" and (group.open[PAREN] or group.open[PARAMETERS]):
            group.dissolve(PAREN, PARAMETERS)
            if group.pop().kind == PARAMETERS:
                group.soft[-1].marks.append(Token("SKIP", None, start, end))
                if not self.source.startswith(self.syntax.wildcard, end):
                    group.drop()
        return end

    def finish(self) -> None:
        """At the end of the text: hard groups that never closed are a problem, soft ones are text."""
        unclosed = self.groups[1:]
        if unclosed:
            token = unclosed[0].token
            mark = self.source[
                token.start_pos : token.start_pos + (len(self.syntax.variant_start) if token.type == "OPEN" else 2)
            ]
            closing = self.syntax.variant_end if token.type == "OPEN" else "}"
            reason = f"This '{mark}' is never closed; add '{closing}', or write '\\{mark}' for the character itself."
            self.report.problem(reason, token.start_pos, token.start_pos + len(mark))


def _run(source: str, position: int, character: str) -> int:
    return len(source[position : position + LONGEST_RUN]) - len(
        source[position : position + LONGEST_RUN].lstrip(character)
    )


def _count(digits: str) -> int:
    return min(int(digits[:18]), MAX_COUNT) if len(digits) > 12 else int(digits)


def _blanks(source: str, position: int) -> int:
    end = position
    while source[end : end + 1].isspace():
        end += 1
    return end - position
