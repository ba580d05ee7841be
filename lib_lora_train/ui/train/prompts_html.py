"""Sample prompts as HTML: each with the parameters that its line means."""

from __future__ import annotations

from collections.abc import Sequence

from lib_lora_train.errors import LoraLoopError
from lib_lora_train.train.config import TrainConfig
from lib_lora_train.train.sample_lines import Sample, parse
from lib_lora_train.ui.html import Html, element
from lib_lora_train.ui.words import shown

MOST_PROMPTS = 40
MOST_TEXT = 400


def page(config: TrainConfig) -> Html:
    """Every prompt of a run, or what is wrong with its line."""
    lines = config.samples.prompts
    if not lines:
        words = shown("No prompts: no samples are drawn.")
        return element("p", words, class_="lora-loop-hint")
    rows = [_line(number, line, config) for number, line in enumerate(lines[:MOST_PROMPTS], 1)]
    more = len(lines) - len(rows)
    rest = element("p", f"+ {more:,}", class_="lora-loop-hint") if more else ""
    return element("div", element("ol", *rows, class_="lora-loop-prompts"), rest)


def refused(why: str) -> Html:
    """Why the prompts cannot be read."""
    return element("p", why[:500], class_="lora-loop-message lora-loop-is-error", role="status")


def _line(number: int, line: str, config: TrainConfig) -> Html:
    try:
        sample = parse(line, config.samples, config.dataset.resolution, config.trigger_prompt, config.seed)
    except LoraLoopError as error:
        return element(
            "li",
            element("p", line[:MOST_TEXT]),
            element("p", str(error)[:MOST_TEXT], class_="lora-loop-message lora-loop-is-error"),
        )
    negative = element(
        "p", element("small", shown("not:"), " ", sample.negative[:MOST_TEXT]), class_="lora-loop-negative"
    )
    return element(
        "li",
        element("p", sample.prompt[:MOST_TEXT]),
        negative if sample.negative else "",
        element("dl", *_parameters(sample)),
    )


def _parameters(sample: Sample) -> Sequence[Html]:
    told = (
        (shown("Size"), f"{sample.width} × {sample.height}"),
        (shown("Seed"), f"{sample.seed}"),
        ("CFG", f"{sample.cfg:g}"),
        (shown("Steps"), f"{sample.steps}"),
        (shown("Sampler"), sample.sampler),
    )
    return [element("div", element("dt", name), element("dd", value)) for name, value in told]
