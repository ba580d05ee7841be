"""`expand`: prompts out of a template, on the command line."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from lib_lora_train.prompt.errors import LimitReached
from lib_lora_train.prompt.expander import NEGATIVE, POSITIVE, Expander, Prompt, Templates
from lib_lora_train.prompt.layout import format_template
from lib_lora_train.prompt.odds import statistics
from lib_lora_train.prompt.template import Context
from lib_lora_train.prompt.wildcards import Reading, Wildcards

OURS = Path(__file__).resolve().parents[2] / "wildcards"
ASK_ABOVE = 100_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `expand`."""
    parser.add_argument("template", help="the template; '-' reads it from the standard input")
    parser.add_argument(
        "-n", "--number", type=int, metavar="N", help="how many prompts (default: 1; all in combinatorial mode)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="S", help="the first prompt's seed; prompt i has seed S+i (default: 0)"
    )
    parser.add_argument(
        "--wildcards",
        type=Path,
        action="append",
        metavar="DIR",
        help="a wildcard folder, before those of the home folder and of the extension; may be repeated",
    )
    parser.add_argument("--mode", choices=("random", "combinatorial", "cyclical"), default="random")
    parser.add_argument("--negative", metavar="T", help="the negative template; it sees the prompt's variables")
    parser.add_argument("--unique", action="store_true", help="no prompt twice until all have been drawn")
    parser.add_argument("--lenient", action="store_true", help="take what cannot be read as text, and older encodings")
    parser.add_argument(
        "--missing",
        choices=("literal", "error", "empty"),
        default="literal",
        help="what becomes of an unknown wildcard",
    )
    parser.add_argument(
        "--magic", type=Path, metavar="DIR", help="continue each prompt with the language model in this folder"
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--count", action="store_true", help="only say how many combinations there are")
    what.add_argument(
        "--statistics", action="store_true", help="say how many combinations there are and how likely each choice is"
    )
    what.add_argument("--format", action="store_true", help="write the template tidily")
    parser.add_argument("--json", action="store_true", help="one JSON object a prompt")


def run(arguments: argparse.Namespace) -> int:
    """Carry out `expand`; returns the exit code. Raises PromptError."""
    source = sys.stdin.read() if arguments.template == "-" else arguments.template
    home: Path | None = getattr(arguments, "home", None)
    shared = [OURS] if home is None else [home / "wildcards", OURS]
    roots = [*(arguments.wildcards or ()), *(folder for folder in shared if folder.is_dir())]
    wildcards = Wildcards(roots, reading=Reading("cp1252" if arguments.lenient else ""))
    expander = Expander(Context(wildcards, lenient=arguments.lenient, missing=arguments.missing))
    templates: Templates = source if arguments.negative is None else {POSITIVE: source, NEGATIVE: arguments.negative}
    if arguments.format:
        print(format_template(expander.context.template(source)))
        return 0
    if arguments.count:
        number = expander.count(templates)
        print(json.dumps({"combinations": number}) if arguments.json else f"{number:,}")
        return 0
    if arguments.statistics:
        _print_statistics(expander, source, arguments.json)
        return 0
    told: set[str] = set()
    for prompt in _prompts(expander, templates, arguments):
        _print(prompt, arguments, told)
    for note in wildcards.notes:
        _warn(note, told)
    return 0


def _prompts(expander: Expander, templates: Templates, arguments: argparse.Namespace) -> Iterator[Prompt]:
    number: int | None = arguments.number
    if arguments.mode == "combinatorial":
        if number is None and (total := expander.count(templates)) > ASK_ABOVE:
            raise LimitReached(f"The template has {total:,} combinations; say with -n how many you want.")
        return islice(expander.combinations(templates, arguments.seed), number)
    wanted = 1 if number is None else number
    if arguments.mode == "cyclical":
        return islice(expander.cycle(templates, arguments.seed), wanted)
    return expander.batch(templates, range(arguments.seed, arguments.seed + wanted), unique=arguments.unique)


def _print(prompt: Prompt, arguments: argparse.Namespace, told: set[str]) -> None:
    if arguments.magic is not None:
        from lib_lora_train.prompt.magic import MagicPrompt

        first = next(iter(prompt.texts))
        prompt.texts = {**prompt.texts, first: MagicPrompt(arguments.magic).continue_prompt(prompt.text, prompt.seed)}
    for note in prompt.notes:
        _warn(note, told)
    if arguments.json:
        print(json.dumps(prompt.to_json(), ensure_ascii=False))
        return
    print(prompt.text)
    for role, text in list(prompt.texts.items())[1:]:
        print(f"  {role}: {text}")


def _print_statistics(expander: Expander, source: str, as_json: bool) -> None:
    found = statistics(expander, source)
    if as_json:
        print(json.dumps(found.to_json(), ensure_ascii=False))
        return
    print("combinations:", "too many to count" if found.combinations is None else f"{found.combinations:,}")
    for odds in found.odds:
        print(f"{odds.path}  {odds.source!r}, one of {odds.size:,}, in {odds.met:.0%} of the prompts")
        for text, share in odds.values:
            print(f"  {share:7.2%}  {text}")


def _warn(note: str, told: set[str]) -> None:
    if note not in told:
        told.add(note)
        print(f"note: {note}", file=sys.stderr)
