"""The base's text encoder and U-Net, trained together from nothing to take noise out of latents."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from lib_lora_train.train.base.schedule import alphas_cumprod
from lib_lora_train.train.base.sd1 import build
from tools.small_base.autoencoder import warm_cosine, whose_turn

_UNCONDITIONAL = 0.1
_EMA = 0.9995


def new_models(configs: dict[str, dict[str, Any]], device: torch.device) -> nn.ModuleDict:
    """Untrained "unet" and "text_encoder"."""
    torch.manual_seed(2)
    return nn.ModuleDict({part: build(part, configs[part]) for part in ("unet", "text_encoder")}).to(device)


@dataclass(frozen=True)
class Plan:
    """`steps` of `batch` pictures; `state` keeps what a second call goes on from, after `seconds` of the first."""

    steps: int
    batch: int
    state: Path
    seconds: float = math.inf
    rate: float = 1e-3


def train_painter(
    models: nn.ModuleDict, data: Sequence[tuple[Tensor, Tensor]], empty: Tensor, plan: Plan
) -> nn.ModuleDict:
    """Averaged models (exponential mean of the weights) after `plan.steps`.

    `data` has one pair a shape: latents [n, 4, h, w] and token numbers [n, captions, 77]; `empty` is the empty
    caption's [77]. Noise prediction (Ho et al. 2020, eq. 14) weighted by min-SNR-5 (Hang et al. 2023, §3.4).
    """
    device = empty.device
    alphas = alphas_cumprod(False).to(device)
    averaged = copy.deepcopy(models).requires_grad_(False)
    weights: list[Tensor] = list(models.parameters())
    means: list[Tensor] = list(averaged.parameters())
    fused = device.type == "cuda"
    optimizer = torch.optim.AdamW(weights, lr=1.0, weight_decay=1e-2, betas=(0.9, 0.99), fused=fused)
    compiled = torch.compile(_loss, dynamic=False) if fused else _loss
    began, first = time.monotonic(), _resume(plan.state, models, averaged, optimizer)
    for step in range(first, plan.steps):
        for group in optimizer.param_groups:
            group["lr"] = plan.rate * warm_cosine(step, plan.steps, 500)
        chance = torch.Generator(device).manual_seed(1_000_003 + step)
        part = whose_turn(data, step)
        latents, words, drawn = _draw(part, empty, plan.batch, chance)
        forward = compiled if part is data[0] else _loss  # compiling costs more than the few others would gain
        loss = forward(models, latents, words, (*drawn, alphas))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0, foreach=True)
        optimizer.step()
        get_ema_multi_avg_fn(min(_EMA, (step + 1) / (step + 10)))(means, weights, step)
        if step % 500 == 0 or step == plan.steps - 1:
            print(f"painter {step}/{plan.steps} loss {loss.detach():.4f} {time.monotonic() - began:.0f} s", flush=True)
        if time.monotonic() - began > plan.seconds:
            _keep(plan.state, models, averaged, optimizer, step + 1)
            break
    return averaged.eval()


def _draw(
    part: tuple[Tensor, Tensor], empty: Tensor, batch: int, chance: torch.Generator
) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
    """Latents, token numbers, and (noise, times) for a batch; a tenth of the captions are empty."""
    (latents, ids), device = part, empty.device
    chosen = torch.randint(len(latents), (batch,), generator=chance, device=device)
    words = ids[chosen, torch.randint(ids.shape[1], (batch,), generator=chance, device=device)].long()
    none = torch.rand(batch, 1, generator=chance, device=device) < _UNCONDITIONAL
    taken = latents[chosen].float()
    noise = torch.randn(taken.shape, generator=chance, device=device)
    times = torch.randint(1000, (batch,), generator=chance, device=device)
    return taken, torch.where(none, empty.long(), words), (noise, times)


def _keep(path: Path, models: nn.Module, averaged: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> None:
    state = [models.state_dict(), averaged.state_dict(), optimizer.state_dict(), step]
    torch.save(state, path)
    print(f"stopped at step {step}; the same command goes on from there")


def _resume(path: Path, models: nn.Module, averaged: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    if not path.exists():
        return 0
    first, second, third, step = torch.load(path)
    models.load_state_dict(first)
    averaged.load_state_dict(second)
    optimizer.load_state_dict(third)
    return step


def _loss(models: nn.ModuleDict, latents: Tensor, words: Tensor, drawn: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    noise, times, alphas = drawn
    share = alphas[times].view(-1, 1, 1, 1)
    noisy = share.sqrt() * latents + (1 - share).sqrt() * noise
    with torch.autocast(latents.device.type, torch.bfloat16, enabled=latents.is_cuda):
        text: Any = models["text_encoder"]
        context = text(words).last_hidden_state
        unet: Any = models["unet"]
        found = unet(noisy, times, encoder_hidden_states=context, return_dict=False)[0]
    error = F.mse_loss(found.float(), noise, reduction="none").mean(dim=(1, 2, 3))
    ratio = alphas[times] / (1 - alphas[times])
    return (error * ratio.clamp(max=5) / ratio).mean()
