"""Train LoRAs on every held-out character and style, score them epoch by epoch, and write a table of settings.

    python -m tools.small_base.compare --out DIR --home HOME      in the trainer's environment of HOME
    python -m tools.small_base.compare --out DIR --python-here    with the packages of this Python

Each run is one of the project's own; `--at-once` of them share the device. What is in DIR already is not done again, so
a comparison that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).absolute().parents[2]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from lib_lora_train.cli import guarded  # noqa: E402
from lib_lora_train.environment.entry import enter  # noqa: E402
from lib_lora_train.environment.launch import command_for  # noqa: E402
from lib_lora_train.environment.state import Environment  # noqa: E402

RANKS, OPTIMIZERS = (4, 16, 64), ("AdamW", "DAdaptAdam", "Prodigy")
ALL_SETTINGS = ("zorpi", "wetwash")
WORKER = "lib_lora_train.train.worker"
BATCH, PHOTOS = 4, 16


@dataclass(frozen=True)
class Run:
    """One LoRA to train."""

    trigger: str
    rank: int = 16
    text_encoder: bool = True
    optimizer: str = "AdamW"
    others: bool = True
    """With class photos beside the character's."""

    @property
    def setting(self) -> str:
        """All but whom it is trained for."""
        words = f"rank {self.rank}, {'with' if self.text_encoder else 'without'} text encoder, {self.optimizer}"
        return words + ("" if self.others else ", no class photos")

    @property
    def name(self) -> str:
        """A folder's name."""
        words = f"{self.trigger}-r{self.rank}{'' if self.text_encoder else '-unet'}-{self.optimizer}"
        return words + ("" if self.others else "-alone")


