"""Whole jobs: what each picture says is what was done, in the person's order, and it can be made again alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.checkpoint_files import FLUX, LORA, SDXL, write
from tests.webui.client import Made, Refused, WebUI, picture, same
from tests.webui.lora_file import write_lora
from tests.webui.train_tab import folders

MIXED = "a {red|blue|green} cat <steps:{2|3}> <size:{64x64|96x64}>"


def choices_of(made: Made) -> list[str]:
    return [re.search(r"a (\w+) cat", prompt)[1] for prompt in made.prompts]  # type: ignore[index]


def test_f5_a_lora_that_was_copied_after_the_start_is_there(webui: WebUI, new_lora: Path) -> None:
    made = webui.make(prompt=f"a {{cat|cat}} <lora:{new_lora.stem}:1>")
    assert "there is no LoRA" not in str(made.info)
    assert f"{new_lora.stem}: " in made.texts[0], "it was used"


def test_neo_3_a_lora_that_was_trained_again_is_drawn_with_its_new_weights(webui: WebUI, new_lora: Path) -> None:
    """In plain jobs too: the same prompt as last time, another file behind its name."""
    prompt = f"a cat <lora:{new_lora.stem}:3>"
    old = webui.make(prompt=prompt).images[0]
    assert same(old, webui.make(prompt=prompt).images[0])
    write_lora(new_lora, webui.base(), seed=2)
    new = webui.make(prompt=prompt).images[0]
    assert not same(old, new)
    webui.make(prompt="a cat")
    assert same(new, webui.make(prompt=prompt).images[0]), "as after a picture without it"
    template = f"a {{cat|cat}} <lora:{new_lora.stem}:3>"
    write_lora(new_lora, webui.base(), seed=1)
    assert same(old, webui.make(prompt=template).images[0])


def test_f1_the_answer_of_a_templated_job_can_be_written(webui: WebUI) -> None:
    made = webui.make(prompt="a {red|blue|3::green} cat", n_iter=2)
    assert len(made.images) == 2 and all("Prompt choices" in text for text in made.texts)


@pytest.mark.parametrize("mode", ["txt2img", "hires", "img2img"])
def test_three_by_three_each_again_from_its_png(webui: WebUI, other_checkpoint: str, mode: str) -> None:
    first = webui.small_checkpoints()[0]
    template = f"{MIXED} <checkpoint:{{{first}|{other_checkpoint}}}>"
    job = webui.make(mode, prompt=template, n_iter=3, batch_size=3)
    assert len(job.images) == 9
    assert job.info["all_seeds"] == list(range(7, 16))
    assert [f"Seed: {seed}," in text for seed, text in zip(range(7, 16), job.texts, strict=True)] == [True] * 9
    for image, text in zip(job.images, job.texts, strict=True):
        again = webui.from_text(text, mode)
        assert same(image, again.images[0]), text


def test_prompts_only_stay_one_job(webui: WebUI) -> None:
    job = webui.make(prompt="a {red|blue|green} cat, {bright|dark}", n_iter=3, batch_size=3)
    assert len(set(job.prompts)) > 1
    for number, (image, text) in enumerate(zip(job.images, job.texts, strict=True)):
        again = webui.make(prompt="a {red|blue|green} cat, {bright|dark}", seed=7 + number)
        assert again.prompts == [text.split("\n")[0]]
        assert same(image, webui.from_text(text).images[0]) and same(image, again.images[0])


def test_every_image_of_a_batch_has_its_own_lora(webui: WebUI) -> None:
    loras = [one["name"] for one in webui.call("/sdapi/v1/loras")]
    small = [name for name in loras if "full" not in name]
    if not small:
        pytest.skip("The WebUI has no LoRA.")
    job = webui.make(prompt=f"a cat{{<lora:{small[0]}:1>|}}", batch_size=4, seed=3)
    assert len({"<lora" in prompt for prompt in job.prompts}) == 2, "this seed should draw both"
    for image, text, prompt in zip(job.images, job.texts, job.prompts, strict=True):
        assert ("Lora hashes" in text) == ("<lora" in prompt)
        assert same(image, webui.from_text(text).images[0])


def test_hires_prompts_share_variables_and_are_recorded(webui: WebUI) -> None:
    job = webui.make(
        "hires",
        prompt="${c=!{red|blue|green}}a ${c} cat",
        hr_prompt="a ${c} cat, {sharp|soft}",
        negative_prompt="not ${c}",
        n_iter=3,
    )
    for colour, text in zip(choices_of(job), job.texts, strict=True):
        assert f"Negative prompt: not {colour}\n" in text
        assert re.search(rf'Hires prompt: "a {colour} cat, (sharp|soft)"', text)
        assert "Hires template" in text


def test_combinatorial(webui: WebUI) -> None:
    request = {"mode": "combinatorial"}
    job = webui.make(prompt="a {red|blue|green} cat", negative_prompt="{dull|grey}", batch_size=4, request=request)
    assert len(job.images) == 6
    assert choices_of(job) == ["red", "red", "blue", "blue", "green", "green"]
    for image, text in zip(job.images, job.texts, strict=True):
        assert same(image, webui.from_text(text).images[0])
    few = webui.make(prompt="a {red|blue|green} cat", request={**request, "limit": 2, "repeats": 2})
    assert choices_of(few) == ["red", "red", "blue", "blue"]
    with pytest.raises(Refused, match="combinations"):
        webui.make(prompt="{1|2|3|4|5|6|7|8|9|0}" * 5, request=request)


def test_combinatorial_from_a_picture(webui: WebUI) -> None:
    job = webui.make("img2img", prompt="a {red|blue|green} cat", batch_size=2, request={"mode": "combinatorial"})
    assert choices_of(job) == ["red", "blue", "green"]


def test_cyclical_goes_on(webui: WebUI) -> None:
    template = "a {red|blue|green} cat, cyclical"
    rounds = [webui.make(prompt=template, seed=-1, request={"mode": "cyclical"}) for _ in range(4)]
    names = [choices_of(made)[0] for made in rounds]
    assert names[3] == names[0] and len(set(names)) == 3


def test_one_seed_and_varying_prompts(webui: WebUI) -> None:
    job = webui.make(prompt="a {red|blue|green} cat", n_iter=6, request={"fixed_seed": True})
    assert job.info["all_seeds"] == [7] * 6 and len(set(job.prompts)) > 1
    for image, text in zip(job.images, job.texts, strict=True):
        assert same(image, webui.from_text(text).images[0])


def test_unlinked(webui: WebUI) -> None:
    made = [webui.make(prompt="{0|1|2|3|4|5|6|7|8|9}" * 6, request={"unlinked_seed": True}) for _ in range(2)]
    assert made[0].prompts != made[1].prompts


def test_switched_off(webui: WebUI) -> None:
    other = webui.always_on("dynamic prompts")
    scripts = {other: {"args": [False]}} if other else {}
    made = webui.make(prompt="a {red|blue} cat <foo:1>", request={"enabled": False}, alwayson_scripts=scripts)
    assert made.prompts == ["a {red|blue} cat <foo:1>"]


def test_wrong_field(webui: WebUI) -> None:
    with pytest.raises(Refused, match="use one of random, combinatorial, cyclical"):
        webui.make(prompt="a cat", request={"mode": "raNdum"})


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("a cat <checkpoint:not there at all>", "there is no checkpoint"),
        ("a cat <steps:-5>", "1 to 1000"),
        ("a cat <steps:abc>", "not a number"),
        ("a cat <cfg:>", "value is missing"),
        ("a {cat", "never closed"),
        ("a cat <opt:outdir_samples:/tmp>", "may not be set"),
    ],
)
def test_refused_before_the_first_image(webui: WebUI, prompt: str, said: str) -> None:
    with pytest.raises(Refused, match=said):
        webui.make(prompt=prompt, n_iter=2)
    assert webui.make(prompt="a cat").plain == webui.make(prompt="a cat").texts


@pytest.fixture
def new_lora(webui: WebUI) -> Iterator[Path]:
    """A LoRA that is put into the WebUI's folder while it runs, and gone afterwards."""
    file = folders(webui)[1] / "lora-loop-test-fresh-000009.safetensors"
    write_lora(file, webui.base(), seed=1)
    yield file
    file.unlink()
    webui.call("/sdapi/v1/refresh-loras", {})


