"""The loss on held-out photos: the right number, beside the training that it does not touch, in the files and the diary."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from lib_lora_train.grid import discover, numbers
from lib_lora_train.train import config as configs
from lib_lora_train.train.base.load import load_base
from lib_lora_train.train.dataset import scan
from lib_lora_train.train.dataset.buckets import place
from lib_lora_train.train.dataset.held_out import hold_out
from lib_lora_train.train.dataset.photos import Photo
from lib_lora_train.train.draws import Occasion, draw_sample
from lib_lora_train.train.held_out import timesteps
from lib_lora_train.train.job import Job
from lib_lora_train.train.sections import BaseConfig, ObjectiveConfig
from lib_lora_train.train.setup import attach, start_from
from tests.runs import Workshop, draw_photo, events, outputs, run
from tests.train.test_resume import data_of

TWO = "dataset.held_out=2"
SETTINGS = (TWO, "loop.epochs=3", "adapter.dropout=0.5", "adapter.module_dropout=0.3")


def told(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return file.metadata()


def chosen(job: Job) -> tuple[Photo, ...]:
    config = job.config()
    return hold_out(scan.scan(config.dataset, config.trigger_prompt), config).held_out


@pytest.fixture(scope="module")
def done(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Job:
    job = workshop.job(tmp_path_factory.mktemp("held"), *SETTINGS)
    assert run(job) == 0
    return job


def test_timesteps_are_the_middles_of_equal_parts() -> None:
    assert timesteps(ObjectiveConfig()) == [62, 187, 312, 437, 562, 687, 812, 937]
    assert timesteps(ObjectiveConfig(min_timestep=500, max_timestep=504)) == [500, 501, 502, 503]
    assert timesteps(ObjectiveConfig(min_timestep=999)) == [999]


@pytest.mark.parametrize(
    "settings",
    [
        (),
        ("loop.accumulation=3", "loop.batch_size=1", "adapter.dropout=0.3", "adapter.module_dropout=0.3"),
        ("adapter.text_encoder=false", "dataset.random_crop=true", "dataset.tag_dropout=0.3"),
        ("cache.latents=off", "objective.input_perturbation=0.1", "adapter.rank_dropout=0.3"),
    ],
    ids=["cached", "accumulation and dropout", "captions and crops", "nothing cached"],
)
def test_training_is_what_it_is_without_them(
    workshop: Workshop, jobs: Path, tmp_path: Path, settings: tuple[str, ...]
) -> None:
    """The same photos in a folder where the held-out ones never lay: the same weights, to the byte."""
    job = workshop.job(jobs, *settings, TWO)
    shutil.copytree(workshop.photos, tmp_path / "photos")
    for photo in chosen(job):
        (tmp_path / "photos" / photo.name).unlink()
    expected = workshop.job(jobs, *settings, f"dataset.path={tmp_path / 'photos'}", name="expected")
    assert run(job) == run(expected) == 0
    assert len(events(job, "step")) == len(events(expected, "step"))
    assert {name: data_of(file) for name, file in outputs(job).items()} == {
        name: data_of(file) for name, file in outputs(expected).items()
    }
    assert "ss_lora_loop_held_out_loss" not in told(expected.out / "cat.safetensors")


@torch.no_grad()
def test_the_number_by_its_definition(workshop: Workshop, done: Job) -> None:
    """The mean squared error of the noise, over photos and timesteps, of the base with the file that was saved."""
    config = done.config()
    base = load_base(BaseConfig(path=str(workshop.base)))
    assert start_from(attach(config, base), done.out / "cat-000002.safetensors") == []
    for model in (base.unet, base.text_encoder):
        model.eval()
    found: list[float] = []
    for photo in chosen(done):
        at = place(photo.size, config.dataset)
        image = Image.open(photo.path).resize(at.resized, Image.Resampling.LANCZOS)
        image = image.crop((*at.crop, at.crop[0] + at.bucket[0], at.crop[1] + at.bucket[1]))
        pixels = torch.from_numpy(numpy.array(image)).permute(2, 0, 1)[None]
        mean = base.family.encode_images(base.vae, pixels / 127.5 - 1)[0]
        ids = base.family.tokenize(base.tokenizer, [photo.path.with_suffix(".txt").read_text()], 75)
        context = base.family.encode_text(base.text_encoder, ids)
        for timestep in (62, 187, 312, 437, 562, 687, 812, 937):
            drawn = Occasion(config.seed, f"{photo.identity} held out", timestep, 0)
            noise = draw_sample(drawn, (4, *mean.shape[2:]), ObjectiveConfig()).noise[None]
            alpha = base.alphas_cumprod[timestep]
            answer = base.family.predict(
                base.unet, alpha.sqrt() * mean + (1 - alpha).sqrt() * noise, torch.tensor([timestep]), context
            )
            found.append(float((answer - noise).square().mean()))
    assert len(found) == 16
    written = float(told(done.out / "cat-000002.safetensors")["ss_lora_loop_held_out_loss"])
    assert written == pytest.approx(sum(found) / len(found), rel=1e-4)


def test_files_and_diary_say_the_same_and_the_grid_reads_it(done: Job) -> None:
    steps = events(done, "step")
    run_ = discover.find(str(done.folder))
    read = numbers.losses(run_.epochs, run_.job)
    saved = {event["file"]: event for event in events(done, "saved") if "file" in event}
    values: list[float] = []
    for epoch in (1, 2, 3):
        of_epoch = [event["loss"] for event in steps if event["epoch"] == epoch]
        name = f"cat-{epoch:06d}.safetensors"
        texts = told(done.out / name)
        assert float(texts["ss_lora_loop_loss"]) == pytest.approx(sum(of_epoch) / len(of_epoch), rel=1e-5)
        assert float(texts["ss_lora_loop_held_out_loss"]) == pytest.approx(saved[name]["held_out"], rel=1e-5)
        losses = read[f"cat-{epoch:06d}"]
        assert (f"{losses.training:.6g}", f"{losses.held_out:.6g}") == (
            texts["ss_lora_loop_loss"],
            texts["ss_lora_loop_held_out_loss"],
        )
        values.append(saved[name]["held_out"])
    assert len(set(values)) == 3
    final, last = told(done.out / "cat.safetensors"), told(done.out / "cat-000003.safetensors")
    for key in ("ss_lora_loop_loss", "ss_lora_loop_held_out_loss"):
        assert final[key] == last[key]
    assert (final["ss_num_validation_images"], final["ss_num_train_images"]) == ("2", "5")
    assert float(final["ss_validation_split"]) == pytest.approx(2 / 7, abs=1e-6)
    held = {photo.path.with_suffix(".txt").read_text().split(", ")[1] for photo in chosen(done)}
    assert held.isdisjoint(json.loads(final["ss_tag_frequency"])["photos"])


def test_old_files_without_it_are_read_from_the_diary(done: Job, tmp_path: Path) -> None:
    """The diary alone gives the same numbers, to the metadata's six digits."""
    run_ = discover.find(str(done.folder))
    bare = [replace(epoch, file=replace(epoch.file, metadata={})) for epoch in run_.epochs]
    read, expected = numbers.losses(bare, run_.job), numbers.losses(run_.epochs)
    for name, losses in expected.items():
        assert losses.training is not None and losses.held_out is not None
        assert read[name].training == pytest.approx(losses.training, rel=1e-5)
        assert read[name].held_out == pytest.approx(losses.held_out, rel=1e-5)


