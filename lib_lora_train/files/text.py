"""Text that people read: names of files without what steers a terminal, and sizes in the unit that fits them."""

from __future__ import annotations

import re

_UNITS = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
_STEERING = "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
_IN_LINES = re.compile(f"[{_STEERING}]")
_IN_NAMES = re.compile(f"[\t\n{_STEERING}]")


def name(text: str) -> str:
    """A file's name with every sign that steers a terminal, or that is no letter at all, shown as its code (`\\\\x1b`)."""
    return _IN_NAMES.sub(_code, text)


def printable(text: str, encoding: str = "utf-8") -> str:
    """Lines for a terminal: as `name`, but line ends stay; letters that its `encoding` lacks are shown as codes too."""
    return _IN_LINES.sub(_code, text).encode(encoding, "backslashreplace").decode(encoding)


def _code(found: re.Match[str]) -> str:
    sign = found[0]
    if "\udc80" <= sign <= "\udcff":  # a byte of a name that is not UTF-8
        return f"\\x{ord(sign) - 0xDC00:02x}"
    return sign.encode("unicode_escape", "backslashreplace").decode("ascii")


def size(number: float) -> str:
    """Bytes for people, rounded to two or three digits: "4.2 GB", "310 MB", "12 kB", "900 bytes"."""
    for unit, word in _UNITS:
        if number >= unit:
            return f"{number / unit:.1f} {word}" if number < 10 * unit else f"{number / unit:.0f} {word}"
    return f"{number:.0f} bytes"
