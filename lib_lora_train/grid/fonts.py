"""Writing any script with the fonts that this computer has: the first font that has a letter draws it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from PIL import ImageFont

PLAIN = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "segoeui.ttf",
    "Arial.ttf",
    "arial.ttf",
    "LiberationSans-Regular.ttf",
)
BOLD = (
    "DejaVuSans-Bold.ttf",
    "NotoSans-Bold.ttf",
    "segoeuib.ttf",
    "Arial Bold.ttf",
    "arialbd.ttf",
    "LiberationSans-Bold.ttf",
)
# Tried in turn for letters that the first font lacks: East Asia, then the others, then symbols.
OTHERS = (
    "NotoSansCJK-Regular.ttc",
    "NotoSansCJKsc-Regular.otf",
    "msyh.ttc",
    "YuGothM.ttc",
    "malgun.ttf",
    "PingFang.ttc",
    "AppleSDGothicNeo.ttc",
    "wqy-zenhei.ttc",
    "wqy-microhei.ttc",
    "DroidSansFallbackFull.ttf",
    "NotoSansArabic-Regular.ttf",
    "NotoSansHebrew-Regular.ttf",
    "NotoSansThai-Regular.ttf",
    "NotoSansDevanagari-Regular.ttf",
    "NotoSansBengali-Regular.ttf",
    "NotoSansTamil-Regular.ttf",
    "Nirmala.ttf",
    "Nirmala.ttc",
    "leelawui.ttf",
    "seguisym.ttf",
    "Apple Symbols.ttf",
    "Arial Unicode.ttf",
    "NotoSansSymbols2-Regular.ttf",
    "NotoEmoji-Regular.ttf",
    "Symbola.ttf",
    "FreeSans.ttf",
)
_NOWHERE = "\U0010ffff"
"""A letter that no font has: what a font draws for it is its mark for a missing letter."""


@dataclass
class Pen:
    """Letters of one size (pixels). `extra` are font files put before the system's own plain ones."""

    size: int
    bold: bool = False
    extra: Sequence[str] = ()
    _fonts: list[Any] = field(default_factory=lambda: list[Any](), init=False)
    _found: dict[str, int] = field(default_factory=lambda: dict[str, int](), init=False)
    _waiting: list[str] = field(default_factory=lambda: list[str](), init=False)
    _missing: dict[int, bytes] = field(default_factory=lambda: dict[int, bytes](), init=False)

    def __post_init__(self) -> None:
        self._waiting = [*(BOLD if self.bold else ()), *self.extra, *PLAIN, *OTHERS]

    @property
    def line_px(self) -> int:
        """The height of a line."""
        return round(self.size * 1.35)

    def length(self, text: str) -> float:
        """The width of `text` in pixels."""
        return sum(_length(font, part) for font, part in self._pieces(text))

    def write(self, draw: Any, place: tuple[float, float], text: str, colour: tuple[int, int, int]) -> None:
        """Draw one line with its top left corner at `place`."""
        left, top = place
        for font, part in self._pieces(text):
            try:
                draw.text((left, top + self.size), part, font=font, fill=colour, anchor="ls")
            except (ValueError, UnicodeError):  # Pillow's built-in bitmap font: no anchors, Latin-1 only
                draw.text((left, top), part.encode("latin-1", "replace").decode("latin-1"), font=font, fill=colour)
            left += _length(font, part)

    def wrapped(self, text: str, width_px: float, lines: int) -> list[str]:
        """`text` in at most `lines` lines of at most `width_px`; what is left over is cut with an ellipsis."""
        rest = " ".join(clean(text).split())
        found: list[str] = []
        while rest and len(found) < lines:
            line = self._line(rest, width_px)
            rest = rest[len(line) :].lstrip()
            found.append(line.rstrip())
        if rest and found:
            found[-1] = self._clipped(found[-1] + " " + rest, width_px)
        return found

    def _line(self, text: str, width_px: float) -> str:
        """As much of `text` as fits one line: whole words, or letters where one word is too long (and in scripts without blanks)."""
        low, high = 1, min(len(text), max(1, int(width_px)))
        while low < high:  # the longest prefix that fits
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.length(text[:middle]) <= width_px else (low, middle - 1)
        if low == len(text) or text[low] == " ":
            return text[:low]
        blank = text.rfind(" ", 0, low)
        return text[: blank + 1] if blank > 0 else text[:low]

    def _clipped(self, text: str, width_px: float) -> str:
        line = self._line(text, width_px - self.length("…"))
        return line.rstrip(" ,.;") + "…"

    def _pieces(self, text: str) -> Iterator[tuple[Any, str]]:
        """`text` cut where the font changes."""
        start, font = 0, -1
        for index, letter in enumerate(text):
            wanted = font if letter.isspace() and font >= 0 else self._font_of(letter)
            if wanted != font and index > start:
                yield self._fonts[font], text[start:index]
                start = index
            font = wanted
        if text:
            yield self._fonts[font], text[start:]

    def _font_of(self, letter: str) -> int:
        """Which font has the letter; the first one (with its mark for missing letters) when none has."""
        known = self._found.get(letter)
        if known is not None:
            return known
        number = 0
        while number < len(self._fonts) or self._open():
            if self._has(number, letter):
                break
            number += 1
        else:
            number = 0
        self._found[letter] = number
        return number

    def _open(self) -> bool:
        """Open the next font that is there; Pillow's own when none was."""
        while self._waiting:
            try:
                self._fonts.append(ImageFont.truetype(self._waiting.pop(0), self.size))
            except OSError:
                continue
            return True
        if self._fonts:
            return False
        try:
            self._fonts.append(ImageFont.load_default(self.size))
        except TypeError:  # Pillow before 10.1 has one size
            self._fonts.append(ImageFont.load_default())
        return True

    def _has(self, number: int, letter: str) -> bool:
        if number not in self._missing:
            self._missing[number] = _picture(self._fonts[number], _NOWHERE)
        picture = _picture(self._fonts[number], letter)
        return picture != self._missing[number] if picture else letter.isspace() or not letter.isprintable()


def clean(text: str) -> str:
    """`text` without control characters, line ends as blanks."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _length(font: Any, text: str) -> float:
    try:
        return float(font.getlength(text))
    except (ValueError, UnicodeError):
        return 7.0 * len(text)


def _picture(font: Any, letter: str) -> bytes:
    try:
        return bytes(font.getmask(letter, mode="L"))
    except (ValueError, UnicodeError, OSError):
        return b""
