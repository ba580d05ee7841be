"""Draws the sample prompts of a run and writes them into its folder, without disturbing training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from lib_lora_train.files import atomic
from lib_lora_train.files.errors import DiskError
from lib_lora_train.train import samples
from lib_lora_train.train.adapters import Adapter
from lib_lora_train.train.base.family import BaseModel
from lib_lora_train.train.device import Device, is_out_of_memory
from lib_lora_train.train.events import EventLog
from lib_lora_train.train.samples import Sample


@dataclass
class Gallery:
    """`base` with its adapter, the prompts, and where the pictures go."""

    folder: Path
    name: str
    base: BaseModel
    adapter: Adapter
    prompts: tuple[Sample, ...]
    clip_skip: int
    device: Device
    log: EventLog
    newest: Path | None = field(default=None, init=False)
    _first: bool = field(default=True, init=False)
    _warned: bool = field(default=False, init=False)

    def draw(self, mark: str, step: int, epoch: int) -> None:
        """Draw every prompt as `NAME-MARK-00.png`; the first time also without the LoRA, as `…-base.png`.

        A picture that does not fit into memory or on the disk is left out with a warning; one that shows nothing is
        warned about.
        """
        with still(self.base.unet, self.base.text_encoder):
            for number, sample in enumerate(self.prompts):
                if self._first:
                    with self.adapter.disabled():
                        self._picture(sample, f"{self.name}-{mark}-{number:02d}-base.png", step, epoch)
                path = self._picture(sample, f"{self.name}-{mark}-{number:02d}.png", step, epoch)
                if number == 0 and path:
                    self.newest = path
        self._first = False

    def _picture(self, sample: Sample, file_name: str, step: int, epoch: int) -> Path | None:
        try:
            with self.device.accelerator.autocast():
                contexts = samples.contexts(self.base, sample, self.clip_skip, self.device.torch)
                picture = samples.draw(self.base, sample, contexts, self.device.torch)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            torch.cuda.empty_cache()
            self.log.write(
                "warning",
                name="sample_memory",
                message=f"The sample {sample.width}x{sample.height} does not fit into memory and is left out; use a smaller --w and --h. Training goes on.",
            )
            return None
        path = self.folder / file_name
        try:
            with atomic.disk_errors(file_name, self.folder):
                self.folder.mkdir(parents=True, exist_ok=True)
            with atomic.replacing(path) as stream:
                picture.save(stream, format="PNG", pnginfo=samples.png_info(sample))
        except DiskError as error:
            self.log.write("warning", name="disk", message=f"{error} The sample is left out; training goes on.")
            return None
        self.log.write("sample", file=file_name, step=step, epoch=epoch, prompt=sample.prompt, seed=sample.seed)
        if samples.is_flat(picture) and not self._warned:
            self._warned = True
            self.log.write(
                "warning",
                name="flat_sample",
                message=f"The sample {file_name} is one flat colour: the LoRA or the VAE may be broken. Try a lower learning rate, or bf16 in place of fp16.",
            )
        return path


@contextmanager
def still(*models: nn.Module) -> Iterator[None]:
    """Models in eval mode, and back as they were."""
    modes = [model.training for model in models]
    for model in models:
        model.eval()
    try:
        yield
    finally:
        for model, mode in zip(models, modes, strict=True):
            model.train(mode)
