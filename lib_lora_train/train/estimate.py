"""Card memory and time of a run before it starts, without torch: from the base's header and the settings.

Memory, in bytes, while training:

    weights      (U-Net + text encoder) x 2 (fp16, bf16) or 4 (fp32); the VAE waits in main memory once latents are kept
    adapter      parameters x (4 weight + 4 gradient + the optimizer's state, see STATES)
    activations  batch x (latent pixels x PIXEL + SAMPLE) + parameters x 2 (their half precision copies)
    text         batch x chunks x TEXT, when the text encoder is trained
    workspace    what a backward pass holds at once, see WORKSPACE, and what torch keeps beside what is in use, see HELD
    context      what the driver takes for any program, see CONTEXT

PIXEL, SAMPLE and TEXT were counted on SD 1.5 itself: all that autograd keeps of one step of this trainer, in bf16 with
norms in fp32 as on a card (tools/measure_memory.py counts again and compares with a card). They scale with the width
of the U-Net. Attention is fused, so nothing grows with the square of the pixels. WORKSPACE and HELD were fitted to fifteen
runs on an H200 (docs/jobs.md); CONTEXT is an allowance.

Time: a forward pass of SD 1.5 takes PIXEL_FLOPS and ATTENTION_FLOPS (torch's own counter); for another base the first is
counted from its tensors, each at the level where it works. A step takes three passes in all, four with checkpointing. Cards reach SHARE of what they promise: 0.25 by the guide's log (RTX 4080, 97 TFLOPS:
batches of 3 at 768 px, with checkpointing, 0.8 s a step). Processors reach PROCESSOR_SHARE of the speed of a plain matrix
product that is measured beforehand (`train.cards`), by runs on two cores: see docs/jobs.md.

Both are corrected by what finished runs on the same card really took (jobs.calibration).
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib_lora_train.train import config as configs
from lib_lora_train.train.base import native
from lib_lora_train.train.base.detect import inspect
from lib_lora_train.train.base.header import header_of
from lib_lora_train.train.base.signatures import TEXT_PREFIXES, UNET_PREFIX, VAE_PREFIX
from lib_lora_train.train.config import TrainConfig

GB = 1e9
STATES: Mapping[str, float] = {
    "AdamW": 8.0,
    "AdamW8bit": 2.1,
    "DAdaptAdam": 12.0,
    "Prodigy": 16.0,
    "Adafactor": 0.2,
    "Lion": 4.0,
}
"""Bytes that each optimizer keeps for a parameter (tests/train/test_estimate.py counts them)."""
PIXEL = {False: 318_500.0, True: 54_600.0}
SAMPLE = {False: 7_730_000.0, True: 140_000.0}
TEXT = {False: 36_800_000.0, True: 1_900_000.0}
WORKSPACE = {False: 33_000.0, True: 50_000.0}
HELD = 0.2 * GB
CONTEXT = 0.5 * GB
VAE_PIXEL = 640 * 4.0
"""Bytes for a pixel of the picture while the VAE draws it: its widest layer and what goes in and out of it."""
PIXEL_FLOPS = 165.3e6
ATTENTION_FLOPS = 7.45e3
DEEPEST = 8
"""Levels of a U-Net; a name may claim any number."""
TEXT_FLOPS = 13.3e9
SHARE = 0.25
PROCESSOR_SHARE = 0.25
BYTES = {"fp32": 4, "fp16": 2, "bf16": 2, "auto": 2}


@dataclass(frozen=True)
class Sums:
    """Inputs plus outputs of the layers that adapters go on: of transformers, of 1x1 and linear layers of residual
    blocks, of 3x3 convolutions (9 inputs a pixel), and of the text encoder. A layer of rank r has r times as many
    parameters."""

    transformer: int
    pointwise: int
    wide: int
    text: int


@dataclass(frozen=True)
class BaseFacts:
    """What the estimate needs of a base: numbers of weights, the first width of its U-Net, the adapters' sums, the
    operations of its U-Net for each pixel of a latent, attention's own left out, and the side in pixels of the pictures
    that it was trained on."""

    unet: int
    text: int
    vae: int
    width: int
    sums: Sums
    pixel_flops: float = PIXEL_FLOPS
    size: int = native.USUAL


SD15 = BaseFacts(859_520_964, 123_060_480, 83_653_863, 320, Sums(423_936, 85_760, 0, 165_888))


@dataclass(frozen=True)
class Memory:
    """Parts of the peak, in GB of 10^9 bytes; `sampling` and `training` are peaks of which the larger counts."""

    weights: float
    adapter: float
    activations: float
    workspace: float
    context: float
    sampling: float

    @property
    def training(self) -> float:
        return self.weights + self.adapter + self.activations + self.workspace + self.context

    @property
    def total(self) -> float:
        return max(self.training, self.sampling)


def base_facts(path: Path) -> BaseFacts:
    """The facts of a base, from its header alone. Raises BaseError for what cannot be trained on."""
    info = inspect(path, vae=path)  # a VAE may come from elsewhere
    shapes: dict[str, dict[str, tuple[int, ...]]] = {}
    prefixes = {"unet": (UNET_PREFIX,), "text_encoder": TEXT_PREFIXES, "vae": (VAE_PREFIX,)}
    for part, file in info.files.items():
        starts = prefixes[part] if info.layout == "ldm" else ("",)
        found = header_of(file).shapes
        prefix = next((start for start in starts if any(name.startswith(start) for name in found)), starts[0])
        shapes[part] = {name[len(prefix) :]: shape for name, shape in found.items() if name.startswith(prefix)}
    counts = {part: sum(math.prod(shape) for shape in found.values()) for part, found in shapes.items()}
    widths: Any = info.configs["unet"].get("block_out_channels") or [SD15.width]
    sums = _sums(shapes["unet"], shapes.get("text_encoder", {}))
    return BaseFacts(
        counts["unet"],
        counts.get("text_encoder", 0),
        counts.get("vae", 0),
        int(widths[0]),
        sums,
        _pixel_flops(shapes["unet"], info.layout == "ldm"),
        native.size(path),
    )


def _pixel_flops(unet: Mapping[str, tuple[int, ...]], original: bool) -> float:
    """Operations for each pixel of a latent: two for each weight at every pixel of its level, which halves the sides."""
    level_of = _original_levels(unet) if original else _diffusers_levels(unet)
    found = 0.0
    for name, shape in unet.items():
        # Time and text are one vector and 77 tokens: next to nothing beside the pixels.
        if len(shape) < 2 or "time_emb" in name or "emb_layers" in name or name.startswith("time_embed"):
            continue
        if not name.endswith((".attn2.to_k.weight", ".attn2.to_v.weight")):
            found += 2.0 * math.prod(shape) / 4 ** min(max(level_of(name), 0), DEEPEST)
    return found


def _original_levels(unet: Mapping[str, tuple[int, ...]]) -> Callable[[str], int]:
    """Levels by the original names: a downsampler (`op`) works on the level that it makes, an upsampler (`conv`) too."""
    downs = [_number_in(name) for name in unet if re.fullmatch(r"input_blocks\.\d+\.0\.op\.weight", name)]
    ups = [_number_in(name) for name in unet if re.fullmatch(r"output_blocks\.\d+\.\d+\.conv\.weight", name)]

    def level(name: str) -> int:
        part, number = name.partition(".")[0], _number_in(name)
        if part == "input_blocks":
            return sum(number >= down for down in downs)
        if part == "output_blocks":
            return len(downs) - sum(number > up for up in ups) - bool(re.search(r"\.\d+\.conv\.weight$", name))
        return len(downs) if part == "middle_block" else 0

    return level


def _diffusers_levels(unet: Mapping[str, tuple[int, ...]]) -> Callable[[str], int]:
    """Levels by diffusers' names."""
    last = max((_number_in(name) for name in unet if name.startswith("down_blocks.")), default=0)

    def level(name: str) -> int:
        part, number = name.partition(".")[0], _number_in(name)
        if part == "down_blocks":
            return number + (".downsamplers." in name)
        if part == "up_blocks":
            return last - number - (".upsamplers." in name)
        return last if part == "mid_block" else 0

    return level


