"""Our settings in the WebUI's settings page, each declared once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lib_lora_train.host.modules import needed

SECTION = ("lora_loop", "LoRA Loop")


@dataclass(frozen=True)
class Setting:
    """One setting; `choices` make it a list to choose from, `low` and `high` a slider."""

    name: str
    default: bool | int | str
    label: str
    info: str = ""
    choices: tuple[str, ...] = ()
    low: int | None = None
    high: int | None = None


PASTE = Setting(
    "lora_loop_paste",
    "resolved",
    "Reading a picture's settings back gives the prompt",
    "resolved: the very text of that picture; template: with its choices, to be drawn again",
    choices=("resolved", "template"),
)
KEEP_IMAGES = Setting(
    "lora_loop_keep_images",
    8,
    "Keep a drawn checkpoint for so many images",
    "while the seed is random, so that Generate Forever loads seldom; each stretch draws anew, so all keep their "
    "share; 1 draws for each image, 0 counts minutes only",
    low=0,
    high=500,
)
KEEP_MINUTES = Setting(
    "lora_loop_keep_minutes",
    0,
    "Keep a drawn checkpoint for so many minutes",
    "0 counts images only; with both, whichever comes first",
    low=0,
    high=240,
)
MISSING = Setting(
    "lora_loop_missing",
    "literal",
    "A wildcard that nobody knows",
    "literal: stays as text, with a notice; error: stops; empty: becomes nothing",
    choices=("literal", "error", "empty"),
)
LENIENT = Setting(
    "lora_loop_lenient",
    False,
    "Take what cannot be read in a template as text",
    "otherwise a mistake stops the job and is shown",
)
MOST = Setting(
    "lora_loop_most_combinations",
    1000,
    "Combinatorial mode without a limit refuses above so many images",
    low=1,
    high=100000,
)
RECORD = Setting(
    "lora_loop_record",
    True,
    "Write the template and the choices into each picture",
    "as 'Prompt template' and 'Prompt choices'",
)
EXACT = Setting(
    "lora_loop_exact",
    False,
    "Make each picture alone, so that it can be made again bit for bit",
    "slower; a picture made in a batch differs by one grey level in single pixels from the same one made alone, and "
    "the WebUI reads pictures for img2img with noise that depends on the job before",
)
SHARE = Setting(
    "lora_loop_share_card",
    False,
    "Generate while a LoRA trains",
    "both need the card's memory and slow each other down; otherwise Generate says that the card is busy",
)
STEP_BACK = "step back"
BESIDE = Setting(
    "lora_loop_dynamic_prompts",
    "take over",
    "When Dynamic Prompts is on too",
    "take over: LoRA Loop draws the prompts, also as ticked in Dynamic Prompts' form, and switches that extension off for "
    "the job; step back: Dynamic Prompts draws them, and keywords have no effect",
    choices=("take over", STEP_BACK),
)
SETTINGS = (PASTE, KEEP_IMAGES, KEEP_MINUTES, MISSING, LENIENT, MOST, RECORD, EXACT, SHARE, BESIDE)


def add_settings(more: tuple[Setting, ...] = ()) -> None:
    """Put our settings (and those of the page) into the WebUI's; to be called from its `on_ui_settings`."""
    shared = needed("modules.shared")
    for setting in (*SETTINGS, *more):
        info = shared.OptionInfo(setting.default, setting.label, *_component(shared, setting), section=SECTION)
        if setting.info and hasattr(info, "info"):
            info.info(setting.info)
        shared.opts.add_option(setting.name, info)


def _component(shared: Any, setting: Setting) -> tuple[Any, ...]:
    kit = getattr(shared, "gr", None)
    if kit is None:
        return ()
    if setting.choices:
        return (kit.Radio, {"choices": list(setting.choices)})
    if setting.high is not None:
        return (kit.Slider, {"minimum": setting.low, "maximum": setting.high, "step": 1})
    return ()
