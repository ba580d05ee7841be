"""What is worth knowing of the chosen base, as HTML."""

from __future__ import annotations

from lib_lora_train.train.base import native
from lib_lora_train.ui.html import Html, element
from lib_lora_train.ui.train.progress_html import button
from lib_lora_train.ui.words import said, shown


def sentence(is_small: bool, size: int, writable: bool) -> Html:
    """A sentence about a base that paints other sizes than the usual one; "" for all others."""
    if is_small:
        words = said(
            shown("The small base of LoRA Loop paints {} px pictures of a drawn world, to try everything in minutes."),
            size,
        )
        does = button(shown("Use its sample photos"), "sample_photos") if writable else ""
        return element("div", element("p", words), does, class_="lora-loop-base")
    if native.is_far(size, native.USUAL):
        words = said(shown("This base was trained on pictures of {} px; the resolution follows it."), size)
        return element("div", element("p", words), class_="lora-loop-base")
    return Html("")
