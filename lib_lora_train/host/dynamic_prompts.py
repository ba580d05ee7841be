"""The Dynamic Prompts extension beside ours: one of the two draws a job's prompts, never both.

Its script is known by its title and by what its `process` is given, in each of its editions; nothing of it is imported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lib_lora_train.host import always_on, drawing, settings
from lib_lora_train.host.errors import RequestError
from lib_lora_train.host.request import Request
from lib_lora_train.host.webui import WebUI
from lib_lora_train.keywords.read import read, without_networks
from lib_lora_train.prompt.syntax import DEFAULT_SYNTAX, is_plain

TITLE = "dynamic prompts"
ENABLED = "is_enabled"
ALONE: Mapping[str, str] = {
    "is_magic_prompt": "Magic prompt",
    "is_feeling_lucky": "I'm feeling lucky",
    "is_attention_grabber": "Attention grabber",
    "enable_jinja_templates": "Enable Jinja2 templates",
    "no_image_generation": "Don't generate images",
}
"""What it can do and LoRA Loop cannot: the argument's name, and what its page calls it."""
MARKS: Mapping[str, str] = {
    "dp_parser_variant_start": DEFAULT_SYNTAX.variant_start,
    "dp_parser_variant_end": DEFAULT_SYNTAX.variant_end,
    "dp_parser_wildcard_wrap": DEFAULT_SYNTAX.wildcard,
}
"""Its settings for the marks of a template, with the only values that LoRA Loop reads."""
OTHER_MARKS = "Variant start, variant end or wildcard wrap of its settings"
TAKEN = "LoRA Loop has drawn this job's prompts; Dynamic Prompts was switched off for it."
STEPPED_BACK = (
    "Dynamic Prompts draws this job's prompts; LoRA Loop has stepped back, as Settings > LoRA Loop says. "
    "Its keywords have no effect."
)
LEFT = "Dynamic Prompts draws this job's prompts, because there {} is on, which LoRA Loop does not have."


@dataclass(frozen=True)
class DynamicPrompts:
    """Its script in one job: where its arguments stand in the job's `script_args`, and what they say there."""

    start: int
    given: Mapping[str, Any]

    def switched_off(self, arguments: Sequence[Any]) -> Sequence[Any]:
        """A copy of `script_args` in which it is not enabled."""
        place = self.start + list(self.given).index(ENABLED)
        kept = list(arguments)
        kept[place] = False
        return tuple(kept) if isinstance(arguments, tuple) else kept


def is_it(script: Any) -> bool:
    """Whether a script is Dynamic Prompts."""
    return TITLE in always_on.name_of(script).lower() and ENABLED in always_on.arguments_of(script)


def on_page(is_img2img: bool) -> bool:
    """Whether it is installed and switched on in the extensions tab."""
    return any(is_it(script) for script in always_on.of_page(is_img2img))


def active(p: Any) -> DynamicPrompts | None:
    """Dynamic Prompts where it would draw this job's prompts."""
    for script in filter(is_it, always_on.of_job(p)):
        start, end = getattr(script, "args_from", None), getattr(script, "args_to", None)
        arguments = getattr(p, "script_args", None) or ()
        if start is None or end is None or end > len(arguments):
            continue
        names = always_on.arguments_of(script)
        given = dict(zip(names, arguments[start:end], strict=False))
        if given.get(ENABLED):
            return DynamicPrompts(start, given)
    return None


def agree(host: WebUI, beside: DynamicPrompts, request: Request, p: Any) -> tuple[Request | None, str]:
    """Who draws: our request with what is ticked in Dynamic Prompts' form, or None when that extension does; and the
    sentence about it, "" where neither has anything to draw. Raises RequestError for a job that neither of the two can do.
    """
    found = [read(text, host.foreign_tags()) for text in drawing.texts_of(p)]
    ours = [tag.written for one in found for tag in one.tags]
    anything = ours or p.styles or not all(is_plain(without_networks(one.text), DEFAULT_SYNTAX) for one in found)
    if host.option(settings.BESIDE.name, settings.BESIDE.default) == settings.STEP_BACK:
        return None, STEPPED_BACK if anything else ""
    alone = [label for name, label in ALONE.items() if beside.given.get(name)]
    alone += [OTHER_MARKS] * any(host.option(name, mark) != mark for name, mark in MARKS.items())
    if not alone:
        return _with_its_form(request, beside.given), TAKEN
    named = " and ".join(repr(label) for label in alone)
    if ours:
        raise RequestError(
            f"LoRA Loop: Dynamic Prompts has {named} on, which LoRA Loop does not have, and the prompt has "
            f"{ours[0]}, which Dynamic Prompts does not know: take one of the two out."
        )
    return None, LEFT.format(named) if anything else ""


def _with_its_form(request: Request, given: Mapping[str, Any]) -> Request:
    """Our request; where it says nothing of its own, what is ticked in Dynamic Prompts' form counts."""
    if given.get("is_combinatorial") and request.mode == "random":
        limit = request.limit or int(given.get("max_generations") or 0)
        repeats = max(request.repeats, int(given.get("combinatorial_batches") or 1))
        request = replace(request, mode="combinatorial", limit=limit, repeats=repeats)
    return replace(
        request,
        fixed_seed=request.fixed_seed or bool(given.get("use_fixed_seed")),
        unlinked_seed=request.unlinked_seed or bool(given.get("unlink_seed_from_prompt")),
    )
