"""Faults that real Forge Neo showed, in the double of it and, where they concern all, of the others."""

from __future__ import annotations

import copy
import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lib_lora_train.files import card
from lib_lora_train.files.safetensors_header import read_header
from lib_lora_train.host import checkpoints, door, find, finding, infotext
from lib_lora_train.host.errors import HostError, RequestError
from lib_lora_train.host.forge import Forge
from lib_lora_train.keywords.catalogue import CHECKPOINT, Catalogue, Entry
from lib_lora_train.keywords.errors import KeywordError
from lib_lora_train.train.base import signatures
from tests import checkpoint_files
from tests.host.double import Double, Other, webui

__all__ = ["webui"]


def only(webui: Double, kind: str) -> None:
    if webui.recording["version"] != kind and kind == "neo":
        pytest.skip("Forge Neo alone does that.")
    if kind == "forge" and not webui.is_forge:
        pytest.skip("Forge and what was made of it do that.")


def test_neo_1_hires_prompts_of_every_batch_are_recorded_as_they_were_drawn(webui: Double) -> None:
    """Neo writes its own record in the hires pass, after ours, and takes it from the first batch's list."""
    done = webui.make(
        prompt="a {red|green|blue} cat", hr_prompt="a sharp {red|green|blue} cat", enable_hr=True, n_iter=6
    )
    for shot, text in zip(webui.rendered, done.texts, strict=True):
        said = re.search(r"Hires prompt: ([^,]*)", text)
        assert (said[1] if said else shot["prompt"]) == shot["hr_prompt"]
    assert len({shot["hr_prompt"] for shot in webui.rendered}) > 1


def test_neo_1_the_job_keeps_nothing_of_ours(webui: Double) -> None:
    p = webui.job(prompt="a {red|green} cat", enable_hr=True)
    webui.process_images(p)
    assert not {"get_hr_prompt", "get_hr_negative_prompt"} & set(vars(p))


def test_neo_1_a_copy_of_a_running_job_has_a_hires_record_of_its_own(webui: Double) -> None:
    only(webui, "neo")
    copies: list[Any] = []

    class Copying(Other):
        def process_batch(self, p: Any, *_: Any, **__: Any) -> None:
            copies.append(copy.copy(p))

    script = webui.runner.add(Copying())
    webui.make(prompt="a {red|red} cat", hr_prompt="a {sharp|sharp} cat", enable_hr=True)
    webui.runner.alwayson_scripts.remove(script)
    [again] = copies
    again.prompt, again.hr_prompt, again.n_iter, again.extra_generation_params = "a dog", "a soft dog", 1, {}
    assert "Hires prompt: a soft dog" in webui.process_images(again).texts[0]


@pytest.mark.parametrize("template", ["a {flux capacitor|flux gate}", "a {FLUX|Flux} cat", 'a {flux, "x: y"|flux}\nb'])
def test_neo_2_the_word_flux_does_not_stand_in_our_fields(webui: Double, template: str) -> None:
    """Neo takes it for the mark of a Flux model's picture and sets the CFG scale to 1."""
    done = webui.make(prompt=f"{template} <styles:noir>", seed=3, cfg_scale=7.0)
    line = done.texts[0].rpartition("\n")[2]
    assert "flux" not in line.lower()
    said = {key: json.loads(value) if value.startswith('"') else value for key, value in PARAMETER.findall(line)}
    assert said["Prompt template"] == f"{template} <styles:noir>"
    assert json.loads(said["Prompt choices"])["drawn"]["prompt"]["0"].lower().startswith("flux")
    assert infotext.recorded(done.texts[0])["template"] == f"{template} <styles:noir>"


PARAMETER = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')


def test_neo_6_hires_by_keyword_needs_no_upscaler(webui: Double) -> None:
    """Neo has no latent upscalers, and takes None for one of their modes."""
    only(webui, "forge")
    default = "Latent" if webui.recording["latent_upscale_modes"] else "None"
    sys.modules["modules.shared"].latent_upscale_default_mode = default  # type: ignore[attr-defined]
    p = webui.job(prompt="a cat", hr_upscaler=None)
    find().apply(p, {"enable_hr": True})
    assert p.hr_upscaler == default
    p.hr_upscaler = "ESRGAN"
    find().apply(p, {"enable_hr": True})
    assert p.hr_upscaler == "ESRGAN"