def _number_in(name: str) -> int:
    """The block's number, the second part of a tensor's name."""
    number = [*name.split("."), "0"][1]
    return min(int(number), 1000) if number.isdecimal() and len(number) < 6 else 0


def size_warning(config: TrainConfig, base: BaseFacts) -> str:
    """A sentence where the run's resolution is one that the base does not know, else ""."""
    name, side, own = Path(config.base.path).name, config.dataset.resolution, base.size
    if not native.is_far(side, own):
        return ""
    return (
        f"{name} was trained on pictures of {own} px, and this run trains at {side} px: set Resolution to about {own} "
        "(and the buckets with it), or choose another base."
    )


def at_size(own: int) -> dict[str, int]:
    """The settings with which a run trains at a base's own size, by dotted name."""
    step = 64 if own >= native.USUAL // 2 else 16
    around = {"min": max(native.SMALLEST, own // 2), "max": min(native.LARGEST, own * 2)}
    return {
        "dataset.resolution": own,
        **{f"dataset.bucket_{end}": side for end, side in around.items()},
        "dataset.bucket_step": step,
    }


def _sums(unet: Mapping[str, tuple[int, ...]], text: Mapping[str, tuple[int, ...]]) -> Sums:
    """The rules are those of `adapters.lora.targets`, by the names of either layout."""
    transformer = pointwise = wide = 0
    outside = ("input_blocks.0.0.", "out.2.", "conv_in.", "conv_out.", "time_embed", "label_emb", "add_embedding")
    for name, shape in unet.items():
        if not name.endswith(".weight") or len(shape) < 2 or name.startswith(outside):
            continue
        size = shape[0] + math.prod(shape[1:])
        if ".transformer_blocks." in name or name.endswith((".proj_in.weight", ".proj_out.weight")):
            transformer += size
        elif len(shape) == 4 and shape[-1] > 1:
            wide += size
        else:
            pointwise += size
    ends = tuple(f".{layer}.weight" for layer in ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"))
    return Sums(transformer, pointwise, wide, sum(_layer(shape) for name, shape in text.items() if name.endswith(ends)))


def _layer(shape: tuple[int, ...]) -> int:
    return shape[0] + math.prod(shape[1:])


def parameters(config: TrainConfig, base: BaseFacts) -> int:
    """How many numbers are trained, exactly."""
    adapter, sums = config.adapter, base.sums
    found = 0
    if adapter.unet:
        found += adapter.rank * sums.transformer
        if adapter.conv_rank:
            found += adapter.rank * sums.pointwise + adapter.conv_rank * sums.wide
    return found + (adapter.rank * sums.text if _trains_text(config) else 0)


def _trains_text(config: TrainConfig) -> bool:
    return config.adapter.text_encoder and config.optimizer.text_encoder_rate != 0


def memory(config: TrainConfig, base: BaseFacts = SD15) -> Memory:
    """The peak of a run's card memory by part."""
    size, trained = BYTES[config.loop.precision], parameters(config, base)
    twice, wider = config.loop.gradient_checkpointing, base.width / SD15.width
    batch, chunks = config.loop.batch_size, config.dataset.max_tokens // 75
    pixels = (config.dataset.resolution / 8) ** 2
    half = size / 2
    kept = batch * (pixels * PIXEL[twice] + SAMPLE[twice]) * wider * half + trained * 2.0 * (size == 2)
    if _trains_text(config):
        kept += batch * chunks * TEXT[twice] * half
    weights = (base.unet + base.text + (base.vae if config.cache.latents == "off" else 0)) * size
    adapter = trained * (8.0 + STATES[config.optimizer.name])
    workspace = HELD + batch * pixels * WORKSPACE[twice] * wider * half
    drawing = 0.0
    if config.samples.prompts and (config.samples.every_epochs or config.samples.every_steps):
        drawing = weights + adapter + base.vae * 4 + _largest_picture(config) * VAE_PIXEL + CONTEXT
    return Memory(*(part / GB for part in (weights, adapter, kept, workspace, CONTEXT, drawing)))


def _largest_picture(config: TrainConfig) -> float:
    """Pixels of the largest sample; prompts name their size as `--w` and `--h`."""
    side, largest = config.dataset.resolution, 0
    for prompt in config.samples.prompts:
        words = prompt.split()
        sizes = {flag: _number(words, flag, side) for flag in ("--w", "--h")}
        largest = max(largest, sizes["--w"] * sizes["--h"])
    return float(largest)


def _number(words: list[str], flag: str, otherwise: int) -> int:
    found = next((after for word, after in itertools.pairwise(words) if word == flag), "")
    return int(found) if found.isdigit() else otherwise


def flops(config: TrainConfig, base: BaseFacts = SD15) -> float:
    """Floating point operations of one optimizer step."""
    pixels = (config.dataset.resolution / 8) ** 2
    once = base.pixel_flops * pixels + ATTENTION_FLOPS * pixels**2 * base.width / SD15.width
    if _trains_text(config):
        once += TEXT_FLOPS * (config.dataset.max_tokens // 75) * base.text / SD15.text
    passes = 4 if config.loop.gradient_checkpointing else 3
    return once * passes * config.loop.batch_size * config.loop.accumulation


def step_seconds(config: TrainConfig, tflops: float, base: BaseFacts = SD15) -> float:
    """Seconds of one step on a card that promises `tflops` in half precision; fp32 runs at an eighth of it."""
    slower = 8.0 if config.loop.precision == "fp32" else 1.0
    return flops(config, base) * slower / (tflops * 1e12 * SHARE)


def drawing_flops(config: TrainConfig, base: BaseFacts = SD15, epochs: int = 1) -> float:
    """Floating point operations of all samples of a run: two passes a sampling step, with the prompt and without."""
    every, prompts = config.samples.every_epochs, config.samples.prompts
    drawings = 1 + (epochs // every if every else 0)  # once before training, without the LoRA
    passes = 2 * sum(_number(line.split(), "--s", config.samples.steps) for line in prompts) if prompts else 0
    pixels = _largest_picture(config) / 64
    return passes * drawings * pixels * (base.pixel_flops + ATTENTION_FLOPS * pixels * base.width / SD15.width)


def changed(config: TrainConfig, changes: Mapping[str, Any]) -> TrainConfig:
    """The config with dotted settings changed. Raises ConfigError."""
    values = configs.to_values(config)
    for name, value in changes.items():
        section, _, key = name.rpartition(".")
        (values.setdefault(section, {}) if section else values)[key] = value
    return configs.from_values(values)


def sentence(needed: float, has: float, seconds: float | None, steps: int) -> str:
    """ "fits: 6.9 of 8.0 GB, about 38 min, 1,500 steps"; memory in GB, time of the whole run."""
    fits = "fits" if needed <= has else "does not fit"
    time = [f"about {duration(seconds)}"] if seconds is not None else []
    return ", ".join([f"{fits}: {needed:.1f} of {has:.1f} GB", *time, f"{steps:,} {'step' if steps == 1 else 'steps'}"])


def duration(seconds: float) -> str:
    """ "38 min", "7.5 h" """
    minutes = max(1, round(seconds / 60))
    return f"{minutes} min" if minutes < 100 else f"{minutes / 60:.1f} h"


def middle(values: Iterable[float]) -> float | None:
    """The median, or None of nothing."""
    ordered = sorted(values)
    return ordered[len(ordered) // 2] if ordered else None
