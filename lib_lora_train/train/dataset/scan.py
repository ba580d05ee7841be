"""Reading a folder of photos: sizes from the headers, captions, identities. No pixel is decoded here.

`verify` decodes them. Files are read by a few threads, because shares answer late; results come in order.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from lib_lora_train.files.images import Header, ImageError, probe
from lib_lora_train.files.reading import MOST_PHOTO, NotPlainFile, opened, patiently
from lib_lora_train.train.dataset import caption_files
from lib_lora_train.train.dataset.caption_files import Caption
from lib_lora_train.train.dataset.folders import Folder, Layout, layout, walk
from lib_lora_train.train.dataset.photos import Dataset, Photo, Problem, counted, listed
from lib_lora_train.train.dataset.sizes import size_problems
from lib_lora_train.train.errors import DatasetError
from lib_lora_train.train.sections import DatasetConfig

Progress = Callable[[int, int, str], None]
"""Called with (done, total, what is being done). An exception that it raises cancels, and comes out unchanged."""

READERS = 4
_CHUNK = 1024 * 1024
_NAMES_OF_FORMATS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "MPO": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "WEBP": (".webp",),
    "GIF": (".gif",),
    "BMP": (".bmp", ".dib"),
}


@dataclass(frozen=True)
class _Set:
    """The photos of one folder setting and what was found out on the way."""

    photos: tuple[Photo, ...]
    folders: tuple[Folder, ...]
    problems: tuple[Problem, ...]


def scan(config: DatasetConfig, trigger: str, progress: Progress | None = None, *, class_word: str = "") -> Dataset:
    """What `config.path` and `config.regularisation` hold.

    `trigger` is the caption of photos without one (usually `TrainConfig.trigger_prompt`), `class_word` that of
    regularisation photos. Files that are no pictures are left out and listed. Raises DatasetError when a folder is
    missing, DiskError when its drive goes away.
    """
    where = layout(config.path, config.regularisation)
    seen: Counter[str] = Counter()
    own = _read_set(tuple(walk(where.root, where.regularisation)), config, trigger, progress, seen)
    beside = _Set((), (), ())
    if where.regularisation is not None:
        words = replace(config, repeats=0)
        beside = _read_set(tuple(walk(where.regularisation)), words, class_word, progress, seen, is_regularisation=True)
    problems = [*own.problems, *beside.problems, *_duplicates(own.photos, beside.photos)]
    problems += [
        *_nothing(own, where),
        *_unknown_weights(own.photos + beside.photos, config),
        *_concepts(own, config, trigger),
    ]
    problems += size_problems(own.photos + beside.photos, config)
    understood = (*_understood(own, beside, config), *where.understood)
    return Dataset(own.photos, beside.photos, tuple(problems), understood=understood)


def _read_set(
    folders: tuple[Folder, ...],
    config: DatasetConfig,
    trigger: str,
    progress: Progress | None,
    seen: Counter[str],
    *,
    is_regularisation: bool = False,
) -> _Set:
    files = [(folder, name) for folder in folders for name in folder.pictures]
    photos: list[Photo] = []
    broken: list[Problem] = []
    captions: dict[str, Caption] = {}
    what = "reading regularisation photos" if is_regularisation else "reading photos"
    for done, (folder, name, looked) in enumerate(_look(files), 1):
        if isinstance(looked, str):
            level = "warning" if config.skip_broken else "error"
            broken.append(
                Problem(level, "broken", f"{folder.name_of(name)} is left out: {looked}", (folder.name_of(name),))
            )
        else:
            photo = _photo(folder, name, looked, config, seen)
            photo = _captioned(photo, folder, captions)
            words = photo.words if folder.repeats else trigger or photo.words
            regularised = replace(photo, is_regularisation=True, words=words, weight=photo.weight * config.prior_weight)
            photos.append(regularised if is_regularisation else photo)
        if progress:
            progress(done, len(files), what)
    unused = tuple(folder.name_of(name) for folder in folders for name in folder.unused)
    if unused:
        broken.append(
            Problem(
                "note",
                "unused",
                f"{counted(len(unused), 'file is neither photo nor caption', 'files are neither photos nor captions')} and not used: {listed(unused)}.",
                unused,
            )
        )
    told = caption_files.problems(photos, captions, config, trigger)
    return _Set(tuple(photos), folders, (*broken, *told, *_renamed(photos)))


def _look(files: Sequence[tuple[Folder, str]]) -> Iterator[tuple[Folder, str, tuple[Header, str] | str]]:
    """Header and hash of each file, or why there is none, in order."""

    def look(file: tuple[Folder, str]) -> tuple[Header, str] | str:
        path = file[0].path / file[1]
        if path.is_symlink() and not path.exists():
            return "it is a link that leads nowhere; put the file itself there."
        try:
            return patiently(path.name, lambda: (probe(path), _hash(path)))
        except ImageError as error:
            return str(error)
        except PermissionError:
            return "it may not be read; change its permissions."
        except OSError as error:
            return f"it cannot be read ({error.strerror or error}); copy it again from its source."

    pool = ThreadPoolExecutor(READERS, thread_name_prefix="scan")
    try:
        for (folder, name), looked in zip(files, pool.map(look, files), strict=True):
            yield folder, name, looked
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _hash(path: Path) -> str:
    digest = hashlib.blake2b(digest_size=16)
    with opened(path, MOST_PHOTO) as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _photo(folder: Folder, file: str, looked: tuple[Header, str], config: DatasetConfig, seen: Counter[str]) -> Photo:
    header, content = looked
    seen[content] += 1
    name = folder.name_of(file)
    notes = [
        "turned upright" if header.orientation != 1 else "",
        f"transparent: put on {config.background}" if header.transparent else "",
        "animated: its first picture" if header.animated else "",
    ]
    return Photo(
        path=folder.path / file,
        name=name,
        width=header.width,
        height=header.height,
        identity=content if seen[content] == 1 else f"{content}#{seen[content]}",
        folder=folder.label,
        words=folder.words,
        repeats=config.repeats or folder.repeats,
        weight=_weight(name, config.weights),
        format=header.format,
        notes=tuple(note for note in notes if note),
    )


def _captioned(photo: Photo, folder: Folder, captions: dict[str, Caption]) -> Photo:
    """The photo with its caption file's text; an empty file counts as none."""
    file = caption_files.find(folder, photo.path.name)
    if file is None:
        return photo
    name = folder.name_of(file)
    if name not in captions:
        try:
            captions[name] = caption_files.read(folder.path / file)
        except PermissionError:
            raise DatasetError(f"The caption {name} may not be read; change its permissions.") from None
        except NotPlainFile as error:
            raise DatasetError(f"The caption {name} cannot be read: {error.strerror}.") from None
    text = captions[name].text
    return replace(photo, caption=text, caption_file=name) if text else photo


