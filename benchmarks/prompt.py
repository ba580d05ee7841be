#!/usr/bin/env python3
"""Our prompt language against the incumbent's (dynamicprompts 0.31) in the same run: times, memory, ratios.

    python benchmarks/prompt.py            without dynamicprompts installed only our figures are shown, and it says so

Each measurement runs in a process of its own; times are CPU times, so that a busy machine does not spoil them.
"""

from __future__ import annotations

import importlib.util
import logging
import multiprocessing
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent)]

GUIDE = """<lora:blh_final_{rv20|28d28} ({8|9|10}):{0.9|1.0|1.1}>
<checkpoint:{__checkpoints/graphic__|__checkpoints/photo__}>
<height:{9::768|1024}>
<width:{9::768|1024}>
{<sampler_name:Euler a><steps:50>|3::<sampler_name:DPM++ 2M Karras><steps:25>}
<cfg_scale:{3|4|5|6|7}>
(blh woman:1.2)
(masterpiece:1.3), portrait, closeup, __scene__, (by __artist__:{3::0|1.5})"""


class Incumbent:
    """dynamicprompts, called as its extension calls it."""

    def __init__(self, root: Path) -> None:
        logging.disable(logging.CRITICAL)
        warnings.simplefilter("ignore")
        from dynamicprompts.generators import CombinatorialPromptGenerator, RandomPromptGenerator  # type: ignore[import-not-found]
        from dynamicprompts.parser.parse import parse  # type: ignore[import-not-found]
        from dynamicprompts.wildcards import WildcardManager  # type: ignore[import-not-found]

        manager = WildcardManager(root)
        self.parse: Callable[[str], object] = parse
        self.random: Callable[[str, int], Any] = lambda template, n: RandomPromptGenerator(manager, seed=1).generate(
            template, n
        )
        self.combinatorial: Callable[[str, int], Any] = lambda template, n: CombinatorialPromptGenerator(
            manager
        ).generate(template, n)


def lines(path: Path, number: int, word: str) -> None:
    """A wildcard file of `number` lines, about 33 bytes each."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as stream:
        stream.writelines(f"{word} {i:07d} {i * 7919 % 10**6}, soft light\n" for i in range(number))


def milliseconds(work: Callable[[], object], times: int = 1) -> float:
    """The CPU time of one call, the best of `times`."""
    best = float("inf")
    for _ in range(times):
        begin = time.process_time()
        work()
        best = min(best, time.process_time() - begin)
    return best * 1000


def per_second(work: Callable[[], object], number: int, budget_s: float = 2.0) -> float:
    """How many prompts a second when one call makes `number`."""
    done, begin = 0, time.process_time()
    while time.process_time() - begin < budget_s:
        work()
        done += number
    return done / (time.process_time() - begin)


def guide(engine: Any, root: Path) -> dict[str, float]:
    """The guide's own long prompt, as a click for 9 and for 1000 images."""
    for name, number in (("checkpoints/graphic", 12), ("checkpoints/photo", 14), ("scene", 1000), ("artist", 3000)):
        lines(root / f"{name}.txt", number, name.replace("/", "-"))
    engine.random(GUIDE, 1)
    return {
        "guide's prompt: parse [ms]": milliseconds(lambda: engine.parse(GUIDE), 9),
        "guide's prompt: prompts/s in clicks of 9": per_second(lambda: engine.random(GUIDE, 9), 9),
        "guide's prompt: prompts/s in clicks of 1000": per_second(lambda: engine.random(GUIDE, 1000), 1000),
    }


def braces(engine: Any, _root: Path) -> dict[str, float]:
    """50 nested variants; one variant of 10,000 options."""
    parts: list[str] = []
    for i in range(10):
        inner = f"{{{i + 2}::fine|coarse {{soft|{i + 1}::hard|{{dull|bright}}}}}}"
        parts.append(f"{{row{i} {inner}|{{1-2$$ and $$blue{i}|red{i}|grey{i}}}|plain}}")
    nested, flat = ", ".join(parts), "{" + "|".join(f"opt{i}" for i in range(10_000)) + "}"
    engine.parse("{a|b}")
    return {
        "50 nested braces: parse [ms]": milliseconds(lambda: engine.parse(nested), 5),
        "10,000 options: parse [ms]": milliseconds(lambda: engine.parse(flat)),
    }


def big_pick(engine: Any, root: Path) -> dict[str, float]:
    """Two of 100,000 lines."""
    lines(root / "big.txt", 100_000, "entry")
    engine.random("__big__", 1)
    return {"{2$$__w__} of 100,000 lines [ms]": milliseconds(lambda: engine.random("{2$$__big__}", 1))}


def big_file(engine: Any, root: Path) -> dict[str, float]:
    """The first prompt from a million lines, and what it costs in memory."""
    lines(root / "big.txt", 1_000_000, "entry")
    engine.random("{a|b}", 1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    first = milliseconds(lambda: engine.random("__big__", 1))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return {"1,000,000 lines: first prompt [ms]": first, "1,000,000 lines: memory [MB]": max(grown, 0.1)}


def combinations(engine: Any, _root: Path) -> dict[str, float]:
    """The first of a million combinations."""
    template = "{a|b|c|d|e|f|g|h|i|j}" * 6
    engine.combinatorial(template, 1)
    return {"10**6 combinations: first 20,000 [ms]": milliseconds(lambda: engine.combinatorial(template, 20_000))}


def many_files(engine: Any, root: Path) -> dict[str, float]:
    """One prompt out of 5,000 files of 20 lines in 50 folders."""
    for i in range(5000):
        lines(root / f"d{i % 50}" / f"f{i}.txt", 20, "entry")
    first = milliseconds(lambda: engine.random("__d7/f7__", 1))
    return {
        "5,000 files: first prompt [ms]": first,
        "5,000 files: a pattern for all [ms]": milliseconds(lambda: engine.random("__**__", 1)),
    }


SCENARIOS = (guide, braces, big_pick, big_file, many_files, combinations)


def measure(scenario: Callable[[Any, Path], dict[str, float]], ours: bool) -> dict[str, float]:
    """One scenario with one engine."""
    with tempfile.TemporaryDirectory() as folder:
        if not ours:
            return scenario(Incumbent(Path(folder)), Path(folder))
        from prompt_engine import Strict

        return scenario(Strict(folder), Path(folder))


def main() -> None:
    """Print one line a figure: ours, the incumbent's, and how many times better ours is."""
    known = importlib.util.find_spec("dynamicprompts") is not None
    if not known:
        print(
            "dynamicprompts is not installed, so there is nothing to compare with: pip install dynamicprompts==0.31.0"
        )
    print(f"{'':46s} {'ours':>12s} {'incumbent':>12s} {'ratio':>9s}")
    context = multiprocessing.get_context("spawn")
    for scenario in SCENARIOS:
        with context.Pool(1, maxtasksperchild=1) as pool:
            ours = pool.apply(measure, (scenario, True))
            theirs = pool.apply(measure, (scenario, False)) if known else {}
        for name, value in ours.items():
            other = theirs.get(name)
            ratio = "" if other is None else f"{value / other if 'prompts/s' in name else other / value:9.1f}"
            print(f"{name:46s} {value:12,.2f} {'' if other is None else f'{other:12,.2f}'} {ratio}", flush=True)


if __name__ == "__main__":
    main()
