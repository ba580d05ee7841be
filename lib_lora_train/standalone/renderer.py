# pyright: basic
"""Draws a grid's cells without a WebUI, in the trainer's environment, with the trainer's own base loader and samplers."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from lib_lora_train.errors import LoraLoopError
from lib_lora_train.grid.compose import png_bytes
from lib_lora_train.grid.plan import Cell, Checkpoint
from lib_lora_train.grid.render import Failure, Picture
from lib_lora_train.standalone.lora_merge import Mixer
from lib_lora_train.train import samples
from lib_lora_train.train.base.family import LoadOptions
from lib_lora_train.train.base.load import load_base
from lib_lora_train.train.device import Device, is_out_of_memory, open_device
from lib_lora_train.train.sections import SAMPLERS, BaseConfig, LoopConfig

SETTINGS = ("width", "height", "steps", "cfg_scale", "sampler_name", "clip_skip")
"""What a cell's settings may say here."""


@dataclass
class Standalone:
    """One base in memory at a time, its LoRA changed as rarely as the plan's order allows."""

    vae: str = ""
    device: Device = field(default_factory=lambda: open_device(LoopConfig()))
    _checkpoint: str = field(default="", init=False)
    _mixer: Mixer | None = field(default=None, init=False)
    loads: dict[str, int] = field(default_factory=lambda: {"checkpoints": 0, "loras": 0}, init=False)

    def draw(self, cells: Sequence[Cell]) -> Sequence[Picture | Failure]:
        """Each cell's picture. A base that cannot be used ends the grid (BaseError); anything else ends one cell."""
        return [self._draw(cell) for cell in cells]

    def _draw(self, cell: Cell) -> Picture | Failure:
        mixer = self._base(cell.checkpoint)
        before = mixer.loads
        try:
            mixer.set(cell.epoch.path if cell.epoch else None, cell.weight)
            sample = sample_of(cell)
            clip_skip = int(cell.settings.get("clip_skip", 1))
            with torch.no_grad(), self.device.accelerator.autocast():
                contexts = samples.contexts(mixer.base, sample, clip_skip, self.device.torch)
                picture = samples.draw(mixer.base, sample, contexts, self.device.torch)
        except LoraLoopError as error:
            return Failure(str(error))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                return Failure(f"It cannot be drawn ({str(error)[:200]}).")
            gc.collect()
            torch.cuda.empty_cache()
            return Failure("The memory does not suffice for this size; choose a smaller one.")
        finally:
            self.loads["loras"] += mixer.loads - before
        if samples.is_flat(picture):
            return Failure("The picture is one flat colour: the numbers are not finite, or the weight is far too high.")
        return Picture(png_bytes(picture, infotext(cell)), infotext(cell))

    def _base(self, checkpoint: Checkpoint) -> Mixer:
        if self._mixer is None or self._checkpoint != checkpoint.content:
            self._mixer = None
            gc.collect()
            options = LoadOptions(dtype=self.device.weights, device=self.device.torch)
            base = load_base(BaseConfig(path=str(checkpoint.path), vae=self.vae), options)
            for model in (base.unet, base.text_encoder, base.vae):
                model.eval()
            self._mixer, self._checkpoint = Mixer(base), checkpoint.content
            self.loads["checkpoints"] += 1
        return self._mixer


def sample_of(cell: Cell) -> samples.Sample:
    """The cell as the sampler takes it."""
    settings = cell.settings
    return samples.Sample(
        prompt=cell.text,
        negative=cell.negative,
        width=int(settings["width"]),
        height=int(settings["height"]),
        cfg=float(settings["cfg_scale"]),
        steps=int(settings["steps"]),
        seed=cell.seed,
        sampler=str(settings["sampler_name"]),
    )


def infotext(cell: Cell) -> str:
    """What a WebUI would write into the PNG, with the LoRA's tag and the checkpoint, so that it can be drawn again."""
    settings = cell.settings
    negative = f"\nNegative prompt: {cell.negative}" if cell.negative else ""
    parts = {
        "Steps": settings["steps"],
        "Sampler": settings["sampler_name"],
        "CFG scale": f"{float(settings['cfg_scale']):g}",
        "Seed": cell.seed,
        "Size": f"{settings['width']}x{settings['height']}",
        "Model hash": cell.checkpoint.content[:10],
        "Model": cell.checkpoint.path.stem.replace(",", "_"),
    }
    if int(settings.get("clip_skip", 1)) > 1:
        parts["Clip skip"] = settings["clip_skip"]
    return f"{cell.prompt}{negative}\n" + ", ".join(f"{name}: {value}" for name, value in parts.items())


def problem_of(settings: dict[str, object]) -> str:
    """One sentence on a setting that cannot be drawn with, else empty."""
    ranges = {"width": (64, 2048), "height": (64, 2048), "steps": (1, 1000), "cfg_scale": (0, 50), "clip_skip": (1, 12)}
    for name, value in settings.items():
        if name not in SETTINGS:
            return f"{name} is no setting of the standalone renderer; there are {', '.join(SETTINGS)}."
        if name == "sampler_name":
            if value not in SAMPLERS:
                return f"{value!r} is not a sampler; there are {', '.join(SAMPLERS)}."
            continue
        low, high = ranges[name]
        if not isinstance(value, (int, float)) or not low <= value <= high:
            return f"{name} = {value!r} is out of range: use {low} to {high}."
        if name in ("width", "height") and value % 8:
            return f"{name} = {value} is not a multiple of 8."
        if name != "cfg_scale" and value != int(value):
            return f"{name} = {value} is not a whole number."
    return ""
