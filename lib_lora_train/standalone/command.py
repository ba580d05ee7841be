"""`grid`: the epoch grid of a run, drawn by the trainer's own sampler; and keeping one epoch of it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from lib_lora_train.files.roots import safe_name
from lib_lora_train.files.text import printable
from lib_lora_train.grid import discover, keep, plan
from lib_lora_train.grid.discover import Run
from lib_lora_train.grid.errors import GridError
from lib_lora_train.grid.layout import FORMATS, Look
from lib_lora_train.grid.names import take_apart
from lib_lora_train.grid.scores import Scorer
from lib_lora_train.grid.session import Session
from lib_lora_train.standalone.progress import Progress
from lib_lora_train.standalone.request import find_run, job_of, plan_of
from lib_lora_train.train.sections import SAMPLERS

STOPPED, NOTHING_DRAWN = 6, 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `grid`."""
    add = parser.add_argument
    add("--run", required=True, metavar="RUN", help="a LoRA file, its folder, a job, or the name of a run")
    add("--lora-dir", type=Path, action="append", default=[], metavar="DIR", help="where a name is looked for")
    add("--out", type=Path, metavar="DIR", help="the grid's folder; started again, it goes on where it was")
    add("--json", action="store_true", help="one JSON object a line for each event")
    what = parser.add_argument_group("what is compared")
    add = what.add_argument
    add("--base", type=Path, action="append", default=[], metavar="FILE", help="checkpoint; may be repeated")
    add("--vae", default="", metavar="FILE", help="another VAE in place of the checkpoint's")
    add("--epochs", default="all", metavar="WHICH", help="all, last:3, every:2, or 1-4,8,final (default: all)")
    add(
        "--weights",
        default="0,0.6,0.8,1",
        metavar="W",
        help="0,0.8,1 or 0.2-1.0:0.2; 0 is the control without the LoRA",
    )
    add("--no-control", action="store_true", help="no pictures without the LoRA")
    add(
        "--prompt",
        action="append",
        default=[],
        metavar="P",
        help="a prompt (a template); the trigger is added if it lacks it",
    )
    add(
        "--without-trigger",
        action="append",
        default=[],
        metavar="P",
        help="a prompt that is left as it is, to see what leaks",
    )
    add("--card", type=Path, metavar="TOML", help="a test card: [[prompt]] with label, text, negative, trigger")
    add("--negative", default="", metavar="P", help="negative prompt, where the card has none")
    add("--wildcards", type=Path, action="append", default=[], metavar="DIR", help="a wildcard folder")
    add("--seeds", default="1", metavar="N", help="seeds, such as 1,2,3 (default: 1)")
    add("--axis", action="append", default=[], metavar="NAME=V,V", help="a further axis, such as cfg_scale=4,7")
    _add_settings(parser)
    _add_results(parser)


