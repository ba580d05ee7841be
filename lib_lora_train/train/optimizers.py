"""Optimizers from kept libraries, built from their name and checked arguments."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from lib_lora_train.train.errors import ConfigError
from lib_lora_train.train.sections import ADAPTIVE, OptimizerConfig

Groups = list[dict[str, Any]]

ALIASES = {"DAdaptAdam": {"decouple": "weight_decouple", "use_bias_correction": "bias_correction"}}
"""The guides' names for arguments that our library calls otherwise."""

DEFAULTS: dict[str, dict[str, Any]] = {
    # Without these two, the guides' authors and ours saw DAdaptAdam learn nothing.
    "DAdaptAdam": {"weight_decouple": True, "bias_correction": True},
    "Prodigy": {"decouple": True, "use_bias_correction": True},
    # Its own default ignores the learning rate that the person typed.
    "Adafactor": {"relative_step": False, "scale_parameter": False, "warmup_init": False},
}

HANDLED = frozenset({"self", "params", "lr"})


@dataclass(frozen=True)
class Optimizer:
    """An optimizer and what to say about how it was made."""

    optimizer: torch.optim.Optimizer
    notices: tuple[str, ...]


def build(groups: Groups, config: OptimizerConfig, device: torch.device) -> Optimizer:
    """The optimizer over parameter groups, each with its `lr`.

    Raises ConfigError for an argument that the optimizer does not know, or a value that it refuses.
    """
    notices: list[str] = []
    kind = _class(config.name, device, notices)
    arguments = _arguments(config, kind)
    rates = {group["lr"] for group in groups}
    if config.name in ADAPTIVE:
        if len(rates) > 1:
            notices.append(
                f"{config.name} uses one rate for all parts: {groups[0]['lr']:g} counts, the others are ignored."
            )
            for group in groups:
                group["lr"] = groups[0]["lr"]
        if groups[0]["lr"] <= 0.1:
            notices.append(
                f"{config.name} finds the rate by itself and multiplies it by {groups[0]['lr']:g}: set optimizer.learning_rate to 1."
            )
    try:
        return Optimizer(kind(groups, **arguments), tuple(notices))
    except (TypeError, ValueError, AssertionError) as error:
        raise ConfigError(f"optimizer.arguments: {config.name} refused them: {error}.") from error


def _class(name: str, device: torch.device, notices: list[str]) -> Callable[..., torch.optim.Optimizer]:
    if name == "AdamW8bit":
        try:
            if device.type != "cuda":
                raise ImportError("there is no CUDA card")
            return importlib.import_module("bitsandbytes").optim.AdamW8bit
        except (ImportError, RuntimeError, OSError) as error:
            cure = " 'doctor --with-bitsandbytes' adds it." if device.type == "cuda" else ""
            notices.append(
                f"AdamW8bit is not to be had here ({error}), so plain AdamW is used: the result is as good, the optimizer takes more memory.{cure}"
            )
            return torch.optim.AdamW
    module, attribute = {
        "AdamW": ("torch.optim", "AdamW"),
        "DAdaptAdam": ("pytorch_optimizer", "DAdaptAdam"),
        "Prodigy": ("prodigyopt", "Prodigy"),
        "Adafactor": ("transformers.optimization", "Adafactor"),
        "Lion": ("pytorch_optimizer", "Lion"),
    }[name]
    return getattr(importlib.import_module(module), attribute)


def _arguments(config: OptimizerConfig, kind: Callable[..., Any]) -> dict[str, Any]:
    """The arguments in the library's names, each one known to it. Text lists ("0.9,0.99") become tuples."""
    known = [name for name in inspect.signature(kind).parameters if name not in HANDLED and name != "kwargs"]
    aliases = ALIASES.get(config.name, {})
    chosen = dict(DEFAULTS.get(config.name, {}))
    for name, value in config.arguments.items():
        real = aliases.get(name, name)
        if real not in known:
            near = difflib.get_close_matches(name, [*known, *aliases], n=1)
            raise ConfigError(
                f"optimizer.arguments.{name} is not an argument of {config.name}; it has {', '.join(known)}{f' (did you mean {near[0]}?)' if near else ''}."
            )
        chosen[real] = _value(value)
    return {name: value for name, value in chosen.items() if name in known}


def _value(value: Any) -> Any:
    if isinstance(value, str) and "," in value:
        return tuple(float(part) for part in value.strip("()[] ").split(",") if part.strip())
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def adapted_rate(group: Mapping[str, Any]) -> float | None:
    """d * lr of an adaptive optimizer's group, or None for the others."""
    return float(group["d"]) * float(group["lr"]) if "d" in group else None
