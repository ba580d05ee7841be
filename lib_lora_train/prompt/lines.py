"""The values of one text file: all in memory when it is small, an index of blocks when it is large.

A line is one value: `# comments` and blank lines are not, leading blanks are dropped, trailing ones are kept, `3::` in
front is a weight. The index of a large file keeps, for every 16 kB, the place and the number of values before it.
"""

from __future__ import annotations

import codecs
import os
import re
from array import array
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Protocol

from lib_lora_train.files.reading import opened
from lib_lora_train.prompt.errors import WildcardFileError
from lib_lora_train.prompt.limits import Limits
from lib_lora_train.prompt.stream import running
from lib_lora_train.prompt.tokens import UNIT, weighted

IN_MEMORY_BYTES = 1024 * 1024
BLOCK_BYTES = 16 * 1024
KEPT_BLOCKS = 32
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
Entry = tuple[int, str]


class Values(Protocol):
    """Values with weights: `cumulative` holds running sums in millionths, None means that all are 1."""

    @property
    def size(self) -> int:
        """How many there are."""
        ...

    @property
    def cumulative(self) -> Sequence[int] | None:
        """The running sums of the weights."""
        ...

    def text(self, index: int) -> str:
        """One value, a template of its own."""
        ...

    def all(self) -> Iterator[str]:
        """Every value in order."""
        ...


class MemoryValues:
    """Values held as a list."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.texts = [text for _, text in entries]
        weights = [weight for weight, _ in entries]
        if not any(weights):
            weights = [UNIT] * len(weights)
        equal = not weights or min(weights) == max(weights)
        self.cumulative: Sequence[int] | None = None if equal else running(weights)
        self.size = len(self.texts)

    def text(self, index: int) -> str:
        """One value."""
        return self.texts[index]

    def all(self) -> Iterator[str]:
        """Every value in order."""
        return iter(self.texts)


class FileValues:
    """Values read from the file when they are asked for; the file must stay as it was when it was indexed."""

    def __init__(self, path: Path, encoding: str, limits: Limits) -> None:
        self.path = path
        self.encoding = encoding
        self.limits = limits
        self.offsets: list[int] = []
        self.before: list[int] = []
        self.blocks: OrderedDict[int, list[Entry]] = OrderedDict()
        self.irregular: set[int] = set()
        self.size = 0
        self.cumulative: Sequence[int] | None = None
        sums: array[int] | None = None
        with opened(path) as stream:
            for offset, data in _blocks(stream):
                count, weights = self.measure(data, offset)
                if sums is None and weights is not None:  # the first weight in the file: from here on each line counts
                    sums = array("Q", range(UNIT, (self.size + 1) * UNIT, UNIT))
                if sums is not None:
                    self.add(sums, weights or [UNIT] * count)
                if count:
                    self.offsets.append(offset)
                    self.before.append(self.size)
                    self.size += count
        if sums is not None and sums[-1]:
            self.cumulative = sums

    def add(self, sums: array[int], weights: Sequence[int]) -> None:
        """Go on with the running sums."""
        total = sums[-1] if sums else 0
        try:
            for weight in weights:
                total += weight
                sums.append(total)
        except OverflowError as error:
            raise WildcardFileError(
                f"The weights in {self.path.name} are too large together; use smaller ones."
            ) from error

    def measure(self, data: bytes, offset: int) -> tuple[int, list[int] | None]:
        """How many values a block holds, and their weights unless all are 1. Most blocks need no splitting."""
        if offset == 0:
            data = data.removeprefix(codecs.BOM_UTF8)
        if not data.isascii():
            decode(data, self.encoding, self.path.name, offset)
        lines = data.split(b"\n")
        if not lines[-1]:
            lines.pop()
        special = b"#" in data or b"\r" in data or (b":" in data and b"::" in data)
        if not special and min(lines) > b"!":  # no blank line and none that starts with one
            return len(lines), None
        self.irregular.add(len(self.offsets))
        entries = self.parse(data, offset)
        weights = [weight for weight, _ in entries]
        return len(entries), (weights if weights.count(UNIT) < len(weights) else None)

    def parse(self, data: bytes, offset: int) -> list[Entry]:
        """The values of one block."""
        return entries_of(decode(data, self.encoding, self.path.name, offset), self.path.name)

    def text(self, index: int) -> str:
        """One value: one block is read; blocks with comments, weights or blank lines are kept for a while."""
        block = bisect_right(self.before, index) - 1
        place = index - self.before[block]
        entries = self.blocks.get(block)
        if entries is None:
            with opened(self.path) as stream:
                stream.seek(self.offsets[block])
                offset, data = next(_blocks(stream), (0, b""))
            if block not in self.irregular:
                lines = data.removeprefix(codecs.BOM_UTF8).split(b"\n", place + 1)
                return (
                    entry_of(decode(lines[place], self.encoding, self.path.name, offset), self.path.name)[1]
                    if place < len(lines)
                    else ""
                )
            entries = self.blocks[block] = self.parse(data, offset)
            if len(self.blocks) > KEPT_BLOCKS:
                self.blocks.popitem(last=False)
        return entries[place][1] if place < len(entries) else ""

    def all(self) -> Iterator[str]:
        """Every value in order, a block at a time."""
        with opened(self.path) as stream:
            for offset, data in _blocks(stream):
                yield from (text for _, text in self.parse(data, offset))


def _blocks(stream: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Blocks of whole lines from where the stream stands, each with its place in the file."""
    offset = stream.tell()
    while data := stream.read(BLOCK_BYTES):
        data += stream.readline()
        yield offset, data
        offset += len(data)


