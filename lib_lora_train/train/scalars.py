"""TensorBoard scalars under kohya's names, so that old runs and new ones lie in one chart."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

PART_NAMES = {"text_encoder": "textencoder", "unet": "unet"}


class Scalars:
    """Writes event files into `folder`, or nothing when it is None. Steps after `purge_step` of an older file are void."""

    def __init__(self, folder: Path | None, purge_step: int) -> None:
        self._writer: Any = None
        if folder is not None:
            from tensorboardX import SummaryWriter

            self._writer = SummaryWriter(str(folder), purge_step=purge_step + 1 if purge_step else None)

    def step(self, step: int, loss: float, average: float, rates: Mapping[str, float], adapted: Mapping[str, float]) -> None:
        """One optimizer step: the loss, its average over an epoch, the rates, and d * lr of adaptive optimizers."""
        if self._writer is None:
            return
        self._writer.add_scalar("loss/current", loss, step)
        self._writer.add_scalar("loss/average", average, step)
        for part, rate in rates.items():
            self._writer.add_scalar(f"lr/{PART_NAMES[part]}", rate, step)
        for part, rate in adapted.items():
            self._writer.add_scalar(f"lr/d*lr/{PART_NAMES[part]}", rate, step)

    def epoch(self, epoch: int, average: float) -> None:
        """The average loss of an epoch."""
        if self._writer is not None:
            self._writer.add_scalar("loss/epoch_average", average, epoch)
            self._writer.flush()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
