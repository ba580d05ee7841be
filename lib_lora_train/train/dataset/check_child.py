"""The child process that decodes photos: whatever a damaged file does to a decoder happens here.

Reads one JSON object a line (`path`, `background`) and answers each with one line: `hash` (hexadecimal, null for a
picture without contrast) and `sharpness`, or `error`, with `gone` if it was the drive's fault.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, cast

from PIL import Image, ImageFile

from lib_lora_train.errors import LoraLoopError
from lib_lora_train.files import images
from lib_lora_train.files.errors import DiskError

HASH_SIDE = 8
SHARP_SIDE_PX = 512
MIN_CONTRAST = 4.0
"""Grey levels (standard deviation) below which a picture is too flat to compare."""


def main() -> None:
    """Answer until the input ends."""
    Image.MAX_IMAGE_PIXELS = None  # `images` has its own limit
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)  # so that a decoder that prints does not write between the answers
    for line in sys.stdin:
        print(json.dumps(examine(json.loads(line))), file=answers, flush=True)


def examine(question: dict[str, str]) -> dict[str, Any]:
    """Decode one photo to its last byte and describe it."""
    try:
        image = images.decode(Path(question["path"]), images.colour(question["background"]))
        return {"hash": perceptual_hash(image), "sharpness": sharpness(image)}
    except DiskError as error:
        return {"error": str(error), "gone": True}
    except LoraLoopError as error:
        return {"error": str(error)}
    except MemoryError:
        return {"error": "it needs more memory than there is; make it smaller first."}
    except OSError as error:
        return {"error": f"it cannot be read ({error.strerror or error})."}


def perceptual_hash(image: Image.Image) -> str | None:
    """128 bits, where neighbours differ in brightness: alike for copies that were scaled or saved again."""
    grey = image.convert("L")
    small = _grey(grey, (32, 32))
    if float(small.std()) < MIN_CONTRAST:
        return None
    across, down = _grey(grey, (HASH_SIDE + 1, HASH_SIDE)), _grey(grey, (HASH_SIDE, HASH_SIDE + 1))
    bits = [*(across[:, 1:] > across[:, :-1]).flatten(), *(down[1:] > down[:-1]).flatten()]
    return f"{int(''.join('1' if bit else '0' for bit in bits), 2):032x}"


def sharpness(image: Image.Image) -> float:
    """How strong the finest detail is beside all contrast, at 512 px: about 0 for blur, 0.2 and more for a sharp photo."""
    grey = image.convert("L")
    grey.thumbnail((SHARP_SIDE_PX, SHARP_SIDE_PX), Image.Resampling.LANCZOS)
    pixels = _grey(grey, grey.size)
    if min(pixels.shape) < 3 or float(pixels.std()) < MIN_CONTRAST:
        return 1.0
    edges = 4 * pixels[1:-1, 1:-1] - pixels[:-2, 1:-1] - pixels[2:, 1:-1] - pixels[1:-1, :-2] - pixels[1:-1, 2:]
    return float(edges.std() / pixels.std())


def _grey(image: Image.Image, size: tuple[int, int]) -> Any:
    import numpy

    small = image if image.size == size else image.resize(size, Image.Resampling.LANCZOS)
    return cast("Any", numpy.asarray(small, dtype=numpy.float64))


if __name__ == "__main__":
    main()
