"""The words that people read. Their English form is the key of the files in localizations/."""

from __future__ import annotations


def shown(text: str) -> str:
    """Marks a string of the page as visible, so that the tests hold every language to having it."""
    return text
