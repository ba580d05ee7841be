"""The header of a `.safetensors` file, checked in full, without reading a tensor. Standard library only.

Format (https://huggingface.co/docs/safetensors): 8 bytes little-endian length, a JSON object of that length that maps
names to dtype, shape and byte range, then the bytes. Ranges lie end to end and fill the rest of the file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from lib_lora_train.files.errors import FilesError
from lib_lora_train.files.reading import opened, plain_size

MAX_HEADER_BYTES = 100_000_000
DTYPE_BITS: Mapping[str, int] = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 64),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "I8", "U8", "BOOL"), 8),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    "F4": 4,
}
_AGAIN = "download or copy it again"
# What is found under the name of a .safetensors file, by its first bytes.
_DISGUISES: tuple[tuple[bytes, str], ...] = (
    (
        b"version https://git-lfs",
        "is a git-lfs pointer, not the file itself; run `git lfs pull`, or download it from the model's page",
    ),
    (b"PK\x03\x04", "is a pickled PyTorch file under another name; convert it to .safetensors first"),
    (b"\x80\x02", "is a pickled PyTorch file under another name; convert it to .safetensors first"),
    (b"GGUF", "is a GGUF file, which cannot be trained on; choose the fp16 or fp32 .safetensors of this model"),
    (b"<", "is a web page, not a model (the download needed a login?); download it again in a browser"),
    (b'{"', "is a JSON text, not a model (an error message of the site?); download it again"),
)
_TEXTS = (b"<", b'{"')  # may follow a byte order mark or blanks


class TensorFileError(FilesError):
    """A tensor file that is damaged or is something else; the text says which, where and what to do."""

    exit_code = 3


@dataclass(frozen=True)
class TensorEntry:
    """One tensor: dtype as the format names it ("F16"), shape, and its byte range counted from the file's start."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True)
class TensorHeader:
    """All tensors of a file in file order, and its metadata."""

    tensors: Mapping[str, TensorEntry]
    metadata: Mapping[str, str]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name → shape."""
        return {name: entry.shape for name, entry in self.tensors.items()}


def read_header(path: Path) -> TensorHeader:
    """The checked header of `path`.

    Raises TensorFileError when the file is missing, unreadable, incomplete, damaged or something else.
    """
    try:
        size = plain_size(path)
        with opened(path) as stream:
            start = stream.read(64)
            stream.seek(8)
            length = int.from_bytes(start[:8], "little")
            _check_start(path, start, length, size)
            text = stream.read(length)
    except OSError as error:
        raise TensorFileError(_unreadable(path, error)) from error
    return _parse(path, text, 8 + length, size)


def _unreadable(path: Path, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{path} is not there; check the path."
    if path.is_dir():
        return f"{path} is a folder where a file was expected; choose a .safetensors file."
    return f"{path} cannot be read ({error.strerror or error}); check its permissions and the disk."


def _check_start(path: Path, start: bytes, length: int, size: int) -> None:
    if size == 0:
        raise TensorFileError(f"{path.name} is empty (0 bytes); {_AGAIN}.")
    if start[8:9] != b"{":  # asked first: the length itself may look like one of the disguises
        for magic, verdict in _DISGUISES:
            if start.startswith(magic) or (magic in _TEXTS and start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(magic)):
                raise TensorFileError(f"{path.name} {verdict}.")
        if not any(start):
            fault = "begins with zero bytes (an interrupted download or a bad disk)"
            raise TensorFileError(f"{path.name} {fault}; {_AGAIN}.")
        raise TensorFileError(f"{path.name} is not a .safetensors file; choose another file, or {_AGAIN}.")
    if length > MAX_HEADER_BYTES:
        raise TensorFileError(
            f"{path.name} is damaged: its header claims {length:,} bytes, more than the format allows; {_AGAIN}."
        )
    if size < 8 + length:
        raise TensorFileError(
            f"{path.name} is incomplete: its header ends at byte {8 + length:,}, found {size:,} bytes; {_AGAIN}."
        )


def _parse(path: Path, text: bytes, data_start: int, size: int) -> TensorHeader:
    damaged = f"{path.name} is damaged: its header"
    try:
        raw: Any = json.loads(text, object_pairs_hook=_no_duplicates, parse_int=_whole_number)
    except (ValueError, RecursionError) as error:
        raise TensorFileError(f"{damaged} is not readable JSON ({str(error)[:80]}); {_AGAIN}.") from error
    if not isinstance(raw, dict):
        raise TensorFileError(f"{damaged} is not a table of tensors; {_AGAIN}.")
    table = cast("dict[str, Any]", raw)
    metadata: Any = table.pop("__metadata__", None) or {}
    if not isinstance(metadata, dict):
        raise TensorFileError(f"{damaged} has metadata that is not a table; {_AGAIN}.")
    texts = {str(key): value for key, value in cast("dict[Any, Any]", metadata).items() if isinstance(value, str)}
    entries = {
        name: _entry(f"{damaged} describes {name!r} wrongly", value, data_start) for name, value in table.items()
    }
    ordered = dict(sorted(entries.items(), key=lambda item: (item[1].start, item[1].end)))
    _check_ranges(path, ordered, data_start, size)
    return TensorHeader(ordered, texts)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a name occurs twice")
    return table


def _whole_number(digits: str) -> int:
    """A number of any file that there is; longer ones take Python hours."""
    if len(digits) > 20:
        raise ValueError("a number is far too large")
    return int(digits)


def _bytes_of(shape: Sequence[int], bits: int, most: int) -> int:
    """The bytes that a tensor fills, or some number above `most`: the true one may be astronomic."""
    if 0 in shape:
        return 0
    count = 1
    for size in shape:
        count *= size
        if count * bits > (most + 1) * 8:
            break
    return (count * bits + 7) // 8


def _entry(wrong: str, value: Any, data_start: int) -> TensorEntry:
    try:
        dtype, raw_shape, (start, end) = value["dtype"], value["shape"], value["data_offsets"]
    except (TypeError, KeyError, ValueError) as error:
        raise TensorFileError(f"{wrong}; {_AGAIN}.") from error
    shape: list[Any] = cast("list[Any]", raw_shape) if isinstance(raw_shape, list) else [None]
    numbers: list[Any] = [*shape, start, end]
    if any(not isinstance(number, int) or isinstance(number, bool) or number < 0 for number in numbers):
        raise TensorFileError(f"{wrong}: sizes must be whole numbers; {_AGAIN}.")
    bits = DTYPE_BITS.get(dtype) if isinstance(dtype, str) else None
    if bits is None:
        raise TensorFileError(f"{wrong}: number format {dtype!r} is not known; choose a file in fp16 or fp32.")
    if _bytes_of(shape, bits, end - start) != end - start:
        raise TensorFileError(f"{wrong}: shape and byte range disagree; {_AGAIN}.")
    return TensorEntry(dtype, tuple(shape), data_start + start, data_start + end)


def _check_ranges(path: Path, ordered: Mapping[str, TensorEntry], data_start: int, size: int) -> None:
    position, before = data_start, "the header"
    for name, entry in ordered.items():
        if entry.start != position:
            fault = "overlaps" if entry.start < position else "leaves a hole after"
            raise TensorFileError(f"{path.name} is damaged: tensor {name!r} {fault} {before}; {_AGAIN}.")
        position, before = entry.end, repr(name)
    if position > size:
        raise TensorFileError(f"{path.name} is incomplete: expected {position:,} bytes, found {size:,}; {_AGAIN}.")
    if position < size:
        raise TensorFileError(f"{path.name} is damaged: expected {position:,} bytes, found {size:,}; {_AGAIN}.")
