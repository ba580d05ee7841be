"""Each keyword in each mode: picture and text are those of a direct job with that value."""

from __future__ import annotations

from typing import Any

import pytest

from tests.webui.client import Made, WebUI, same
from tests.webui.conftest import EXACT

EVERYWHERE = ("txt2img", "hires", "img2img")
FROM_IMAGE = ("img2img",)
SECOND = ("hires",)

# Keyword(s), the same for a direct job, the modes, and what both jobs have besides.
Case = tuple[str, dict[str, Any], tuple[str, ...], dict[str, Any]]
CASES: list[Case] = [
    ("<steps:3>", {"steps": 3}, EVERYWHERE, {}),
    ("<Steps: 3.0 >", {"steps": 3}, ("txt2img",), {}),
    ("<cfg_scale:9.5>", {"cfg_scale": 9.5}, EVERYWHERE, {}),
    ("<cfg:2>", {"cfg_scale": 2}, ("txt2img",), {}),
    ("<sampler_name:Heun>", {"sampler_name": "Heun"}, EVERYWHERE, {}),
    ("<sampler:euler a>", {"sampler_name": "Euler a"}, ("txt2img",), {}),
    (
        "<sampler:DPM++ 2M Karras>",
        {"sampler_name": "DPM++ 2M", "scheduler": "Karras"},
        EVERYWHERE,
        {"steps": 6},
    ),
    ("<scheduler:Exponential>", {"scheduler": "Exponential"}, EVERYWHERE, {"sampler_name": "DPM++ 2M", "steps": 6}),
    ("<width:96>", {"width": 96}, EVERYWHERE, {}),
    ("<height:128>", {"height": 128}, EVERYWHERE, {}),
    ("<size:96x128>", {"width": 96, "height": 128}, EVERYWHERE, {}),
    ("<seed:99>", {"seed": 99}, EVERYWHERE, {}),
    ("<subseed:11><subseed_strength:0.5>", {"subseed": 11, "subseed_strength": 0.5}, EVERYWHERE, {}),
    ("<clip_skip:3>", {"override_settings": {"CLIP_stop_at_last_layers": 3}}, EVERYWHERE, {}),
    ("<tiling:on>", {"tiling": True}, EVERYWHERE, {}),
    ("<tiling:false>", {"tiling": False}, ("txt2img",), {"tiling": True}),
    ("<eta:0.3>", {"eta": 0.3}, ("txt2img", "hires"), {"sampler_name": "Euler a"}),
    ("<s_churn:2>", {"override_settings": {"s_churn": 2.0}}, EVERYWHERE, {"steps": 4}),
    (
        "<s_churn:2><s_noise:1.1>",
        {"override_settings": {"s_churn": 2.0, "s_noise": 1.1}},
        ("txt2img",),
        {"steps": 4},
    ),
    ("<s_churn:2><s_tmin:1>", {"override_settings": {"s_churn": 2.0, "s_tmin": 1.0}}, ("txt2img",), {"steps": 4}),
    ("<s_churn:2><s_tmax:9>", {"override_settings": {"s_churn": 2.0, "s_tmax": 9.0}}, ("txt2img",), {"steps": 4}),
    (
        "<opt:eta_noise_seed_delta:5>",
        {"override_settings": {"eta_noise_seed_delta": 5}},
        EVERYWHERE,
        {"sampler_name": "Euler a"},
    ),
    (
        "<opt:uni_pc_order:2>",
        {"override_settings": {"uni_pc_order": 2}},
        ("txt2img",),
        {"sampler_name": "UniPC", "steps": 6},
    ),
    ("<negative:blurry>", {"negative_prompt": "dull, blurry"}, EVERYWHERE, {"negative_prompt": "dull"}),
    ("<denoising_strength:0.35>", {"denoising_strength": 0.35}, ("hires", "img2img", "inpaint"), {"steps": 4}),
    ("<hr_scale:2>", {"hr_scale": 2}, SECOND, {}),
    ("<hr_resize_x:128><hr_resize_y:128>", {"hr_resize_x": 128, "hr_resize_y": 128}, SECOND, {}),
    ("<hr_upscaler:Latent (nearest)>", {"hr_upscaler": "Latent (nearest)"}, SECOND, {}),
    ("<hr_steps:4>", {"hr_second_pass_steps": 4}, SECOND, {}),
    ("<hr_sampler:Heun>", {"hr_sampler_name": "Heun"}, SECOND, {}),
    ("<hr_scheduler:Karras>", {"hr_scheduler": "Karras"}, SECOND, {"sampler_name": "DPM++ 2M", "steps": 6}),
    ("<hr_cfg:3>", {"hr_cfg": 3}, SECOND, {}),
    ("<distilled_cfg:4>", {"distilled_cfg_scale": 4}, ("txt2img",), {}),
    ("<enable_hr:off>", {"enable_hr": False, "denoising_strength": None}, SECOND, {"denoising_strength": None}),
    ("<resize_mode:1>", {"resize_mode": 1}, FROM_IMAGE, {"height": 128}),
    ("<initial_noise_multiplier:0.6>", {"initial_noise_multiplier": 0.6}, FROM_IMAGE, {}),
    ("<mask_blur:1>", {"mask_blur": 1}, ("inpaint",), {}),
    ("<inpainting_fill:0>", {"inpainting_fill": 0}, ("inpaint",), {}),
    ("<inpainting_fill:3>", {"inpainting_fill": 3}, ("inpaint",), {}),
    (
        "<inpaint_full_res:on><inpaint_full_res_padding:4>",
        {"inpaint_full_res": True, "inpaint_full_res_padding": 4},
        ("inpaint",),
        {},
    ),
]
FLAT = [(tag, fields, mode, more) for tag, fields, modes, more in CASES for mode in modes]
ONLY_FORGE = ("hr_cfg", "distilled_cfg")


