"""`demo`: check, train four epochs, and one picture of what came of it."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

from lib_lora_train.demo import photographs, picture
from lib_lora_train.jobs import store, train_command
from lib_lora_train.train import config as configs
from lib_lora_train.train.dataset.length import length
from lib_lora_train.train.dataset.scan import scan
from lib_lora_train.train.events import read_events
from lib_lora_train.train.job import Job

EPOCHS = 4
BATCH = 2
STEPS = 80
RESOLUTION = 128
PROMPT = "[trigger], on a beach --w 128 --h 128 --s 12 --l 5 --d 1 --ss euler"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, help="where everything goes (default: demo in the home)")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"training steps (default: {STEPS})")
    parser.add_argument("--base", type=Path, help="a checkpoint of yours in place of the made-up one")
    train_command.add_settings(parser)


def run(options: argparse.Namespace) -> int:
    out: Path = (options.out or options.home / "demo").resolve()
    out.mkdir(parents=True, exist_ok=True)
    photos = out / "photos"
    photographs.draw_photographs(photos)
    base = options.base or _random_base(out)
    config = configs.from_values(
        configs.merge(_values(photos, base, options.steps), configs.assignments(options.settings))
    )
    print("1. Check the photos")
    found = scan(config.dataset, config.trigger_prompt, class_word=config.class_word)
    print("\n".join(f"   {line}" for line in (*found.understood, length(found, config).explanation)), flush=True)
    print("2. Train", flush=True)
    job_folder = out / "job"
    shutil.rmtree(job_folder, ignore_errors=True)
    job = store.create(config, options.home, job_folder)
    code = train_command.run_job(job, options.home, as_json=False)
    if code:
        return code
    print("3. Compare the epochs")
    sheet = out / "epochs.png"
    picture.compose(sorted(photos.glob("*.jpg")), _answers(job), f"{config.trigger_prompt}, on a beach").save(sheet)
    print(f"   The picture is {sheet}")
    print(f"   The LoRA files are in {job.out}")
    if not options.base:
        print(
            "   The base of this demo has random weights, so its pictures are noise that the LoRA changes; --base trains on a checkpoint of yours."
        )
    return 0


def _random_base(out: Path) -> Path:
    """An SD 1.5-shaped checkpoint with random weights, made once."""
    from lib_lora_train.train.base.random_base import write_random_base

    path = out / "base.safetensors"
    if not path.exists():
        write_random_base(path, "narrow", seed=0)
    return path


def _values(photos: Path, base: Path, steps: int) -> dict[str, Any]:
    return {
        "name": photographs.TRIGGER,
        "trigger": photographs.TRIGGER,
        "class_word": photographs.CLASS,
        "base": {"path": str(base)},
        "dataset": {
            "path": str(photos),
            "resolution": RESOLUTION,
            "bucket_min": RESOLUTION // 2,
            "bucket_max": RESOLUTION * 2,
            "bucket_step": 16,
            "repeats": max(1, round(steps * BATCH / EPOCHS / 10)),
        },
        "adapter": {"rank": 8, "alpha": 8.0},
        "optimizer": {"learning_rate": 1e-3},
        "loop": {"steps": steps, "batch_size": BATCH},
        "samples": {"prompts": [PROMPT]},
    }


def _answers(job: Job) -> list[tuple[str, Path]]:
    """The base's picture and each epoch's, with labels."""
    drawn = [event for event in read_events(job.events)[0] if event["kind"] == "sample"]
    return [
        (
            "without the LoRA" if event["file"].endswith("-base.png") else f"epoch {event['epoch']}",
            job.samples / event["file"],
        )
        for event in drawn
    ]
