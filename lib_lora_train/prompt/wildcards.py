"""Names to values: several roots in order, indexed at first use, kept by change time; edits are seen at the next prompt."""

from __future__ import annotations

import difflib
import fnmatch
import os
import re
import time
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lib_lora_train.files.errors import OutsideRoot
from lib_lora_train.files.roots import Root
from lib_lora_train.prompt.errors import WildcardError, WildcardFileError
from lib_lora_train.prompt.folders import Folder, scan
from lib_lora_train.prompt.limits import DEFAULT_LIMITS, Limits
from lib_lora_train.prompt.lines import Entry, MemoryValues, Values, entry_of, read_values
from lib_lora_train.prompt.stream import running, weight
from lib_lora_train.prompt.tables import read_table
from lib_lora_train.prompt.tokens import UNIT

FOLDER_CHECK_SECONDS = 1.0
BATCH_LOOK_SECONDS = 0.02
MOST_COMPARED = 20_000
MOST_MERGED = 100_000
_GLOB = re.compile(r"[*?\[]")
Stamp = tuple[int, int]


@dataclass
class Collection:
    """The values of one name (or of all names that a pattern matches), and the files they come from."""

    name: str
    values: Values
    sources: Sequence[tuple[str, Stamp]] = ()
    note: str = ""
    by_name: bool = True

    @cached_property
    def distinct(self) -> Sequence[int]:
        """The values that can be drawn, each text once. Among more than 100,000 values doubles are kept."""
        sums, size = self.values.cumulative, self.values.size
        if size > MOST_MERGED:
            return range(size) if sums is None else [i for i in range(size) if weight(sums, i)]
        first: dict[str, int] = {}
        for index, text in enumerate(self.values.all()):
            if sums is None or weight(sums, index):
                first.setdefault(text, index)
        return list(first.values())

    def at(self, place: int, step: int) -> int:
        """The value at `place` of a cycle in which each comes as often as its weight says (`step` is one turn's weight)."""
        sums = self.values.cumulative
        return place if sums is None else bisect_right(sums, place * step)

    def fresh(self) -> bool:
        """Whether the files are as they were read."""
        for path, stamp in self.sources:  # noqa: SIM110 - a generator costs more than the rest
            if _stamp(path) != stamp:
                return False
        return True


class UnionValues:
    """The values of several collections, one after the other."""

    def __init__(self, parts: Sequence[Values]) -> None:
        self.parts = parts
        self.ends = running([part.size for part in parts])
        self.size = self.ends[-1] if self.ends else 0
        self.cumulative: Sequence[int] | None = None
        if any(part.cumulative is not None for part in parts):
            sums: list[int] = []
            for part in parts:
                base = sums[-1] if sums else 0
                own = part.cumulative if part.cumulative is not None else range(UNIT, (part.size + 1) * UNIT, UNIT)
                sums += [base + value for value in own]
            self.cumulative = sums

    def text(self, index: int) -> str:
        """One value."""
        part = bisect_right(self.ends, index)
        return self.parts[part].text(index - (self.ends[part - 1] if part else 0))

    def all(self) -> Iterator[str]:
        """Every value in order."""
        for part in self.parts:
            yield from part.all()


@dataclass(frozen=True)
class Reading:
    """How files are read: `encoding` for files that are not UTF-8 ("" refuses them), lines sorted, doubles merged."""

    encoding: str = ""
    sort: bool = False
    unique: bool = False


