"""Sample prompts as they are written: a prompt with kohya's flags on one line. Pure, and without torch."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from lib_lora_train.train.errors import ConfigError
from lib_lora_train.train.sections import SAMPLERS, SamplesConfig

FLAGS = {"n": "negative", "w": "width", "h": "height", "l": "cfg", "s": "steps", "d": "seed", "ss": "sampler"}
TRIGGER = "[trigger]"


@dataclass(frozen=True)
class Sample:
    """One picture to draw: sizes in pixels."""

    prompt: str
    negative: str
    width: int
    height: int
    cfg: float
    steps: int
    seed: int
    sampler: str

    @property
    def infotext(self) -> str:
        """What a WebUI writes into a PNG."""
        negative = f"\nNegative prompt: {self.negative}" if self.negative else ""
        return f"{self.prompt}{negative}\nSteps: {self.steps}, Sampler: {self.sampler}, CFG scale: {self.cfg:g}, Seed: {self.seed}, Size: {self.width}x{self.height}"


def parse(line: str, config: SamplesConfig, resolution: int, trigger: str, seed: int) -> Sample:
    """A prompt with kohya's flags (`a man on a beach --n blurry --w 512 --h 768 --l 7 --s 30 --d 1 --ss ddim`).

    Raises ConfigError that names the flag.
    """
    prompt, *flags = re.split(r"\s--(?=[a-z]+\s|[a-z]+$)", " " + line.replace(TRIGGER, trigger).strip())
    sample = Sample(prompt.strip(), "", resolution, resolution, config.cfg, config.steps, seed, config.sampler)
    for flag in flags:
        key, _, text = flag.partition(" ")
        if key not in FLAGS:
            raise ConfigError(
                f"samples.prompts: --{key} is not a flag; there are {', '.join('--' + flag for flag in FLAGS)}."
            )
        sample = replace(sample, **{FLAGS[key]: _flag(key, text.strip())})
    return sample


def _flag(key: str, text: str) -> Any:
    if key == "n":
        return text
    if key == "ss":
        name = {"k_euler_a": "euler_a", "k_euler": "euler", "dpmsolver++": "dpmpp_2m"}.get(text, text)
        if name not in SAMPLERS:
            raise ConfigError(f"samples.prompts: --ss {text} is not a sampler; there are {', '.join(SAMPLERS)}.")
        return name
    try:
        value = float(text) if key == "l" else int(text)
    except ValueError:
        raise ConfigError(f"samples.prompts: --{key} {text!r} is not a number.") from None
    low, high = {"w": (64, 2048), "h": (64, 2048), "s": (1, 1000), "l": (0, 50), "d": (0, 2**63 - 1)}[key]
    if not low <= value <= high:
        raise ConfigError(f"samples.prompts: --{key} {text} is out of range: use from {low} to {high}.")
    return int(value) // 8 * 8 if key in "wh" else value
