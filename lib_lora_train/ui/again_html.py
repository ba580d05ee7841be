"""What the accordion says of a picture whose text was pasted: what the WebUI left out, and the button that sets it all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from lib_lora_train import host
from lib_lora_train.host.again import Again, again
from lib_lora_train.host.door import PICTURE
from lib_lora_train.ui.html import Html, element
from lib_lora_train.ui.words import shown

MOST_LINES = 8


def panel(is_img2img: bool, parameters: Mapping[str, Any]) -> Html:
    """The panel for what the WebUI has read out of a pasted text; empty for a text without settings."""
    given = parameters.get(PICTURE)
    if not isinstance(given, dict):
        return Html("")
    picture = cast("dict[str, Any]", given)
    found = again(host.find(), str(picture["text"]), picture["read"], is_img2img)
    return Html("") if found is None else shown_again(found)


def shown_again(found: Again) -> Html:
    """One line about what was left out, the button, and what no keyword can set."""
    line = element(
        "p", shown("Keywords in the prompt set everything that the pasted text says."), class_="lora-loop-hint"
    )
    if found.dropped:
        told = element("span", shown("This WebUI did not take over from the pasted text:"))
        line = element("p", told, f" {', '.join(found.dropped)}.", role="status")
    button = element(
        "button",
        shown("Same picture again"),
        type="button",
        class_="lora-loop-use",
        title=shown("Put the prompt with all settings as keywords in the prompt box (Ctrl+Z takes it back)"),
        data_prompt=found.prompt,
        data_negative=found.negative,
        data_hires=found.hires,
        data_hires_negative=found.hires_negative,
    )
    lacking = [element("li", one) for one in found.lacking[:MOST_LINES]]
    notes = element("ul", *lacking, class_="lora-loop-warnings") if lacking else Html("")
    return element("div", line, button, notes, class_="lora-loop-preview lora-loop-again")