class Wildcards:
    """The wildcards of `roots`, the first root with a name wins; `values` are names given directly, before all roots.

    A `.txt` file is named by its path without the suffix, YAML and JSON files by their folder and their keys.
    `begin` marks a new prompt: files are looked at again at most once per prompt, and in a batch at most every 20 ms.
    """

    def __init__(
        self,
        roots: Sequence[str | Path] = (),
        values: Mapping[str, Sequence[str]] | None = None,
        limits: Limits = DEFAULT_LIMITS,
        reading: Reading | None = None,
    ) -> None:
        self.roots = [Path(root).absolute() for root in roots]
        self.limits = limits
        self.reading = reading or Reading()
        self.given = {
            name: MemoryValues([entry_of(text, name) for text in texts]) for name, texts in (values or {}).items()
        }
        self.epoch = 0
        self.begun_at = self.checked_at = float("-inf")
        self._folders: list[Folder] | None = None
        self._found: dict[str, tuple[Collection | None, int]] = {}
        self._tables: dict[Path, tuple[Stamp, dict[str, list[Entry]]]] = {}
        self._reasons: dict[str, str] = {}
        self._table_notes: dict[Path, list[str]] = {}

    def begin(self, goes_on: bool = False) -> None:
        """A new prompt begins: edits since the last one are seen.

        When a batch `goes_on`, a prompt that follows at once takes the files as they just were.
        """
        now = time.monotonic()
        if not goes_on or now - self.begun_at > BATCH_LOOK_SECONDS:
            self.begun_at = now
            self.epoch += 1

    @property
    def notes(self) -> list[str]:
        """What the scan and the tables had to leave out."""
        found = [note for folder in self._folders or () for note in folder.notes]
        return found + [note for notes in self._table_notes.values() for note in notes]

    def find(self, name: str) -> Collection | None:
        """The values of `name`, None when there are none. Raises WildcardError for a name that leads out of the roots,
        WildcardFileError when the file cannot be read."""
        known = self._found.get(name)
        if known is not None:
            collection, epoch = known
            if epoch == self.epoch:
                return collection
            recent = time.monotonic() - self.checked_at < FOLDER_CHECK_SECONDS
            if collection is not None and collection.by_name and recent and collection.fresh():
                self._found[name] = (collection, self.epoch)
                return collection
        stale = self._refresh()
        if known is not None and known[0] is not None and not stale and known[0].fresh():
            self._found[name] = (known[0], self.epoch)
            return known[0]
        collection = self._resolve(name)
        self._found[name] = (collection, self.epoch)
        return collection

    def names(self) -> dict[str, list[str]]:
        """Every name with the files that hold it, the one that counts first."""
        self._refresh()
        known: dict[str, list[str]] = {name: ["given"] for name in self.given}
        for folder in self._folders or ():
            for name, path in folder.texts.items():
                known.setdefault(name, []).append(path)
            for prefix, path in folder.tables:
                for key in self._table(path):
                    known.setdefault(prefix + key, []).append(str(path))
        return dict(sorted(known.items()))

    def reason(self, name: str) -> str:
        """Why nothing was found: where was looked, and the nearest names."""
        if name not in self._reasons:
            names = list(self.names())[:MOST_COMPARED]
            if name in names:
                self._reasons[name] = (
                    f"The wildcard '{name}' is empty; put its values, one a line, into lora-loop/wildcards/{name}.txt"
                )
                return self._reasons[name]
            folded = {known.casefold(): known for known in names}
            near = difflib.get_close_matches(name.casefold(), folded, n=3, cutoff=0.6)
            hint = (
                f"did you mean {' or '.join(repr(folded[key]) for key in near)}?"
                if near
                else f"there are {len(names)} other names."
            )
            where = f"{len(self.roots)} folder{'' if len(self.roots) == 1 else 's'}"
            self._reasons[name] = f"No wildcard '{name}' was found in {where}; {hint}"
        return self._reasons[name]

    def _refresh(self) -> bool:
        """Scan again when a folder or table has changed; True when it did."""
        self.checked_at = time.monotonic()
        fresh = self._folders is not None and all(folder.fresh() for folder in self._folders)
        if fresh and all(_stamp(path) == stamp for path, (stamp, _) in self._tables.items()):
            return False
        if not fresh:
            self._folders = [scan(root, self.roots, self.limits) for root in self.roots]
        self._found.clear()
        self._reasons.clear()
        return True

    def _resolve(self, name: str) -> Collection | None:
        plain = self._checked(name)
        if _GLOB.search(plain):
            pattern = re.compile(fnmatch.translate(plain))
            return self._union(name, [known for known in self.names() if pattern.match(known)], "")
        exact = self._one(plain)
        if exact is not None:
            return exact
        names = list(self.names())
        deeper = [known for known in names if known.endswith("/" + plain)]
        if deeper:
            return self._union(
                name, deeper, f"'{name}' was found as {' and '.join(repr(known) for known in deeper[:3])}."
            )
        folded = plain.casefold()
        close = [known for known in names if known.casefold() == folded]
        if close:
            return self._union(name, close[:1], f"'{name}' was found as '{close[0]}'.")
        return None

    def _checked(self, name: str) -> str:
        """The name with single forward slashes. Raises WildcardError when it would lead out of the roots."""
        plain = name.replace("\\", "/")
        try:
            if plain.startswith("//"):
                raise OutsideRoot("network names are not wildcards")
            plain = re.sub("/+", "/", plain).strip("/")
            folder = self.roots[0] if self.roots else Path.cwd()
            Root(folder, self.roots).resolve(re.sub(r"[*?\[\]!]", "x", plain) + ".txt")
        except OutsideRoot as error:
            raise WildcardError(
                "A wildcard's name must stay inside the wildcard folders: use a plain name such as 'places/beach'."
            ) from error
        return plain

    def _one(self, name: str) -> Collection | None:
        """The collection with exactly this name in the first root that has it."""
        if name in self.given:
            return Collection(name, self._arranged(self.given[name]))
        for folder in self._folders or ():
            path = folder.texts.get(name)
            if path is not None:
                stamp = _stamp(path)
                return self._filled(name, self._read(path), path, stamp) if stamp != (-1, -1) else None
            for prefix, table in folder.tables:
                key = name[len(prefix) :]
                if name.startswith(prefix) and key in self._table(table):
                    return self._filled(name, MemoryValues(self._table(table)[key]), str(table), self._tables[table][0])
        return None

    def _filled(self, name: str, values: Values, path: str, stamp: Stamp) -> Collection | None:
        return Collection(name, self._arranged(values), [(path, stamp)]) if values.size else None

    def _read(self, path: str) -> Values:
        try:
            return read_values(path, self.reading.encoding, self.limits)
        except OSError as error:
            raise WildcardFileError(f"{Path(path).name} cannot be read: {error.strerror}.") from error

    def _arranged(self, values: Values) -> Values:
        """Sorted and without doubles, when that is asked for."""
        if not (self.reading.sort or self.reading.unique):
            return values
        sums = values.cumulative
        entries = [(UNIT if sums is None else weight(sums, i), text) for i, text in enumerate(values.all())]
        if self.reading.unique:
            entries = list(dict.fromkeys(entries))
        return MemoryValues(sorted(entries, key=lambda entry: entry[1]) if self.reading.sort else entries)

    def _union(self, name: str, names: Sequence[str], note: str) -> Collection | None:
        parts = [part for part in (self._one(known) for known in names) if part is not None]
        if not parts:
            return None
        if len(parts) == 1:
            return Collection(parts[0].name, parts[0].values, parts[0].sources, note, by_name=False)
        sources = [source for part in parts for source in part.sources]
        values = self._arranged(UnionValues([part.values for part in parts]))
        return Collection(name, values, list(dict.fromkeys(sources)), note, by_name=False)

    def _table(self, path: Path) -> dict[str, list[Entry]]:
        stamp = _stamp(path)
        known = self._tables.get(path)
        if known is None or known[0] != stamp:
            notes = self._table_notes[path] = []
            try:
                collections = read_table(path, self.reading.encoding, self.limits, notes.append)
            except WildcardFileError as error:
                notes.append(f"{error.reason} The file is left out.")
                collections = {}
            except OSError as error:
                notes.append(f"{path.name} cannot be read ({error.strerror}); it is left out.")
                collections = {}
            known = self._tables[path] = (stamp, collections)
        return known[1]


def _stamp(path: str | Path) -> Stamp:
    """Change time in nanoseconds and size in bytes; (-1, -1) when the file is gone."""
    try:
        status = os.stat(path)  # noqa: PTH116 - a string, asked for at every prompt
    except OSError:
        return (-1, -1)
    return (status.st_mtime_ns, status.st_size)
