"""What `check` and the page tell of a dataset, as sentences and as plain values. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lib_lora_train.errors import LoraLoopError
from lib_lora_train.train.config import TrainConfig
from lib_lora_train.train.dataset.buckets import place
from lib_lora_train.train.dataset.captions import base_caption, caption_for
from lib_lora_train.train.dataset.epochs import Plan
from lib_lora_train.train.dataset.held_out import hold_out
from lib_lora_train.train.dataset.length import Length, length, make_plan
from lib_lora_train.train.dataset.photos import Dataset, Photo, Problem, counted, listed
from lib_lora_train.train.sections import DatasetConfig

CountTokens = Callable[[str], int]
"""How many tokens a text has, without start and end marks."""

_ORDER = {"error": 0, "warning": 1, "note": 2}


@dataclass(frozen=True)
class PhotoReport:
    """One photo, as it will be trained in the first epoch."""

    photo: Photo
    verdict: str
    """ "ok", "note", "warning" or "error"."""
    kinds: tuple[str, ...]
    """The kinds of the problems that name it."""
    bucket: tuple[int, int]
    resized: tuple[int, int]
    crop: tuple[int, int]
    repeats: int
    """0 for one that is not trained on by its own number: a regularisation photo, or one that is held out."""
    caption: str
    tokens: int | None

    @property
    def marks(self) -> str:
        """What is worth knowing of it, in a few words: its problems, and what was done to it; "" for nothing."""
        return ", ".join((*(kind.replace("-", " ") for kind in self.kinds), *self.photo.notes))


@dataclass(frozen=True)
class BucketReport:
    """One bucket in the first epoch."""

    size: tuple[int, int]
    photos: int
    """Different training photos."""
    seen: int
    """Photos seen an epoch, repeats and regularisation counted."""
    batches: int


@dataclass(frozen=True)
class Report:
    """Everything that is told of a dataset."""

    understood: tuple[str, ...]
    photos: tuple[PhotoReport, ...]
    regularisation: tuple[PhotoReport, ...]
    held_out: tuple[PhotoReport, ...]
    left_out: tuple[Problem, ...]
    problems: tuple[Problem, ...]
    """Worst first; those of `left_out` are among them."""
    buckets: tuple[BucketReport, ...]
    length: Length
    steps_per_epoch: int
    """Of the first epoch."""
    trainable: bool


def build(dataset: Dataset, config: TrainConfig, count_tokens: CountTokens | None = None) -> Report:
    """The report on `dataset`. With `count_tokens`, captions longer than `dataset.max_tokens` are a problem."""
    dataset = hold_out(dataset, config)
    plan = make_plan(dataset, config)
    full = replace(config.dataset, caption_dropout=0.0, caption_dropout_every=0, tag_dropout=0.0)
    everyone = (*dataset.photos, *dataset.regularisation, *dataset.held_out)
    captions = {photo.name: _caption(photo, config, full) for photo in everyone}
    tokens = {name: count_tokens(text) for name, text in captions.items()} if count_tokens else {}
    dataset = dataset.with_problems(*_too_long(tokens, config.dataset))
    problems = tuple(sorted(dataset.problems, key=lambda problem: _ORDER[problem.level]))
    named: dict[str, list[Problem]] = {}
    for problem in problems:
        for name in problem.names:
            named.setdefault(name, []).append(problem)

    def one(photo: Photo, repeats: int = 0) -> PhotoReport:
        found, at = named.get(photo.name, []), place(photo.size, config.dataset)
        verdict = found[0].level if found else "ok"
        kinds = tuple(dict.fromkeys(problem.kind for problem in found))
        return PhotoReport(
            photo, verdict, kinds, at.bucket, at.resized, at.crop, repeats, captions[photo.name], tokens.get(photo.name)
        )

    return Report(
        understood=dataset.understood,
        photos=tuple(map(one, dataset.photos, plan.repeats)),
        regularisation=tuple(map(one, dataset.regularisation)),
        held_out=tuple(map(one, dataset.held_out)),
        left_out=tuple(problem for problem in problems if problem.kind == "broken"),
        problems=problems,
        buckets=_buckets(plan),
        length=length(dataset, config),
        steps_per_epoch=plan.steps_per_epoch(1),
        trainable=bool(dataset.photos) and not dataset.errors,
    )


def lines(report: Report) -> list[str]:
    """The report for people."""
    text = [*report.understood, ""]
    if report.buckets:
        width = max(len(f"{bucket.size[0]} x {bucket.size[1]}") for bucket in report.buckets)
        text.append(f"{'bucket':>{width}}  photos  seen an epoch  batches")
        for bucket in report.buckets:
            size = f"{bucket.size[0]} x {bucket.size[1]}"
            text.append(f"{size:>{width}}  {bucket.photos:>6}  {bucket.seen:>13}  {bucket.batches:>7}")
        text.append("")
    if report.problems:
        text += [f"{problem.level:>8}: {problem.message}" for problem in report.problems]
        text.append("")
    if report.trainable:
        text.append(f"{report.length.explanation} One epoch is {report.steps_per_epoch} steps.")
        text.append(f"Steps: {report.length.steps}   Epochs: {report.length.epochs}")
    else:
        text.append("Nothing can be trained yet: mend the errors above.")
    return text


def as_values(report: Report) -> dict[str, Any]:
    """The report as plain values for JSON."""
    return {
        "event": "dataset",
        "trainable": report.trainable,
        "understood": list(report.understood),
        "steps": report.length.steps,
        "epochs": report.length.epochs,
        "steps_per_epoch": report.steps_per_epoch,
        "explanation": report.length.explanation,
        "captions_found": sum(entry.photo.caption is not None for entry in report.photos),
        "buckets": [
            {"size": list(bucket.size), "photos": bucket.photos, "seen": bucket.seen, "batches": bucket.batches}
            for bucket in report.buckets
        ],
        "problems": [
            {"level": problem.level, "kind": problem.kind, "message": problem.message, "names": list(problem.names)}
            for problem in report.problems
        ],
        "photos": [_photo_values(entry) for entry in report.photos],
        "regularisation": [_photo_values(entry) for entry in report.regularisation],
        "held_out": [_photo_values(entry) for entry in report.held_out],
    }


def _photo_values(entry: PhotoReport) -> dict[str, Any]:
    photo = entry.photo
    return {
        "name": photo.name,
        "path": str(photo.path),
        "verdict": entry.verdict,
        "problems": list(entry.kinds),
        "notes": list(photo.notes),
        "size": list(photo.size),
        "bucket": list(entry.bucket),
        "resized": list(entry.resized),
        "crop": list(entry.crop),
        "repeats": entry.repeats,
        "weight": photo.weight,
        "caption": entry.caption,
        "caption_file": photo.caption_file,
        "tokens": entry.tokens,
    }


def _caption(photo: Photo, config: TrainConfig, full: DatasetConfig) -> str:
    """The caption of the first epoch without dropout; a broken template (told elsewhere) as it stands."""
    trigger = config.trigger_prompt
    try:
        return caption_for(photo, 0, 1, config.seed, full, trigger)
    except LoraLoopError:
        return base_caption(photo, full, trigger)


def _too_long(tokens: dict[str, int], config: DatasetConfig) -> Sequence[Problem]:
    names = tuple(name for name, count in tokens.items() if count > config.max_tokens)
    if not names:
        return ()
    longest = max(tokens.values())
    offers = [size for size in (75, 150, 225) if size > config.max_tokens]
    fits = next((size for size in offers if size >= longest), offers[-1] if offers else 0)
    cure = f"set dataset.max_tokens = {fits} to read them in chunks of 75, or shorten them" if fits else "shorten them"
    message = f"{counted(len(names), 'caption is', 'captions are')} longer than {config.max_tokens} tokens (the longest has {longest}) and cut: {listed(names)}; {cure}."
    return (Problem("warning", "caption-tokens", message, names),)


def _buckets(plan: Plan) -> tuple[BucketReport, ...]:
    photos: dict[tuple[int, int], int] = {}
    for placement in plan.placements:
        photos[placement.bucket] = photos.get(placement.bucket, 0) + 1
    counts = plan.bucket_counts(1)
    return tuple(
        BucketReport(size, photos.get(size, 0), seen, -(-seen // plan.batch_size)) for size, seen in counts.items()
    )
