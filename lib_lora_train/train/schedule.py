"""The course of the learning rate: a pure function of the step, so that a resumed run needs nothing remembered."""

from __future__ import annotations

import math

from lib_lora_train.train.sections import OptimizerConfig


def multiplier(step: int, total: int, config: OptimizerConfig) -> float:
    """What the learning rate is multiplied by at optimizer step `step` (from 0) of `total`.

    Formulas are those of the Hugging Face schedulers, which kohya uses.
    """
    warmup = round(config.warmup * total) if config.warmup < 1 else int(config.warmup)
    if step < warmup:
        return step / max(1, warmup)
    progress = min(1.0, (step - warmup) / max(1, total - warmup))
    if config.scheduler == "linear":
        return 1 - progress
    if config.scheduler == "cosine":
        return 0.5 * (1 + math.cos(math.pi * progress))
    if config.scheduler == "cosine_with_restarts":
        return 0.0 if progress >= 1 else 0.5 * (1 + math.cos(math.pi * (config.cycles * progress % 1.0)))
    if config.scheduler == "polynomial":
        end = 1e-7  # the end rate of the Hugging Face scheduler, relative to a rate of 1
        return (1 - end) * (1 - progress) ** config.power + end
    return 1.0
