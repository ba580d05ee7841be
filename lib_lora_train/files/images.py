"""Pictures as the trainer sees them: size from the header, and 8-bit RGB pixels, upright, on a stated background.

The pixel limit is our own and is checked from the header, because `Image.MAX_IMAGE_PIXELS` belongs to the whole
process and other people's code changes it. So does `ImageFile.LOAD_TRUNCATED_IMAGES`: while it is on, cut files
decode with a grey rest, which is why `check_child` looks at photos in a process of its own.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from PIL import Image, ImageColor, UnidentifiedImageError

from lib_lora_train.files.errors import FilesError
from lib_lora_train.files.reading import MOST_PHOTO, NotPlainFile, opened, read_bytes

_SUFFIXES = ".avif .bmp .dib .gif .heic .heif .jfif .jp2 .jpe .jpeg .jpg .jxl .pbm .pgm .png .pnm .ppm .qoi .tga .tif .tiff .webp"
SUFFIXES = frozenset(_SUFFIXES.split())
MAX_PIXELS = 178_956_970
"""Twice Pillow's own warning limit, so that no process state lets through more or less than this."""

_WIDTH, _HEIGHT, _ORIENTATION = 0x0100, 0x0101, 0x0112
_TURNED = frozenset({5, 6, 7, 8})
_BRANDS = {
    b"heic": "HEIC",
    b"heix": "HEIC",
    b"hevc": "HEIC",
    b"hevx": "HEIC",
    b"mif1": "HEIC",
    b"msf1": "HEIC",
    b"avif": "AVIF",
    b"avis": "AVIF",
}


class ImageError(FilesError):
    """A picture that cannot be used. The text is the reason and the cure, without the file's name."""

    exit_code = 3


@dataclass(frozen=True)
class Header:
    """What the first bytes of a picture say."""

    width: int
    """Pixels, after the EXIF turn."""
    height: int
    mode: str
    format: str
    orientation: int
    """EXIF orientation, 1 to 8."""
    animated: bool
    transparent: bool


def probe(source: Path | bytes) -> Header:
    """The header, without decoding pixels. Raises ImageError; OSError or DiskError if the file cannot be read."""
    with _stream(source) as stream, _reasons(), _open(stream) as image:
        turn = _orientation(image)
        stored: Any = image.size
        if image.format == "TIFF":  # some versions of Pillow give the size after the turn, some before
            tags: Any = getattr(image, "tag_v2", {})
            stored = tags.get(_WIDTH, stored[0]), tags.get(_HEIGHT, stored[1])
        width, height = stored if turn not in _TURNED else stored[::-1]
        animated = bool(getattr(image, "is_animated", False)) and image.format not in ("MPO", "TIFF")
        return Header(width, height, image.mode, image.format or "", turn, animated, _transparent(image))


def decode(source: Path | bytes, background: tuple[int, int, int] = (255, 255, 255)) -> Image.Image:
    """All pixels of the first frame: RGB, upright, transparent parts filled with `background`.

    Raises ImageError for anything that does not decode to its last byte.
    """
    data = source if isinstance(source, bytes) else _bytes(source)
    with _reasons(), _open(io.BytesIO(data)) as image:
        turn = 1 if image.format == "TIFF" else _orientation(image)  # Pillow itself turns TIFF, and only TIFF
        image.load()
        return _upright(to_rgb(image, background), turn)


def thumbnail(source: Path, side: int, background: tuple[int, int, int] = (255, 255, 255)) -> Image.Image:
    """The picture as RGB of at most `side` pixels, upright; a JPEG is decoded only as finely as that needs.

    Raises ImageError, OSError, DiskError.
    """
    with _reasons(), _open(io.BytesIO(_bytes(source))) as image:
        turn = 1 if image.format == "TIFF" else _orientation(image)
        image.draft("RGB", (side, side))
        image.load()
        small = to_rgb(image, background)
        small.thumbnail((side, side), Image.Resampling.BOX)
        return _upright(small, turn)


