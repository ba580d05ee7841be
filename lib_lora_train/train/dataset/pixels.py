"""The pixels of a photo as the trainer sees them at one time: resized, cropped, flipped, coloured.

Scaling is Lanczos both ways (Pillow widens the filter when shrinking, so nothing aliases; `reducing_gap` keeps it
quick on large photos). kohya averages areas when shrinking, which is softer.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from PIL import Image

from lib_lora_train.files import images
from lib_lora_train.files.reading import MOST_PHOTO, read_bytes
from lib_lora_train.train.dataset.buckets import Placement
from lib_lora_train.train.dataset.photos import Photo
from lib_lora_train.train.errors import DatasetError
from lib_lora_train.train.randomness import draw, uniform
from lib_lora_train.train.sections import DatasetConfig

if TYPE_CHECKING:
    import numpy

HUE_DEGREES = 8.0
SATURATION_SHARE = 0.1
GAMMA_SHARE = 0.05
_CACHE_VERSION = 1


@dataclass(frozen=True)
class Jitter:
    """A change of colour."""

    hue: float
    """Degrees."""
    saturation: float
    """Factor."""
    gamma: float


@dataclass(frozen=True)
class View:
    """How a photo is looked at: what of it, mirrored or not, in which colours."""

    placement: Placement
    flip: bool = False
    jitter: Jitter | None = None


def view(photo: Photo, placement: Placement, config: DatasetConfig, repeat: int, epoch: int, seed: int) -> View:
    """The view of `photo` at its `repeat` in `epoch`: a function of the seed and these only."""
    occasion = (photo.identity, repeat, epoch)
    if config.random_crop:
        room = [resized - side for resized, side in zip(placement.resized, placement.bucket, strict=True)]
        left, top = (draw(seed, "crop", axis, *occasion) % (space + 1) for axis, space in enumerate(room))
        placement = replace(placement, crop=(left, top))
    jitter = None
    if config.color_jitter:
        hue, saturation, gamma = (
            2 * uniform(seed, "jitter", word, *occasion) - 1 for word in ("hue", "saturation", "gamma")
        )
        jitter = Jitter(hue * HUE_DEGREES, 1 + saturation * SATURATION_SHARE, 1 + gamma * GAMMA_SHARE)
    return View(placement, config.flip and uniform(seed, "flip", *occasion) < 0.5, jitter)


def is_cacheable(config: DatasetConfig) -> bool:
    """Whether photos have few enough views (one, or two with flip) that their latents are worth keeping."""
    return not (config.color_jitter or config.random_crop)


def load(photo: Photo, seen: View, config: DatasetConfig) -> numpy.ndarray[Any, numpy.dtype[numpy.uint8]]:
    """Pixels of the view: height x width x 3, 8-bit RGB, C-contiguous.

    Raises DatasetError when the file is damaged or not the one that was scanned, DiskError when its drive is gone.
    """
    import numpy

    image = picture(photo, config)
    placement = seen.placement
    if image.size != placement.resized:
        image = image.resize(placement.resized, Image.Resampling.LANCZOS, reducing_gap=3.0)
    left, top = placement.crop
    image = image.crop((left, top, left + placement.bucket[0], top + placement.bucket[1]))
    if seen.flip:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    pixels = numpy.array(image, dtype=numpy.uint8)
    return pixels if seen.jitter is None else coloured(pixels, seen.jitter)


def picture(photo: Photo, config: DatasetConfig) -> Image.Image:
    """The whole photo in its own size, RGB and upright. Raises as `load` does."""
    data = read_bytes(photo.path, MOST_PHOTO)
    if hashlib.blake2b(data, digest_size=16).hexdigest() != photo.content:
        raise DatasetError(f"{photo.name} was changed after the dataset was read; resume to read it again.")
    try:
        return images.decode(data, images.colour(config.background))
    except images.ImageError as error:
        raise DatasetError(f"{photo.name} cannot be used: {error}") from error


def coloured(pixels: numpy.ndarray[Any, Any], jitter: Jitter) -> numpy.ndarray[Any, Any]:
    """`pixels` (8-bit RGB) with hue turned and saturation scaled about equal luma, then gamma on 0…1."""
    import numpy

    values = pixels.astype(numpy.float32) / 255.0
    luma = numpy.array([0.299, 0.587, 0.114], dtype=numpy.float32)
    to_yiq = numpy.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
    turn = numpy.deg2rad(jitter.hue)
    cosine, sine = jitter.saturation * numpy.cos(turn), jitter.saturation * numpy.sin(turn)
    middle = numpy.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    matrix: Any = (numpy.linalg.inv(to_yiq) @ middle @ to_yiq).astype(numpy.float32)
    grey = values @ luma
    turned: Any = values @ matrix.T
    turned += (grey - turned @ luma)[..., None]
    bright = turned.clip(0.0, 1.0) ** numpy.float32(jitter.gamma)
    return (bright * 255.0).round().astype(numpy.uint8)


def content_key(photo: Photo, seen: View, config: DatasetConfig) -> str:
    """Name for what is computed from the view's pixels: it changes when any of them does, never with path or time."""
    placement = seen.placement
    parts = (
        _CACHE_VERSION,
        photo.content,
        placement.bucket,
        placement.resized,
        placement.crop,
        seen.flip,
        seen.jitter,
        images.colour(config.background),
    )
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()
