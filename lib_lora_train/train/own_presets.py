"""A person's own presets: saved from a form, taken in from a stranger, renamed, put away. All are TOML in `home/presets`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lib_lora_train.files import atomic
from lib_lora_train.files.errors import FilesError
from lib_lora_train.files.roots import safe_name
from lib_lora_train.train import config as configs
from lib_lora_train.train import presets, toml
from lib_lora_train.train.errors import ConfigError
from lib_lora_train.train.options import is_table
from lib_lora_train.train.presets import SHIPPED, Preset

MOST_BYTES = 100_000
OF_A_RUN = ("name", "trigger", "class_word", "preset")
"""What belongs to one run and never to a preset."""


def shareable(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """`values` without what belongs to a person, a machine or one run, and the names of what was left out."""
    kept, left_out = configs.merge(values), list[str]()
    for name, entry in configs.known().items():
        if not (entry.option.path or entry.option.private or name in OF_A_RUN):
            continue
        section, _, key = name.rpartition(".")
        table = kept.get(section) if section else kept
        if is_table(table) and table.pop(key, None):
            left_out.append(name)
    return kept, left_out


def save(home: Path, name: str, values: Mapping[str, Any], about: str = "", source: str = "") -> Preset:
    """Save settings under `name`, in place of an own preset of that name. Raises ConfigError, DiskError."""
    title = " ".join(name.split())
    path = _own(home, title)
    if (SHIPPED / path.name).exists():
        raise ConfigError(f"{path.stem} is a preset that comes with LoRA Loop; choose another name.")
    return _write(path, {"title": title, "about": about, "source": source}, shareable(values)[0])


def take_in(home: Path, document: bytes, file_name: str) -> tuple[Preset, list[str]]:
    """Save a stranger's preset under a name that no preset has; gives it and what was left out of it.

    Settings that are unknown or out of range refuse the whole file. Raises ConfigError, DiskError.
    """
    label = Path(file_name).name[:120]
    if len(document) > MOST_BYTES:
        raise ConfigError(f"{label} is larger than {MOST_BYTES // 1000} kB, which no preset is.")
    try:
        given = toml.parse(document.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{label} cannot be read as a preset, which is a TOML file: {str(error)[:200]}.") from error
    words: dict[str, Any] = (
        given.pop("preset") if is_table(given.get("preset")) else {}
    )  # in a run's own file it is a text
    values, left_out = shareable(given)
    preset = presets.checked(label, {"preset": words, **values})
    # A stranger's preset never stands in for one that is known.
    known = {one.stem.casefold() for one in presets.paths(home)}
    path = _unused(_own(home, preset.title or Path(label).stem), lambda one: one.stem.casefold() in known)
    told = {"title": preset.title or path.stem, "about": preset.about, "source": preset.source}
    return _write(path, told, preset.values), left_out


def rename(home: Path, old: str, new: str) -> Preset:
    """Give an own preset another name and title. Raises ConfigError, DiskError."""
    source, preset = _existing(home, old), presets.read(_existing(home, old))
    title = " ".join(new.split())
    target = _own(home, title)
    if target.exists() or (SHIPPED / target.name).exists():
        raise ConfigError(f"There is a preset {target.stem} already; choose another name.")
    made = _write(target, {"title": title, "about": preset.about, "source": preset.source}, preset.values)
    source.unlink()
    return made


def delete(home: Path, name: str) -> Path:
    """Put an own preset into `home/trash/presets`; gives where it lies. Raises ConfigError, DiskError."""
    source = _existing(home, name)
    folder = home / "trash" / "presets"
    with atomic.disk_errors(source.name, folder):
        folder.mkdir(parents=True, exist_ok=True)
    target = _unused(folder / source.name, Path.exists)
    atomic.rename(source, target)
    return target


def _own(home: Path, title: str) -> Path:
    try:
        return home / "presets" / f"{safe_name(title)}.toml"
    except FilesError as error:
        raise ConfigError(f"The preset needs a name: {error}") from error


def _existing(home: Path, name: str) -> Path:
    path = next((one for one in presets.paths(home) if one.stem == name and one.parent != SHIPPED), None)
    if path is None:
        raise ConfigError("Only a preset of your own can be changed; save this one under another name first.")
    return path


def _unused(path: Path, is_taken: Callable[[Path], bool]) -> Path:
    """The first of NAME, NAME-2 … that is not taken."""
    stem, number = path.stem, 2
    while is_taken(path):
        path, number = path.with_name(f"{stem}-{number}.toml"), number + 1
    return path


def _write(path: Path, words: Mapping[str, str], values: Mapping[str, Any]) -> Preset:
    with atomic.disk_errors(path.name, path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    document = {"preset": dict(words), **values}
    presets.checked(path.name, document)
    atomic.write_text(path, toml.write(document))
    return presets.read(path)
