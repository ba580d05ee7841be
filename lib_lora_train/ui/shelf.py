"""The wildcards that there are, for looking through: tree, pages of values with their odds, search, drawing.

Nothing here writes. Names come from the page, so they are only ever looked up among the names that the scan of the
roots has found; a path never comes from outside. Bounded in time and in rows, also with 5,000 files or a million lines.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Collection as Names
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lib_lora_train.prompt import Expander, Limits, PromptError, Wildcards
from lib_lora_train.prompt.stream import weight
from lib_lora_train.prompt.template import Context
from lib_lora_train.prompt.wildcards import Collection
from lib_lora_train.ui.errors import PageError

PAGE_VALUES = 100
MOST_ROWS = 400
MOST_HITS = 200
MOST_QUERY = 200
COUNT_SECONDS = 0.4
SEARCH_SECONDS = 2.0
LONGEST_VALUE = 2_000
LIMITS = Limits(seconds=0.5, output_characters=100_000)


@dataclass(frozen=True)
class Root:
    """A folder of wildcards and what people call it. `own` is the one that may be written to."""

    folder: Path
    label: str
    own: bool = False


@dataclass(frozen=True)
class Holder:
    """A file that has a name: its root, its path in it, whether it is the person's own text file."""

    root: str
    file: str
    own: bool


@dataclass(frozen=True)
class Leaf:
    """A row of the tree. A folder's `size` is its number of collections, a collection's its number of values.

    `size` is None when there was no time to count. `holders` has the one that counts first (W12).
    """

    name: str
    label: str
    depth: int
    folder: bool = False
    open: bool = False
    size: int | None = None
    holders: Sequence[Holder] = ()


@dataclass
class Listing:
    """The visible rows, how many collections there are in all, and how many rows were left out."""

    rows: list[Leaf] = field(default_factory=lambda: list[Leaf]())
    total: int = 0
    left_out: int = 0
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Value:
    """One value: its place, counted from 1, its text and its probability."""

    number: int
    text: str
    odds: float


@dataclass(frozen=True)
class Page:
    """One page of a collection's values. `page` counts from 1 to `pages`."""

    name: str
    holders: Sequence[Holder]
    size: int
    page: int
    pages: int
    values: Sequence[Value]


@dataclass(frozen=True)
class Hit:
    """A value that holds the words searched for."""

    name: str
    number: int
    text: str


@dataclass
class Hits:
    """What a search in the values found; `complete` is False when a limit ended it."""

    found: list[Hit] = field(default_factory=lambda: list[Hit]())
    looked_in: int = 0
    complete: bool = True


