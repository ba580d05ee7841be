"""Find the epochs of a training run from one of its files, its folder, its job, or its name. Nothing is renamed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lib_lora_train.errors import LoraLoopError
from lib_lora_train.files import card
from lib_lora_train.grid import lora_file
from lib_lora_train.grid.errors import RunNotFound
from lib_lora_train.grid.lora_file import LoraFile
from lib_lora_train.grid.names import Named, natural, take_apart

SUFFIX = ".safetensors"
MAX_FILES = 20_000
"""Files looked at when a name is searched for in the LoRA folders."""


@dataclass(frozen=True)
class Epoch:
    """One file of a run. `problem` says in one sentence why it cannot be drawn with; then `content` is empty.

    `position` is its place in the run, `content` the hash of its tensors, `also` other names of the same content.
    """

    file: LoraFile
    label: str
    position: int
    epoch: int | None = None
    step: int | None = None
    final: bool = False
    content: str = ""
    problem: str = ""
    also: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        return self.file.path

    @property
    def name(self) -> str:
        """The name in `<lora:NAME:…>`: the file's own, as aliases are the same for all epochs."""
        return self.file.stem


@dataclass(frozen=True)
class Run:
    """The files of one training run in order, and what was noticed about them."""

    name: str
    folder: Path
    epochs: tuple[Epoch, ...]
    notes: tuple[str, ...] = ()
    job: Path | None = None

    @property
    def usable(self) -> tuple[Epoch, ...]:
        return tuple(epoch for epoch in self.epochs if not epoch.problem)

    @property
    def names(self) -> frozenset[str]:
        """Every name by which a prompt may call one of these files, in small letters."""
        stems = {name for epoch in self.epochs for name in (epoch.name, *epoch.also, epoch.file.output_name)}
        return frozenset(name.casefold() for name in stems | {self.name} if name)

    @property
    def trigger(self) -> str:
        """The trigger on the card or in the metadata of the last file that has one."""
        for epoch in reversed(self.epochs):
            text = card.read(epoch.path).get("activation text") or epoch.file.trigger
            if isinstance(text, str) and text.strip():
                return text.strip()
        return ""


def find(text: str, folders: Sequence[Path] = (), base: Path | None = None, jobs: Path | None = None) -> Run:
    """The run that `text` names: a LoRA file, a folder with the files of one run, a job folder, or a name.

    A name is looked for among the jobs in `jobs` and in `folders` with what lies below them. With `base`, files for
    another kind of base are marked. Raises RunNotFound when there is none or there are several.
    """
    path = Path(text)
    if path.is_file() or (path.suffix == SUFFIX and path.parent.is_dir() and path.parent != Path()):
        wanted = take_apart(path.stem).base
        return _run(wanted, path.parent, _grouped(_files(path.parent)).get(wanted.casefold(), []), base)
    for folder in (path, *((jobs / text,) if jobs else ())):
        if folder.is_dir():
            return _of_folder(folder, base)
    wanted = text.removesuffix(SUFFIX)
    for folder in folders:
        found = _named(folder, wanted)
        if found:
            return _run(take_apart(found[0].stem).base, found[0].parent, found, base)
    places = ", ".join(str(folder) for folder in folders) or "no folder"
    raise RunNotFound(
        f"No LoRA called {wanted!r} was found ({places} searched); give its file, its folder, or its exact name."
    )


def choose(run: Run, wanted: str) -> tuple[Epoch, ...]:
    """The usable epochs that `wanted` names: `all`, `last:3`, `every:2`, or `1-4,8,final` with epoch numbers.

    Raises RunNotFound, naming those that there are.
    """
    usable = run.usable
    kind, _, count = wanted.partition(":")
    if wanted in ("", "all"):
        return usable
    if kind in ("last", "every") and count.isdecimal() and int(count) > 0:
        return usable[-int(count) :] if kind == "last" else usable[:: -int(count)][::-1]
    chosen: list[Epoch] = []
    for part in wanted.split(","):
        found = [epoch for epoch in usable if _answers(epoch, part.strip())]
        if not found:
            there = ", ".join(epoch.label for epoch in usable)
            raise RunNotFound(
                f"Epochs {part.strip()!r}: {run.name} has no such epoch that can be used; it has {there}."
            )
        chosen += found
    return tuple(epoch for epoch in usable if epoch in chosen)


def _answers(epoch: Epoch, part: str) -> bool:
    low, dash, high = part.partition("-")
    if low.isdecimal() and (not dash or high.isdecimal()):
        return epoch.epoch is not None and int(low) <= epoch.epoch <= int(high if dash else low)
    names = {epoch.label, epoch.name, *epoch.also, *(("final", "last") if epoch.final else ())}
    return part.casefold() in {name.casefold() for name in names}


def _of_folder(folder: Path, base: Path | None) -> Run:
    job = folder if (folder / "job.json").is_file() else None
    if job:
        folder = folder / "out"
    groups = _grouped(_files(folder))
    if not groups:
        raise RunNotFound(f"{folder} has no LoRA files ({SUFFIX}); choose the folder that the trainer saved into.")
    if len(groups) > 1:
        names = ", ".join(sorted(take_apart(files[0].stem).base for files in groups.values())[:8])
        raise RunNotFound(f"{folder} holds files of {len(groups)} runs; name one of them: {names}.")
    [files] = groups.values()
    return dataclasses.replace(_run(_name_of(files), folder, files, base), job=job)