@pytest.fixture
def strange_checkpoints(webui: WebUI) -> Iterator[str]:
    """Files of other kinds beside the WebUI's own checkpoints, each named with what is yielded and its kind."""
    folder = Path(webui.call("/sdapi/v1/sd-models")[0]["filename"]).parent
    name = "lora loop test "
    for kind, shapes in (("sdxl", SDXL), ("lora", LORA), ("flux", FLUX), ("short", SDXL)):
        write(folder / f"{name}{kind}.safetensors", shapes)
    short = folder / f"{name}short.safetensors"
    short.write_bytes(short.read_bytes()[:-100])
    webui.call("/sdapi/v1/refresh-checkpoints", {})
    yield name
    for file in folder.glob(f"{name}*.safetensors"):
        file.unlink()
    webui.call("/sdapi/v1/refresh-checkpoints", {})


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ("<refiner:{}sdxl>", "it is an SDXL model and cannot go on with the image of .*, an SD 1"),
        ("<hires:on> <hr_upscaler:Latent> <hr_checkpoint:{}sdxl>", "it is an SDXL model and cannot go on"),
        ("<checkpoint:{}lora>", "is a LoRA, not a checkpoint"),
        ("<checkpoint:{}short>", "lora loop test short.safetensors"),
        ("<checkpoint:{}flux>", "is a Flux model, which this WebUI cannot load"),
    ],
)
def test_k6_files_of_another_kind(webui: WebUI, strange_checkpoints: str, tags: str, said: str) -> None:
    """Refused at the job's start in one sentence, also when only some of its images would meet the file."""
    if "flux" in tags and webui.is_forge:
        pytest.skip("Forge loads Flux models.")
    if "Latent" in tags and webui.upscaler() != "Latent":
        pytest.skip("This WebUI has no upscaler of latents.")
    before = webui.options()["sd_model_checkpoint"]
    with pytest.raises(Refused, match=said) as refused:
        webui.make(prompt=f"a cat {{|{tags.format(strange_checkpoints)}}}", request={"mode": "combinatorial"})
    assert str(refused.value).count("\n") == 0 and str(refused.value).rstrip().endswith(".")
    assert webui.options()["sd_model_checkpoint"] == before
    assert webui.make(prompt="a cat").plain == webui.make(prompt="a cat").texts


