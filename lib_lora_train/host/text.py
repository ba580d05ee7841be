"""For other extensions: any text of theirs, drawn with the choices of the image that it belongs to."""

from __future__ import annotations

from typing import Any

from lib_lora_train.host.drawing import expander
from lib_lora_train.host.finding import find
from lib_lora_train.host.parts import own_of
from lib_lora_train.keywords.read import read
from lib_lora_train.prompt.choose import CYCLE, RANDOM


def expand_text(p: Any, text: str, index: int = 0, role: str = "text") -> str:
    """Expand `text` for the image number `index` of the running job `p` (counted through all its batches).

    It sees the variables of that image's prompt, and its own choices follow the image's seed; `role` keeps several
    texts of one image apart. Keywords act in the prompts only: here they are taken out, with a notice. Raises
    PromptError when the text cannot be expanded.
    """
    host = find()
    mine = own_of(p)
    shots = mine.shots if mine is not None else ()
    if 0 <= index < len(shots):
        shot = shots[index]
        templates = {**shot.templates, role: text}
        mode = CYCLE if shot.mode == CYCLE else RANDOM
        drawn = expander(host).draw(templates, shot.drawn.seed, shot.drawn.position, mode=mode)
    else:
        seeds = getattr(p, "all_seeds", None) or [host.fixed_seed(p.seed)]
        drawn = expander(host).draw({"prompt": "", role: text}, int(seeds[index % len(seeds)]), index)
    reading = read(drawn.texts[role], host.foreign_tags())
    if reading.tags:
        host.say(p, f"LoRA Loop: {reading.tags[0].written} has no effect in {role}: keywords act in the prompts.")
    return reading.text
