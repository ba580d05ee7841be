"""A base file's header: its errors as BaseError, and the format of its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lib_lora_train.files.safetensors_header import TensorEntry, TensorFileError, TensorHeader, read_header
from lib_lora_train.train.errors import BaseError

PICKLES = frozenset({".ckpt", ".pt", ".pth", ".bin"})
QUANTISED = ("fp8", "fp4", "int8", "nf4")
_NUMBERS = {"F64": "fp64", "F32": "fp32", "F16": "fp16", "BF16": "bf16", "I8": "int8", "U8": "int8", "F4": "fp4"}


def header_of(path: Path) -> TensorHeader:
    """`read_header`, its errors as BaseError."""
    try:
        return read_header(path)
    except TensorFileError as error:
        raise BaseError(str(error)) from error


def number_format(tensors: Mapping[str, TensorEntry]) -> str:
    """The format of most bytes of the weights ("fp16", "bf16" …), or the quantised one if any weight has it."""
    if any("quant_state" in name or name.endswith((".absmax", ".quant_map")) for name in tensors):
        return "nf4"
    weights = [entry for name, entry in tensors.items() if len(entry.shape) >= 2 and "position_ids" not in name]
    sizes: dict[str, int] = {}
    for entry in weights:
        name = "fp8" if entry.dtype.startswith("F8") else _NUMBERS.get(entry.dtype, entry.dtype.lower())
        sizes[name] = sizes.get(name, 0) + entry.end - entry.start
    quantised = [name for name in sizes if name in QUANTISED]
    return quantised[0] if quantised else max(sizes, key=lambda name: sizes[name], default="")
