"""What the page's script asks while a person types, and what it is answered. No gradio here.

Question and answer are JSON texts that travel through a gradio event, so the page's login covers them. The question is
anybody's: its size, its shape and each of its types are checked, and a bad one is answered with a sentence.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from lib_lora_train.errors import LoraLoopError
from lib_lora_train.host.request import Request
from lib_lora_train.prompt import Context, PromptError, Wildcards, seed_of
from lib_lora_train.ui import preview, preview_html
from lib_lora_train.ui.errors import PageError
from lib_lora_train.ui.html import Html, element

MOST_ROWS = preview.MOST_ROWS
MOST_CHARACTERS = 600_000
MOST_NAMES = 200
LONGEST_NAME = 300
MOST_SEED = 2**63


@dataclass(frozen=True)
class Question:
    """`wants_preview` is False when the preview is out of sight and only the names of wildcards matter.

    `again` is a number that stays until a person asks for other examples; `still` says that a variation is set, with
    which the WebUI gives all images one seed.
    """

    number: int
    prompt: str
    negative: str
    seed: int
    again: int
    names: tuple[str, ...]
    wants_preview: bool
    still: bool

    @classmethod
    def read(cls, raw: object) -> Question:
        """The question that the script wrote. Raises PageError when it is not one."""
        if not isinstance(raw, str) or len(raw) > MOST_CHARACTERS:
            raise PageError("The prompts are too long for the preview; images can still be made.")
        try:
            given: Any = json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise PageError("The preview could not read what the page sent; reload the page.") from error
        if not _is_question(given):
            raise PageError("The preview could not read what the page sent; reload the page.")
        return cls(
            number=given["number"],
            prompt=given["prompt"],
            negative=given["negative"],
            seed=given["seed"],
            again=given["again"],
            names=tuple(given["names"][:MOST_NAMES]),
            wants_preview=given["preview"],
            still=given["still"],
        )


def _is_question(raw: Any) -> bool:
    given: dict[str, Any] = cast("dict[str, Any]", raw) if isinstance(raw, dict) else {}
    names = given.get("names")
    return (
        isinstance(names, list)
        and all(isinstance(name, str) and len(name) <= LONGEST_NAME for name in cast("list[object]", names))
        and all(isinstance(given.get(key), str) for key in ("prompt", "negative"))
        and all(_is_whole(given.get(key)) for key in ("number", "seed", "again"))
        and all(isinstance(given.get(key), bool) for key in ("preview", "still"))
    )


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < MOST_SEED


def seeds(question: Question, request: Request, count: int) -> list[int]:
    """The seeds that the next prompts will be drawn from; examples when the images' seeds are not known yet."""
    known = question.seed >= 0 and not request.unlinked_seed
    first = question.seed if known else seed_of("preview", question.again) % 2**32
    step = 0 if question.still and not (request.fixed_seed or request.unlinked_seed) else 1
    return [first + index * step for index in range(count)]


@dataclass(frozen=True)
class Answering:
    """What answers are made with: wildcards, the keywords' check, how drawing is set, and the combinatorial mode's limit."""

    wildcards: Wildcards
    check: preview.Check | None = None
    context: Context | None = None
    most: int = 0


def answer(raw: object, values: Sequence[Any], count: object, given: Answering) -> tuple[Html | None, str]:
    """The preview (None: leave it as it is), and the answer's JSON: `number`, and `unknown` of the names asked for.

    `values` are those of the request's fields. Raises nothing, whatever it is given.
    """
    try:
        question = Question.read(raw)
        request = Request.read(values)
        rows = min(max(int(count), 1), MOST_ROWS) if isinstance(count, (int, float)) else 1
    except (LoraLoopError, ValueError, OverflowError) as error:
        return _refused(error), json.dumps({"number": -1, "unknown": []})
    shown = _preview(question, request, rows, given) if question.wants_preview else None
    missing = unknown(question.names, given.wildcards)
    return shown, json.dumps({"number": question.number, "unknown": missing})


def _preview(question: Question, request: Request, rows: int, given: Answering) -> Html:
    if not request.enabled:
        return preview_html.switched_off()
    drawn_from = seeds(question, request, rows)
    asked = preview.Asked(
        question.prompt, question.negative, drawn_from, request.mode, request.limit, request.repeats, given.most
    )
    return preview_html.render(preview.look(asked, given.wildcards, given.check, given.context))


def unknown(names: Sequence[str], wildcards: Wildcards) -> list[str]:
    """Those of `names` that no wildcard has."""
    found: list[str] = []
    wildcards.begin()
    for name in names:
        try:
            if wildcards.find(name) is None:
                found.append(name)
        except PromptError:
            found.append(name)
    return found


def _refused(error: Exception) -> Html:
    return element(
        "div", element("div", element("p", error), class_="lora-loop-trouble", role="alert"), class_="lora-loop-preview"
    )
