"""Rows K, P16 and P17 of the fault table: one test for each, named after it. Jobs run in the recorded double."""

from __future__ import annotations

import sys
import types

import pytest

from lib_lora_train.keywords.check import Rules, check
from lib_lora_train.keywords.errors import KeywordError
from lib_lora_train.keywords.read import read
from tests.checkpoint_files import CONTROLNET, EMBEDDING, FLUX, LORA, NOVEL, REFINER, SD1, SD3, SDXL, VAE, Shapes, write
from tests.host.double import Double, Failed, webui

__all__ = ["webui"]


def test_k1_unknown_keywords_are_untouched_and_near_misses_warned(webui: Double) -> None:
    done = webui.make(prompt="a cat <foo:1> <cgf:7> <lora:x:1>")
    assert done.prompts == ["a cat <foo:1> <cgf:7> <lora:x:1>"]
    assert "did you mean <cfg:" in done.comments and "foo" not in done.comments


@pytest.mark.parametrize("tag", ["<cfg:>", "<cfg:abc>", "<steps:-5>", "<steps:1e9>"])
def test_k2_bad_values_are_refused_with_their_range(webui: Double, tag: str) -> None:
    with pytest.raises(KeywordError, match=r"1 to 1000|0 to 100"):
        webui.make(prompt=f"a cat {tag}")
    assert webui.rendered == []


def test_k2_sizes_are_rounded_with_a_notice(webui: Double) -> None:
    done = webui.make(prompt="a cat <width:513>")
    assert [shot["width"] for shot in webui.rendered] == [512]
    assert "513 became 512" in done.comments


def test_k3_the_last_of_two_wins_with_a_notice(webui: Double) -> None:
    done = webui.make(prompt="<steps:3> a cat <steps:4>")
    assert [shot["steps"] for shot in webui.rendered] == [4]
    assert "the last one counts" in done.comments


def test_k4_each_image_of_a_batch_has_its_own_settings(webui: Double) -> None:
    done = webui.make(prompt="a cat <steps:{3|4|5}>", batch_size=4, n_iter=2)
    for text, shot in zip(done.texts, sorted(webui.rendered, key=lambda one: one["seed"]), strict=True):
        assert f"Steps: {shot['steps']}," in text and f'"steps\\": {shot["steps"]}' in text
    assert {shot["steps"] for shot in webui.rendered} == {3, 4, 5}
    assert all(len(batch) == 1 for batch in webui.batch_values("steps"))
    assert "different sets of settings" in done.comments


@pytest.mark.parametrize("how", ["raise", "interrupt"])
def test_k5_settings_are_as_before(webui: Double, how: str) -> None:
    before = dict(webui.options)
    webui.at_image(1, how)
    prompt = "a {red|blue} cat <checkpoint:{one|two}> <clip_skip:{3|4}> <vae:none>"
    if how == "raise":
        with pytest.raises(Failed):
            webui.make(prompt=prompt, n_iter=4)
    else:
        assert len(webui.make(prompt=prompt, n_iter=4).texts) == 2  # the one that was being made is finished
    assert webui.options == before
    webui.at_image(-1, "")
    assert webui.make(prompt="a cat").prompts == ["a cat"]
    assert webui.rendered[-1]["checkpoint"] == "one.safetensors"


@pytest.mark.parametrize(
    ("name", "said"), [("on", "one.safetensors"), ("thre", "three_b.safetensors"), ("threee_a", "three_a")]
)
def test_k6_checkpoints_are_refused_before_the_first_image(webui: Double, name: str, said: str) -> None:
    with pytest.raises(KeywordError, match=said):
        webui.make(prompt=f"a cat <checkpoint:{name}>", n_iter=3)
    assert webui.rendered == []


def put(webui: Double, name: str, shapes: Shapes) -> None:
    """A checkpoint file in the double's folder."""
    write(webui.folder / f"{name}.safetensors", shapes)


