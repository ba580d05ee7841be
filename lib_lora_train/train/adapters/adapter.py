"""What every method gives to the loop: parameters to train and tensors to save, both under stable names."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn


class Switch(Protocol):
    """Turns a part's adapters on and off."""

    def __call__(self, on: bool) -> None: ...


@dataclass(frozen=True)
class Part:
    """The adapter on one model.

    `tensors` maps file names (`lora_unet_…_to_q.lora_down.weight`) to what is saved; `parameters` maps the same names
    to what the optimizer moves; `targets` are the modules of the base that must all be covered by `tensors`, with
    the shapes of their weights.
    """

    name: str
    model: nn.Module
    parameters: Mapping[str, nn.Parameter]
    constants: Mapping[str, torch.Tensor]
    targets: Mapping[str, torch.Size]
    switch: Switch


@dataclass(frozen=True)
class Adapter:
    """All parts, text encoder first (kohya's order of parameter groups)."""

    method: str
    parts: tuple[Part, ...]

    @property
    def parameters(self) -> list[nn.Parameter]:
        """Everything that is trained, in file order."""
        return [parameter for part in self.parts for parameter in part.parameters.values()]

    def tensors(self) -> dict[str, torch.Tensor]:
        """All tensors of a saved file, on their device and in training precision, detached."""
        named: dict[str, torch.Tensor] = {}
        for part in self.parts:
            named.update({name: parameter.detach() for name, parameter in part.parameters.items()})
            named.update(part.constants)
        return named

    @torch.no_grad()
    def load(self, tensors: Mapping[str, torch.Tensor]) -> list[str]:
        """Copy saved tensors into the parameters; returns the names that were missing or had another shape."""
        wrong: list[str] = []
        for part in self.parts:
            for name, parameter in part.parameters.items():
                saved = tensors.get(name)
                if saved is None or saved.shape != parameter.shape:
                    wrong.append(name)
                else:
                    parameter.copy_(saved)
        return wrong

    @contextlib.contextmanager
    def disabled(self) -> Iterator[None]:
        """The base alone, for the picture without the LoRA."""
        for part in self.parts:
            part.switch(False)
        try:
            yield
        finally:
            for part in self.parts:
                part.switch(True)
