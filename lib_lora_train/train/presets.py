"""Presets: a TOML file of settings with a title and the source of its figures. They never hold paths.

A preset may come from a stranger, so it passes the same checks as the form, and a path in it is an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lib_lora_train.files.errors import FilesError
from lib_lora_train.files.roots import Root
from lib_lora_train.train import config as configs
from lib_lora_train.train import options, toml
from lib_lora_train.train.errors import ConfigError

SUBJECTS = {"person": "person", "style": "style", "thing": "object"}
"""The preset for each answer to the first page's one question; `jobs.card.made_to_fit` then fits it to the card."""
SUBJECT_OF = {"person-large": "person", "face": "person", "small": "thing"}


def subject_of(preset: str) -> str:
    """The answer to the first page's question that a preset is for, "" where it is for none of them."""
    return next((subject for subject, name in SUBJECTS.items() if name == preset), SUBJECT_OF.get(preset, ""))


SHIPPED = Path(__file__).resolve().parents[2] / "presets"
MOST_WORDS = {"title": 100, "about": 600, "source": 1200}


@dataclass(frozen=True)
class Preset:
    """`values` are nested settings; the rest is for people. `problem` says why one cannot be used."""

    name: str
    title: str
    about: str
    source: str
    values: dict[str, Any]
    is_own: bool = False
    problem: str = ""


def read(path: Path) -> Preset:
    """The preset in a file, checked. Raises ConfigError when a setting is unknown, wrong, a path or private."""
    return checked(path.name, toml.read(path))


def checked(label: str, document: Mapping[str, Any]) -> Preset:
    """The preset that a document of the file `label` is. Raises ConfigError as `read` does."""
    values = dict(document)
    about = values.pop("preset", {})
    if not options.is_table(about):
        raise ConfigError(f"{label}: [preset] must be a table with title, about and source.")
    config = configs.from_values(values)
    for name, entry in configs.known().items():
        section, _, key = name.rpartition(".")
        table = getattr(config, section) if section else config
        if entry.option.path and getattr(table, key):
            raise ConfigError(f"{label}: {name} is a path, and a preset must not hold paths.")
        if entry.option.private and getattr(table, key):
            raise ConfigError(f"{label}: {name} is a person's own, and a preset must not hold it.")
    words = {key: " ".join(str(about.get(key, "")).split())[:most] for key, most in MOST_WORDS.items()}
    return Preset(Path(label).stem, words["title"], words["about"], words["source"], values)


def listed(home: Path) -> list[Preset]:
    """All presets by name, the person's own first; one that cannot be used is there with its problem."""
    found: dict[str, Preset] = {}
    for path in paths(home):
        if path.stem in found:
            continue
        try:
            preset = read(path)
        except ConfigError as error:
            preset = Preset(path.stem, "", "", "", {}, problem=str(error))
        found[path.stem] = replace(preset, is_own=path.parent != SHIPPED)
    return list(found.values())


def find(name: str, home: Path) -> Preset:
    """The preset `name`: the person's own in `home/presets` first, then ours. Raises ConfigError with the names."""
    for folder in (home / "presets", SHIPPED):
        try:
            path = Root(folder).resolve(f"{name}.toml")
        except FilesError as error:
            raise ConfigError(f"preset = {name!r}: {error}") from error
        if path.is_file():
            return read(path)
    raise ConfigError(
        f"There is no preset {name!r}; there are {', '.join(sorted(preset.stem for preset in paths(home)))}."
    )


def paths(home: Path) -> Iterator[Path]:
    """The files of all presets, the person's own first."""
    for folder in (home / "presets", SHIPPED):
        yield from sorted(folder.glob("*.toml"))
