from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy
import pytest
from PIL import Image

from lib_lora_train.files import images
from tests.pictures import encoded, picture


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_turn_ends_upright(orientation: int) -> None:
    upright = Image.new("RGB", (40, 24), "white")
    upright.paste((255, 0, 0), (0, 0, 12, 8))
    turns = Image.Transpose
    undo = {2: turns.FLIP_LEFT_RIGHT, 3: turns.ROTATE_180, 4: turns.FLIP_TOP_BOTTOM, 5: turns.TRANSPOSE}
    undo |= {6: turns.ROTATE_90, 7: turns.TRANSVERSE, 8: turns.ROTATE_270}
    stored = upright if orientation == 1 else upright.transpose(undo[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    for kind in ("JPEG", "PNG", "WEBP", "TIFF"):
        data = encoded(stored, kind, exif=exif)
        header = images.probe(data)
        assert (header.width, header.height) == (40, 24), kind
        decoded = images.decode(data)
        assert decoded.size == (40, 24)
        red, green, _blue = decoded.getpixel((3, 3))
        assert red > 180 and green < 90, kind
        assert min(decoded.getpixel((36, 20))) > 180, kind


@pytest.mark.filterwarnings("ignore")
def test_broken_exif_is_no_reason_to_lose_a_photo() -> None:
    data = encoded(picture(), "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff")
    assert images.probe(data).orientation == 1
    assert images.decode(data).size == (64, 48)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I", "F", "I;16"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    if mode == "I;16":
        image = Image.fromarray(numpy.full((8, 8), 128 * 257, dtype=numpy.uint16))
    elif mode == "I":
        image = Image.fromarray(numpy.full((8, 8), 128 * 257, dtype=numpy.int32))
    elif mode == "F":
        image = Image.fromarray(numpy.full((8, 8), 128 / 255, dtype=numpy.float32))
    elif mode == "P":
        image = Image.new("RGB", (8, 8), (128, 128, 128)).quantize(4)
    else:
        image = Image.new("RGB", (8, 8), (128, 128, 128)).convert(mode)
    rgb = images.to_rgb(image, (255, 255, 255))
    assert rgb.mode == "RGB"
    if mode != "1":
        assert all(abs(value - 128) <= 3 for value in rgb.getpixel((4, 4)))


def test_sixteen_bit_png_is_scaled_not_clipped() -> None:
    ramp = numpy.linspace(0, 65535, 256, dtype=numpy.uint16).reshape(16, 16)
    decoded = numpy.asarray(images.decode(encoded(Image.fromarray(ramp), "PNG")))
    assert decoded[0, 0, 0] == 0 and decoded[-1, -1, 0] == 255
    assert abs(int(decoded[8, 0, 0]) - 128) <= 1


def _transparent(mode: str) -> bytes:
    if mode == "P":
        image = Image.new("P", (8, 8), 0)
        image.putpalette([0, 0, 0, 255, 0, 0] + [0] * 762)
        return encoded(image, "PNG", transparency=0)
    if mode == "RGB":
        return encoded(Image.new("RGB", (8, 8), (1, 2, 3)), "PNG", transparency=(1, 2, 3))
    return encoded(Image.new(mode, (8, 8)), "PNG")


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "RGB"])
def test_transparent_is_put_on_the_stated_background(mode: str) -> None:
    data = _transparent(mode)
    assert images.probe(data).transparent
    assert images.decode(data, images.colour("#102030")).getpixel((4, 4)) == (16, 32, 48)


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_animation_gives_its_first_frame(kind: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue", "green")]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True)
    assert images.probe(data).animated
    red, _green, blue = images.decode(data).getpixel((8, 8))
    assert red > 200 and blue < 60


def test_jpeg_cut_twenty_bytes_short_fails_though_its_header_is_fine() -> None:
    data = encoded(picture((200, 200)), "JPEG")[:-20]
    assert images.probe(data).width == 200
    with pytest.raises(images.ImageError, match="damaged or cut off"):
        images.decode(data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_cut_files_never_raise_anything_but_image_errors(kind: str, share: float) -> None:
    data = encoded(picture((96, 96)), kind)
    with pytest.raises(images.ImageError):
        images.decode(data[: int(len(data) * share)])


@pytest.mark.filterwarnings("ignore")
def test_every_flipped_byte_is_an_image_or_an_image_error() -> None:
    for kind in ("JPEG", "PNG", "WEBP", "GIF", "TIFF"):
        data = encoded(picture((24, 24)), kind)
        for place in range(0, len(data), 7):
            spoiled = data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]
            try:
                images.probe(spoiled)
                images.decode(spoiled)
            except images.ImageError:
                pass


def giant_png(width: int, height: int) -> bytes:
    """A few bytes that claim to be a huge picture."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("limit", [None, 1000, Image.MAX_IMAGE_PIXELS, 10**12])
def test_pixel_limit_holds_whatever_pillow_was_told(limit: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(images.ImageError, match="pixels"):
        images.probe(giant_png(60_000, 60_000))
    with pytest.raises(images.ImageError, match="pixels"):
        images.decode(giant_png(60_000, 60_000))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"hello world", "not a picture"),
        (b"<html><body>404", "web page"),
        (b"\x00\x00\x00\x18ftypheic" + bytes(40), "HEIC"),
        (b"\x00\x00\x00\x0cJXL \r\n\x87\n" + bytes(20), "JPEG XL"),
    ],
)
def test_reasons_are_named_with_the_cure(data: bytes, words: str) -> None:
    with pytest.raises(images.ImageError, match=words):
        images.probe(data)


def test_probe_reads_no_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encoded(picture((300, 200)), "PNG"))
    monkeypatch.setattr(Image.Image, "load", lambda _self: pytest.fail("decoded"))
    assert images.probe(path).width == 300


def test_unknown_colour_is_named() -> None:
    with pytest.raises(images.ImageError, match="'blurple' is not a colour"):
        images.colour("blurple")
