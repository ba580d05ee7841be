"""The words that people read. Their English form is the key of the files in localizations/."""

from __future__ import annotations

import json

from lib_lora_train.ui.html import Html, element


def shown(text: str) -> str:
    """Marks a string of the page as visible, so that the tests hold every language to having it."""
    return text


def said(text: str, *values: object) -> Html:
    """A marked sentence with values in its `{}`: in English here, put into the page's language by the page's script."""
    told = [str(value) for value in values]
    return element("span", text.format(*told), data_say=text, data_values=json.dumps(told, ensure_ascii=False))
