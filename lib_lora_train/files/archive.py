"""Unpacking a zip that somebody uploaded: everything is checked before a byte is written, and again while writing."""

from __future__ import annotations

import contextlib
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from lib_lora_train.files.atomic import replacing_folder
from lib_lora_train.files.errors import FilesError, OutsideRoot
from lib_lora_train.files.roots import Root

_CHUNK = 1024 * 1024
_JUNK = frozenset({"__macosx", "thumbs.db", "desktop.ini", ".ds_store"})


class ArchiveError(FilesError):
    """A zip that is damaged, protected, or over the limits. Nothing of it was kept."""

    exit_code = 3


@dataclass(frozen=True)
class Limits:
    """What an archive may hold."""

    entries: int = 20_000
    total_bytes: int = 8 * 1024**3
    file_bytes: int = 512 * 1024**2
    ratio: int = 200
    """Unpacked bytes for one packed byte; counted above `ratio_from_bytes` only."""
    ratio_from_bytes: int = 1024**2
    depth: int = 16
    """Folders in folders."""


def extract(archive: Path, target: Path, suffixes: Collection[str], limits: Limits | None = None) -> list[Path]:
    """Unpack the files with one of `suffixes` (lower case, with the dot) into `target`, which must not exist yet.

    Other files and system litter are left out. `target` appears whole or not at all. Returns the files written.
    Raises ArchiveError for a damaged, encrypted or oversized archive, and for names that lead out, links, and names
    that differ only in case; DiskError when the disk is full.
    """
    if target.exists():
        raise ArchiveError(f"{target.name} is there already; choose another name.")
    limits = limits or Limits()
    try:
        with zipfile.ZipFile(archive) as opened, replacing_folder(target) as folder:
            chosen = _checked(opened, folder, suffixes, limits)
            left = limits.total_bytes
            for member, name in chosen:
                left -= _write(opened, member, Root(folder).resolve(name), min(limits.file_bytes, left))
    except (zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise ArchiveError(
            f"{archive.name} is damaged or of a kind that cannot be unpacked ({error}); pack it again as a plain zip."
        ) from error
    except (FileExistsError, NotADirectoryError):
        raise ArchiveError(f"{archive.name} has a file and a folder of the same name; rename one.") from None
    return [target.joinpath(*name.split("/")) for _, name in chosen]


def _checked(
    opened: zipfile.ZipFile, folder: Path, suffixes: Collection[str], limits: Limits
) -> list[tuple[zipfile.ZipInfo, str]]:
    """The members to write, each with its safe name. Every member is checked, those that are left out too."""
    members = opened.infolist()
    title = Path(opened.filename or "the archive").name
    if len(members) > limits.entries:
        raise ArchiveError(
            f"{title} has {len(members)} entries, more than the {limits.entries} allowed; pack fewer files."
        )
    if sum(member.file_size for member in members) > limits.total_bytes:
        raise ArchiveError(
            f"{title} would unpack to more than {_size(limits.total_bytes)}; pack fewer or smaller files."
        )
    chosen: dict[str, tuple[zipfile.ZipInfo, str]] = {}
    for member in members:
        name = _name(member)
        _check_member(member, name, folder, limits)
        parts = PurePosixPath(name).parts
        litter = any(part.casefold() in _JUNK or part.startswith(".") for part in parts)
        if member.is_dir() or litter or PurePosixPath(name).suffix.lower() not in suffixes:
            continue
        same = unicodedata.normalize("NFC", name).casefold()
        if same in chosen:
            raise ArchiveError(
                f"{title} has two files called {name!r} (upper and lower case are the same on many disks); rename one."
            )
        chosen[same] = (member, name)
    return list(chosen.values())


def _check_member(member: zipfile.ZipInfo, name: str, folder: Path, limits: Limits) -> None:
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise ArchiveError("The archive has a link or a device in it; pack the files themselves.")
    if member.flag_bits & 0x1:
        raise ArchiveError("The archive is protected by a password; pack it without one.")
    if len(PurePosixPath(name).parts) > limits.depth:
        raise ArchiveError(f"The archive has more than {limits.depth} folders in each other; pack it flatter.")
    if member.file_size > limits.file_bytes:
        raise ArchiveError(f"A file in the archive is larger than {_size(limits.file_bytes)}; leave it out.")
    if member.file_size > limits.ratio_from_bytes and member.file_size > limits.ratio * max(member.compress_size, 1):
        raise ArchiveError(
            f"A file in the archive unpacks to more than {limits.ratio} times its size, as bombs do; leave it out."
        )
    try:
        Root(folder).resolve(name.rstrip("/"))
    except OutsideRoot:
        raise ArchiveError(
            "The archive has a name that leads out of its folder or that some systems refuse; pack the folder of photos itself."
        ) from None


def _name(member: zipfile.ZipInfo) -> str:
    """The name with forward slashes. Many programs write UTF-8 without saying so, which reads as cp437."""
    name = member.orig_filename if "\x00" in member.orig_filename else member.filename
    if not member.flag_bits & 0x800:
        with contextlib.suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return name.replace("\\", "/")


def _write(opened: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path, most_bytes: int) -> int:
    """Write one file, counting: what the archive says of its sizes may be a lie. Returns the bytes written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with opened.open(member) as source, path.open("xb") as sink:
        return _copy(source, sink, min(most_bytes, member.file_size))


def _copy(source: IO[bytes], sink: IO[bytes], most_bytes: int) -> int:
    written = 0
    while chunk := source.read(_CHUNK):
        written += len(chunk)
        if written > most_bytes:
            raise ArchiveError(
                "A file in the archive unpacks to more than it says; the archive is damaged or meant to do harm."
            )
        sink.write(chunk)
    return written


def _size(number: int) -> str:
    return f"{number / 1024**3:g} GB" if number >= 1024**3 else f"{number / 1024**2:g} MB"
