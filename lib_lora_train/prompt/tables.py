"""Wildcards out of YAML and JSON files: nested keys become names, lists and single texts become values.

YAML is read as events, never as objects: no tag is carried out, nothing recurses, and aliases, nodes and depth are
counted while reading. Numbers and words such as `yes` stay as they are written.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

from lib_lora_train.files.reading import content, plain_size
from lib_lora_train.prompt.errors import WildcardFileError
from lib_lora_train.prompt.limits import Limits
from lib_lora_train.prompt.lines import Entry, decode, entry_of
from lib_lora_train.prompt.syntax import WEIGHT
from lib_lora_train.prompt.tokens import UNIT

SUFFIXES = (".yaml", ".yml", ".json")
Note = Callable[[str], None]
PLAIN_TAGS = (
    None,
    "!",
    "tag:yaml.org,2002:str",
    "tag:yaml.org,2002:int",
    "tag:yaml.org,2002:float",
    "tag:yaml.org,2002:bool",
)


def read_table(path: Path, encoding: str, limits: Limits, note: Note) -> dict[str, list[Entry]]:
    """The collections of one file by name (without its folder). A list at the top takes the file's own name.

    Raises WildcardFileError when the file is broken, too large, too deep or holds tags; `note` is told of double keys.
    """
    size = plain_size(path)
    if size > limits.table_bytes:
        raise WildcardFileError(
            f"{path.name} has {size:,} bytes, more than the limit of {limits.table_bytes:,} for tables; use a .txt file."
        )
    text = decode(content(path, limits.table_bytes), encoding, path.name, 0)
    value = _json(text, path.name, note) if path.suffix.lower() == ".json" else _yaml(text, path.name, limits, note)
    return _collections(value, path, limits, note)


def _collections(top: Any, path: Path, limits: Limits, note: Note) -> dict[str, list[Entry]]:
    found: dict[str, list[Entry]] = {}
    waiting: list[tuple[str, Any, int]] = [("", top, 0)]
    nodes = 0
    while waiting:
        name, value, depth = waiting.pop()
        nodes += 1 + (len(cast("list[Any]", value)) if isinstance(value, (list, dict)) else 0)
        if nodes > limits.table_nodes or depth > limits.table_depth:
            raise WildcardFileError(
                f"{path.name} is too large or too deep once its aliases are followed; write it out plainly."
            )
        if isinstance(value, dict):
            items = cast("dict[str, Any]", value).items()
            waiting += [(f"{name}/{key}" if name else str(key), inner, depth + 1) for key, inner in items]
        elif isinstance(value, list):
            entries = [_entry(item, path.name, note) for item in cast("list[Any]", value)]
            found[name or path.stem] = [entry for entry in entries if entry is not None]
        elif value is not None and name:
            found[name] = [(UNIT, str(value))]
    return found


def _entry(item: Any, name: str, note: Note) -> Entry | None:
    if isinstance(item, dict):
        fields = cast("dict[str, Any]", item)
        text = fields.get("text", fields.get("content"))
        if isinstance(text, (str, int, float)):
            weight = str(fields.get("weight", 1))
            if WEIGHT.fullmatch(f"{weight}::") is None:
                raise WildcardFileError(
                    f"{name}: the weight '{weight}' of '{text}' is not a plain number such as 3 or 0.25."
                )
            return entry_of(f"{weight}::{text}", name)
    elif isinstance(item, (str, int, float)):
        return entry_of(str(item), name)
    note(f"{name}: an item that is neither a text nor {{text, weight}} was left out.")
    return None


def _json(text: str, name: str, note: Note) -> Any:
    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        unique = dict(items)
        if len(unique) < len(items):
            double = ", ".join(sorted(key for key, times in Counter(key for key, _ in items).items() if times > 1))
            note(f"{name}: the key '{double}' stands twice; the last one counts.")
        return unique

    try:
        return json.loads(text, object_pairs_hook=pairs, parse_float=str, parse_int=str)
    except RecursionError as error:
        raise WildcardFileError(f"{name} is nested too deep to be a list of wildcards.") from error
    except ValueError as error:
        raise WildcardFileError(f"{name} is not valid JSON: {error}.") from error


def _yaml(text: str, name: str, limits: Limits, note: Note) -> Any:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        events = cast("Callable[..., Iterator[Any]]", yaml.parse)  # pyright: ignore[reportUnknownMemberType]
        return _Reader(name, limits, note).read(events(text, Loader=loader))
    except (yaml.YAMLError, RecursionError, UnicodeError) as error:
        raise WildcardFileError(f"{name} is not valid YAML: {' '.join(str(error).split())}.") from error


class _Reader:
    """Builds dicts, lists and texts out of YAML events, with a stack of its own."""

    def __init__(self, name: str, limits: Limits, note: Note) -> None:
        self.name = name
        self.limits = limits
        self.note = note
        self.stack: list[tuple[Any, str | None]] = []
        self.keys: list[str | None] = []
        self.anchors: dict[str, Any] = {}
        self.result: Any = None
        self.nodes = 0

    def read(self, events: Iterator[Any]) -> Any:
        """The first document."""
        for event in events:
            kind = type(event).__name__
            if kind in ("SequenceEndEvent", "MappingEndEvent"):
                value, anchor = self.stack.pop()
                self.keys.pop()
                if anchor:
                    self.anchors[anchor] = value
            elif kind == "AliasEvent":
                self.add(self.anchors.get(event.anchor), event)
            elif kind in ("ScalarEvent", "SequenceStartEvent", "MappingStartEvent"):
                self.start(kind, event)
            elif kind == "DocumentEndEvent":
                break
        return self.result

    def start(self, kind: str, event: Any) -> None:
        """A scalar, or the start of a list or mapping."""
        allowed = PLAIN_TAGS if kind == "ScalarEvent" else (None, "!", "tag:yaml.org,2002:seq", "tag:yaml.org,2002:map")
        if event.tag not in allowed:
            raise WildcardFileError(
                f"{self.name}, line {event.start_mark.line + 1}: the tag '{event.tag}' is not allowed; write plain text and lists."
            )
        value: Any = event.value if kind == "ScalarEvent" else [] if kind == "SequenceStartEvent" else {}
        if kind == "ScalarEvent" and event.value in ("", "~", "null") and event.implicit[0]:
            value = None
        self.add(value, event)
        if kind == "ScalarEvent":
            if event.anchor:
                self.anchors[event.anchor] = value
            return
        self.stack.append((value, event.anchor))
        self.keys.append(None)
        if len(self.stack) > self.limits.table_depth:
            raise WildcardFileError(
                f"{self.name}, line {event.start_mark.line + 1}: nested more than {self.limits.table_depth} deep."
            )

    def add(self, value: Any, event: Any) -> None:
        """Put a value where it belongs."""
        self.nodes += 1
        if self.nodes > self.limits.table_nodes:
            raise WildcardFileError(
                f"{self.name} has more than {self.limits.table_nodes:,} entries; use a .txt file for long lists."
            )
        if not self.stack:
            self.result = value
            return
        holder = self.stack[-1][0]
        if isinstance(holder, list):
            cast("list[Any]", holder).append(value)
            return
        key = self.keys[-1]
        if key is None:
            self.keys[-1] = str(value) if isinstance(value, str) else "null" if value is None else "?"
            return
        self.keys[-1] = None
        if key == "<<" and isinstance(value, dict):
            for inner, text in cast("dict[str, Any]", value).items():
                holder.setdefault(inner, text)
            return
        if key in holder:
            self.note(
                f"{self.name}, line {event.start_mark.line + 1}: the key '{key}' stands twice; the last one counts."
            )
        holder[key] = value