def compare(keyword: Made, direct: Made, unchanged: Made | None) -> None:
    assert keyword.plain == direct.plain
    assert all(map(same, keyword.images, direct.images))
    assert len(keyword.images) == len(direct.images)
    if unchanged is not None:
        assert not same(keyword.images[0], unchanged.images[0]) or keyword.plain != unchanged.plain


@pytest.mark.parametrize(("tag", "fields", "mode", "more"), FLAT, ids=[f"{tag}-{mode}" for tag, _, mode, _ in FLAT])
def test_keyword(webui: WebUI, tag: str, fields: dict[str, Any], mode: str, more: dict[str, Any]) -> None:
    if any(name in tag for name in ONLY_FORGE) and not webui.is_forge:
        pytest.skip("Only Forge has this.")
    options = webui.options()
    lacking = [name for name in fields.get("override_settings", {}) if name not in options]
    if lacking or ("Latent" in tag and webui.upscaler() != "Latent"):
        pytest.skip(f"This WebUI has no {' or '.join(lacking) or 'upscaler of latents'}.")
    fields = {name: webui.size(value) if name in ("width", "height") else value for name, value in fields.items()}
    base = {"prompt": "a cat", **more}
    keyword = webui.make(mode, **{**base, "prompt": f"{base['prompt']} {tag}"})
    direct = webui.make(mode, **{**base, **fields})
    compare(keyword, direct, None)


@pytest.mark.parametrize("mode", EVERYWHERE)
def test_checkpoint(webui: WebUI, other_checkpoint: str, mode: str) -> None:
    keyword = webui.make(mode, prompt=f"a cat <checkpoint:{other_checkpoint}>")
    direct = webui.make(mode, prompt="a cat", override_settings={"sd_model_checkpoint": other_checkpoint})
    compare(keyword, direct, webui.make(mode, prompt="a cat"))


@pytest.mark.parametrize("mode", EVERYWHERE)
def test_vae(webui: WebUI, mode: str) -> None:
    path = "/sdapi/v1/sd-modules" if webui.is_forge else "/sdapi/v1/sd-vae"
    names = [one["model_name"] for one in webui.call(path) if "text_encoder" not in str(one["filename"])]
    if not names:
        pytest.skip("The WebUI has no VAE file.")
    override = {"forge_additional_modules": [names[0]]} if webui.is_forge else {"sd_vae": names[0]}
    keyword = webui.make(mode, prompt=f"a cat <vae:{names[0]}>")
    compare(keyword, webui.make(mode, prompt="a cat", override_settings=override), webui.make(mode, prompt="a cat"))


def test_checkpoint_of_the_hires_pass(webui: WebUI, other_checkpoint: str) -> None:
    keyword = webui.make("hires", prompt=f"a cat <hr_checkpoint:{other_checkpoint}>")
    direct = webui.make("hires", prompt="a cat", hr_checkpoint_name=other_checkpoint)
    compare(keyword, direct, webui.make("hires", prompt="a cat"))


@pytest.mark.parametrize("mode", ("txt2img", "img2img"))
def test_refiner(webui: WebUI, other_checkpoint: str, mode: str) -> None:
    tags = f"<refiner:{other_checkpoint}><refiner_switch_at:0.5>"
    keyword = webui.make(mode, prompt=f"a cat {tags}", steps=6)
    fields = {"refiner_checkpoint": other_checkpoint, "refiner_switch_at": 0.5}
    compare(keyword, webui.make(mode, prompt="a cat", steps=6, **fields), webui.make(mode, prompt="a cat", steps=6))


def test_enable_hr(webui: WebUI) -> None:
    keyword = webui.make(
        prompt="a cat <hires:on><hr_scale:1.5><hr_upscaler:" + webui.upscaler() + "><denoising:0.7><hr_steps:2>"
    )
    compare(keyword, webui.make("hires", prompt="a cat"), None)


def test_neo_6_hires_by_keyword_alone(webui: WebUI) -> None:
    """No upscaler is named: the WebUI's own default enlarges."""
    assert len(webui.make(prompt="a cat <hires:on><hr_scale:1.5><hr_steps:2>").images) == 1


def test_batch_count_and_size(webui: WebUI) -> None:
    webui.call("/sdapi/v1/options", {EXACT: False})
    try:
        keyword = webui.make(prompt="a cat <n_iter:2><batch_size:2>")
    finally:
        webui.call("/sdapi/v1/options", {EXACT: True})
    compare(keyword, webui.make(prompt="a cat", n_iter=2, batch_size=2), None)


def test_keywords_of_the_old_extension(webui: WebUI) -> None:
    loras = webui.call("/sdapi/v1/loras")
    if not loras:
        pytest.skip("The WebUI has no LoRA.")
    name = loras[0]["name"]
    old = f"<addnet_enabled:1><addnet_model_1:{name}(0123456789ab)><addnet_weight_1:0.7>"
    compare(webui.make(prompt=f"a cat {old}"), webui.make(prompt=f"a cat <lora:{name}:0.7>"), None)
