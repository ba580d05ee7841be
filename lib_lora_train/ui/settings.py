"""The page's own settings, shown beside the others of LoRA Loop."""

from __future__ import annotations

from lib_lora_train.host.settings import Setting
from lib_lora_train.ui.words import shown

HIGHLIGHT = Setting(
    "lora_loop_highlight",
    True,
    shown("Colour choices, wildcards and keywords in the prompt boxes"),
    shown("braces by their depth, wildcards that are not there in red"),
)
PAGE_SETTINGS = (HIGHLIGHT,)
