"""Types, ranges and names of keywords; the old extension's names."""

from __future__ import annotations

import pytest

from lib_lora_train.keywords.catalogue import (
    CHECKPOINT,
    LORA,
    SAMPLER,
    SCHEDULER,
    STYLE,
    UPSCALER,
    VAE,
    Catalogue,
    Entry,
)
from lib_lora_train.keywords.check import OptionSpec, Rules, Settings, check
from lib_lora_train.keywords.errors import KeywordError
from lib_lora_train.keywords.read import read
from lib_lora_train.keywords.table import KEYWORDS

NAMES = Catalogue(
    {
        CHECKPOINT: (
            Entry("sd/real_v5.safetensors", ("sd/real_v5.safetensors [aaaa111122]", "aaaa111122", "real_v5")),
            Entry("sd/real_v6.safetensors", ("real_v6",)),
            Entry("anime.ckpt", ("anime",)),
            Entry("b.safetensors", ("b",)),
        ),
        VAE: (Entry("Automatic", ("auto",)), Entry("None"), Entry("kl.vae.pt", ("kl.vae",))),
        SAMPLER: (Entry("Euler", ("k_euler",)), Entry("Euler a"), Entry("DPM++ 2M"), Entry("DPM++ 2M SDE")),
        SCHEDULER: (
            Entry("Automatic", ("automatic",)),
            Entry("Karras", ("karras",)),
            Entry("SGM Uniform", ("sgm_uniform",)),
        ),
        UPSCALER: (Entry("Latent"), Entry("Latent (nearest)")),
        STYLE: (Entry("noir"), Entry("line art")),
        LORA: (Entry("me-000004"),),
    }
)
OPTIONS = {
    "eta_noise_seed_delta": OptionSpec(0),
    "emphasis": OptionSpec("Original", choices=("Original", "No norm")),
    "sgm_noise_multiplier": OptionSpec(False),
    "s_churn": OptionSpec(0.0, 0.0, 100.0),
}


def settings(text: str, mode: str = "txt2img") -> Settings:
    return check(read(text).tags, Rules(NAMES, OPTIONS, frozenset({"hr_cfg"}), mode))


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("<steps:20>", {"steps": 20}),
        ("<steps:20.0>", {"steps": 20}),
        ("<cfg:7>", {"cfg_scale": 7.0}),
        ("<size:768 x 1024>", {"width": 768, "height": 1024}),
        ("<tiling:off><restore_faces:TRUE>", {"tiling": False, "restore_faces": True}),
        ("<model:real_v5>", {"checkpoint": "sd/real_v5.safetensors"}),
        ("<checkpoint:SD\\Real_V5.safetensors>", {"checkpoint": "sd/real_v5.safetensors"}),
        ("<checkpoint:aaaa111122>", {"checkpoint": "sd/real_v5.safetensors"}),
        ("<checkpoint:anim>", {"checkpoint": "anime.ckpt"}),
        ("<checkpoint:b>", {"checkpoint": "b.safetensors"}),
        ("<vae:none>", {"vae": "None"}),
        ("<vae:AUTO>", {"vae": "Automatic"}),
        ("<sampler:euler a>", {"sampler_name": "Euler a"}),
        ("<sampler:DPM++ 2M Karras>", {"sampler_name": "DPM++ 2M", "scheduler": "Karras"}),
        ("<sampler:dpm++ 2m sde sgm uniform>", {"sampler_name": "DPM++ 2M SDE", "scheduler": "SGM Uniform"}),
        ("<hr_sampler:Euler Karras>", {"hr_sampler": "Euler", "hr_scheduler": "Karras"}),
        ("<seed:-1>", {"seed": -1}),
        ("<styles:noir, Line Art>", {"styles": "noir\nline art"}),
        ("<opt:eta_noise_seed_delta:31337>", {"opt:eta_noise_seed_delta": 31337}),
        ("<opt:emphasis:no norm>", {"opt:emphasis": "No norm"}),
        ("<opt:sgm_noise_multiplier:on>", {"opt:sgm_noise_multiplier": True}),
        ('<negative:"a: b">', {"negative_prompt": "a: b"}),
    ],
)
def test_values(text: str, values: dict[str, object]) -> None:
    found = settings(text, "hires").values
    assert found == values
    assert [type(value) for value in found.values()] == [type(value) for value in values.values()]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<steps:0>", "steps takes 1 to 1000"),
        ("<steps:2.5>", "whole numbers"),
        ("<cfg_scale:nan>", "out of range"),
        ("<cfg_scale:inf>", "out of range"),
        ("<size:large>", "width x height"),
        ("<tiling:maybe>", "on or off"),
        ("<checkpoint:real>", "several checkpoints fit 'real': sd/real_v5.safetensors, sd/real_v6.safetensors"),
        ("<checkpoint:anmie>", "the nearest: anime.ckpt"),
        ("<sampler:Oiler>", "the nearest: Euler"),
        ("<hr_cfg:3>", "this WebUI has no hr_cfg"),
        ("<opt:outdir_samples:/tmp>", "may not be set from a prompt"),
        ("<opt:sd_model_checkpoint:b>", "may not be set"),
        ("<opt:randn_source:CPU>", "has no option"),
        ("<opt:s_churn:101>", "0 to 100"),
        ("<opt:emphasis:loud>", "there are Original, No norm"),
        ("<opt:emphasis>", "value is missing"),
        ("<addnet_model_1:you>", "there is no LoRA 'you'"),
        ("<ddim_discretize:odd>", "there are uniform, quad"),
    ],
)
def test_refusals(text: str, said: str) -> None:
    with pytest.raises(KeywordError) as raised:
        settings(text)
    assert said in str(raised.value) and str(raised.value).startswith("<")
    assert "\n" not in str(raised.value)


def test_old_lora_slots_become_tags() -> None:
    found = settings(
        "<addnet_enabled:1><addnet_model_1:me-000004(0123456789ab)><addnet_weight_1:0.6><addnet_model_2:None>"
    )
    assert found.added == "<lora:me-000004:0.6>"
    assert "became <lora:me-000004:0.6>" in found.notes[0]
    assert settings("<addnet_enabled:0><addnet_model_1:me-000004>").added == ""


def test_no_effect_here_is_told() -> None:
    assert "acts in hires only" in settings("<hr_scale:2>").notes[0]
    assert not settings("<hr_scale:2>", "hires").notes
    assert not settings("<enable_hr:on><hr_scale:2>").notes
    assert "acts in inpaint only" in settings("<mask_blur:2>", "img2img").notes[0]


def test_every_name_of_the_old_extension_is_known() -> None:
    old = [
        "checkpoint",
        "vae",
        "clip_skip",
        "cfg_scale",
        "seed",
        "subseed",
        "subseed_strength",
        "sampler_name",
        "steps",
        "width",
        "height",
        "tiling",
        "restore_faces",
        "s_churn",
        "s_tmin",
        "s_tmax",
        "s_noise",
        "eta",
        "ddim_discretize",
        "denoising_strength",
        "hr_scale",
        "hr_upscaler",
        "hr_second_pass_steps",
        "hr_resize_x",
        "hr_resize_y",
        "mask_blur",
        "inpainting_mask_weight",
    ]
    assert set(old) <= {row.name for row in KEYWORDS}
    slots = [
        f"addnet_{part}_{number}" for part in ("module", "model", "weight_a", "weight_b") for number in range(1, 6)
    ]
    assert [tag.name for tag in read("".join(f"<{slot}:1>" for slot in slots)).tags] == slots
