from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_lora_train.train.dataset.buckets import bucket_sizes, is_enlarged, place
from lib_lora_train.train.sections import DatasetConfig

sizes = st.tuples(st.integers(1, 9000), st.integers(1, 9000))
configs = st.builds(
    DatasetConfig,
    resolution=st.sampled_from([256, 512, 640, 768, 1000, 1024]),
    bucket_max=st.sampled_from([1024, 1536, 2048]),
    upscale=st.booleans(),
    buckets=st.booleans(),
)


@pytest.mark.parametrize(("resolution", "longest", "count"), [(512, 1024, 17), (768, 1024, 19), (1024, 2048, 41)])
def test_lists_are_as_long_as_kohyas(resolution: int, longest: int, count: int) -> None:
    assert len(bucket_sizes(resolution, 256, longest, 64)) == count


def test_list_at_512() -> None:
    listed = bucket_sizes(512, 256, 1024, 64)
    assert listed[:3] == ((256, 832), (256, 896), (256, 960)) or listed[0] == (256, 1024)
    assert (512, 512) in listed and (448, 576) in listed and (576, 448) in listed


@pytest.mark.parametrize(
    ("resolution", "size", "bucket", "resized"),
    [
        (512, (3024, 4032), (448, 576), (448, 597)),
        (512, (1080, 1920), (384, 640), (384, 683)),
        (512, (450, 2000), (256, 1024), (256, 1138)),
        (512, (512, 512), (512, 512), (512, 512)),
        (768, (4032, 3024), (896, 640), (896, 672)),
        (768, (1200, 400), (1024, 320), (1024, 341)),
        (768, (100, 100), (768, 768), (768, 768)),
    ],
)
def test_choice_is_kohyas(
    resolution: int, size: tuple[int, int], bucket: tuple[int, int], resized: tuple[int, int]
) -> None:
    placement = place(size, DatasetConfig(resolution=resolution, upscale=True))
    assert (placement.bucket, placement.resized) == (bucket, resized)


@given(sizes, configs)
def test_bucket_lies_in_the_resized_photo_and_in_the_limits(size: tuple[int, int], config: DatasetConfig) -> None:
    placement = place(size, config)
    for axis in (0, 1):
        assert placement.bucket[axis] % config.bucket_step == 0
        assert config.bucket_step <= placement.bucket[axis] <= max(config.bucket_max, config.resolution)
        assert 0 <= placement.crop[axis] <= placement.resized[axis] - placement.bucket[axis]
    assert placement.bucket[0] * placement.bucket[1] <= config.resolution**2


@given(sizes, configs)
def test_one_side_fits_exactly_so_nothing_is_cut_without_need(size: tuple[int, int], config: DatasetConfig) -> None:
    placement = place(size, config)
    assert any(placement.resized[axis] == placement.bucket[axis] for axis in (0, 1))
    if max(size) <= 4 * min(size):  # rounding of a very thin photo is a large share of it
        width, height = placement.resized
        assert abs(width * size[1] - height * size[0]) <= max(size) + max(width, height)


@given(sizes, configs)
def test_nothing_is_enlarged_unasked_but_what_is_below_one_step(size: tuple[int, int], config: DatasetConfig) -> None:
    placement = place(size, config)
    if not config.upscale and min(size) >= config.bucket_step:
        assert not is_enlarged(size, placement)


@given(sizes, st.sampled_from([512, 768]))
def test_large_photos_are_placed_alike_with_and_without_upscale(size: tuple[int, int], resolution: int) -> None:
    asked = place(size, DatasetConfig(resolution=resolution, upscale=True))
    if not is_enlarged(size, asked):
        assert place(size, DatasetConfig(resolution=resolution, upscale=False)) == asked


def test_without_buckets_a_centred_square() -> None:
    placement = place((1000, 600), DatasetConfig(buckets=False))
    assert (placement.bucket, placement.resized, placement.crop) == ((512, 512), (853, 512), (170, 0))
    assert place((300, 200), DatasetConfig(buckets=False)).bucket == (192, 192)
