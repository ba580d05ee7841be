# pyright: basic
"""A small network that looks at a picture of the drawn world: who, where, in which style, and how alike to others."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from safetensors.torch import load_file
from torch import Tensor, nn

from lib_lora_train.demo.world.labels import LABELS

SIDE = 128
LOOKS = 48
_STAGES = ((32, 1), (48, 1), (72, 2))
"""Channels and residual blocks after each halving of width and height."""


class JudgeNetwork(nn.Module):
    """Pixels [b, 3, 128, 128] in -1 … 1 → scores for each of LABELS, and looks [b, 48] of length 1.

    Every answer pays attention to its own places of the 16 × 16, since a hat is small beside a beach. Looks of one
    individual are alike wherever it stands; those of two are not.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for width, blocks in _STAGES:
            layers += [nn.Conv2d(before, width, 4, stride=2, padding=1), *(_Block(width) for _ in range(blocks))]
            before = width
        self.body = nn.Sequential(*layers, nn.GroupNorm(8, before), nn.SiLU())
        self.attention = nn.Conv2d(before, len(LABELS) + 1, 1)
        self.heads = nn.ModuleDict({name: nn.Linear(3 * before, len(values)) for name, values in LABELS.items()})
        self.look = nn.Linear(3 * before, LOOKS)

    def forward(self, pixels: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        found = self.body(pixels)
        shares = self.attention(found).flatten(2).softmax(dim=2)
        attended = torch.einsum("bap,bcp->abc", shares, found.flatten(2))
        everywhere = torch.cat([found.mean(dim=(2, 3)), found.amax(dim=(2, 3))], dim=1)
        *named, looks = (torch.cat([one, everywhere], dim=1) for one in attended)
        scores = {name: self.heads[name](one) for name, one in zip(LABELS, named, strict=True)}
        return scores, F.normalize(self.look(looks), dim=1)


class _Block(nn.Module):
    """Residual, normalised before each convolution (He et al. 2016, fig. 1b)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        half = [[nn.GroupNorm(8, width), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1)] for _ in range(2)]
        self.change = nn.Sequential(*half[0], *half[1])

    def forward(self, found: Tensor) -> Tensor:
        return found + self.change(found)


@dataclass(frozen=True)
class Opinion:
    """What the judge sees in some pictures: `shares` are probabilities [n, values] for each of LABELS; `looks` [n, 48]."""

    shares: dict[str, Tensor]
    looks: Tensor

    def is_(self, label: str, value: str) -> Tensor:
        """How sure it is, 0 … 1, [n]."""
        return self.shares[label][:, LABELS[label].index(value)]

    def named(self, label: str) -> list[str]:
        """Its answer for each picture."""
        return [LABELS[label][int(place)] for place in self.shares[label].argmax(dim=1)]


class Judge:
    """The network with its weights. `path` is its `.safetensors`."""

    def __init__(self, path: Path, device: torch.device | str = "cpu") -> None:
        self.network = JudgeNetwork().eval().requires_grad_(False).to(device)
        self.network.load_state_dict({name: tensor.float() for name, tensor in load_file(path).items()})
        self.device = torch.device(device)

    @torch.no_grad()
    def look(self, pictures: Sequence[Image.Image]) -> Opinion:
        """What is in `pictures` (any sizes; the middle square is looked at)."""
        found = [self.network(prepared(pictures[at : at + 64]).to(self.device)) for at in range(0, len(pictures), 64)]
        shares = {name: torch.cat([scores[name].softmax(dim=1) for scores, _ in found]).cpu() for name in LABELS}
        return Opinion(shares, torch.cat([looks for _, looks in found]).cpu())


def prepared(pictures: Sequence[Image.Image]) -> Tensor:
    """Upright middle squares, float32 [n, 3, 128, 128] in -1 … 1."""
    squares = [
        ImageOps.fit(ImageOps.exif_transpose(one).convert("RGB"), (SIDE, SIDE), Image.Resampling.BICUBIC)
        for one in pictures
    ]
    return torch.from_numpy(np.stack([np.asarray(one) for one in squares])).permute(0, 3, 1, 2).float() / 127.5 - 1


def likeness(looks: Tensor, known: Tensor) -> Tensor:
    """Cosine of each of `looks` [n, d] with the middle of `known` [m, d]: 1 is the same, 0 is a stranger; [n]."""
    return looks @ F.normalize(known.mean(dim=0), dim=0)


@functools.lru_cache(maxsize=1)
def shipped_judge() -> Judge:
    """The one that comes with the small base."""
    from lib_lora_train.demo.models import JUDGE

    return Judge(JUDGE)