@pytest.mark.parametrize(
    ("path", "is_encoder"),
    [
        ("/w/models/VAE/x.safetensors", False),
        ("/w/models/text_encoder/x.safetensors", True),
        ("/comfy/models/text_encoders/x.safetensors", True),
        ("/comfy/models/clip/x.safetensors", True),
        ("/mnt/clip/comfy/models/vae/x.safetensors", False),
        ("/elsewhere/encoders/x.safetensors", True),
        ("/elsewhere/encoders/deep/er/x.safetensors", True),
        ("/elsewhere/clip/pictures/x.safetensors", False),
        ("/anywhere/x.safetensors", False),
    ],
)
def test_neo_9_text_encoders_of_any_folder(webui: Double, path: str, is_encoder: bool) -> None:
    only(webui, "forge")
    webui.flags.text_encoder_dirs = ["/elsewhere/encoders"]
    webui.flags.vae_dirs = ["/elsewhere/clip/pictures"]
    host = find()
    assert isinstance(host, Forge) and host.is_text_encoder(path) == is_encoder
    sys.modules["modules_forge.main_entry"].module_list = {"x.safetensors": path}  # type: ignore[attr-defined]
    assert bool(host.vaes()) != is_encoder


def test_neo_9_a_vae_by_keyword_keeps_the_text_encoders(webui: Double) -> None:
    only(webui, "forge")
    webui.opts.data["forge_additional_modules"] = ["/comfy/models/text_encoders/qwen.safetensors", "/v/old.pt"]
    assert find().vae_override("kl.vae.pt") == {
        "forge_additional_modules": ["/comfy/models/text_encoders/qwen.safetensors", "/v/kl.vae.pt"]
    }


def test_neo_10_sizes_go_in_the_steps_of_the_webui(webui: Double) -> None:
    done = webui.make(prompt="a cat <size:600x408>")
    step = 64 if webui.recording["version"] == "neo" else 8
    assert find().size_step == step
    wanted = (576, 384) if step == 64 else (600, 408)
    assert (webui.rendered[0]["width"], webui.rendered[0]["height"]) == wanted
    assert ("600 became 576, because sizes go in steps of 64" in str(done.extra_generation_params)) == (step == 64)
    webui.opts.data["res_step"] = 8
    webui.make(prompt="a cat <size:600x408>")
    assert (webui.rendered[1]["width"], webui.rendered[1]["height"]) == (600, 408)


def frames(monkeypatch: pytest.MonkeyPatch, webui: Double) -> None:
    """The page's preset makes videos."""
    only(webui, "neo")
    monkeypatch.setitem(
        sys.modules, "modules_forge.presets", SimpleNamespace(is_video=lambda name: 4 * (name == "wan"))
    )  # type: ignore[misc]
    webui.opts.data["forge_preset"] = "wan"


