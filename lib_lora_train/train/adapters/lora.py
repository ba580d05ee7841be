"""LoRA (Hu et al. 2021, arXiv 2106.09685) through peft, with kohya's targets, names and dropouts.

Targets are kohya's: in the U-Net every linear and 1x1 convolution of the transformer blocks, and, with a
`conv_rank`, every convolution and linear of the residual, down and up blocks; in the text encoder every linear of
attention and feed-forward. An SD 1.x base has 192 (278 with convolutions) and 72 of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn

from lib_lora_train.train.adapters.adapter import Part
from lib_lora_train.train.randomness import draw
from lib_lora_train.train.sections import AdapterConfig

TRANSFORMERS = ("Transformer2DModel",)
CONVOLUTIONAL = ("ResnetBlock2D", "Downsample2D", "Upsample2D")
TEXT = ("CLIPAttention", "CLIPSdpaAttention", "CLIPMLP")
_NAME = "default"


@dataclass(frozen=True)
class Target:
    """A module of the base that gets an adapter: its dotted path, rank and alpha."""

    path: str
    weight: torch.Size
    rank: int
    alpha: float


def targets(model: nn.Module, config: AdapterConfig) -> list[Target]:
    """The modules of `model` (before any adapter) that are trained, in the model's own order."""
    owners = (*TRANSFORMERS, *TEXT, *(CONVOLUTIONAL if config.conv_rank else ()))
    found: dict[str, Target] = {}
    for path, owner in model.named_modules():
        if type(owner).__name__ not in owners:
            continue
        for inner, module in owner.named_modules(prefix=path):
            if isinstance(module, (nn.Linear, nn.Conv2d)) and inner not in found:
                wide = isinstance(module, nn.Conv2d) and module.kernel_size != (1, 1)
                if wide and not config.conv_rank:
                    continue
                rank, alpha = (config.conv_rank, config.conv_alpha) if wide else (config.rank, config.alpha)
                found[inner] = Target(inner, module.weight.shape, rank, alpha)
    order = {path: index for index, (path, _) in enumerate(model.named_modules())}
    return sorted(found.values(), key=lambda target: order[target.path])


def attach_lora(name: str, model: nn.Module, prefix: str, config: AdapterConfig, seed: int) -> Part:
    """Put LoRA layers on `model` in place and freeze everything else; parameters are float32.

    The down weights are drawn for (seed, module name), so that adding a target changes no other; the up weights are 0.
    """
    chosen = targets(model, config)
    wide = {target.path: target for target in chosen if len(target.weight) == 4 and target.weight[-1] > 1}
    model.requires_grad_(False)
    inject_adapter_in_model(
        LoraConfig(
            r=config.rank,
            lora_alpha=config.alpha,  # type: ignore[arg-type] - peft says int and multiplies floats
            target_modules=[target.path for target in chosen],
            rank_pattern={f"^{path}$": target.rank for path, target in wide.items()},
            alpha_pattern={f"^{path}$": target.alpha for path, target in wide.items()},
            lora_dropout=config.dropout,
            use_rslora=config.rslora,
        ),
        model,
        adapter_name=_NAME,
    )
    parameters: dict[str, nn.Parameter] = {}
    constants: dict[str, torch.Tensor] = {}
    layers: list[Any] = []
    for target in chosen:
        layer: Any = model.get_submodule(target.path)
        file_name = f"{prefix}_{target.path.replace('.', '_')}"
        down, up = layer.lora_A[_NAME], layer.lora_B[_NAME]
        for half in (down, up):
            half.weight.data = half.weight.data.float()
            half.weight.requires_grad_(True)
        _initialise(down.weight, up.weight, draw(seed, "lora", file_name))
        _add_dropouts(down, up, config)
        layers.append(layer)
        parameters[f"{file_name}.lora_down.weight"] = down.weight
        parameters[f"{file_name}.lora_up.weight"] = up.weight
        constants[f"{file_name}.alpha"] = torch.tensor(_file_alpha(target, config.rslora))

    def switch(on: bool) -> None:
        for layer in layers:
            assert isinstance(layer, BaseTunerLayer)
            layer.enable_adapters(on)
        if on:  # enabling resets what is trainable
            for parameter in parameters.values():
                parameter.requires_grad_(True)

    return Part(
        name=name,
        model=model,
        parameters=parameters,
        constants=constants,
        targets={f"{prefix}_{target.path.replace('.', '_')}": target.weight for target in chosen},
        switch=switch,
    )


def _file_alpha(target: Target, rslora: bool) -> float:
    """The alpha with which a host, which scales by alpha / rank, gets the scale that was trained."""
    return target.alpha * math.sqrt(target.rank) if rslora else target.alpha


@torch.no_grad()
def _initialise(down: torch.Tensor, up: torch.Tensor, seed: int) -> None:
    """kaiming_uniform(a = sqrt 5) and zeros, drawn on the CPU so that every device starts alike."""
    bound = 1 / math.sqrt(down[0].numel())
    fresh = torch.empty(down.shape).uniform_(-bound, bound, generator=torch.Generator().manual_seed(seed))
    down.copy_(fresh)
    up.zero_()


def _add_dropouts(down: nn.Module, up: nn.Module, config: AdapterConfig) -> None:
    """Rank and module dropout (kohya's), which peft lacks, as hooks that neither branch nor wait for the device."""
    if config.rank_dropout:
        kept = 1 - config.rank_dropout

        def drop_ranks(module: nn.Module, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
            if not module.training:
                return output
            ranks = 1 if output.dim() == 4 else output.dim() - 1  # of a convolution, of a linear
            shape = [size if axis in (0, ranks) else 1 for axis, size in enumerate(output.shape)]
            return output * (torch.rand(shape, device=output.device) < kept) / kept

        down.register_forward_hook(drop_ranks)
    if config.module_dropout:

        def drop_module(module: nn.Module, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
            return (
                output * (torch.rand((), device=output.device) >= config.module_dropout) if module.training else output
            )

        up.register_forward_hook(drop_module)