def _weight(name: str, weights: dict[str, float]) -> float:
    """The weight of the last pattern that fits the relative or the bare name, whatever the case."""
    chosen = 1.0
    for pattern, weight in weights.items():
        if _fits(name, pattern):
            chosen = weight
    return chosen


def _fits(name: str, pattern: str) -> bool:
    pattern = pattern.casefold().replace("\\", "/")
    return fnmatchcase(name.casefold(), pattern) or fnmatchcase(PurePosixPath(name).name.casefold(), pattern)


def _unknown_weights(photos: Sequence[Photo], config: DatasetConfig) -> Iterator[Problem]:
    for pattern in config.weights:
        if not any(_fits(photo.name, pattern) for photo in photos):
            yield Problem(
                "warning", "weight-unused", f"dataset.weights has {pattern!r}, which fits no photo; check the spelling."
            )


def _renamed(photos: Sequence[Photo]) -> Iterator[Problem]:
    wrong = tuple(
        photo.name
        for photo in photos
        if PurePosixPath(photo.name).suffix.lower()
        not in _NAMES_OF_FORMATS.get(photo.format, (PurePosixPath(photo.name).suffix.lower(),))
    )
    if wrong:
        yield Problem(
            "note",
            "renamed",
            f"{counted(len(wrong), 'photo is', 'photos are')} of another kind than the name says, which does no harm: {listed(wrong)}.",
            wrong,
        )


def _duplicates(own: Sequence[Photo], beside: Sequence[Photo]) -> Iterator[Problem]:
    copies: dict[str, list[Photo]] = {}
    for photo in (*own, *beside):
        copies.setdefault(photo.content, []).append(photo)
    groups = [group for group in copies.values() if len(group) > 1]
    names = tuple(photo.name for group in groups for photo in group[1:])
    if names:
        pairs = "; ".join(" = ".join(photo.name for photo in group) for group in groups[:5])
        yield Problem(
            "warning",
            "duplicate",
            f"{counted(len(names), 'photo is an exact copy', 'photos are exact copies')} ({pairs}); remove what shall not count twice.",
            names,
        )
    both = tuple(group[0].name for group in groups if len({photo.is_regularisation for photo in group}) == 2)
    if both:
        yield Problem(
            "warning",
            "regularisation-copy",
            f"{counted(len(both), 'photo is also a regularisation photo', 'photos are also regularisation photos')}, which undoes what is learned: {listed(both)}.",
            both,
        )


def _nothing(own: _Set, where: Layout) -> Iterator[Problem]:
    if not own.photos:
        broken = sum(problem.kind == "broken" for problem in own.problems)
        left = f"; {broken} files were left out" if broken else ""
        yield Problem(
            "error",
            "empty",
            f"There is no photo to train on in {where.root}{left}; give the folder that holds your pictures, or its parent.",
        )


def _concepts(own: _Set, config: DatasetConfig, trigger: str) -> Iterator[Problem]:
    """Several of kohya's folders, each with a name of its own, and all of it overruled by one trigger."""
    words = sorted({photo.words for photo in own.photos if photo.repeats and photo.caption is None and photo.words})
    if len(words) > 1 and trigger and config.fallback == "trigger":
        names = " / ".join(repr(word) for word in words[:4])
        yield Problem(
            "warning",
            "concepts",
            f"The folders name {names}, but photos without caption are all called {trigger!r}; for names by folder set dataset.fallback = folder.",
        )


def _understood(own: _Set, beside: _Set, config: DatasetConfig) -> Iterator[str]:
    yield _sum(own, "photo")
    if beside.photos:
        yield f"{_sum(beside, 'regularisation photo')[:-1]}; they take turns, as many an epoch as photos are seen."
    captions = sum(photo.caption is not None for photo in own.photos)
    yield f"Captions found for {captions} of {len(own.photos)} photos."
    turned = sum("turned upright" in photo.notes for photo in own.photos)
    if turned:
        yield f"{counted(turned, 'photo is', 'photos are')} turned upright as EXIF says."
    if config.repeats and any(folder.repeats for folder in own.folders):
        yield f"dataset.repeats = {config.repeats} overrules the folders' numbers."


def _sum(found: _Set, what: str) -> str:
    """ "41 photos in 3 folders, repeats 10/1/1." """
    used = [folder for folder in found.folders if folder.pictures]
    numbered = any(folder.repeats for folder in used)
    count, folders = counted(len(found.photos), what, what + "s"), counted(len(used), "folder", "folders")
    shown = "/".join(str(folder.repeats or 1) for folder in used[:12]) + ("/…" if len(used) > 12 else "")
    return f"{count} in {folders}, repeats {shown}." if numbered and found.photos else f"{count} in {folders}."
