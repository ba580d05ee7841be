"""From the plan to tensors: the right latent with the right caption, from any cache or none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from PIL import Image

from lib_lora_train.train import config as configs
from lib_lora_train.train.base.family import BaseModel
from lib_lora_train.train.base.load import load_base
from lib_lora_train.train.base.random_base import write_random_base
from lib_lora_train.train.cache import Cache
from lib_lora_train.train.config import TrainConfig
from lib_lora_train.train.dataset import scan
from lib_lora_train.train.dataset.epochs import Plan
from lib_lora_train.train.dataset.length import make_plan
from lib_lora_train.train.feed import Feed
from lib_lora_train.train.sections import BaseConfig
from lib_lora_train.train.step import Inputs
from tests.runs import Workshop

NUMBERS = ("one", "two", "three", "four", "five", "six", "seven")


@pytest.fixture(scope="module")
def base(workshop: Workshop) -> BaseModel:
    return load_base(BaseConfig(path=str(workshop.base)))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Seven photos that nobody can mistake, each with a caption that names it."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, word in enumerate(NUMBERS):
        noise = numpy.random.default_rng(number).integers(0, 256, (64, 64, 3), dtype=numpy.uint8)
        Image.fromarray(noise).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(word)
    return folder


def config(photos: Path, *settings: str) -> TrainConfig:
    values = {
        "dataset": {"path": str(photos), "resolution": 64, "bucket_min": 64, "bucket_step": 8, "repeats": 1},
        "loop": {"batch_size": 2, "epochs": 3},
    }
    return configs.from_values(configs.merge(values, configs.assignments(settings)))


def fed(base: BaseModel, options: TrainConfig, cache: Path | None = None, train_text: bool = True) -> tuple[Feed, Plan]:
    folders = [cache / name if cache else None for name in ("latents", "text")]
    feed = Feed(base, options, torch.device("cpu"), train_text, Cache(folders[0]), Cache(folders[1]))
    return feed, make_plan(scan.scan(options.dataset, "ohwx"), options)


def all_inputs(feed: Feed, plan: Plan, epochs: int = 1) -> list[Inputs]:
    feed.fill(plan, epochs, lambda *_: None)
    return [
        inputs
        for epoch in range(1, epochs + 1)
        for group in feed.stream(plan.epoch(epoch).steps, epoch)
        for inputs in group
    ]


def reference(base: BaseModel, photos: Path) -> torch.Tensor:
    """The latent mean of each photo, without the feed."""
    pixels = torch.stack([torch.from_numpy(numpy.asarray(Image.open(photos / f"{n}.png"))) for n in range(7)])
    return base.family.encode_images(base.vae, pixels.permute(0, 3, 1, 2).float() / 127.5 - 1)[0]


@pytest.mark.parametrize("settings", [(), ("cache.latents=off",), ("loop.accumulation=2", "dataset.repeats=2")])
def test_latent_i_is_always_with_caption_i(base: BaseModel, photos: Path, settings: tuple[str, ...]) -> None:
    feed, plan = fed(base, config(photos, *settings))
    known = reference(base, photos)
    ids = [base.family.tokenize(base.tokenizer, [word], 75)[0].tolist() for word in NUMBERS]
    orders: list[list[int]] = []
    for epoch in (1, 2, 3):
        feed.fill(plan, 3, lambda *_: None)
        order: list[int] = []
        for group in feed.stream(plan.epoch(epoch).steps, epoch):
            for inputs in group:
                assert inputs.ids is not None
                for mean, said in zip(inputs.mean, inputs.ids.tolist(), strict=True):
                    distances = (known - mean).abs().amax(dim=(1, 2, 3))
                    assert distances.min() < 1e-3 < distances.sort().values[1]
                    order.append(int(distances.argmin()))
                    assert said == ids[order[-1]]
        orders.append(order)
        assert sorted(set(order)) == list(range(7))
    assert len({tuple(order) for order in orders}) == 3
    feed.close()


def same(one: Inputs, other: Inputs) -> bool:
    pairs = [(getattr(one, name), getattr(other, name)) for name in Inputs.__dataclass_fields__]
    return all(a is b if a is None else torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("train_text", [True, False])
def test_no_cache_a_cold_one_and_a_warm_one_give_the_same(
    base: BaseModel, photos: Path, tmp_path: Path, train_text: bool
) -> None:
    flips = ("dataset.flip=true",)
    off = all_inputs(
        *fed(base, config(photos, "cache.latents=off", "cache.text=off", *flips), None, train_text), epochs=2
    )
    cold = all_inputs(*fed(base, config(photos, *flips), tmp_path / "cache", train_text), epochs=2)
    warm = all_inputs(*fed(base, config(photos, *flips), tmp_path / "cache", train_text), epochs=2)
    assert len(off) == 8 and all(map(same, off, cold)) and all(map(same, cold, warm))


def test_a_photo_draws_the_same_in_any_batch(base: BaseModel, photos: Path) -> None:
    def noises(*settings: str) -> set[tuple[float, float, int]]:
        found = all_inputs(*fed(base, config(photos, *settings)))
        rows = [
            (n, p, t)
            for inputs in found
            for n, p, t in zip(inputs.noise, inputs.posterior, inputs.timesteps, strict=True)
        ]
        return {(float(n.sum()), float(p.sum()), int(t)) for n, p, t in rows}

    assert noises() == noises("loop.batch_size=1") == noises("loop.batch_size=7", "loop.accumulation=3")
    assert noises() != noises("seed=1")


def edit_photo(photos: Path) -> None:
    Image.new("RGB", (64, 64), (9, 8, 7)).save(photos / "3.png")


def edit_caption(photos: Path) -> None:
    (photos / "3.txt").write_text("another word")


def other_base(folder: Path) -> BaseModel:
    write_random_base(folder / "other.safetensors", "tiny", seed=8)
    return load_base(BaseConfig(path=str(folder / "other.safetensors")))


@pytest.mark.parametrize(
    ("change", "settings", "latents", "texts"),
    [
        (lambda _: None, (), 0, 0),
        (edit_photo, (), 1, 0),
        (edit_caption, (), 0, 1),
        (None, (), 7, 7),  # another base: its VAE and its text encoder
        (lambda _: None, ("dataset.resolution=128", "dataset.upscale=true"), 7, 0),
        (lambda _: None, ("dataset.flip=true",), 7, 0),
        (lambda _: None, ("base.clip_skip=2",), 0, 7),
        (lambda _: None, ("dataset.max_tokens=150",), 0, 7),
        (lambda _: None, ("seed=9", "loop.batch_size=1", "adapter.rank=4"), 0, 0),
    ],
    ids=["nothing", "photo", "caption", "base", "resolution", "flip", "clip skip", "tokens", "other options"],
)
def test_d14_what_was_cached_is_made_anew_when_and_only_when_it_must_be(
    base: BaseModel,
    photos: Path,
    tmp_path: Path,
    change: Callable[[Path], Any] | None,
    settings: tuple[str, ...],
    latents: int,
    texts: int,
) -> None:
    cache = tmp_path / "cache"
    all_inputs(*fed(base, config(photos), cache, train_text=False))
    count = {name: len([p for p in (cache / name).rglob("*") if p.is_file()]) for name in ("latents", "text")}
    assert count == {"latents": 7, "text": 7}
    if change:
        change(photos)
    all_inputs(*fed(base if change else other_base(tmp_path), config(photos, *settings), cache, train_text=False))
    new = {name: len([p for p in (cache / name).rglob("*") if p.is_file()]) - 7 for name in count}
    assert new == {"latents": latents, "text": texts}


def test_the_vae_alone_counts_too(base: BaseModel, photos: Path, tmp_path: Path) -> None:
    feed, plan = fed(base, config(photos), tmp_path / "cache")
    feed.fill(plan, 1, lambda *_: None)
    import copy
    import dataclasses

    other = dataclasses.replace(base, vae=copy.deepcopy(base.vae))
    next(iter(other.vae.parameters())).data += 0.01
    encoded: list[int] = []
    again, plan = fed(other, config(photos), tmp_path / "cache")
    again.fill(plan, 1, lambda _what, done, _total: encoded.append(done))
    assert encoded == [*range(7), 7]


def test_weights_of_photos_and_of_regularisation(base: BaseModel, photos: Path, tmp_path: Path) -> None:
    others = tmp_path / "class"
    others.mkdir()
    for number in range(3):
        Image.new("RGB", (64, 64), (60 * number, 200, 0)).save(others / f"{number}.png")
    settings = (f"dataset.regularisation={others}", "dataset.prior_weight=0.25", "dataset.weights=3*=2 5.png=0.5")
    feed, plan = fed(base, config(photos, *settings))
    found = all_inputs(feed, plan)
    shown = [item for batch in plan.epoch(1).batches for item in batch.items]
    assert sum(item.is_regularisation for item in shown) == 7
    weights = [weight for inputs in found for weight in inputs.weights.tolist()]
    expected = [
        0.25 if item.is_regularisation else {"3.png": 2.0, "5.png": 0.5}.get(item.photo.name, 1.0) for item in shown
    ]
    assert weights == expected


def test_captions_encoded_before_are_those_encoded_in_the_step(base: BaseModel, photos: Path) -> None:
    encoded, tokens = (all_inputs(*fed(base, config(photos), None, train_text)) for train_text in (False, True))
    for one, other in zip(encoded, tokens, strict=True):
        assert one.ids is None and one.context is not None and other.ids is not None
        torch.testing.assert_close(
            one.context, base.family.encode_text(base.text_encoder, other.ids), rtol=1e-4, atol=1e-5
        )