def plan(quick: bool, only: list[str]) -> list[Run]:
    """The default setting for everybody, every setting for two, and everybody without class photos.

    `only` keeps names that contain one of its words.
    """
    from lib_lora_train.demo.world.characters import CHARACTERS

    everybody = [Run(one.trigger) for one in CHARACTERS]
    table = [
        Run(who, r, te, name) for who in ALL_SETTINGS for name in OPTIMIZERS for te in (True, False) for r in RANKS
    ]
    alone = [Run(one.trigger, others=False) for one in CHARACTERS]
    runs = [Run("zorpi"), Run("wetwash"), Run("zorpi", 4, False)] if quick else [*everybody, *table, *alone]
    return [run for run in dict.fromkeys(runs) if not only or any(word in run.name for word in only)]


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--home", type=Path, help="the folder lora-loop with the trainer's environment")
    parser.add_argument("--python-here", action="store_true", help="train with this Python's packages")
    parser.add_argument("--quick", action="store_true", help="three runs in place of the whole table")
    parser.add_argument("--only", action="append", default=[], metavar="WORD", help="runs whose names contain WORD")
    parser.add_argument("--at-once", type=int, default=max(1, (os.cpu_count() or 2) // 2), metavar="N")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--steps", type=int, default=360, help="of each run")
    parser.add_argument("--rate", type=float, default=1e-3, help="AdamW's learning rate; the others find theirs")
    parser.add_argument("--seeds", type=int, default=2, help="pictures of each of the twelve prompts")
    parser.add_argument("--sampling", type=int, default=14, help="steps of a picture")
    parser.add_argument("--base", type=Path, help="another small base")
    parser.add_argument("--judge", type=Path, help="another judge")
    parser.add_argument("--table", type=Path, help="where the Markdown goes (default: results.md in --out)")
    return parser.parse_args(given)


def main(given: list[str]) -> int:
    """Train, score, write. Runs in the trainer's environment."""
    from tools.small_base.report import write_report
    from tools.small_base.scorer import Scorer

    options = arguments(given)
    out: Path = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    runs = plan(options.quick, options.only)
    _write_sets({run.trigger for run in runs}, out / "sets")
    trained = _train_all(runs, options, out)
    scorer = Scorer(options, out)
    base = scorer.base_shares()
    results: list[dict[str, Any]] = []
    for run in trained:
        file = out / "runs" / run.name / "score.json"
        if not file.exists():
            found = (
                asdict(run)
                | {"name": run.name, "setting": run.setting, "device": scorer.device}
                | scorer.score(run.trigger, file.parent)
            )
            file.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
        results.append(json.loads(file.read_text("utf-8")))
        last = results[-1]["epochs"][-1]
        words = " ".join(f"{name} {last[name]:.2f}" for name in ("likeness", "leak", "obedience"))
        print(f"{time.monotonic() - began:5.0f} s  {len(results)}/{len(runs)}  {run.name}: {words}", flush=True)
    results.sort(key=lambda one: [run.name for run in runs].index(one["name"]))
    pictures = 12 * options.seeds
    everything = {"base": base, "steps": options.steps, "rate": options.rate, "pictures": pictures, "runs": results}
    (out / "results.json").write_text(json.dumps(everything, indent=1) + "\n", "utf-8")
    write_report(everything, options.table or out / "results.md")
    scorer.sheet(results, out / "sheet.jpg")
    print(f"All is in {out}, after {time.monotonic() - began:.0f} s.")
    return int(len(results) < len(runs))


def _write_sets(triggers: set[str], folder: Path) -> None:
    from lib_lora_train.demo.world.characters import character, write_others, write_set

    for who in (character(trigger) for trigger in sorted(triggers)):
        if not (folder / who.trigger).is_dir():
            write_set(who, folder / who.trigger, PHOTOS)
        if not (folder / f"{who.trigger}-others").is_dir():
            write_others(who, folder / f"{who.trigger}-others")


def _train_all(runs: list[Run], options: argparse.Namespace, out: Path) -> Iterator[Run]:
    """Each run as its training ends, `--at-once` at a time. One that fails is said and left out."""
    waiting = [run for run in runs if not (out / "runs" / run.name / "score.json").exists()]
    yield from (run for run in runs if run not in waiting)
    going: dict[Run, subprocess.Popen[bytes]] = {}
    try:
        while waiting or going:
            while waiting and len(going) < options.at_once:
                run = waiting.pop(0)
                going[run] = _start(run, options, out)
            ended = [run for run, process in going.items() if process.poll() is not None]
            for run in ended:
                if going.pop(run).returncode == 0:
                    yield run
                else:
                    log = (out / "runs" / run.name / "log.txt").read_text("utf-8", errors="replace")
                    print(f"{run.name} failed and is left out:\n{log[-2000:]}", file=sys.stderr, flush=True)
            time.sleep(0 if ended else 0.1)
    finally:
        for process in going.values():
            process.terminate()
            process.wait()


def _start(run: Run, options: argparse.Namespace, out: Path) -> subprocess.Popen[bytes]:
    from lib_lora_train.jobs import process, store
    from lib_lora_train.train import config as configs

    folder, home = out / "runs" / run.name, options.home or out / "home"
    shutil.rmtree(folder, ignore_errors=True)
    job = store.create(configs.from_values(values(run, options, out)), home, folder)
    job.update(cache=str(out / "cache"), share_card=True)  # all of one comparison, which fits the card
    if not options.python_here:
        return process.start(job, home)
    command, variables = command_for(Environment(home, Path(sys.executable)), WORKER, [str(folder)])
    with job.log.open("ab") as log:
        return subprocess.Popen(command, env=variables, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def values(run: Run, options: argparse.Namespace, out: Path) -> dict[str, Any]:
    """The run's config."""
    from lib_lora_train.demo.models import BASE
    from lib_lora_train.demo.world.characters import character

    who = character(run.trigger)
    rate = options.rate if run.optimizer == "AdamW" else 1.0
    return {
        "name": who.trigger,
        "trigger": who.trigger,
        "class_word": who.class_word,
        "base": {"path": str((options.base or BASE).resolve())},
        "dataset": {
            "path": str(out / "sets" / who.trigger),
            "resolution": 128,
            "bucket_min": 64,
            "bucket_max": 256,
            "bucket_step": 16,
            "repeats": max(1, round(options.steps * BATCH / options.epochs / PHOTOS / (2 if run.others else 1))),
            "regularisation": str(out / "sets" / f"{who.trigger}-others") if run.others else "",
        },
        "adapter": {"rank": run.rank, "alpha": float(run.rank), "text_encoder": run.text_encoder},
        "optimizer": {"name": run.optimizer, "learning_rate": rate},
        "loop": {"steps": options.steps, "batch_size": BATCH},
        "save": {"keep_states": 1},
        "log": {"tensorboard": False},
    }


if __name__ == "__main__":
    asked = arguments()
    if asked.python_here:
        sys.exit(guarded(lambda: main(sys.argv[1:])))
    sys.exit(guarded(lambda: enter("tools.small_base.compare", sys.argv[1:], asked.home)))
