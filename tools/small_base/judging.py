"""Training of the judge: names by cross-entropy, looks by telling individuals apart."""

from __future__ import annotations

import time

import torch
import torch.nn.functional as F
from torch import Tensor

from lib_lora_train.demo.judge import JudgeNetwork
from lib_lora_train.demo.world.labels import LABELS
from tools.small_base.autoencoder import to_float, warm_cosine

_PICTURES_EACH = 4
_TEMPERATURE = 0.1


def train_judge(pixels: Tensor, washed: Tensor, labels: Tensor, steps: int, individuals: int = 96) -> JudgeNetwork:
    """A judge for `pixels` (uint8 [4 m, h, w, 3], four of each individual in a row) and `labels` [4 m, names].

    Looks are learned by supervised contrast (Khosla et al. 2020, eq. 2). Half of the pictures are taken from `washed`,
    which are `pixels` as the VAE gives them back: so are those that the base paints.
    """
    device = pixels.device
    torch.manual_seed(4)
    network = JudgeNetwork().to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1.0, weight_decay=2e-2)
    chance = torch.Generator(device).manual_seed(5)
    count = len(pixels) // _PICTURES_EACH
    began = time.monotonic()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * warm_cosine(step, steps)
        who = torch.randint(count, (individuals,), generator=chance, device=device)
        chosen = (who[:, None] * _PICTURES_EACH + torch.arange(_PICTURES_EACH, device=device)).flatten()
        half = torch.rand(len(chosen), 1, 1, 1, generator=chance, device=device) < 0.5
        images = changed(to_float(torch.where(half, washed[chosen], pixels[chosen])), chance)
        with torch.autocast(device.type, torch.bfloat16, enabled=pixels.is_cuda):
            scores, looks = network(images)
        named = sum(F.cross_entropy(scores[name].float(), labels[chosen, at]) for at, name in enumerate(LABELS))
        loss = named + contrast(looks.float(), who.repeat_interleave(_PICTURES_EACH))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if step % 500 == 0 or step == steps - 1:
            print(f"judge {step}/{steps} loss {loss.detach():.3f} {time.monotonic() - began:.0f} s", flush=True)
    return network.eval()


@torch.no_grad()
def right(network: JudgeNetwork, pixels: Tensor, labels: Tensor) -> dict[str, float]:
    """Share of `pixels` (uint8 [n, h, w, 3]) that it names as `labels` [n, names] do, for each of LABELS."""
    found = [network(to_float(part))[0] for part in pixels.split(500)]
    return {
        name: float((torch.cat([scores[name] for scores in found]).argmax(1) == labels[:, at]).float().mean())
        for at, name in enumerate(LABELS)
    }


def contrast(looks: Tensor, who: Tensor) -> Tensor:
    """Mean over pairs of one individual of minus the log share that the pair has among all others."""
    alike = looks @ looks.T / _TEMPERATURE
    itself = torch.eye(len(who), dtype=torch.bool, device=who.device)
    logs = alike - torch.logsumexp(alike.masked_fill(itself, -torch.inf), dim=1, keepdim=True)
    pairs = (who[:, None] == who[None]) & ~itself
    return -(logs * pairs).sum() / pairs.sum()


def changed(images: Tensor, chance: torch.Generator) -> Tensor:
    """All moved by some pixels, some grainy or of other brightness."""
    count, device = len(images), images.device
    theta = torch.zeros(count, 2, 3, device=device)
    zoom = 0.9 + 0.25 * torch.rand(count, generator=chance, device=device)
    theta[:, 0, 0], theta[:, 1, 1] = zoom, zoom
    theta[:, :, 2] = 0.16 * torch.rand(count, 2, generator=chance, device=device) - 0.08
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    images = F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    gain = 0.85 + 0.3 * torch.rand(count, 1, 1, 1, generator=chance, device=device)
    grain = 0.06 * torch.rand(count, 1, 1, 1, generator=chance, device=device)
    return (images * gain + grain * torch.randn(images.shape, generator=chance, device=device)).clamp(-1, 1)
