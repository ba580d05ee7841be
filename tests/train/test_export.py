"""The files people get: read by diffusers with every key used, described for every host, and checked when written."""

from __future__ import annotations

import hashlib
import json
import re
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from lib_lora_train.train import export
from lib_lora_train.train.adapters import Adapter
from lib_lora_train.train.base.family import BaseModel
from lib_lora_train.train.base.load import load_base
from lib_lora_train.train.base.tokenizer import PACKAGED
from lib_lora_train.train.errors import NotFinite, TrainError
from lib_lora_train.train.job import Job
from lib_lora_train.train.sections import BaseConfig
from lib_lora_train.train.setup import attach, start_from
from tests.runs import Workshop, copy_job, events, run

pytestmark = pytest.mark.torch

# training.md 2.2: what kohya writes for a run of one dataset.
KOHYAS = """
ss_session_id ss_training_started_at ss_output_name ss_learning_rate ss_text_encoder_lr ss_unet_lr ss_num_train_images
ss_num_validation_images ss_validation_seed ss_validation_split ss_max_validation_steps ss_validate_every_n_epochs
ss_validate_every_n_steps ss_resize_interpolation ss_num_reg_images ss_num_batches_per_epoch ss_num_epochs
ss_gradient_checkpointing ss_gradient_accumulation_steps ss_max_train_steps ss_lr_warmup_steps ss_lr_scheduler
ss_network_module ss_network_dim ss_network_alpha ss_network_dropout ss_network_args ss_mixed_precision ss_full_fp16
ss_v2 ss_base_model_version ss_clip_skip ss_max_token_length ss_cache_latents ss_seed ss_lowram ss_noise_offset
ss_noise_offset_random_strength ss_multires_noise_iterations ss_multires_noise_discount ss_adaptive_noise_scale
ss_zero_terminal_snr ss_ip_noise_gamma ss_ip_noise_gamma_random_strength ss_training_comment
ss_sd_scripts_commit_hash ss_optimizer ss_max_grad_norm ss_caption_dropout_rate ss_caption_dropout_every_n_epochs
ss_caption_tag_dropout_rate ss_face_crop_aug_range ss_prior_loss_weight ss_min_snr_gamma ss_scale_weight_norms
ss_debiased_estimation ss_loss_type ss_huber_schedule ss_huber_c ss_huber_scale ss_fp8_base ss_fp8_base_unet
ss_batch_size_per_device ss_total_batch_size ss_resolution ss_color_aug ss_flip_aug ss_random_crop ss_shuffle_caption
ss_enable_bucket ss_bucket_no_upscale ss_min_bucket_reso ss_max_bucket_reso ss_keep_tokens ss_dataset_dirs
ss_reg_dataset_dirs ss_tag_frequency ss_bucket_info ss_sd_model_name ss_sd_model_hash ss_new_sd_model_hash ss_vae_name
ss_vae_hash ss_new_vae_hash ss_training_finished_at ss_steps ss_epoch sshs_model_hash sshs_legacy_hash
modelspec.sai_model_spec modelspec.architecture modelspec.implementation modelspec.title modelspec.resolution
modelspec.date modelspec.prediction_type modelspec.timestep_range modelspec.encoder_layer
"""