def to_rgb(image: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    """`image` as 8-bit RGB. 16-bit grey is scaled (Pillow alone would clip it); alpha is blended in 8 bits."""
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        image = _eight_bits(image)
    if _transparent(image):
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, (*background, 255))
        return Image.alpha_composite(ground, image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def colour(text: str) -> tuple[int, int, int]:
    """A colour by name ("white") or "#rrggbb". Raises ImageError."""
    try:
        red, green, blue = ImageColor.getrgb(text.strip())[:3]
    except ValueError:
        raise ImageError(f"{text!r} is not a colour: use a name such as white, or #rrggbb.") from None
    return red, green, blue


@contextlib.contextmanager
def _stream(source: Path | bytes) -> Generator[IO[bytes], None, None]:
    if isinstance(source, bytes):
        yield io.BytesIO(source)
    else:
        with _whole_file(), opened(source, MOST_PHOTO) as stream:
            yield stream


def _bytes(source: Path) -> bytes:
    with _whole_file():
        return read_bytes(source, MOST_PHOTO)


@contextlib.contextmanager
def _whole_file() -> Generator[None, None, None]:
    try:
        yield
    except NotPlainFile as error:
        raise ImageError(f"{error.strerror}.") from error


@contextlib.contextmanager
def _open(stream: IO[bytes]) -> Generator[Image.Image, None, None]:
    start = stream.read(32)
    stream.seek(0)
    if not start:
        raise ImageError("it is empty (0 bytes); copy it again from its source.")
    try:
        image = Image.open(stream)
    except UnidentifiedImageError:
        raise ImageError(_unknown(start)) from None
    with image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise ImageError(
                f"it has {width} x {height} pixels, more than the {MAX_PIXELS // 1_000_000} million allowed; make it smaller first."
            )
        if width < 1 or height < 1:
            raise ImageError("it has no pixels; leave it out.")
        yield image


@contextlib.contextmanager
def _reasons() -> Generator[None, None, None]:
    """Whatever a decoder raises on bad bytes, as one reason for people."""
    try:
        yield
    except ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageError("it has more pixels than are allowed here; make it smaller first.") from None
    except OSError as error:
        if error.errno is not None:
            raise
        raise ImageError(f"it is damaged or cut off ({_short(error)}); copy it again from its source.") from error
    except MemoryError:
        raise
    except (
        Exception
    ) as error:  # decoders raise SyntaxError, ValueError, struct.error, IndexError, zlib.error … on bad bytes
        raise ImageError(f"it is damaged ({_short(error)}); copy it again from its source.") from error


def _short(error: Exception) -> str:
    return (str(error) or type(error).__name__).strip().rstrip(".")[:120]


def _unknown(start: bytes) -> str:
    kind = _BRANDS.get(start[8:12]) if start[4:8] == b"ftyp" else None
    if start.startswith((b"\xff\x0a", b"\x00\x00\x00\x0cJXL ")):
        kind = "JPEG XL"
    if kind:
        return f"it is a {kind} picture, which this Python's Pillow cannot read; save it as JPEG or PNG."
    if start.lstrip()[:1] == b"<":
        return "it is a web page or an SVG drawing, not a photo; save the picture itself."
    return "it is not a picture, whatever its name says; leave it out."


def _orientation(image: Image.Image) -> int:
    """EXIF orientation. A PNG's is looked for in its header only: Pillow's own would decode all pixels first."""
    try:
        exif = Image.Image.getexif(image)
        value: Any = exif.get(_ORIENTATION, 1)
    except Exception:  # a broken EXIF block is no reason to lose the photo
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    turns = Image.Transpose
    turn = {
        2: turns.FLIP_LEFT_RIGHT,
        3: turns.ROTATE_180,
        4: turns.FLIP_TOP_BOTTOM,
        5: turns.TRANSPOSE,
        6: turns.ROTATE_270,
        7: turns.TRANSVERSE,
        8: turns.ROTATE_90,
    }.get(orientation)
    return image if turn is None else image.transpose(turn)


def _transparent(image: Image.Image) -> bool:
    return image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey with more than 8 bits, scaled: 16-bit whole numbers by 257; real numbers from 0…1 (or 0…255 if any is above 1)."""
    import numpy

    values: Any = numpy.asarray(image)
    if image.mode == "F":
        scaled = values * 255.0 if values.size and float(numpy.nanmax(values)) <= 1.0 else values
        scaled = numpy.nan_to_num(scaled)
    else:
        scaled = values.astype(numpy.float64) / 257.0
    grey = scaled.clip(0, 255).round().astype(numpy.uint8)
    return Image.fromarray(grey)
