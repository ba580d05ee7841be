from __future__ import annotations

import hashlib
from pathlib import Path

import numpy
import pytest
from PIL import Image

from lib_lora_train.train.dataset.buckets import place
from lib_lora_train.train.dataset.photos import Photo
from lib_lora_train.train.dataset.pixels import Jitter, View, coloured, content_key, is_cacheable, load, view
from lib_lora_train.train.errors import DatasetError
from lib_lora_train.train.sections import DatasetConfig
from tests.pictures import save

CONFIG = DatasetConfig(resolution=128, bucket_min=64, bucket_max=256)


def photo(path: Path) -> Photo:
    with Image.open(path) as image:
        size = image.size
    return Photo(path, path.name, *size, hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest(), "f")


def test_shape_type_and_place(tmp_path: Path) -> None:
    one = photo(save(tmp_path / "a.png", (300, 200)))
    placement = place(one.size, CONFIG)
    pixels = load(one, View(placement), CONFIG)
    assert pixels.shape == (placement.bucket[1], placement.bucket[0], 3) and pixels.dtype == numpy.uint8
    assert pixels.flags.c_contiguous and pixels.flags.writeable
    with Image.open(one.path) as image:
        whole = numpy.asarray(image.resize(placement.resized, Image.Resampling.LANCZOS, reducing_gap=3.0))
    left, top = placement.crop
    assert (pixels == whole[top : top + pixels.shape[0], left : left + pixels.shape[1]]).all()
    assert (load(one, View(placement, flip=True), CONFIG) == pixels[:, ::-1]).all()


def test_photo_of_the_buckets_size_is_untouched(tmp_path: Path) -> None:
    one = photo(save(tmp_path / "a.png", (128, 128)))
    with Image.open(one.path) as image:
        assert (load(one, View(place(one.size, CONFIG)), CONFIG) == numpy.asarray(image)).all()


def test_jitter_moves_colours_a_little_and_keeps_white_black_and_grey() -> None:
    greys = numpy.repeat(numpy.array([0, 64, 128, 200, 255], dtype=numpy.uint8)[:, None, None], 3, axis=2)
    assert (coloured(greys, Jitter(8, 1.1, 1.0)) == greys).all(), "grey has no hue"
    changed = coloured(greys, Jitter(0, 1, 0.95))
    assert changed[0, 0, 0] == 0 and changed[4, 0, 0] == 255 and changed[3, 0, 0] == 202
    red = numpy.array([[[200, 30, 30]]], dtype=numpy.uint8)
    turned = coloured(red, Jitter(8, 1.0, 1.0)).astype(int)
    assert 0 < abs(turned - red).max() < 40
    assert abs((turned @ [299, 587, 114]) - (red @ [299, 587, 114])).max() < 2000


def test_views_are_functions_of_the_occasion(tmp_path: Path) -> None:
    one = photo(save(tmp_path / "a.png", (300, 200)))
    config = DatasetConfig(flip=True, color_jitter=True, random_crop=True)
    placement = place(one.size, config)
    seen = [view(one, placement, config, repeat, epoch, 3) for repeat in range(4) for epoch in range(1, 60)]
    assert view(one, placement, config, 2, 7, 3) == view(one, placement, config, 2, 7, 3)
    assert len({repr(each) for each in seen}) == len(seen)
    assert 0.35 < sum(each.flip for each in seen) / len(seen) < 0.65
    room = [placement.resized[axis] - placement.bucket[axis] for axis in (0, 1)]
    assert {each.placement.crop[0] for each in seen} <= set(range(room[0] + 1)) and {
        each.placement.crop[1] for each in seen
    } <= set(range(room[1] + 1))
    assert len({each.placement.crop for each in seen}) > max(room) // 2
    assert not is_cacheable(config) and is_cacheable(DatasetConfig(flip=True))
    plain = view(one, placement, DatasetConfig(), 0, 1, 3)
    assert plain == View(placement)


def test_key_follows_pixels_not_names(tmp_path: Path) -> None:
    one = photo(save(tmp_path / "a.png", (300, 200), seed=1))
    same = photo(save(tmp_path / "sub" / "b.png", (300, 200), seed=1))
    other = photo(save(tmp_path / "c.png", (300, 200), seed=2))
    placement = place(one.size, CONFIG)
    base = content_key(one, View(placement), CONFIG)
    assert content_key(same, View(placement), CONFIG) == base
    bigger = DatasetConfig(resolution=192, bucket_min=64, bucket_max=256)
    changed = [
        content_key(other, View(placement), CONFIG),
        content_key(one, View(placement, flip=True), CONFIG),
        content_key(one, View(place(one.size, bigger)), CONFIG),
        content_key(one, View(placement), DatasetConfig(background="black")),
        content_key(one, View(placement, jitter=Jitter(1, 1, 1)), CONFIG),
    ]
    assert len({base, *changed}) == 6


def test_file_that_changed_after_the_scan_is_refused(tmp_path: Path) -> None:
    one = photo(save(tmp_path / "a.png", seed=1))
    save(tmp_path / "a.png", seed=2)
    with pytest.raises(DatasetError, match=r"a\.png was changed"):
        load(one, View(place(one.size, CONFIG)), CONFIG)