@pytest.fixture(scope="module")
def done(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A finished run of two epochs, copied to a host, with samples; its rate is high, so that the LoRA does much."""
    home = tmp_path_factory.mktemp("export")
    (home / "Lora").mkdir()
    (home / "Lora" / "cat.json").write_text('{"notes": "mine"}')
    job = workshop.job(
        home,
        "optimizer.learning_rate=0.02",
        "adapter.conv_rank=2",
        "save.comment=for Ann",
        "save.preferred_weight=0.8",
        "samples.prompts=a cat --w 64 --h 64 --s 2",
        f"save.copy_to={home / 'Lora'}",
    )
    assert run(job) == 0
    return job


@pytest.fixture(scope="module")
def final(done: Job) -> Path:
    return done.out / "cat.safetensors"


@pytest.fixture(scope="module")
def told(final: Path) -> dict[str, str]:
    with safe_open(final, framework="pt") as file:
        return file.metadata()


def fresh(workshop: Workshop) -> BaseModel:
    return load_base(BaseConfig(path=str(workshop.base)))


@torch.no_grad()
def answer(base: BaseModel, unet: Any, text_encoder: Any) -> torch.Tensor:
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    context = base.family.encode_text(text_encoder, base.family.tokenize(base.tokenizer, ["ohwx cat"], 75))
    return base.family.predict(unet, latents, torch.tensor([400]), context)


def test_diffusers_uses_every_key_and_draws_what_we_drew(workshop: Workshop, done: Job, final: Path) -> None:
    from diffusers import DDIMScheduler, StableDiffusionPipeline
    from transformers import CLIPTokenizer

    ours, theirs = fresh(workshop), fresh(workshop)
    plain = answer(ours, ours.unet, ours.text_encoder)
    adapter = attach(done.config(), ours)
    assert start_from(adapter, final) == []
    expected = answer(ours, ours.unet, ours.text_encoder)
    assert (expected - plain).abs().max() > 0.01
    words = CLIPTokenizer(str(PACKAGED / "vocab.json"), str(PACKAGED / "merges.txt"))
    parts = dict(vae=theirs.vae, text_encoder=theirs.text_encoder, unet=theirs.unet, tokenizer=words)
    pipeline = StableDiffusionPipeline(
        **parts, scheduler=DDIMScheduler(), safety_checker=None, feature_extractor=None, requires_safety_checker=False
    )
    pipeline.load_lora_weights(final.parent, weight_name=final.name)
    layers = [
        module
        for model in (pipeline.unet, pipeline.text_encoder)
        for module in model.modules()
        if getattr(module, "lora_A", None)
    ]
    stored = load_file(final)
    assert 3 * len(layers) == len(stored) == 3 * events(done, "saved")[-1]["matched"]
    sums = sorted(round(float(module.lora_A["default_0"].weight.double().sum()), 4) for module in layers)
    assert sums == sorted(round(float(t.double().sum()), 4) for name, t in stored.items() if "lora_down" in name)
    found = answer(theirs, pipeline.unet, pipeline.text_encoder)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_all_of_kohyas_metadata_is_there_as_text(told: dict[str, str]) -> None:
    assert set(KOHYAS.split()) - told.keys() == set()
    assert all(isinstance(value, str) for value in told.values())
    assert (told["ss_base_model_version"], told["ss_v2"], told["ss_output_name"]) == ("sd_v1", "False", "cat")
    assert told["modelspec.architecture"] == "stable-diffusion-v1/lora"
    assert (told["ss_num_train_images"], told["ss_num_epochs"], told["ss_epoch"]) == ("7", "2", "2")
    assert told["ss_steps"] == told["ss_max_train_steps"]
    assert json.loads(told["ss_dataset_dirs"]) == {"photos": {"n_repeats": 1, "img_count": 7}}
    tags = json.loads(told["ss_tag_frequency"])["photos"]
    assert (tags["ohwx cat"], tags["on a mat"], tags["tag 3"]) == (7, 7, 1)
    buckets = json.loads(told["ss_bucket_info"])["buckets"].values()
    assert sum(bucket["count"] for bucket in buckets) == 7 and all(len(b["resolution"]) == 2 for b in buckets)
    assert json.loads(told["ss_network_args"])["conv_dim"] == "2"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", told["modelspec.date"])


def test_s8_nothing_tells_where_it_was_made(told: dict[str, str], workshop: Workshop, done: Job) -> None:
    text = json.dumps(told)
    for private in (str(workshop.folder), str(done.folder), str(Path.home()), "/tmp", workshop.folder.name):
        assert private not in text.replace("https://", "")


def test_the_hashes_by_their_definition(final: Path, told: dict[str, str], workshop: Workshop) -> None:
    """sshs_model_hash: SHA-256 of what follows the header in a file saved with the ss_ keys only."""
    from safetensors.torch import save

    data = save(load_file(final), {key: value for key, value in told.items() if key.startswith("ss_")})
    [length] = struct.unpack("<Q", data[:8])
    assert told["sshs_model_hash"] == hashlib.sha256(data[8 + length :]).hexdigest()
    assert re.fullmatch("[0-9a-f]{8}", told["sshs_legacy_hash"])
    base = workshop.base.read_bytes()
    assert told["ss_new_sd_model_hash"] == hashlib.sha256(base).hexdigest()
    assert told["ss_sd_model_hash"] == hashlib.sha256(base[0x100000:0x110000]).hexdigest()[:8]


def test_the_last_epoch_has_both_names_and_the_same_weights(done: Job) -> None:
    names = sorted(path.name for path in done.out.glob("*.safetensors"))
    assert names == ["cat-000001.safetensors", "cat-000002.safetensors", "cat.safetensors"]
    one, other = load_file(done.out / "cat-000002.safetensors"), load_file(done.out / "cat.safetensors")
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    with safe_open(done.out / "cat-000002.safetensors", framework="pt") as file:
        assert file.metadata()["ss_output_name"] == "cat-000002"  # A1111 gives up aliases that are not unique


def test_card_and_preview_lie_beside_and_a_card_that_is_there_is_kept(done: Job, final: Path) -> None:
    card = json.loads(final.with_suffix(".json").read_text())
    assert (card["activation text"], card["preferred weight"], card["sd version"]) == ("ohwx cat", 0.8, "SD1")
    assert card["description"] == "for Ann" and "7 photos from tiny.safetensors" in card["notes"]
    newest = sorted(path for path in done.samples.glob("*.png") if "base" not in path.name)[-1]
    assert final.with_suffix(".png").read_bytes() == newest.read_bytes()
    host = done.folder.parent / "Lora"
    assert json.loads((host / "cat.json").read_text()) == {"notes": "mine"}
    assert (host / "cat.safetensors").read_bytes() == final.read_bytes()
    assert (host / "cat-000001.json").exists() and (host / "cat.png").exists()


def test_a_card_edited_between_is_kept_when_the_run_goes_on(done: Job, tmp_path: Path) -> None:
    job = copy_job(done, tmp_path / "again")
    (job.out / "cat.json").write_text('{"notes": "mine"}')
    assert run(job) == 0  # a finished run saves its last file again
    assert json.loads((job.out / "cat.json").read_text()) == {"notes": "mine"}


def test_bytes_follow_from_the_content() -> None:
    tensors = {"b": torch.ones(3), "a": torch.zeros(2, dtype=torch.float16)}
    texts = {f"key {number}": "ü" * number for number in range(20)}
    first = export.serialise(tensors, texts)
    backwards = export.serialise(dict(reversed(tensors.items())), dict(reversed(texts.items())))
    assert first == backwards and (int.from_bytes(first[:8], "little") % 8) == 0


def test_serialised_files_are_what_the_library_reads(tmp_path: Path) -> None:
    tensors = {"b": torch.ones(3), "a": torch.zeros(2, dtype=torch.float16)}
    (tmp_path / "x.safetensors").write_bytes(export.serialise(tensors, {"ü": '"\\\n'}))
    with safe_open(tmp_path / "x.safetensors", framework="pt") as file:
        assert file.metadata() == {"ü": '"\\\n'}
        assert torch.equal(file.get_tensor("b"), tensors["b"])


NAME = "lora_unet_x"
GOOD = {
    f"{NAME}.lora_down.weight": torch.ones(2, 3),
    f"{NAME}.lora_up.weight": torch.ones(4, 2),
    f"{NAME}.alpha": torch.tensor(1.0),
}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({f"{NAME}.lora_up.weight": None}, "1 keys are missing or strange, first lora_unet_x.lora_up"),
        ({f"{NAME}.alpha": None}, "first lora_unet_x.alpha"),
        ({"lora_unet_y.alpha": torch.ones(())}, "first lora_unet_y.alpha"),
        ({f"{NAME}.lora_up.weight": torch.ones(5, 2)}, "wrong shape"),
        ({f"{NAME}.lora_down.weight": torch.ones(2, 4)}, "wrong shape"),
        ({f"{NAME}.lora_up.weight": torch.ones(4, 3)}, "wrong shape"),
        ({f"{NAME}.lora_down.weight": torch.full((2, 3), float("nan"))}, "broken numbers"),
        ({f"{NAME}.alpha": torch.tensor(float("inf"))}, "broken numbers"),
    ],
)
def test_a_file_that_does_not_fit_its_base_is_refused(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    path, expected = tmp_path / "x.safetensors", {NAME: torch.Size((4, 3))}
    save_file(GOOD, path)
    assert export.verify(path, expected) == 1
    save_file({name: tensor for name, tensor in {**GOOD, **change}.items() if tensor is not None}, path)
    with pytest.raises(TrainError, match=said):
        export.verify(path, expected)


def test_numbers_that_leave_fp16_are_refused_before_the_old_file_is_touched(
    workshop: Workshop, done: Job, tmp_path: Path
) -> None:
    adapter: Adapter = attach(done.config(), fresh(workshop))
    path = tmp_path / "a.safetensors"
    export.write_lora(path, adapter, "fp16", {})
    before = path.read_bytes()
    next(iter(adapter.parts[0].parameters.values())).data[0, 0] = 1e5
    with pytest.raises(NotFinite, match=r"lora_te_\S+ does not fit into fp16; save as bf16"):
        export.write_lora(path, adapter, "fp16", {})
    assert path.read_bytes() == before
    assert export.write_lora(path, adapter, "bf16", {}).matched == len(adapter.parameters) // 2
