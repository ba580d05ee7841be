"""`check DATASET`: what a folder is understood to be, what is wrong with it, and how long the run would be."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from lib_lora_train.files.text import printable
from lib_lora_train.train import config as configs
from lib_lora_train.train import toml
from lib_lora_train.train.config import TrainConfig
from lib_lora_train.train.dataset import report as reports
from lib_lora_train.train.dataset.report import CountTokens
from lib_lora_train.train.dataset.scan import Progress, scan
from lib_lora_train.train.dataset.verify import verify

NOTHING_TO_TRAIN = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `run` reads."""
    parser.add_argument("dataset", metavar="DATASET", help="folder of photos")
    parser.add_argument("--config", metavar="TOML", help="training config or preset whose settings count")
    parser.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=[], help="one setting, such as dataset.resolution=768"
    )
    parser.add_argument("--json", action="store_true", help="one line of JSON instead of text")
    parser.add_argument("--sheet", metavar="FILE", help="write a contact sheet (PNG) with crops, verdicts and captions")
    parser.add_argument("--quick", action="store_true", help="read headers only, do not decode every photo")


def run(arguments: argparse.Namespace, count_tokens: CountTokens | None = None) -> int:
    """Print the report; 0, or 3 when nothing could be trained. Raises ConfigError, DatasetError, DiskError."""
    config = _config(arguments)
    progress = None if arguments.json else _bar()
    dataset = scan(config.dataset, config.trigger_prompt, progress, class_word=config.class_word)
    if not arguments.quick:
        dataset = verify(dataset, config.dataset, progress)
    report = reports.build(dataset, config, count_tokens or _clip_counter())
    if arguments.sheet:
        from lib_lora_train.train.dataset import sheet

        sheet.save(report, config.dataset, Path(arguments.sheet))
    if arguments.json:
        print(json.dumps(reports.as_values(report)))
    else:
        print(printable("\n".join(reports.lines(report)), sys.stdout.encoding or "utf-8"))
    return 0 if report.trainable else NOTHING_TO_TRAIN


def _clip_counter() -> CountTokens | None:
    """CLIP's own count, where the library for it is there."""
    from lib_lora_train.train.base.tokenizer import load_tokenizer

    try:
        return load_tokenizer().count
    except ImportError:
        return None


def _config(arguments: argparse.Namespace) -> TrainConfig:
    file: dict[str, Any] = toml.read(Path(arguments.config)) if arguments.config else {}
    values = configs.merge(file, configs.assignments(arguments.set), {"dataset": {"path": arguments.dataset}})
    return configs.from_values(values)


def _bar() -> Progress | None:
    """A line that counts, on a terminal only."""
    if not sys.stderr.isatty():
        return None

    def show(done: int, total: int, what: str) -> None:
        end = "\n" if done == total else ""
        print(f"\r{what}: {done}/{total}", end=end, file=sys.stderr, flush=True)

    return show
