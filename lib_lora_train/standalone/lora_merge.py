# pyright: basic
"""LoRA files put into a base's weights and taken out again, for drawing. Runs in the trainer's environment (torch)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from lib_lora_train.train.base.family import BaseModel
from lib_lora_train.train.base.tensors import open_tensors
from lib_lora_train.train.errors import BaseError
from lib_lora_train.train.setup import PREFIXES

DOWN, UP, MIDDLE, ALPHA = ".lora_down.weight", ".lora_up.weight", ".lora_mid.weight", ".alpha"
_OTHER_KINDS = (".hada_", ".lokr_", ".oft_", ".dora_scale", ".on_input", ".diff", ".w_norm", ".b_norm")


@dataclass(frozen=True)
class Change:
    """What a LoRA adds to one module's weight: scale * up @ down, in the weight's own shape."""

    up: torch.Tensor
    down: torch.Tensor
    scale: float

    def on(self, weight: torch.Tensor) -> torch.Tensor:
        """The change in float32, on the weight's device. Raises BaseError when it has another shape."""
        up, down = self.up.to(weight.device, torch.float32), self.down.to(weight.device, torch.float32)
        if up.shape[0] != weight.shape[0] or down.shape[1:] != weight.shape[1:] or up.shape[1] != down.shape[0]:
            raise BaseError(
                f"a module of it is {up.shape[0]} x {tuple(down.shape[1:])}, the base's is {tuple(weight.shape)}; choose the base it was trained on."
            )
        return (up.flatten(1) @ down.flatten(1)).view(weight.shape) * self.scale


@dataclass
class Mixer:
    """A base whose weights take one LoRA at a time. The base's own weights are kept and put back exactly."""

    base: BaseModel
    _own: dict[str, torch.Tensor] = field(default_factory=dict, init=False)
    _changes: tuple[Path, int, Mapping[str, Change]] | None = field(default=None, init=False)
    _set: tuple[str, float] | None = field(default=None, init=False)
    loads: int = field(default=0, init=False)

    def set(self, path: Path | None, weight: float) -> None:
        """Make the base answer with the LoRA at `path` (None for none). Raises BaseError when it does not fit."""
        wanted = (str(path), weight) if path else None
        if wanted == self._set:
            return
        changes = self._read(path) if path else {}
        modules = self._modules()
        self._restore(modules)
        try:
            for name, change in changes.items():
                module = modules[name]
                added = change.on(module.weight) * weight
                self._own[name] = module.weight.detach().clone()
                module.weight.data = (module.weight.float() + added).to(module.weight.dtype)
        except BaseError as error:
            self._restore(modules)
            raise BaseError(f"{path.name if path else ''}: {error}") from error
        self._set = wanted

    def _restore(self, modules: Mapping[str, Any]) -> None:
        for name, weight in self._own.items():
            modules[name].weight.data = weight
        self._own.clear()
        self._set = None

    def _modules(self) -> dict[str, Any]:
        """Every linear and convolution by its name in a LoRA file."""
        models = {"text_encoder": self.base.text_encoder, "unet": self.base.unet}
        return {
            f"{PREFIXES[part]}_{path.replace('.', '_')}": module
            for part, model in models.items()
            for path, module in model.named_modules()
            if isinstance(module, (torch.nn.Linear, torch.nn.Conv2d))
        }

    def _read(self, path: Path) -> Mapping[str, Change]:
        """The changes of a file; the newest one is kept, so that another weight costs no second reading."""
        stamp = path.stat().st_mtime_ns if path.exists() else 0
        if self._changes is None or self._changes[:2] != (path, stamp):
            self._changes = (path, stamp, dict(_changes(path, set(self._modules()))))
            self.loads += 1
        return self._changes[2]


def _changes(path: Path, modules: set[str]) -> Iterator[tuple[str, Change]]:
    if not path.is_file():
        raise BaseError(f"{path.name} is gone; put it back and start the grid again.")
    file = open_tensors(path)
    names = set(file.header.tensors)
    other = next((name for name in names if any(kind in name for kind in (*_OTHER_KINDS, MIDDLE))), None)
    if other:
        raise BaseError(f"{path.name} is a LyCORIS or DoRA file ({other}), which only a WebUI can draw with.")
    tensors = dict(file.read(names))
    targets = {name.removesuffix(DOWN) for name in names if name.endswith(DOWN)}
    strange = sorted(targets - modules)
    if strange or not targets:
        found = strange[0] if strange else "no module"
        raise BaseError(
            f"{path.name} does not fit the base: {len(strange)} of {len(targets)} modules are not in it, first {found}."
        )
    for name in targets:
        down, up = tensors[name + DOWN], tensors[name + UP]
        alpha = tensors.get(name + ALPHA)
        rank = down.shape[0]
        if not (torch.isfinite(down).all() and torch.isfinite(up).all()):
            raise BaseError(f"{path.name} holds numbers that are not finite ({name}): that training has failed.")
        yield name, Change(up, down, float(alpha) / rank if alpha is not None else 1.0)