def test_neo_11_all_frames_of_a_video_have_one_text(webui: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawn for each frame, the prompts would cut the video; a keyword would make jobs of its frames."""
    frames(monkeypatch, webui)
    p = webui.job(prompt="a {red|blue|green} cat, {1|2|3|4}", batch_size=5, n_iter=2)
    done = webui.process_images(p)
    assert len(set(done.prompts)) == 1 and "{" not in done.prompts[0] and len(done.prompts) == 10
    assert done.all_seeds == list(range(7, 17)), "the seeds are the WebUI's"
    assert {infotext.recorded(text)["template"] for text in done.texts} == {"a {red|blue|green} cat, {1|2|3|4}"}
    assert [len(batch) for batch in webui.batches] == [5, 5] and p.prompt == "a {red|blue|green} cat, {1|2|3|4}"
    with pytest.raises(RequestError, match="makes videos"):
        webui.make(prompt="a cat <steps:3>", batch_size=5)
    assert len(webui.make(prompt="a {red|blue} cat <steps:{3|4}>").images) == 1, "one frame is a picture"


def test_neo_11_shift_is_a_name_of_distilled_cfg(webui: Double) -> None:
    if not webui.is_forge:
        pytest.skip("A1111 has no such field.")
    p = webui.job(prompt="a cat <shift:3>")
    webui.process_images(p)
    assert '"distilled_cfg": 3.0' in webui.make(prompt="a cat <shift:3>").texts[0].replace('\\"', '"')


def test_neo_11_the_release_is_part_of_the_name(webui: Double) -> None:
    only(webui, "neo")
    sys.modules["modules_forge.forge_version"].release = "2.26"  # type: ignore[attr-defined]
    assert find().name == "Forge neo 2.26"


def test_neo_11_lora_folders_are_a_list(webui: Double) -> None:
    webui.flags.lora_dirs = ["/more/loras", str(webui.folder)]
    assert [str(one) for one in find().lora_folders] == [str(webui.folder), "/more/loras"]


def test_f8_a_kept_checkpoint_is_not_moved_out_of_memory_for_each_image(webui: Double) -> None:
    """Forge's own change of checkpoint orders the model out of the GPU's memory, also where it is the chosen one."""
    only(webui, "forge")
    for _ in range(5):
        webui.make(prompt="a {red|blue} cat <checkpoint:two>")
    assert (webui.loads, webui.unloads) == (["two.safetensors"], 0)
    assert webui.options["sd_model_checkpoint"] == "one.safetensors"
    processing: Any = sys.modules["modules.processing"]
    webui.choose()
    processing.need_global_unload = True  # a person's own change, such as of the memory for the model
    webui.opts.data["sd_model_checkpoint"] = "two.safetensors"
    webui.choose()
    webui.make(prompt="a cat")
    assert webui.unloads == 1
    webui.opts.data["sd_model_checkpoint"] = "one.safetensors"
    webui.choose()
    assert webui.make(prompt="a cat").images and webui.loads[-1] == "one.safetensors"


def test_f8_the_page_has_its_checkpoint_back_after_a_failure(webui: Double) -> None:
    only(webui, "forge")
    webui.make(prompt="a cat")
    webui.at_image(0, "raise")
    with pytest.raises(Exception, match="out of memory"):
        webui.make(prompt="a cat <checkpoint:two>")
    assert webui.options["sd_model_checkpoint"] == "one.safetensors"
    webui.at_image(-1, "")
    webui.make(prompt="a cat")
    assert webui.rendered[-1]["checkpoint"] == "one.safetensors"


def test_f5_a_lora_that_came_after_the_start_is_no_missing_one(webui: Double) -> None:
    """The WebUI's list is made at its start; it looks again only later in the job."""
    (webui.folder / "old.lora").touch()
    webui.look_for_loras()
    (webui.folder / "fresh-000009.lora").touch()
    done = webui.make(prompt="a {x|x} <lora:fresh-000009:1>")
    assert "there is no LoRA" not in done.comments
    assert webui.make(prompt="a {x|x} <lora:gone:1>").comments.count("there is no LoRA 'gone'") == 1


def test_f9b_an_empty_wildcard_in_a_keyword_is_named(webui: Double) -> None:
    with pytest.raises(
        RequestError, match=r"'checkpoints/graphic' is empty.*lora-loop/wildcards/checkpoints/graphic\.txt"
    ):
        webui.make(prompt="a cat <checkpoint:__checkpoints/graphic__>")


def test_sd_next_is_refused_with_a_sentence(webui: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no `checkpoint_aliases`, and copies the overrides, which once let the job go on with no picture."""
    monkeypatch.delattr(sys.modules["modules.sd_models"], "checkpoint_aliases")
    finding.find.cache_clear()
    assert not door.works_here()
    with pytest.raises(HostError, match=r"does not work in this WebUI.*checkpoint_aliases"):
        find()
    with pytest.raises(HostError, match="does not work"):
        door.Refusal(HostError("does not work")).copy()


@pytest.mark.parametrize(
    ("family", "keys"),
    [
        ("flux2", ["double_stream_modulation_img.lin.weight", "double_blocks.0.img_attn.qkv.weight"]),
        ("chroma", ["distilled_guidance_layer.norms.0.scale", "double_blocks.0.img_attn.qkv.weight"]),
        ("lumina", ["cap_embedder.1.weight", "layers.0.attention.qkv.weight"]),
        ("zimage", ["cap_embedder.1.weight", "cap_pad_token", "layers.0.attention.qkv.weight"]),
        ("anima", ["net.blocks.0.mlp.layer1.weight", "net.llm_adapter.blocks.0.cross_attn.q_proj.weight"]),
        ("krea", ["txtfusion.projector.weight", "blocks.0.attn.wq.weight"]),
        ("wan", ["head.modulation", "blocks.0.self_attn.q.weight"]),
        ("ernie", ["layers.0.mlp.linear_fc2.weight"]),
        ("qwen", ["txt_norm.weight", "transformer_blocks.0.attn.to_q.weight"]),
        ("flux", ["double_blocks.0.img_attn.qkv.weight"]),
    ],
)
def test_neo_11_families_that_neo_draws_with_are_named(
    webui: Double, tmp_path: Path, family: str, keys: list[str]
) -> None:
    file = tmp_path / "model.safetensors"
    checkpoint_files.write(file, {f"model.diffusion_model.{key}": [8, 8] for key in keys})
    assert signatures.family_of(read_header(file).shapes) == family
    assert "choose an SD 1.x checkpoint" in signatures.REFUSALS[family]
    with pytest.raises(KeywordError, match="which this WebUI cannot load; choose another"):
        checkpoints.refuse_misfits({"checkpoint": "m"}, "", "", Catalogue({CHECKPOINT: (Entry("m", (), str(file)),)}))


def test_neo_11_the_card_names_families_as_the_webui_around_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extension = tmp_path / "extensions" / "sd-webui-lora-loop"
    monkeypatch.setattr(card, "EXTENSION", extension)
    assert card.fields("sd1", "ohwx", 0.8)["sd version"] == "SD1"
    (tmp_path / "modules_forge").mkdir()
    (tmp_path / "modules_forge" / "presets.py").touch()
    assert card.fields("sd1", "ohwx", 0.8)["sd version"] == "sd"
    assert card.fields("sdxl", "ohwx", 0.8)["sd version"] == "xl"
