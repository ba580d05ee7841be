"""Our prompt language behind the four methods that the differential suite and its benchmark call.

`Engine` is how a page would be set for people who come from other programs: what cannot be read stays text, and files
in older encodings are read. `Strict` refuses both, as our own page and command do. `Unique` never repeats a prompt.
"""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from lib_lora_train.prompt import Context, Expander, Limits, Reading, Syntax, Wildcards

DEPTH = 6000
"""Far above the default of 64, so that the nesting scenario can find where it breaks; sizes up to 1 MB likewise."""


class Engine:
    """`config` and `options` are the incumbent's: delimiters, `sort` and `dedup`."""

    name = "lora loop"
    lenient = True
    unique = False

    def __init__(self, root: Any = None, config: Any = None, options: Any = None, seed: int = 1) -> None:
        config, options = dict(config or {}), dict(options or {})
        names = {"variant_start": "variant_start", "variant_end": "variant_end", "wildcard_wrap": "wildcard"}
        self.syntax = Syntax(**{names[key]: value for key, value in config.items() if key in names})
        limits = Limits(depth=DEPTH, template_bytes=1024 * 1024)
        reading = Reading(
            "cp1252" if self.lenient else "", sort=options.get("sort", False), unique=options.get("dedup", False)
        )
        wildcards = Wildcards([root] if root else [], limits=limits, reading=reading)
        self.expander = Expander(Context(wildcards, syntax=self.syntax, limits=limits, lenient=self.lenient))
        self.seed = seed * 1_000_003

    def parse(self, template: str) -> object:
        """Read the template; never out of the cache, since this is what is timed."""
        from lib_lora_train.prompt.template import read_template

        return read_template(template, self.syntax, self.expander.context.limits, self.lenient)

    def random(self, template: str, n: int, seeds: Any = None) -> list[str]:
        """One batch; without `seeds` each call goes on where the last one ended."""
        if seeds is None:
            seeds = range(self.seed, self.seed + n)
            self.seed += n
        return [prompt.text for prompt in self.expander.batch(template, list(seeds)[:n], unique=self.unique)]

    def combinatorial(self, template: str, limit: int) -> list[str]:
        """The first `limit` combinations, in order."""
        return [prompt.text for prompt in islice(self.expander.combinations(template), limit)]

    def cyclical(self, template: str, n: int) -> list[str]:
        """One batch; the parts marked `@` follow the place in it."""
        return self.random(template, n)

    def shared(self, positive: str, negative: str, n: int) -> list[tuple[str, str]]:
        """Pairs of positive and negative prompts with shared variables."""
        templates = {"prompt": positive, "negative_prompt": negative}
        return [tuple(self.expander.draw(templates, self.seed + i).texts.values()) for i in range(n)]  # type: ignore[misc]


class Strict(Engine):
    """Refuses what it cannot read."""

    name = "lora loop, strict"
    lenient = False


class Unique(Engine):
    """Without repeats until every prompt has been drawn."""

    name = "lora loop, unique"
    unique = True