class Shelf:
    """All wildcards of `roots`, the first root with a name wins. One person's look at a time; edits are seen at once."""

    def __init__(self, roots: Sequence[Root]) -> None:
        self.roots = list(roots)
        self.wildcards = Wildcards([root.folder for root in roots], limits=LIMITS)
        self._lock = threading.Lock()

    def names(self) -> Mapping[str, Sequence[Holder]]:
        """Every name with those who hold it, the one that counts first."""
        with self._lock:
            self.wildcards.begin()
            return self._names()

    def listing(self, opened: Names[str] = (), query: str = "", most: int = MOST_ROWS) -> Listing:
        """The tree with the folders `opened`, or the names that hold `query`, in a flat list."""
        words = query.strip()[:MOST_QUERY].casefold().split()
        with self._lock:
            self.wildcards.begin()
            names = self._names()
            found = Listing(total=len(names), notes=list(self.wildcards.notes[:5]))
            if words:
                rows = [
                    Leaf(name, name, 0, holders=holders)
                    for name, holders in names.items()
                    if all(word in name.casefold() for word in words)
                ]
            else:
                rows = list(_Tree(names).rows(opened))
            found.left_out = max(0, len(rows) - most)
            deadline = time.monotonic() + COUNT_SECONDS
            found.rows = [row if row.folder else self._counted(row, deadline) for row in rows[:most]]
        return found

    def page(self, name: str, number: int = 1) -> Page:
        """One page of values. Raises PageError when there is no such name, or its file cannot be read."""
        with self._lock:
            collection, holders = self._collection(name)
            values = collection.values
            pages = max(1, -(-values.size // PAGE_VALUES))
            number = min(max(number, 1), pages)
            first = (number - 1) * PAGE_VALUES
            sums = values.cumulative
            shown = [
                Value(
                    index + 1,
                    values.text(index)[:LONGEST_VALUE],
                    1 / values.size if sums is None else weight(sums, index) / sums[-1],
                )
                for index in range(first, min(first + PAGE_VALUES, values.size))
            ]
        return Page(name, holders, values.size, number, pages, shown)

    def lines(self, name: str, most_bytes: int) -> str:
        """All values as the lines of a text file, weights included. Raises PageError when that is more than `most_bytes`."""
        with self._lock:
            collection, _ = self._collection(name)
            sums = collection.values.cumulative
            lines: list[str] = []
            written = 0
            for index, text in enumerate(collection.values.all()):
                share = 1_000_000 if sums is None else weight(sums, index)
                line = _line(text, share)
                lines.append(line)
                written += len(line.encode("utf-8")) + 1
                if written > most_bytes:
                    raise PageError(
                        f"'{name}' is larger than {most_bytes // 1024} kB, too large to copy here; copy its file with a file manager."
                    )
        return "\n".join(lines) + "\n"

    def search(self, query: str) -> Hits:
        """The values that hold all words of `query`, in any case; bounded in number and time."""
        words = query.strip()[:MOST_QUERY].casefold().split()
        found = Hits()
        if not words:
            return found
        deadline = time.monotonic() + SEARCH_SECONDS
        with self._lock:
            self.wildcards.begin()
            for name in self._names():
                if time.monotonic() > deadline or len(found.found) >= MOST_HITS:
                    found.complete = False
                    break
                found.complete = self._search_in(name, words, found, deadline) and found.complete
                found.looked_in += 1
        return found

    def draw(self, name: str, seeds: Sequence[int], text: str | None = None) -> list[str]:
        """Prompts out of one wildcard; `text` stands for its lines when it is being edited. Raises PromptError."""
        with self._lock:
            if text is None:
                self._collection(name)
                wildcards = self.wildcards
            else:
                edited = [line.strip() for line in text.splitlines()]
                lines = [line for line in edited if line and not line.startswith("#")]
                wildcards = Wildcards([root.folder for root in self.roots], {name: lines}, LIMITS)
            expander = Expander(Context(wildcards, limits=LIMITS))
            return [prompt.text for prompt in expander.batch(f"__{name}__", seeds)]

    def _names(self) -> dict[str, list[Holder]]:
        return {name: [self._holder(path) for path in paths] for name, paths in self.wildcards.names().items()}

    def _holder(self, path: str) -> Holder:
        for root in self.roots:
            folder = str(root.folder) + os.sep
            if path.startswith(folder):
                inside = path[len(folder) :].replace(os.sep, "/")
                return Holder(root.label, inside, root.own and inside.endswith(".txt"))
        return Holder("", path.rpartition(os.sep)[2], False)

    def _collection(self, name: str) -> tuple[Collection, Sequence[Holder]]:
        self.wildcards.begin()
        paths = self.wildcards.names().get(name)
        if paths is None:
            raise PageError("That wildcard is not there any more; choose another one from the list.")
        try:
            collection = self.wildcards.find(name)
        except PromptError as error:
            raise PageError(error.reason) from error
        if collection is None:
            raise PageError(f"'{name}' holds no values yet: a value is one line; lines that start with # do not count.")
        return collection, [self._holder(path) for path in paths]

    def _counted(self, row: Leaf, deadline: float) -> Leaf:
        if time.monotonic() > deadline:
            return row
        try:
            collection = self.wildcards.find(row.name)
        except PromptError:
            return row
        size = collection.values.size if collection is not None else 0
        return Leaf(row.name, row.label, row.depth, size=size, holders=row.holders)

    def _search_in(self, name: str, words: Sequence[str], found: Hits, deadline: float) -> bool:
        """Search one collection; False when a limit ended it."""
        try:
            collection = self.wildcards.find(name)
        except PromptError:
            return True
        for index, text in enumerate(collection.values.all() if collection is not None else ()):
            folded = text.casefold()
            if all(word in folded for word in words):
                found.found.append(Hit(name, index + 1, text[:LONGEST_VALUE]))
                if len(found.found) >= MOST_HITS:
                    return False
            if not index % 4096 and time.monotonic() > deadline:
                return False
        return True


class _Tree:
    """The names by folder. What lies in a closed folder is only counted."""

    def __init__(self, names: Mapping[str, Sequence[Holder]]) -> None:
        self.names = names
        self.inside: dict[str, int] = {}
        self.folders: dict[str, dict[str, None]] = {}
        self.leaves: dict[str, list[str]] = {}
        for name in names:
            folder = ""
            for part in name.split("/")[:-1]:
                parent, folder = folder, f"{folder}/{part}" if folder else part
                self.inside[folder] = self.inside.get(folder, 0) + 1
                self.folders.setdefault(parent, {})[folder] = None
            self.leaves.setdefault(folder, []).append(name)

    def rows(self, opened: Names[str]) -> Iterator[Leaf]:
        """The visible rows: at each level folders before collections."""
        waiting = self.level("", 0, opened)
        while waiting:
            row = waiting.pop()
            yield row
            if row.open:
                waiting += self.level(row.name, row.depth + 1, opened)

    def level(self, folder: str, depth: int, opened: Names[str]) -> list[Leaf]:
        """What lies directly in one folder, the last first."""
        cut = len(folder) + 1 if folder else 0
        rows = [
            Leaf(name, name[cut:], depth, folder=True, open=name in opened, size=self.inside[name])
            for name in self.folders.get(folder, ())
        ]
        rows += [Leaf(name, name[cut:], depth, holders=self.names[name]) for name in self.leaves.get(folder, ())]
        return rows[::-1]


def _line(text: str, share: int) -> str:
    """One value as a line of a text file; `share` is its weight in millionths."""
    clean = " ".join(text.split("\n"))
    if share != 1_000_000:
        whole, rest = divmod(share, 1_000_000)
        number = f"{whole}.{rest:06d}".rstrip("0").rstrip(".")
        return f"{number}::{clean}"
    return "1::" + clean if clean.startswith("#") or "::" in clean.split(" ")[0] else clean