def test_a_file_that_is_saved_in_mid_epoch_has_the_mean_so_far(workshop: Workshop, jobs: Path) -> None:
    job = workshop.job(jobs, TWO, "loop.batch_size=1", "save.every_steps=7", "loop.epochs=2")
    assert run(job) == 0
    steps = events(job, "step")
    seventh = next(event for event in steps if event["step"] == 7)
    so_far = [event["loss"] for event in steps if event["epoch"] == seventh["epoch"] and event["step"] <= 7]
    assert len(so_far) == 2
    texts = told(job.out / "cat-step00000007.safetensors")
    assert float(texts["ss_lora_loop_loss"]) == pytest.approx(sum(so_far) / 2, rel=1e-5)


def test_where_latents_come_from_does_not_change_the_number(workshop: Workshop, jobs: Path, done: Job) -> None:
    expected = [event["held_out"] for event in events(done, "saved") if "file" in event]
    for name, settings in (("off", "cache.latents=off"), ("memory", "cache.latents=memory")):
        job = workshop.job(jobs, *SETTINGS, settings, name=name)
        assert run(job) == 0
        assert [event["held_out"] for event in events(job, "saved") if "file" in event] == expected


def test_the_final_file_that_was_lost_comes_back_the_same(done: Job, tmp_path: Path) -> None:
    """Nothing is trained any more, so the number comes from the state."""
    shutil.copytree(done.folder, tmp_path / "job")
    again = Job(tmp_path / "job")
    (again.out / "cat.safetensors").unlink()
    assert run(again) == 0
    assert outputs(again) == outputs(done)


def test_new_photos_are_trained_on_and_held_out_ones_stay_out(workshop: Workshop, jobs: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(workshop.photos, photos)
    job = workshop.job(jobs, TWO, f"dataset.path={photos}", "loop.epochs=1")
    held = {photo.name for photo in chosen(job)}
    assert run(job) == 0
    for number in range(7, 12):
        draw_photo(photos / f"{number}.png", number)
    values = configs.merge(job.read()["config"], {"loop": {"epochs": 2}})
    job.update(config=values, accept=["dataset"], status="queued")
    assert run(job) == 0
    sentence = next(event["message"] for event in reversed(events(job, "state")) if "held out" in event["message"])
    assert all(name in sentence for name in held) and sentence.startswith("2 photos are held out of training")
    assert events(job, "saved")[-1]["held_out"] != events(job, "saved")[0]["held_out"]


def test_too_many_are_refused_before_the_first_step(workshop: Workshop, jobs: Path) -> None:
    job = workshop.job(jobs, "dataset.held_out=0.9")
    assert run(job) == 3
    assert "keep more than half of 7 photos" in events(job, "error")[-1]["message"] and not events(job, "step")
