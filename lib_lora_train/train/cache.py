"""Encoded photos and captions, kept under the hash of everything that they depend on.

A key covers content, never a path or a time: a changed image, caption, crop, VAE, text encoder or precision has another
key, so nothing stale can be found. Latents are kept as mean and deviation, so that each epoch draws anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from lib_lora_train.files import atomic

Tensors = Mapping[str, torch.Tensor]


def key(*parts: str) -> str:
    """The name of an entry that depends on `parts`."""
    digest = hashlib.blake2b(digest_size=20)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()


def fingerprint(model: torch.nn.Module) -> str:
    """The hash of a model's weights, with their names, shapes and types."""
    digest = hashlib.blake2b(digest_size=20)
    for name, tensor in sorted(model.state_dict().items()):
        data = tensor.detach().to("cpu").contiguous()
        digest.update(f"{name}{tuple(data.shape)}{data.dtype}".encode())
        digest.update(data.view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


@dataclass
class Cache:
    """Tensors by key, in memory and, with a folder, on disk (shared by jobs). One writer a file, whole or absent."""

    folder: Path | None
    _memory: dict[str, Tensors] = field(default_factory=dict)

    def get(self, name: str) -> Tensors | None:
        """The entry, or None. A file that cannot be read counts as absent."""
        if name not in self._memory and self.folder is not None:
            try:
                self._memory[name] = load_file(self._path(name))
            except (OSError, SafetensorError):
                return None
        return self._memory.get(name)

    def put(self, name: str, tensors: Tensors) -> None:
        """Keep the entry; with a folder it is on disk when this returns. Raises DiskError."""
        self._memory[name] = tensors
        if self.folder is not None:
            path = self._path(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic.write_bytes(path, save({label: tensor.contiguous() for label, tensor in tensors.items()}))

    def _path(self, name: str) -> Path:
        assert self.folder is not None
        return self.folder / name[:2] / f"{name}.safetensors"