def read_values(path: str | Path, encoding: str, limits: Limits) -> Values:
    """The values of a text file. `encoding` is what to try when it is not UTF-8 ("" refuses such files).

    Raises WildcardFileError with the byte offset when it is not text in a known encoding, or is too large.
    """
    path = str(path)
    name = path.rpartition(os.sep)[2]
    with opened(path, buffering=0) as stream:  # no buffer: nearly all files are read with one call
        size = os.fstat(stream.fileno()).st_size
        if size > limits.file_bytes:
            raise WildcardFileError(
                f"{name} has {size:,} bytes, more than the limit of {limits.file_bytes:,}; split it."
            )
        head = stream.read(2) if size > IN_MEMORY_BYTES else b""
        if not head or head in _MARKS:
            return MemoryValues(entries_of(decode(head + stream.read(), encoding, name, 0), name))
    return FileValues(Path(path), encoding, limits)


def decode(data: bytes, encoding: str, name: str, offset: int) -> str:
    """UTF-8 with or without a mark; other encodings only when `encoding` allows it. `offset` is where `data` starts."""
    if data.startswith(_MARKS):
        if encoding:
            return data.decode("utf-16", "replace")
        raise WildcardFileError(f"{name} is UTF-16 (byte 0); save it as UTF-8, or allow other encodings.")
    try:
        return data.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        if encoding:
            return data.decode(encoding, "replace")
        place = offset + error.start
        reason = f"{name} is not UTF-8: byte {data[error.start]:#04x} at offset {place:,}; save it as UTF-8, or allow other encodings."
        raise WildcardFileError(reason) from error


def entries_of(text: str, name: str) -> list[Entry]:
    """The values in the lines of `text`. Raises WildcardFileError for a weight that is no weight."""
    lines = [line.lstrip(" \t") for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    if "::" not in text and "#" not in text and _CONTROL.search(text) is None:
        return [(UNIT, line) for line in lines if line]
    return [entry_of(line, name) for line in lines if line and not line.startswith("#")]


def entry_of(text: str, name: str) -> Entry:
    """The weight and the value of one line; control characters are dropped."""

    def problem(reason: str, _start: int, _end: int) -> None:
        raise WildcardFileError(f"{name}, '{text[:60]}': {reason}")

    weight, rest = weighted(_CONTROL.sub("", text), problem)
    return (UNIT if weight is None else weight), rest
