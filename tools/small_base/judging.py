"""Training of the judge: names by cross-entropy, looks by telling individuals apart."""

from __future__ import annotations

import time
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lib_lora_train.demo.judge import JudgeNetwork
from lib_lora_train.demo.world.labels import LABELS
from tools.small_base.autoencoder import to_float, warm_cosine

_PICTURES_EACH = 4
_TEMPERATURE = 0.1


def train_judge(pixels: Tensor, labels: Tensor, vae: Any, steps: int, individuals: int = 96) -> JudgeNetwork:
    """A judge for `pixels` (uint8 [4 m, h, w, 3], four of each individual in a row) and `labels` [4 m, names].

    Looks are learned by supervised contrast (Khosla et al. 2020, eq. 2). Half of the pictures pass through the VAE
    first, as the base's own will have.
    """
    device = pixels.device
    torch.manual_seed(4)
    network = JudgeNetwork().to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1.0, weight_decay=2e-2)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 2e-3 * warm_cosine(step, steps))
    chance = torch.Generator(device).manual_seed(5)
    count = len(pixels) // _PICTURES_EACH
    began = time.monotonic()
    for step in range(steps):
        who = torch.randint(count, (individuals,), generator=chance, device=device)
        chosen = (who[:, None] * _PICTURES_EACH + torch.arange(_PICTURES_EACH, device=device)).flatten()
        with torch.autocast(device.type, torch.bfloat16, enabled=pixels.is_cuda):
            images = changed(to_float(pixels[chosen]), vae, chance)
            scores, looks = network(images)
        named = sum(F.cross_entropy(scores[name].float(), labels[chosen, at]) for at, name in enumerate(LABELS))
        same = who.repeat_interleave(_PICTURES_EACH)
        loss = named + contrast(looks.float(), same)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 250 == 0 or step == steps - 1:
            right = {
                name: float((scores[name].argmax(1) == labels[chosen, at]).float().mean())
                for at, name in enumerate(LABELS)
            }
            words = " ".join(f"{name} {share:.2f}" for name, share in right.items())
            print(f"judge {step}/{steps} loss {float(loss):.3f} {words} {time.monotonic() - began:.0f} s", flush=True)
    return network.eval()


def contrast(looks: Tensor, who: Tensor) -> Tensor:
    """Mean over pairs of one individual of minus the log share that the pair has among all others."""
    alike = looks @ looks.T / _TEMPERATURE
    itself = torch.eye(len(who), dtype=torch.bool, device=who.device)
    logs = alike - torch.logsumexp(alike.masked_fill(itself, -torch.inf), dim=1, keepdim=True)
    pairs = (who[:, None] == who[None]) & ~itself
    return -(logs * pairs).sum() / pairs.sum()


@torch.no_grad()
def changed(images: Tensor, vae: Any, chance: torch.Generator) -> Tensor:
    """Half through the VAE, all moved by some pixels, some grainy or of other brightness."""
    count, device = len(images), images.device
    half = torch.randperm(count, generator=chance, device=device)[: count // 2]
    back = vae.decode(vae.encode(images[half]).latent_dist.mean, return_dict=False)[0]
    images = images.clone()
    images[half] = back.float().clamp(-1, 1)
    theta = torch.zeros(count, 2, 3, device=device)
    zoom = 0.9 + 0.25 * torch.rand(count, generator=chance, device=device)
    theta[:, 0, 0], theta[:, 1, 1] = zoom, zoom
    theta[:, :, 2] = 0.16 * torch.rand(count, 2, generator=chance, device=device) - 0.08
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    images = F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    gain = 0.85 + 0.3 * torch.rand(count, 1, 1, 1, generator=chance, device=device)
    grain = 0.06 * torch.rand(count, 1, 1, 1, generator=chance, device=device)
    return (images * gain + grain * torch.randn(images.shape, generator=chance, device=device)).clamp(-1, 1)
