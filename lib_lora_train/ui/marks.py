"""Which parts of a drawn prompt came out of choices.

The template is drawn with two sentinels around each of its constructs. They are noncharacters, which no text may hold,
and the draws do not see them: a choice depends on its path in the template, not on the text around it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lib_lora_train.prompt.nodes import Assign, Body, Item
from lib_lora_train.prompt.template import Context, Template

OPEN, CLOSE = "\ufdd0", "\ufdd1"


@dataclass(frozen=True)
class Part:
    """A stretch of a prompt. `source` is the construct that it was drawn from, "" for text of the template itself."""

    text: str
    source: str = ""


class MarkingContext(Context):
    """A context whose templates put sentinels around what their constructs become."""

    def template(self, source: str, name: str = "prompt") -> Template:
        """The compiled template with sentinels. Raises PromptError as the plain one does."""
        plain = super().template(source.replace(OPEN, "").replace(CLOSE, ""), name)
        if isinstance(plain.body, str):
            return plain
        return Template(plain.source, name, _marked(plain.body), plain.notes)


def constructs(body: Body) -> Sequence[Item]:
    """The constructs of a template that leave text behind, in order."""
    return () if isinstance(body, str) else [item for item in body if not isinstance(item, (str, Assign))]


def _marked(body: tuple[Item, ...]) -> Body:
    items: list[Item] = []
    for item in body:
        items += [item] if isinstance(item, (str, Assign)) else [OPEN, item, CLOSE]
    return tuple(items)


def parts(marked: str, template: Template) -> list[Part]:
    """The stretches of a prompt that was drawn in a `MarkingContext` from `template` (plain or marked)."""
    sources = iter(
        [template.source[item.start : item.end] for item in constructs(template.body) if not isinstance(item, str)]
    )
    found: list[Part] = []
    literal, *drawn = marked.split(OPEN)
    found.append(Part(literal))
    for piece in drawn:
        inside, _, after = piece.partition(CLOSE)
        found += [Part(inside, next(sources, "")), Part(after)]
    return [part for part in found if part.text]


def plain(marked: str) -> str:
    """The prompt itself."""
    return marked.replace(OPEN, "").replace(CLOSE, "")
