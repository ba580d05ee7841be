"""Coverage-guided fuzzing of the prompt language with atheris (`pip install atheris` first; any libFuzzer flags):

    python tools/fuzz_prompt.py CORPUS -max_total_time=1800 -max_len=200

No exception but PromptError may come out, nothing may be slow, a draw must repeat and replay, and the exact count must
be the number of combinations (where no sampler inside draws). What it finds belongs into tests/prompt/test_fuzz_findings.py.
"""

from __future__ import annotations

import importlib
import sys
import time
from itertools import islice
from pathlib import Path
from typing import Any

atheris: Any = importlib.import_module("atheris")  # not among the development tools: it needs a compiler
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

with atheris.instrument_imports(include=["lib_lora_train.prompt"]):
    from lib_lora_train.prompt import Context, Expander, Limits, PromptError, Wildcards

WILDCARDS: dict[str, list[str]] = {
    "hue": ["teal", "3::ochre", "{plum|0.5::rose}"],
    "tale": ["${v:x} frame", "${v=1}${v}"],
    "a": ["__b__", "x"],
    "b": ["__a__", "y __hue__"],
    "self": ["__self__"],
    "bomb": ["__bomb2__ __bomb2__ __bomb2__ __bomb2__"],
    "bomb2": ["{x|__bomb__}"],
    "g/one": ["1"],
    "g/two": ["2"],
}
SHORTHANDS = {"\0": "__hue__", "\1": "${", "\2": "$$", "\3": "<lora:"}
LIMITS = Limits(seconds=0.02, expansions=600, depth=12)
SLOWEST_S = 12.0
FEW = 12
"""Combinations that are counted by going through them."""


def check(template: str, expander: Any) -> None:
    """All promises for one template. Raises AssertionError when one is broken."""
    try:
        prompt = expander.draw(template, 5, 3)
        assert expander.draw(template, 5, 3).texts == prompt.texts, "a draw must repeat"
        assert expander.replay(template, prompt).texts == prompt.texts, "a draw must replay"
        prompt.to_json()
    except PromptError:
        pass
    try:
        listed = sum(1 for _ in islice(expander.combinations(template), FEW + 1))
        count = expander.count(template)
    except PromptError:
        return
    assert count > FEW or listed <= count, f"{listed} combinations, but only {count} counted"
    # A sampler inside is drawn, and may draw an option that can never end; such a combination is left out.
    assert count > FEW or listed == count or set("~@") & set(template), f"{listed} combinations, but {count} counted"


def main() -> None:
    wildcards = Wildcards(values=WILDCARDS)
    expanders = [Expander(Context(wildcards, limits=LIMITS, lenient=lenient)) for lenient in (False, True)]

    def one(data: bytes) -> None:
        template = data.decode("utf-8", "ignore")
        for short, long in SHORTHANDS.items():
            template = template.replace(short, long)
        started = time.process_time()
        check(template, expanders[len(template) % 2])
        if time.process_time() - started > SLOWEST_S:
            raise RuntimeError(f"slow input: {template!r}")

    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
