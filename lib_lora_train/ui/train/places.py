"""Where the page may read photos and files from, and where photos that were dropped on it go."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from lib_lora_train.errors import LoraLoopError
from lib_lora_train.files import atomic, images
from lib_lora_train.files.roots import safe_name
from lib_lora_train.host.api import Host
from lib_lora_train.host.folders import home
from lib_lora_train.jobs import store
from lib_lora_train.ui.errors import PageError
from lib_lora_train.ui.words import shown

MOST_PHOTOS = 5000
MOST_BYTES = 500_000_000
"""Of one file that was dropped on the page."""
CAPTION = ".txt"
NOT_DROPPED = shown("That file was not dropped on this page.")
ANYWHERE = Path(os.sep)
"""Among allowed folders: every one, on every drive."""
_SYSTEM = ("/proc", "/sys", "/dev")
"""What the kernel shows as files: there are no photos, and some of it never ends."""


def roots(host: Host) -> tuple[Path, ...]:
    """Folders that a path typed into the page may lie in; a relative one is meant in the first.

    Who sits at the machine may use every folder, as in any program; who comes from elsewhere only what belongs to the
    WebUI. (A web page that such a person visits sends no events here: see `origin`.)
    """
    given: list[str] = host.flag("lora_loop_photos") or []
    if not host.is_non_local():
        return (home(host), ANYWHERE)
    return (home(host), host.data_folder, *(Path(one).absolute() for one in given))


def inside(text: object, allowed: Sequence[Path], what: str) -> Path:
    """The folder or file that a person typed, when it lies in an allowed folder. Raises PageError."""
    if not isinstance(text, str) or not text.strip() or len(text) > 4000 or "\x00" in text:
        raise PageError(f"{what}: that is no path.")
    typed = text.strip().strip('"')
    path = Path.home() / typed[2:] if typed.startswith("~/") else Path(typed)
    if not path.is_absolute():
        path = allowed[0] / path
    real = Path(os.path.realpath(path))
    if ANYWHERE in allowed and not any(real.is_relative_to(one) for one in _SYSTEM):
        return real
    if any(real.is_relative_to(os.path.realpath(root)) for root in allowed if root != ANYWHERE):
        return real
    # on a shared page everybody reads this: it names no folder of the machine
    raise PageError(
        f"{what}: that path is not in a folder that this page may use. Drop the photos on the page, or have who runs the "
        "WebUI put them into its lora-loop folder or start it with --lora-loop-photos FOLDER."
    )


def name_of(dropped: Iterable[object]) -> str:
    """What the names of dropped files have in common, such as "holiday" of holiday-01.jpg, holiday-02.jpg, or else the
    day: a name for their folder."""
    letters = zip(*(_file(file).stem for file in dropped), strict=False)
    same = itertools.takewhile(lambda found: len(set(found)) == 1, letters)
    common = "".join(found[0] for found in same).rstrip("0123456789 -_.()")
    return common if len(common) > 2 else time.strftime("%Y-%m-%d")


def new_folder(name: str, target: Path) -> Path:
    """A folder under `target` that is not there yet, called after what a person typed. Raises LoraLoopError."""
    return store.free(target, safe_name(name[:80]))


def take_in(dropped: Iterable[object], folder: Path) -> int:
    """Copy files that were dropped on the page into a folder, which is made when it is not there; how many pictures it
    holds then.

    Only pictures and their .txt captions, from gradio's own upload folder. Raises PageError, DiskError.
    """
    files = list(dropped)
    if len(files) > MOST_PHOTOS:
        raise PageError(f"Those are {len(files)} files; put more than {MOST_PHOTOS} into a folder and give the folder.")
    wanted = [uploaded(file) for file in files if _file(file).suffix.lower() in (*images.SUFFIXES, CAPTION)]
    if not wanted:
        raise PageError(shown("None of these files is a picture."))
    sizes = [file.stat().st_size for file in wanted]
    if not any(sizes):  # gradio 3 gives empty files where its upload failed
        raise PageError(shown("The photos did not arrive, only their names: drop them once more."))
    for file, size in zip(wanted, sizes, strict=True):
        if size > MOST_BYTES:
            raise PageError(f"{file.name} is larger than {MOST_BYTES // 1_000_000} MB; make it smaller first.")
    with atomic.disk_errors("The photos", folder):
        folder.mkdir(parents=True, exist_ok=True)
        for file in wanted:
            _copy(file, folder)
        return sum(one.suffix.lower() in images.SUFFIXES for one in folder.iterdir())


def uploaded(given: object) -> Path:
    """Where a file lies that was dropped on the page: `given` is gradio's file, or its path.

    gradio 3 copies whatever file of the machine a made-up event names into its upload folder, so what was named
    (`orig_name`) counts too; an empty copy, of an upload that failed, has nothing to hide. Raises PageError.
    """
    real = Path(os.path.realpath(_file(given)))
    if not _is_upload(real) or not real.is_file():
        raise PageError(NOT_DROPPED)
    named = getattr(given, "orig_name", None)
    if named is not None and not _is_upload(Path(os.path.realpath(str(named)))) and real.stat().st_size:
        raise PageError(NOT_DROPPED)
    return real


def _file(given: object) -> Path:
    return Path(str(getattr(given, "name", given)))


def _is_upload(real: Path) -> bool:
    return any(real.is_relative_to(os.path.realpath(root)) for root in _uploads())


def _copy(source: Path, folder: Path) -> None:
    suffix = source.suffix.lower()
    try:
        stem = safe_name(source.stem)
    except LoraLoopError:
        stem = "photo"
    target = folder / f"{stem}{suffix}"
    if suffix != CAPTION:  # a caption keeps its picture's name
        number = 2
        while target.exists():
            target, number = folder / f"{stem}-{number}{suffix}", number + 1
    shutil.copyfile(source, target)


def _uploads() -> tuple[Path, ...]:
    """Where gradio puts what is uploaded."""
    told = os.environ.get("GRADIO_TEMP_DIR")
    return (Path(told),) if told else (Path(tempfile.gettempdir()) / "gradio",)