def test_different_pictures_to_begin_with(webui: WebUI) -> None:
    pictures = [picture(64), picture(96)]
    job = webui.make("img2img", prompt="a {red|blue} cat <steps:{3|4}>", init_images=pictures, batch_size=2)
    for number, (image, text) in enumerate(zip(job.images, job.texts, strict=True)):
        alone = webui.from_text(text, "img2img", init_images=[pictures[number]])
        assert same(image, alone.images[0])


def test_cells_of_an_xyz_plot(webui: WebUI) -> None:
    """The grid's cells share their dictionaries in the WebUI; ours must not leak from one to the next."""
    scripts = webui.call("/sdapi/v1/script-info")
    axis = next((one for one in scripts if one["name"] == "x/y/z plot" and not one["is_img2img"]), None)
    if axis is None:
        pytest.skip("The WebUI has no X/Y/Z plot.")
    labels = [argument.get("label") for argument in axis["args"]]
    arguments = [argument.get("value") for argument in axis["args"]]
    for place, label in enumerate(labels):
        if label in ("X type", "Y type", "Z type"):
            arguments[place] = axis["args"][place]["choices"].index("Steps" if label == "X type" else "Nothing")
    arguments[labels.index("X values")] = "2,3"
    arguments[labels.index("Draw legend")] = False
    arguments[labels.index("Include Sub Images")] = True
    prompt = "a {red|blue} cat <cfg:{3|4}>"
    plot = webui.make(prompt=prompt, script_name="x/y/z plot", script_args=arguments)
    cells = plot.info["infotexts"][-2:]
    direct = [webui.make(prompt=prompt, steps=steps).texts[0] for steps in (2, 3)]
    assert cells == direct


def test_the_grid_and_the_record(webui: WebUI) -> None:
    """A job that is saved has a grid, made of the pictures in the person's order, with the first one's text."""
    before = webui.options()
    wanted = {
        "grid_save": False,
        "return_grid": True,
        "samples_save": False,
        "grid_only_if_multiple": True,
        "n_rows": -1,
    }
    prompt = "a {red|blue|green} cat <steps:{2|3}>"
    webui.call("/sdapi/v1/options", wanted)
    try:
        job = webui.make(prompt=prompt, n_iter=4, save_images=True)
        single = webui.make(prompt="a {red|blue|green} cat", n_iter=4, save_images=True)
    finally:
        webui.call("/sdapi/v1/options", {name: before[name] for name in wanted})
    for made in (job, single):
        assert made.info["index_of_first_image"] == 1 and len(made.images) == 5 and len(made.info["infotexts"]) == 5
        grid, *pictures = made.images
        grid = grid.convert("RGB")  # Forge's has an alpha channel
        cells = [grid.crop((x, y, x + 64, y + 64)) for y in (0, 64) for x in (0, 64)]
        assert all(map(same, cells, pictures))
        assert made.info["infotexts"][0] == made.info["infotexts"][1]
    assert job.info["seed"] == job.info["all_seeds"][0] == 7
    assert job.info["prompt"] == job.info["all_prompts"][0]


def test_notices_are_in_the_answer(webui: WebUI) -> None:
    made = webui.make(prompt="a cat <width:65> <cgf:3>")
    notes = made.info["extra_generation_params"]["LoRA Loop notes"]
    assert any("65 became 64" in note for note in notes) and any("did you mean <cfg:" in note for note in notes)