def _name_of(files: Sequence[Path]) -> str:
    return min((take_apart(path.stem).base for path in files), key=len)


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == SUFFIX and not path.name.startswith("."))
    except OSError as error:
        raise RunNotFound(f"{folder} cannot be read ({error.strerror or error}).") from error


def _named(folder: Path, wanted: str) -> list[Path]:
    """The files below `folder` of the run called `wanted`, or of which `wanted` is one file; the first folder wins."""
    found: dict[Path, list[Path]] = {}
    for number, path in enumerate(folder.rglob("*" + SUFFIX)):
        if number >= MAX_FILES:
            break
        found.setdefault(path.parent, []).append(path)
    base = take_apart(wanted).base.casefold()
    for _, paths in sorted(found.items()):
        files = _grouped(sorted(paths)).get(base)
        if files:
            return files
    return []


def _grouped(paths: Iterable[Path]) -> dict[str, list[Path]]:
    """Files by run: by name, and a file whose name says nothing goes to the run that its metadata names."""
    groups: dict[str, list[Path]] = {}
    loose: list[Path] = []
    for path in paths:
        named = take_apart(path.stem)
        (groups.setdefault(named.base.casefold(), []) if named.numbered else loose).append(path)
    for path in loose:
        home = path.stem.casefold()
        if home not in groups and groups:
            output = take_apart(lora_file.read(path).output_name).base.casefold()
            home = output if output in groups else home
        groups.setdefault(home, []).append(path)
    return groups


def _run(name: str, folder: Path, paths: Sequence[Path], base: Path | None) -> Run:
    if not paths:
        raise RunNotFound(f"{folder} has no files of {name!r}.")
    files = [lora_file.read(path) for path in paths]
    ratio = _steps_per_epoch(files)
    ordered = sorted(files, key=lambda file: _when(file, ratio))
    last = ordered[-1]
    epochs: list[Epoch] = []
    for position, file in enumerate(ordered):
        epoch, step = _numbers(file)
        epochs.append(
            Epoch(
                file=file,
                label=_label(file, epoch, step),
                position=position,
                epoch=epoch,
                step=step,
                final=file is last and not take_apart(file.stem).numbered,
                problem=file.problem or lora_file.misfit(file, base),
            )
        )
    merged = _without_doubles([_hashed(epoch) for epoch in epochs])
    return Run(name, folder, tuple(merged), tuple(_notes(merged)))


def _numbers(file: LoraFile) -> tuple[int | None, int | None]:
    """Epoch and step of a file: by metadata, else by name."""
    named = take_apart(file.stem)
    epoch, step = file.epoch, file.step
    return (named.epoch if epoch is None else epoch), (named.step if step is None else step)


def _label(file: LoraFile, epoch: int | None, step: int | None) -> str:
    named = take_apart(file.stem)
    if named.step is not None and named.epoch is None and step is not None:
        return f"step {step}"
    if epoch is not None:
        return f"epoch {epoch}"
    return f"step {step}" if step is not None else "final"


def _steps_per_epoch(files: Iterable[LoraFile]) -> float:
    for file in files:
        if file.step and file.epoch:
            return file.step / file.epoch
    return 0.0


def _when(file: LoraFile, ratio: float) -> tuple[bool, float, bool, tuple[tuple[int, str, int], ...]]:
    """Sort key: by step where that is known, then by epoch; a bare name is the end of the run."""
    epoch, step = _numbers(file)
    named: Named = take_apart(file.stem)
    unknown = epoch is None and step is None
    if step is not None and (ratio or epoch is None):
        place = float(step) if ratio else 1e9 + step  # steps beside epochs that nothing compares: after them
    else:
        place = (epoch or 0) * (ratio or 1.0)
    return unknown or (not named.numbered and not file.metadata), place, not named.numbered, natural(file.stem)


def _hashed(epoch: Epoch) -> Epoch:
    if epoch.problem:
        return epoch
    try:
        return dataclasses.replace(epoch, content=lora_file.content_hash(epoch.path))
    except (LoraLoopError, OSError) as error:
        return dataclasses.replace(epoch, problem=f"it cannot be read ({error}).")


def _without_doubles(epochs: Sequence[Epoch]) -> list[Epoch]:
    """Files of equal content once, under the numbered name; the other names are remembered."""
    kept: dict[str, Epoch] = {}
    for epoch in epochs:
        key = epoch.content or str(epoch.path)
        first = kept.get(key)
        if first is None:
            kept[key] = epoch
            continue
        one, other = (first, epoch) if take_apart(first.name).numbered else (epoch, first)
        kept[key] = dataclasses.replace(
            one, also=(*first.also, *epoch.also, other.name), final=first.final or epoch.final, position=first.position
        )
    return [dataclasses.replace(epoch, position=position) for position, epoch in enumerate(kept.values())]


def _notes(epochs: Sequence[Epoch]) -> list[str]:
    notes = [f"{epoch.path.name} is left out: {epoch.problem}" for epoch in epochs if epoch.problem]
    notes += [
        f"{', '.join(epoch.also)} is the same as {epoch.name} and is drawn once." for epoch in epochs if epoch.also
    ]
    sessions = {epoch.file.session for epoch in epochs if epoch.file.session}
    if len(sessions) > 1:
        notes.append(
            f"The files come from {len(sessions)} training runs of the same name (or one that was resumed by another trainer)."
        )
    ranks = {epoch.file.metadata.get("ss_network_dim") for epoch in epochs if epoch.file.metadata.get("ss_network_dim")}
    if len(ranks) > 1:
        notes.append(f"The files have different ranks ({', '.join(sorted(map(str, ranks)))}).")
    return notes
