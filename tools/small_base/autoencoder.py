"""The base's VAE: learns to put a picture into 1/8 of its width and height, and back."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from lib_lora_train.train.base.sd1_config import LATENT_SCALE

Part = TypeVar("Part")


def train_vae(model: Any, pixels: Sequence[Tensor], steps: int, batch: int) -> Any:
    """Teach the VAE `model` to store `pixels` (uint8 [n, h, w, 3] on the device, one tensor a shape), its latents scaled for SD 1.x.

    Absolute difference at three scales, of the pixels and of their gradients, and a faint pull of the latents towards
    a normal distribution (Kingma and Welling 2013, eq. 10).
    """
    device = pixels[0].device
    model.to(device).train().requires_grad_(True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.0, weight_decay=1e-4, betas=(0.9, 0.98))
    rate = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.2e-3 * warm_cosine(step, steps))
    chance = torch.Generator(device).manual_seed(1)
    compiled = torch.compile(_loss, dynamic=False) if device.type == "cuda" else _loss
    began = time.monotonic()
    for step in range(steps):
        part = whose_turn(pixels, step)
        chosen = torch.randint(len(part), (batch,), generator=chance, device=device)
        images = disturbed(to_float(part[chosen]), chance)
        height, width = images.shape[2] // 8, images.shape[3] // 8
        noise = torch.randn((batch, 4, height, width), generator=chance, device=device)
        forward = compiled if part is pixels[0] else _loss  # compiling costs more than the few others would gain
        loss, error = forward(model, images, noise)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        rate.step()
        if step % 250 == 0 or step == steps - 1:
            print(f"vae {step}/{steps} loss {loss:.4f} l1 {error:.4f} {time.monotonic() - began:.0f} s", flush=True)
    model.eval()
    _normalise(model, to_float(pixels[0][:2000]))
    return model


def _loss(model: Any, images: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    with torch.autocast(images.device.type, torch.bfloat16, enabled=images.is_cuda):
        found = model.encode(images).latent_dist
        back = model.decode(found.mean + found.std * noise, return_dict=False)[0].float()
    mean, logvar = found.mean.float(), found.logvar.float()
    pull = 0.5 * (mean**2 + logvar.exp() - 1 - logvar).mean()
    return difference(back, images) + 2e-4 * pull, (back - images).abs().mean().detach()


def opponent(images: Tensor) -> Tensor:
    """Brightness, red against green, blue against yellow: hues are as heavy as light and shade. [b, 3, h, w]."""
    red, green, blue = images.unbind(1)
    yellow = (red + green) / 2
    return torch.stack([(red + green + blue) / 2, red - green, blue - yellow], dim=1)


def difference(found: Tensor, wanted: Tensor) -> Tensor:
    """Absolute difference of pixels and of their gradients in opponent colours, at full, half and quarter size."""
    found, wanted = opponent(found), opponent(wanted)
    total = found.new_zeros(())
    for scale in range(3):
        total = total + (found - wanted).abs().mean()
        for dim in (2, 3):
            total = total + 0.5 * (found.diff(dim=dim) - wanted.diff(dim=dim)).abs().mean()
        if scale < 2:
            found, wanted = F.avg_pool2d(found, 2), F.avg_pool2d(wanted, 2)
    return total


def disturbed(images: Tensor, chance: torch.Generator) -> Tensor:
    """A tenth of the pictures with other colours, contrast or grain, so that styles to come can be stored too."""
    count, device = len(images), images.device
    chosen = (torch.rand(count, 1, 1, 1, generator=chance, device=device) < 0.1).float()
    gain = 0.5 + torch.rand(count, 3, 1, 1, generator=chance, device=device)
    shift = 0.6 * torch.rand(count, 3, 1, 1, generator=chance, device=device) - 0.3
    sign = torch.where(torch.rand(count, 1, 1, 1, generator=chance, device=device) < 0.3, -1.0, 1.0)
    grain = 0.08 * torch.randn(images.shape, generator=chance, device=device)
    grain = grain * torch.rand(count, 1, 1, 1, generator=chance, device=device)
    return images + chosen * ((images * gain * sign + shift + grain).clamp(-1, 1) - images)


def whose_turn(parts: Sequence[Part], step: int) -> Part:
    """The first of three shapes in eight of ten steps, each of the others in one."""
    return parts[step % 10 - 7 if step % 10 > 7 else 0]


def warm_cosine(step: int, steps: int, warm: int = 200) -> float:
    """0 … 1: up in `warm` steps, down along a cosine to a hundredth."""
    if step < warm:
        return (step + 1) / warm
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm) / max(1, steps - warm))))


def to_float(pixels: Tensor) -> Tensor:
    """uint8 [b, h, w, 3] → float32 [b, 3, h, w] in -1 … 1."""
    return (pixels.permute(0, 3, 1, 2).float() / 127.5 - 1).contiguous()


@torch.no_grad()
def encode(model: Any, pixels: Tensor, batch: int = 500) -> Tensor:
    """Latents times SD 1.x's scale, float32 [n, 4, h/8, w/8]."""
    parts = [model.encode(to_float(part)).latent_dist.mean * LATENT_SCALE for part in pixels.split(batch)]
    return torch.cat(parts)


@torch.no_grad()
def washed(model: Any, pixels: Tensor, batch: int = 500) -> Tensor:
    """What the VAE gives back of `pixels`, both uint8 [n, h, w, 3]."""
    parts: list[Tensor] = []
    for part in pixels.split(batch):
        with torch.autocast(part.device.type, torch.bfloat16, enabled=part.is_cuda):
            back = model.decode(model.encode(to_float(part)).latent_dist.mean, return_dict=False)[0]
        parts.append(((back.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1))
    return torch.cat(parts)


@torch.no_grad()
def _normalise(model: Any, images: Tensor) -> None:
    """Shift and scale the latents so that times SD 1.x's factor they have mean 0 and deviation 1 in each channel."""
    latents = torch.cat([model.encode(part).latent_dist.mean for part in images.split(250)])
    mean = latents.mean(dim=(0, 2, 3))
    scale = (1 / LATENT_SCALE) / latents.std(dim=(0, 2, 3))
    count = len(mean)
    before, after = model.quant_conv, model.post_quant_conv
    after.bias += after.weight[:, :, 0, 0] @ mean
    after.weight /= scale[None, :, None, None]
    before.bias[:count] = (before.bias[:count] - mean) * scale
    before.weight[:count] *= scale[:, None, None, None]
    before.bias[count:] += 2 * scale.log()
