"""The ids of everything on the page that scripts, styles, people or other extensions may want to find."""

from __future__ import annotations

PREFIX = "lora_loop"
WILDCARDS_TAB = f"{PREFIX}_wildcards"
TRAIN_TAB = f"{PREFIX}_train"


def tab(is_img2img: bool) -> str:
    """The host's name of the tab."""
    return "img2img" if is_img2img else "txt2img"


def of(name: str, is_img2img: bool | None = None) -> str:
    """`lora_loop_txt2img_NAME`, or `lora_loop_wildcards_NAME` when it is not about one of the two tabs."""
    return f"{WILDCARDS_TAB}_{name}" if is_img2img is None else f"{PREFIX}_{tab(is_img2img)}_{name}"


def train(name: str) -> str:
    """`lora_loop_train_NAME`."""
    return f"{TRAIN_TAB}_{name}"