def _add_settings(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("how it is drawn").add_argument
    add("--size", metavar="WxH", help="picture size (default: the resolution of the training, else 512x512)")
    add("--steps", type=int, default=20, help="sampling steps (default: 20)")
    add("--cfg", type=float, default=7.0, help="CFG scale (default: 7)")
    add("--sampler", default="euler_a", choices=SAMPLERS, help="sampler (default: euler_a)")
    add("--clip-skip", type=int, help="layer of the text encoder (default: as trained)")


def _add_results(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("what comes of it").add_argument
    add("--plan", action="store_true", help="say what would be drawn, and draw nothing")
    add("--format", default="jpeg", choices=sorted(FORMATS), help="format of the sheets (default: jpeg)")
    add("--tile", type=int, default=320, metavar="PX", help="longest side of a picture on a sheet (default: 320)")
    add("--megapixels", type=int, default=60, metavar="N", help="largest sheet; more become several (default: 60)")
    add(
        "--features",
        type=Path,
        metavar="PATH",
        help="a CLIP or DINO model or the small base's judge, to measure likeness (CLIP: obedience too)",
    )
    add("--photos", type=Path, metavar="DIR", help="the training photos (default: those of the job)")
    add("--keep", metavar="EPOCH[@WEIGHT]", help="keep this epoch, such as 6@0.8; the others are put away")
    add("--name", default="", help="with --keep: the kept file's name (default: the run's)")
    add(
        "--archive",
        type=Path,
        metavar="DIR",
        help="with --keep and --undo: where the others lie (default: in the home)",
    )
    add("--undo", action="store_true", help="put back what --keep moved")


def run(options: argparse.Namespace) -> int:
    """Carry out `grid`; returns the exit code. Raises LoraLoopError."""
    if options.undo:
        return _undo(options)
    job = job_of(options)
    found = find_run(options, job)
    if options.keep:
        return _keep(options, found)
    session = Session(plan_of(options, found, job), found, _folder(options, found), _look(options))
    progress = Progress(options.json)
    progress.begin(session, found)
    if options.plan:
        return 0
    scorer = _scorer(options)
    with _alone(session.folder):
        code = _draw(session, progress, options.vae)
        if code or scorer is None:
            return code
        photos = options.photos or (Path(job.config().dataset.path) if job else None)
        return _score(session, progress, scorer, photos)


def _draw(session: Session, progress: Progress, vae: str) -> int:
    from lib_lora_train.standalone.renderer import Standalone

    try:
        session.draw(Standalone(vae), progress.drawn, most=1)
    except KeyboardInterrupt:
        progress.stopped(session)
        return STOPPED
    outcome = session.finish()
    progress.end(session, outcome)
    return NOTHING_DRAWN if outcome.failures == len(session.plan.cells) else 0


def _score(session: Session, progress: Progress, scorer: Scorer, photos: Path | None) -> int:
    from lib_lora_train.grid import scoring

    if photos is None or not photos.is_dir():
        raise GridError("--features measures likeness to the training photos: say with --photos where they are.")
    session.score(scorer, scoring.photos_in(photos), progress.scored)
    progress.end(session, session.finish())
    return 0


def _scorer(options: argparse.Namespace) -> Scorer | None:
    """The model of image features, opened before anything is drawn, so that a wrong folder costs no time."""
    if options.features is None:
        return None
    from lib_lora_train.standalone.features import FolderScorer
    from lib_lora_train.standalone.judging import JudgeScorer, judge_in

    judge = judge_in(options.features)
    return JudgeScorer(judge) if judge else FolderScorer(options.features)


def _alone(folder: Path) -> Any:
    """A lock on the grid's folder. Raises GridError when another process draws into it."""
    from filelock import FileLock, Timeout

    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise GridError(f"Another process is drawing into {folder}; wait for it, or choose another --out.") from None
    return lock


def _look(options: argparse.Namespace) -> Look:
    return Look(options.tile, options.megapixels * 1_000_000, options.format)


def _folder(options: argparse.Namespace, found: Run) -> Path:
    return (options.out or options.home / "grids" / safe_name(found.name)).resolve()


def _archive(options: argparse.Namespace, found: Run) -> Path:
    return (options.archive or options.home / "archive" / safe_name(found.name)).resolve()


def _keep(options: argparse.Namespace, found: Run) -> int:
    wanted, at, weight_text = options.keep.partition("@")
    chosen = discover.choose(found, wanted.strip())
    if len(chosen) != 1:
        raise GridError(
            f"--keep {wanted!r} names {len(chosen)} epochs; name one, such as {chosen[-1].label.split()[-1]}@0.8."
        )
    weight = plan.read_weights(weight_text)[0] if at else 1.0
    archive = _archive(options, found)
    preview = keep.picture_of(_folder(options, found), chosen[0], weight)
    kept = keep.keep(found, chosen[0], weight, archive, options.name, preview)
    if options.json:
        print(json.dumps({"kind": "kept", "file": str(kept.path), "archive": str(archive), "moved": list(kept.moved)}))
        return 0
    told = [
        f"{chosen[0].label} is now {kept.path}, with a preferred weight of {weight:g}.",
        *kept.notes,
        f"{len(kept.moved)} files were put away in {archive}; --undo puts them back.",
    ]
    print(printable("\n".join(told)))
    return 0


def _undo(options: argparse.Namespace) -> int:
    """Put back what the newest --keep of this run moved; the run is named as it was then."""
    job = job_of(options)
    names = [Path(options.run).name, take_apart(Path(options.run).stem).base, *([job.config().name] if job else [])]
    folders = [options.archive] if options.archive else [options.home / "archive" / safe_name(name) for name in names]
    folder = next((path for path in folders if (path / keep.UNDO).is_file()), folders[-1])
    back = keep.undo(folder.resolve())
    if options.json:
        print(json.dumps({"kind": "undone", "files": [str(path) for path in back]}))
    else:
        print(f"{len(back)} files are back where they were.")
    return 0
