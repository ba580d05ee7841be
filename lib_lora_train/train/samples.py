"""Pictures drawn while training, by a sampler of our own over diffusers' schedulers. Training never notices them.

Nothing here touches a global random stream: noise comes from a generator seeded for the prompt.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from PIL import Image, PngImagePlugin

from lib_lora_train.train.base.family import BaseModel
from lib_lora_train.train.base.tokenizer import CHUNK, ClipTokenizer
from lib_lora_train.train.sample_lines import Sample as Sample
from lib_lora_train.train.sample_lines import parse as parse

_ATTENTION = re.compile(r"\\[()\[\]\\]|\(|\[|:\s*([+-]?(?:\d+\.?\d*|\.\d+))\s*\)|\)|\]|[^\\()\[\]:]+|:|\\")


def emphasis(prompt: str) -> list[tuple[str, float]]:
    """The WebUI's attention syntax as texts with weights: `(x)` 1.1, `[x]` 1/1.1, `(x:1.3)`, `\\(` a plain bracket."""
    pieces: list[list[Any]] = []
    open_round: list[int] = []
    open_square: list[int] = []

    def weigh(start: int, factor: float) -> None:
        for piece in pieces[start:]:
            piece[1] *= factor

    for match in _ATTENTION.finditer(prompt):
        text, weight = match.group(0), match.group(1)
        if text.startswith("\\") and len(text) == 2:
            pieces.append([text[1], 1.0])
        elif text == "(":
            open_round.append(len(pieces))
        elif text == "[":
            open_square.append(len(pieces))
        elif weight is not None and open_round:
            weigh(open_round.pop(), float(weight))
        elif text == ")" and open_round:
            weigh(open_round.pop(), 1.1)
        elif text == "]" and open_square:
            weigh(open_square.pop(), 1 / 1.1)
        else:
            pieces.append([text, 1.0])
    for start in open_round:
        weigh(start, 1.1)
    for start in open_square:
        weigh(start, 1 / 1.1)
    return _merged((text, weight) for text, weight in pieces)


def _merged(pieces: Iterable[tuple[str, float]]) -> list[tuple[str, float]]:
    """Neighbours of one weight as one piece; a prompt without any is one empty piece."""
    merged: list[tuple[str, float]] = []
    for text, weight in pieces:
        if merged and merged[-1][1] == weight:
            merged[-1] = (merged[-1][0] + text, weight)
        else:
            merged.append((text, weight))
    return merged or [("", 1.0)]


def scheduler(name: str, alphas_cumprod: torch.Tensor, prediction: str) -> Any:
    """diffusers' scheduler for one of SAMPLERS over this noise schedule."""
    library: Any = importlib.import_module("diffusers")
    previous = torch.cat([torch.ones(1), alphas_cumprod[:-1]])
    common: dict[str, Any] = {"trained_betas": (1 - alphas_cumprod / previous).numpy(), "prediction_type": prediction}
    spaced = common | {"timestep_spacing": "linspace"}
    if name == "euler_a":
        return library.EulerAncestralDiscreteScheduler(**spaced)
    if name == "euler":
        return library.EulerDiscreteScheduler(**spaced)
    if name == "heun":
        return library.HeunDiscreteScheduler(**spaced)
    if name == "ddim":
        return library.DDIMScheduler(**common, clip_sample=False, set_alpha_to_one=False, steps_offset=1)
    if name == "pndm":
        return library.PNDMScheduler(**common, skip_prk_steps=True, set_alpha_to_one=False, steps_offset=1)
    return library.DPMSolverMultistepScheduler(**spaced, use_karras_sigmas=name.endswith("karras"))


@torch.no_grad()
def draw(base: BaseModel, sample: Sample, contexts: torch.Tensor, device: torch.device) -> Image.Image:
    """The picture of one sample. `contexts` is [2, tokens, dim]: negative, positive. Models must be in eval mode."""
    noise = torch.randn(
        (1, base.vae.config.latent_channels, sample.height // 8, sample.width // 8),
        generator=torch.Generator().manual_seed(sample.seed),
    )
    steps = scheduler(sample.sampler, base.alphas_cumprod, base.prediction)
    steps.set_timesteps(sample.steps)
    extra: dict[str, Any] = {}
    if "generator" in inspect.signature(steps.step).parameters:
        extra["generator"] = torch.Generator().manual_seed(sample.seed + 1)
    latents = noise * steps.init_noise_sigma
    for timestep in steps.timesteps:
        inputs = steps.scale_model_input(torch.cat([latents] * 2), timestep).to(device)
        times = torch.full((2,), float(timestep), device=device)
        without, with_prompt = base.family.predict(base.unet, inputs, times, contexts).cpu().chunk(2)
        latents = steps.step(without + sample.cfg * (with_prompt - without), timestep, latents, **extra).prev_sample
    home = base.vae.device  # the VAE waits on the CPU while latents come from the cache
    try:
        pixels = base.family.decode(base.vae.to(device), latents.to(device)).cpu()[0]
    finally:  # also when it does not fit into memory: training needs the place
        base.vae.to(home)
    return Image.fromarray(((pixels / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy())


def is_flat(picture: Image.Image) -> bool:
    """Whether a picture shows nothing: one colour (a NaN decodes to black)."""
    return all(high - low < 3 for low, high in _bands(picture))


def _bands(picture: Image.Image) -> Iterator[tuple[int, int]]:
    extrema: Any = picture.getextrema()
    return ((int(low), int(high)) for low, high in extrema)


def png_info(sample: Sample) -> PngImagePlugin.PngInfo:
    """The `parameters` text that every host reads back."""
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", sample.infotext)
    return info


@torch.no_grad()
def contexts(base: BaseModel, sample: Sample, clip_skip: int, device: torch.device) -> torch.Tensor:
    """The encoded prompts [2, tokens, dim]: negative, positive, both as long as the longer one."""
    negative, positive = (weighted_chunks(base.tokenizer, text) for text in (sample.negative, sample.prompt))
    rows: list[torch.Tensor] = []
    for chunks in (negative, positive):
        chunks = chunks + weighted_chunks(base.tokenizer, "") * (max(len(negative), len(positive)) - len(chunks))
        ids = torch.tensor([[[token for token, _ in chunk] for chunk in chunks]], device=device)
        rows.append(emphasised(base.family.encode_text(base.text_encoder, ids, clip_skip).float(), chunks))
    return torch.cat(rows)


def emphasised(encoded: torch.Tensor, chunks: list[list[tuple[int, float]]]) -> torch.Tensor:
    """The encoded prompt [1, tokens, dim] with each token's vector times its weight, its mean as it was before."""
    weights = torch.tensor([weight for chunk in chunks for _, weight in chunk], device=encoded.device).view(1, -1, 1)
    if (weights == 1).all():
        return encoded
    heavy = encoded * weights
    kept = encoded.mean() / heavy.mean()
    return heavy * kept if kept.isfinite() else heavy  # the mean of a fresh model may be zero


def weighted_chunks(tokenizer: ClipTokenizer, text: str) -> list[list[tuple[int, float]]]:
    """Chunks of 77 tokens with their weights: 75 of the prompt between the begin and end marks."""
    tokens = [(token, weight) for piece, weight in emphasis(text) for token in tokenizer.encode(piece)]
    begin, end = (tokenizer.begin, 1.0), (tokenizer.end, 1.0)
    parts = [tokens[at : at + CHUNK] for at in range(0, max(1, len(tokens)), CHUNK)]
    return [[begin, *part, *[end] * (CHUNK + 1 - len(part))] for part in parts]
