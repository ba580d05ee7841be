# pyright: basic
"""Tensors of a file, one at a time, and a model filled with them.

Read with plain reads rather than mapped: on Windows a mapped checkpoint cannot be replaced while it is in use, and
counts as used memory in full; and a file that is overwritten during training must not change the model.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lib_lora_train.files.reading import opened
from lib_lora_train.files.safetensors_header import TensorEntry, TensorHeader
from lib_lora_train.train.base.header import PICKLES, header_of
from lib_lora_train.train.base.names import Candidates
from lib_lora_train.train.errors import BaseError

DTYPES: Mapping[str, torch.dtype] = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_FORMATS = {dtype: name for name, dtype in DTYPES.items()}


@dataclass(frozen=True)
class TensorFile:
    """A file of tensors. `loaded` holds them when it was pickled; else they are read when asked for."""

    path: Path
    header: TensorHeader
    loaded: Mapping[str, torch.Tensor] | None = None

    def read(self, names: Iterable[str]) -> Iterator[tuple[str, torch.Tensor]]:
        """The named tensors in file order, each in memory of its own.

        Raises BaseError when the file has become shorter than its header says.
        """
        wanted = set(names)
        ordered = [(name, entry) for name, entry in self.header.tensors.items() if name in wanted]
        if self.loaded is not None:
            yield from ((name, self.loaded[name]) for name, _ in ordered)
            return
        try:
            with opened(self.path, buffering=0) as stream:
                for name, entry in ordered:
                    yield name, self._tensor(stream, name, entry)
        except OSError as error:
            raise BaseError(f"{self.path.name} cannot be read ({error.strerror or error}); check the disk.") from error

    def _tensor(self, stream: Any, name: str, entry: TensorEntry) -> torch.Tensor:
        if entry.dtype not in DTYPES:
            raise BaseError(
                f"{name} in {self.path.name} is stored as {entry.dtype}, which cannot be trained on; choose an fp16 or fp32 file."
            )
        data = torch.empty(entry.end - entry.start, dtype=torch.uint8)
        rest = data.numpy().data
        stream.seek(entry.start)
        while rest:
            count = stream.readinto(rest)
            if not count:
                raise BaseError(f"{self.path.name} became shorter while it was read; copy or download it again.")
            rest = rest[count:]
        return data.view(DTYPES[entry.dtype]).view(entry.shape)


def open_tensors(path: Path, allow_pickle: bool = False) -> TensorFile:
    """The tensors of a `.safetensors` file, or, when allowed, of a pickled one (weights only: no code is run).

    Raises BaseError when the file is damaged or holds more than weights.
    """
    if not (allow_pickle and path.suffix.lower() in PICKLES):
        return TensorFile(path, header_of(path))
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, OSError, EOFError, ValueError, KeyError, AttributeError) as error:
        raise BaseError(
            f"{path.name} is damaged or holds more than weights, so it was not opened; choose the .safetensors of this model."
        ) from error
    while isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict):
        raise BaseError(f"{path.name} holds no table of weights; choose the .safetensors of this model.")
    tensors = {str(name): value for name, value in content.items() if isinstance(value, torch.Tensor)}
    entries = {
        name: TensorEntry(_FORMATS.get(value.dtype, str(value.dtype)), tuple(value.shape), 0, value.nbytes)
        for name, value in tensors.items()
    }
    return TensorFile(path, TensorHeader(entries, {}), tensors)


@dataclass(frozen=True)
class Match:
    """Where each tensor of a model lies: `places` maps names in `file` to names in the model."""

    file: TensorFile
    places: Mapping[str, str]


def match(model: nn.Module, file: TensorFile, candidates: Candidates) -> Match:
    """Find each tensor of `model` in `file`; names and shapes only. A 1x1 convolution and a linear layer are alike.

    Raises BaseError naming the first tensors that are missing or do not fit.
    """
    entries = file.header.tensors
    places: dict[str, str] = {}
    missing: list[str] = []
    for name, tensor in model.state_dict().items():
        names = candidates(name)
        found = next((option for option in names if option in entries), None)
        if found is None:
            missing.append(names[0])
        elif _bare(entries[found].shape) != _bare(tuple(tensor.shape)):
            fault = f"{found} is {list(entries[found].shape)} where {list(tensor.shape)} belongs"
            raise BaseError(f"{file.path.name} does not fit together: {fault}; choose another file.")
        else:
            places[found] = name
    if missing:
        first = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        raise BaseError(f"{file.path.name} is no complete checkpoint: it lacks {first}; choose another file.")
    return Match(file, places)


def fill(model: nn.Module, found: Match, dtype: torch.dtype, device: torch.device | str) -> None:
    """Give each tensor of `model` (built without memory) its value, in `dtype` on `device`, one at a time."""
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    state: dict[str, torch.Tensor] = {}
    for stored, tensor in found.file.read(found.places):
        name = found.places[stored]
        state[name] = tensor.to(device=device, dtype=dtype).view(shapes[name])
    model.load_state_dict(state, strict=True, assign=True)
    model.to(device)  # buffers that are in no file


def _bare(shape: tuple[int, ...]) -> tuple[int, ...]:
    while len(shape) > 2 and shape[-1] == 1:
        shape = shape[:-1]
    return shape
