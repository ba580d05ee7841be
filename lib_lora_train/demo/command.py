"""`demo`: check, train, and one picture of what came of it, on the small base and photos of a character it never saw."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

from lib_lora_train.demo import picture
from lib_lora_train.demo.models import BASE
from lib_lora_train.demo.world.characters import COUNT, FAMILIAR_PLACES, character, write_others, write_set
from lib_lora_train.jobs import store, train_command
from lib_lora_train.train import config as configs
from lib_lora_train.train.dataset.held_out import hold_out
from lib_lora_train.train.dataset.length import length
from lib_lora_train.train.dataset.scan import scan
from lib_lora_train.train.events import read_events
from lib_lora_train.train.job import Job

EPOCHS = 3
BATCH = 4
STEPS = 288
# A small base learns at higher rates than Stable Diffusion, which keeps the trainer's own.
FOR_THE_SMALL_BASE: dict[str, Any] = {
    "adapter": {"rank": 16, "alpha": 16.0},
    "optimizer": {"learning_rate": 1e-3},
}
RESOLUTION = 128
PLACES = ("on a beach", "in a room", "in the snow")
DRAWING = "--w 128 --h 128 --s 12 --l 5 --d 4 --ss dpmpp_2m"
GRID = (
    "--size",
    "128x128",
    "--steps",
    "12",
    "--cfg",
    "5",
    "--sampler",
    "dpmpp_2m",
    "--seeds",
    "4",
    "--prompt",
    "a photo of [trigger], in space",
)
WHO = character("zorpi")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, help="where everything goes (default: demo in the home)")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"training steps (default: {STEPS})")
    parser.add_argument("--base", type=Path, help="a checkpoint of yours in place of the small one")
    train_command.add_settings(parser)


def run(options: argparse.Namespace) -> int:
    out: Path = (options.out or options.home / "demo").resolve()
    out.mkdir(parents=True, exist_ok=True)
    photos, others = out / "photos", out / "others"
    write_set(WHO, photos)
    write_others(WHO, others)
    values = _values(photos, others, options.base or BASE, options.steps)
    if options.base is None:
        values |= FOR_THE_SMALL_BASE
    config = configs.from_values(configs.merge(values, configs.assignments(options.settings)))
    print("1. Check the photos")
    found = hold_out(scan(config.dataset, config.trigger_prompt, class_word=config.class_word), config)
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
    picture.compose(sorted(photos.glob("*.jpg")), _rows(job), f"a photo of {WHO.prompt}, …").save(sheet)
    code = _grid(job, options.home, out / "grid")
    print(f"   The LoRA files are in {job.out}")
    print(f"   The picture is {sheet}")
    return code


def _grid(job: Job, home: Path, folder: Path) -> int:
    """The epoch grid of the run, as the command `grid` makes it: last, what shows of the character without its name."""
    from lib_lora_train.standalone import command as grid

    shutil.rmtree(folder, ignore_errors=True)
    parser = argparse.ArgumentParser()
    grid.add_arguments(parser)
    asked = ["--run", str(job.folder), "--out", str(folder), "--weights", "1", *GRID]
    options = parser.parse_args([*asked, "--without-trigger", f"a photo of a {WHO.class_word}, {PLACES[0]}"])
    options.home = home
    return grid.run(options)


def _values(photos: Path, others: Path, base: Path, steps: int) -> dict[str, Any]:
    return {
        "name": WHO.trigger,
        "trigger": WHO.trigger,
        "class_word": WHO.class_word,
        "base": {"path": str(base.resolve())},
        "dataset": {
            "path": str(photos),
            "resolution": RESOLUTION,
            "bucket_min": RESOLUTION // 2,
            "bucket_max": RESOLUTION * 2,
            "bucket_step": 16,
            "repeats": max(1, round(steps * BATCH / EPOCHS / COUNT / 2)),
            "regularisation": str(others),
        },
        "loop": {"steps": steps, "batch_size": BATCH},
        "samples": {"prompts": [f"a photo of [trigger], {place} {DRAWING}" for place in PLACES]},
    }


def _rows(job: Job) -> list[picture.Row]:
    """What was drawn in each place: by the base, then after each epoch."""
    drawn = [event for event in read_events(job.events)[0] if event["kind"] == "sample"]
    rows: list[picture.Row] = []
    for number, place in enumerate(PLACES):
        own = [event for event in drawn if event["prompt"].endswith(place)]
        own.sort(key=lambda event: (not event["file"].endswith("-base.png"), event["step"]))
        labels = ["without the LoRA" if number == 0 else f"epoch {number}" for number in range(len(own))]
        note = "" if place in FAMILIAR_PLACES else "in no photo"
        rows.append(
            picture.Row(
                place, note, [(label, job.samples / event["file"]) for label, event in zip(labels, own, strict=True)]
            )
        )
    return rows
