"""LoRA files: kohya's keys, written whole or not at all, then read back and every key matched."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save

from lib_lora_train.files import atomic
from lib_lora_train.train.adapters import Adapter
from lib_lora_train.train.errors import NotFinite, TrainError

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Written:
    """What a saved file holds: modules matched of modules expected, bytes, and the hash that hosts show."""

    path: Path
    matched: int
    expected: int
    size: int
    model_hash: str


def write_lora(path: Path, adapter: Adapter, precision: str, metadata: Mapping[str, str]) -> Written:
    """Write the adapter to `path` in `precision`, with metadata and its hashes, and check what was written.

    Raises DiskError; NotFinite when a number does not fit the precision; TrainError when the file that was read
    back lacks a module of the base or has a stranger.
    """
    tensors = {name: _saved(name, tensor, DTYPES[precision]) for name, tensor in adapter.tensors().items()}
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise NotFinite(
                f"{name} does not fit into {precision}; save as bf16 or fp32 (save.precision), or lower the learning rate."
            )
    model_hash, legacy = hashes(tensors, metadata)
    data = serialise(tensors, {**metadata, "sshs_model_hash": model_hash, "sshs_legacy_hash": legacy})
    with atomic.disk_errors(path.name, path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_bytes(path, data)
    expected = {name: shape for part in adapter.parts for name, shape in part.targets.items()}
    matched = verify(path, expected)
    return Written(path=path, matched=matched, expected=len(expected), size=len(data), model_hash=model_hash)


def _saved(name: str, tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """On the CPU in `dtype`; alpha stays float32, so that 0.3 does not become 0.30078 in bf16."""
    return tensor.to("cpu", torch.float32 if name.endswith(".alpha") else dtype).contiguous()


def serialise(tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> bytes:
    """A safetensors file whose bytes follow from its content: the library writes metadata in an order drawn anew."""
    data = save(dict(tensors))
    length = int.from_bytes(data[:8], "little")
    header = {"__metadata__": dict(sorted(metadata.items())), **json.loads(data[8 : 8 + length])}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def hashes(tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> tuple[str, str]:
    """kohya's `sshs_model_hash` and `sshs_legacy_hash` of a file with these tensors and the `ss_` metadata.

    The first is SHA-256 of the data after the header; the second is the first eight digits of SHA-256 of 64 KiB at
    1 MiB, AUTOMATIC1111's old short hash.
    """
    data = serialise(tensors, {key: value for key, value in metadata.items() if key.startswith("ss_")})
    header = int.from_bytes(data[:8], "little")
    legacy = hashlib.sha256(data[0x100000 : 0x100000 + 0x10000]).hexdigest()[:8]
    return hashlib.sha256(data[8 + header :]).hexdigest(), legacy


def verify(path: Path, expected: Mapping[str, torch.Size]) -> int:
    """The number of modules in the file at `path`, each with its three tensors, shapes and finite numbers checked.

    `expected` maps each module's file name to the shape of the base's weight that it changes. Raises TrainError.
    """
    with safe_open(path, framework="pt") as file:
        found: set[str] = set(file.keys())
        wanted = {f"{name}.{half}" for name in expected for half in ("lora_down.weight", "lora_up.weight", "alpha")}
        if found != wanted:
            odd = sorted(found ^ wanted)
            raise TrainError(
                f"{path.name} does not fit its base: {len(odd)} keys are missing or strange, first {odd[0]}. This is a fault of ours, please report it; the training state is kept."
            )
        for name, shape in expected.items():
            down, up, alpha = (
                file.get_tensor(f"{name}.{half}") for half in ("lora_down.weight", "lora_up.weight", "alpha")
            )
            fits = (up.shape[0], up.shape[1], down.shape[1:], alpha.dim()) == (shape[0], down.shape[0], shape[1:], 0)
            if not fits or not all(tensor.isfinite().all() for tensor in (down, up, alpha)):
                raise TrainError(
                    f"{path.name}: {name} has the wrong shape or broken numbers; the file on disk may be damaged, so save again."
                )
    return len(expected)
