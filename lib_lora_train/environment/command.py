"""`doctor`: what is here, what is wrong and the command that mends it. Builds only when asked to."""

from __future__ import annotations

import argparse
import json

from lib_lora_train.environment.build import add_bitsandbytes, trained
from lib_lora_train.environment.entry import built, say, wanted_here
from lib_lora_train.environment.errors import TrainerEnvironmentError
from lib_lora_train.environment.report import Report, collect

HEALTHY, ILL = 0, TrainerEnvironmentError.exit_code


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `doctor`."""
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    build = parser.add_mutually_exclusive_group()
    build.add_argument("--build", action="store_true", help="build the trainer's environment if it is not there")
    build.add_argument("--rebuild", action="store_true", help="build it again, for another torch or after damage")
    parser.add_argument(
        "--with-bitsandbytes", action="store_true", help="add the 8-bit optimizers (NVIDIA only, 200 MB)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Report, and build first if asked; 0 when all is well, 8 when something must be mended."""
    wanted = wanted_here(arguments.home)
    if arguments.rebuild:
        built(wanted, again=True)
    if arguments.build or arguments.with_bitsandbytes:
        environment = built(wanted)
        if arguments.with_bitsandbytes:
            add_bitsandbytes(environment, say)
    report = collect(wanted)
    print(json.dumps(report.as_dict(), indent=2, ensure_ascii=False) if arguments.json else _table(report))
    return ILL if report.problems else HEALTHY


def _table(report: Report) -> str:
    host = report.host
    about = report.torch
    rows = [
        ("Python", report.python),
        ("System", report.platform),
        ("Home", report.home),
        (
            "WebUI",
            f"{host['kind']} {host['version'] or '(no version found)'} in {host['folder']} (gradio {host['gradio'] or '?'}, torch {host['torch'] or '?'})"
            if host
            else "none around this folder",
        ),
        (
            "Environment",
            f"{report.environment['state']}: {report.environment['folder']} ({report.environment['kind']}, lock {report.environment['lock']})",
        ),
        ("torch", _torch(about) if about else "not looked at: no environment"),
        *(("", f"{device['name']}, {device['memory_gib']} GiB") for device in about.get("devices", [])),
        *([("Training", trained(report.trial))] if report.trial else []),
        *((name if not index else "", text) for index, (name, text) in enumerate(_packages(report))),
        ("Free disk", f"{report.free_gib} GiB"),
        ("Tokenizer", report.tokenizer or "no vocab.json and merges.txt found"),
    ]
    lines = [f"{name:<12} {text}" for name, text in rows]
    ending = [f"✗ {problem}" for problem in report.problems] or ["All is well."]
    return "\n".join([*lines, "", *ending])


def _torch(about: dict[str, object]) -> str:
    device = "CUDA" if about["cuda"] else "MPS" if about["mps"] else "processor only"
    return f"{about['torch']}, {device}"


def _packages(report: Report) -> list[tuple[str, str]]:
    chosen = ("diffusers", "transformers", "peft", "accelerate", "safetensors")
    shown = [f"{name} {report.packages[name]}" for name in chosen if name in report.packages]
    return [("Packages", f"{', '.join(shown)} and {len(report.packages) - len(shown)} more")] if shown else []