@pytest.mark.parametrize(
    ("shapes", "said"),
    [
        (LORA, "three_b.safetensors is a LoRA, not a checkpoint.*write <lora:three_b:1>"),
        (VAE, "is a VAE, not a checkpoint.*<vae:three_b>"),
        (EMBEDDING, "textual inversion embedding"),
        (CONTROLNET, "is a ControlNet"),
        (FLUX, "is a Flux model, which this WebUI cannot load"),
        (SD3, "is an SD 3 model, which this WebUI cannot load"),
    ],
)
def test_k6_files_of_another_kind_are_refused_before_the_first_image(webui: Double, shapes: Shapes, said: str) -> None:
    put(webui, "one", SD1)
    put(webui, "three_b", shapes)
    with pytest.raises(KeywordError, match=said) as refused:
        webui.make(prompt="a cat <checkpoint:{one|three_b}>", n_iter=8)
    assert webui.rendered == [] and str(refused.value).startswith("<checkpoint:three_b.safetensors>: ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("keyword", ["refiner", "hr_checkpoint"])
def test_k6_a_second_checkpoint_of_another_family_is_refused(webui: Double, keyword: str) -> None:
    put(webui, "one", SD1)
    put(webui, "two", SDXL)
    latent = bool(webui.recording["latent_upscale_modes"])  # Neo has none: its second pass begins with pixels
    hires = "<hires:on> <hr_upscaler:Latent>" if latent else "<hires:on>"
    if keyword == "hr_checkpoint" and not latent:
        assert len(webui.make(prompt=f"a cat <{keyword}:two> {hires}", n_iter=2).images) == 2
        return
    with pytest.raises(KeywordError, match=r"an SDXL model and cannot .* of one\.safetensors, an SD 1"):
        webui.make(prompt=f"a cat <{keyword}:two> {hires}", n_iter=2)
    with pytest.raises(KeywordError, match=r"cannot go on with the image of two\.safetensors"):
        webui.make(prompt=f"a cat <checkpoint:two> <{keyword}:one> {hires}")
    assert webui.rendered == []


def test_k6_what_fits_together_is_made(webui: Double) -> None:
    put(webui, "two", SDXL)
    put(webui, "three_a", REFINER)
    put(webui, "three_b", NOVEL)
    webui.make(prompt="a cat <checkpoint:two> <refiner:three_a>")
    webui.make(prompt="a cat <checkpoint:three_b> <refiner:three_a>")  # a kind that is not known here
    assert len(webui.rendered) == 2


def test_k6_a_flux_model_is_made_where_something_loads_it(webui: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("backend", "backend.diffusion_engine", "backend.diffusion_engine.flux"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    put(webui, "two", FLUX)
    webui.make(prompt="a cat <checkpoint:two>")
    assert len(webui.rendered) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "is empty"), (b"\xff" * 8 + b"{", "claims"), (b"<html>please log in</html>", "is a web page")],
)
def test_k6_damaged_checkpoints_are_refused_by_their_header_alone(webui: Double, content: bytes, said: str) -> None:
    (webui.folder / "two.safetensors").write_bytes(content)
    with pytest.raises(KeywordError, match=f"<checkpoint:two.safetensors>: two.safetensors .*{said}"):
        webui.make(prompt="a cat <checkpoint:two>")
    put(webui, "two", SD1)  # downloaded again: what was read before does not count
    webui.make(prompt="a cat <checkpoint:two>")
    assert len(webui.rendered) == 1


def test_k7_keywords_in_the_other_texts(webui: Double) -> None:
    from lib_lora_train.host import expand_text

    done = webui.make(
        prompt="a cat <steps:3>",
        negative_prompt="dull <steps:9> <cfg:4>",
        enable_hr=True,
        hr_prompt="sharp <hr_steps:6>",
    )
    (shot,) = webui.rendered
    assert (shot["steps"], shot["cfg_scale"], shot["hr_second_pass_steps"]) == (3, 4.0, 6)
    assert (shot["negative_prompt"], shot["hr_prompt"]) == ("dull", "sharp")
    assert "the last one counts" in done.comments
    job = webui.job(prompt="a cat", seed=5)
    assert expand_text(job, "a {x|x} face <steps:4>") == "a x face"
    assert any("keywords act in the prompts" in comment for comment in job.comments)


def test_p16_image_i_depends_on_its_own_seed_only(webui: Double) -> None:
    template = "a {red|blue|green|white} {cat|dog|cow}"
    done = webui.make(prompt=template, batch_size=4, n_iter=3, seed=100)
    assert len(set(done.prompts)) > 3
    for number, prompt in enumerate(done.prompts):
        assert webui.make(prompt=template, seed=100 + number).prompts == [prompt]


def test_p17_negative_and_hires_share_named_variables(webui: Double) -> None:
    for seed in range(8):
        webui.make(
            prompt="${c=!{red|blue}}a ${c} cat, {1|2|3|4}",
            negative_prompt="${c}, {1|2|3|4}",
            enable_hr=True,
            hr_prompt="a ${c} cat, {1|2|3|4}",
            seed=seed,
        )
    colours = [
        [word for word in ("red", "blue") if word in shot[key]]
        for shot in webui.rendered
        for key in ("prompt", "negative_prompt", "hr_prompt")
    ]
    triples = [tuple(map(tuple, colours[at : at + 3])) for at in range(0, len(colours), 3)]
    assert all(len(set(triple)) == 1 for triple in triples) and len(set(triples)) == 2
    assert any(shot["prompt"][-1] != shot["hr_prompt"][-1] for shot in webui.rendered)


def test_checks_need_no_webui() -> None:
    assert check(read("<steps:3>").tags, Rules()).values == {"steps": 3}
