"""Real picture files for tests, small and different from each other."""

from __future__ import annotations

import io
from pathlib import Path

import numpy
from PIL import Image


def picture(size: tuple[int, int] = (64, 48), seed: int = 0, mode: str = "RGB") -> Image.Image:
    """A smooth picture with texture that follows from `seed`."""
    numbers = numpy.random.default_rng(seed)
    coarse = Image.fromarray(numbers.integers(0, 256, (6, 6, 3), dtype=numpy.uint8))
    smooth = numpy.asarray(coarse.resize(size, Image.Resampling.BICUBIC), dtype=numpy.int16)
    noisy = smooth + numbers.integers(-20, 21, smooth.shape, dtype=numpy.int16)
    return Image.fromarray(noisy.clip(0, 255).astype(numpy.uint8)).convert(mode)


def save(path: Path, size: tuple[int, int] = (64, 48), seed: int | None = None, caption: str | None = None) -> Path:
    """A picture file (format by suffix), different for each path unless `seed` says; with its caption file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(size, sum(path.name.encode()) * 31 + size[0] if seed is None else seed).save(path)
    if caption is not None:
        path.with_suffix(".txt").write_text(caption, encoding="utf-8")
    return path


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """The picture's file bytes."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()
