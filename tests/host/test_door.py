"""Whole jobs in the doubles: lists, order, infotext, restoring, rewriting by others, what a job leaves behind."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from lib_lora_train.host import door, find, infotext
from lib_lora_train.host.errors import HostError, RequestError
from lib_lora_train.host.forge import Forge
from lib_lora_train.host.session import SESSION
from lib_lora_train.prompt import TemplateError
from tests.host.double import Double, webui

__all__ = ["webui"]
MIXED = "a {red|blue|green} cat <steps:{2|3}> <checkpoint:{one|two}>"


def choices(text: str) -> dict[str, Any]:
    return infotext.recorded(text)


def test_found_by_feature(webui: Double) -> None:
    assert isinstance(find(), Forge) == webui.is_forge
    assert webui.recording["version"] in find().name


def test_a_plain_job_is_left_alone(webui: Double) -> None:
    done = webui.make(prompt="a cat, [dog:fox:0.5] <lora:x:1>", n_iter=2)
    assert done.prompts == ["a cat, [dog:fox:0.5] <lora:x:1>"] * 2
    assert "Prompt" not in done.texts[0] and done.comments == ""


def test_prompts_only_are_one_job(webui: Double) -> None:
    done = webui.make(prompt="a {red|blue|green} cat", batch_size=3, n_iter=3)
    assert [len(batch) for batch in webui.batches] == [3, 3, 3]
    assert done.all_seeds == list(range(7, 16))
    assert [text.split("\n")[0] for text in done.texts] == [shot["prompt"] for shot in webui.rendered]
    for shot, text in zip(webui.rendered, done.texts, strict=True):
        assert choices(text)["template"] == "a {red|blue|green} cat"
        assert choices(text)["drawn"]["prompt"]["0"] in shot["prompt"]


def test_parts_are_put_back_in_order(webui: Double) -> None:
    webui.make(prompt="a cat")
    webui.rendered.clear()
    done = webui.make(prompt=MIXED, batch_size=3, n_iter=3)
    assert done.all_seeds == list(range(7, 16)) and len(done.images) == 9
    made = {shot["seed"]: shot for shot in webui.rendered}
    for seed, text, image in zip(done.all_seeds, done.texts, done.images, strict=True):
        said = choices(text)["set"]
        assert (made[seed]["steps"], made[seed]["checkpoint"]) == (said["steps"], said["checkpoint"])
        alone = webui.make(prompt=text.split("\n")[0], seed=seed, steps=said["steps"],
                           override_settings={"sd_model_checkpoint": said["checkpoint"]})  # fmt: skip
        assert alone.images[0].tobytes() == image.tobytes()
    assert webui.loads[:2] == ["one.safetensors", "two.safetensors"]
    assert done.info == done.texts[0] == (webui.folder / "params.txt").read_text("utf-8")


def test_no_batch_mixes_loras(webui: Double) -> None:
    webui.make(prompt="a cat{<lora:x:1>|<lora:y:1>|}", batch_size=4, n_iter=3)
    for shot in webui.rendered:
        assert shot["networks"] == tuple(word for word in ("<lora:x:1>", "<lora:y:1>") if word in shot["prompt"])


@pytest.mark.parametrize("prompt", ["a {cat", "a <steps:0>", "a <vae:nowhere>"])
def test_a_mistake_stops_the_job_itself(webui: Double, prompt: str) -> None:
    p = webui.job(prompt=prompt)
    with pytest.raises(Exception, match=r"never closed|out of range|no VAE"):
        webui.process_images(p)
    assert webui.rendered == []


def test_lenient_takes_mistakes_as_text(webui: Double) -> None:
    webui.opts.data["lora_loop_lenient"] = True
    assert webui.make(prompt="a {cat").prompts == ["a {cat"]
    webui.opts.data["lora_loop_lenient"] = False
    with pytest.raises(TemplateError):
        webui.make(prompt="a {cat")


def test_wrong_fields_are_refused(webui: Double) -> None:
    for arguments in (({"mode": "x"},), (True, "random", -1), ({"colour": 1},), ({"enabled": "yes"},)):
        with pytest.raises(RequestError):
            webui.make(arguments, prompt="a cat")


def test_combinatorial(webui: Double) -> None:
    done = webui.make((True, "combinatorial", 0, 2), prompt="a {red|blue} {cat|dog}", batch_size=3, n_iter=50)
    assert done.prompts == [f"a {c} {a}" for c in ("red", "blue") for a in ("cat", "dog") for _ in range(2)]
    assert done.all_seeds == list(range(7, 15))
    assert [len(batch) for batch in webui.batches] == [3, 3, 2]
    with pytest.raises(RequestError, match="100,000 combinations"):
        webui.make(({"mode": "combinatorial"},), prompt="{1|2|3|4|5|6|7|8|9|0}" * 5)


def test_cyclical_goes_on_from_job_to_job(webui: Double) -> None:
    SESSION.places.clear()
    made = [webui.make((True, "cyclical"), prompt="{1|2|3}", n_iter=2, seed=-1).prompts for _ in range(3)]
    assert [one for job in made for one in job] == ["1", "2", "3", "1", "2", "3"]
    assert webui.make((True, "cyclical"), prompt="{a|b|c}").prompts == ["a"]


def test_fixed_and_unlinked_seeds(webui: Double) -> None:
    done = webui.make(({"fixed_seed": True},), prompt="{1|2|3|4|5|6|7|8}", n_iter=6)
    assert done.all_seeds == [7] * 6 and len(set(done.prompts)) > 1
    two = [webui.make(({"unlinked_seed": True},), prompt="{1|2|3|4|5|6|7|8}" * 6).prompts for _ in range(2)]
    assert two[0] != two[1]


def test_seeds_of_a_variation_stay(webui: Double) -> None:
    p = webui.job(prompt="{1|2|3}", subseed_strength=0.5, n_iter=3)
    done = webui.process_images(p)
    assert done.all_seeds == [7, 7, 7]
    assert [shot.subseed for shot in webui_shots(p, webui)] == [3, 4, 5]


def webui_shots(p: Any, webui: Double) -> list[Any]:
    from lib_lora_train.host.drawing import Drawing, expander
    from lib_lora_train.host.request import Request

    return Drawing(find(), p, Request(), expander(find())).job().shots


def test_the_same_job_may_run_again(webui: Double) -> None:
    """img2img's batch runs one job for every file."""
    p = webui.job(prompt=MIXED, n_iter=2, seed=-1)
    before = {
        k: copy.copy(v)
        for k, v in vars(p).items()
        if k in ("n_iter", "batch_size", "seed", "subseed", "prompt", "override_settings")
    }
    webui.process_images(p)
    assert {name: getattr(p, name) for name in before} == before and "init" not in vars(p)
    p.prompt = "a plain cat"
    assert webui.process_images(p).prompts == ["a plain cat"] * 2


def folder(webui: Double, p: Any, count: int = 8) -> list[str]:
    """The prompts of img2img's Batch tab: the same job for each picture of a folder, all with one seed."""
    prompts: list[str] = []
    for _ in range(count):
        p.init_images = [Image.new("RGB", (8, 8))] * p.batch_size
        prompts += webui.process_images(p).prompts
    return prompts


def test_each_picture_of_a_folder_has_its_own_prompt(webui: Double) -> None:
    template = "{1|2|3|4|5|6|7|8}" * 6
    asked = {"prompt": template, "init_images": [Image.new("RGB", (8, 8))]}
    prompts = folder(webui, webui.job(**asked))
    assert len(set(prompts)) == 8 and {shot["seed"] for shot in webui.rendered} == {7}
    assert folder(webui, webui.job(**asked)) == prompts, "the same folder, the same prompts"
    assert prompts[0] == webui.make(**asked).prompts[0], "the first picture alone"
    assert len(set(folder(webui, webui.job(**{**asked, "prompt": f"{template} <steps:{{3|4}}>"})))) == 8


def test_a_script_that_runs_its_job_for_each_tile_keeps_the_prompt(webui: Double) -> None:
    p = webui.job(prompt="{1|2|3|4|5|6|7|8}", init_images=[Image.new("RGB", (8, 8))])
    p.script_args = (3,)
    assert len(set(folder(webui, p))) == 1


def test_cells_share_nothing(webui: Double) -> None:
    """X/Y/Z's cells are shallow copies: dictionaries are the same objects."""
    p = webui.job(prompt="a {red|blue} cat <clip_skip:{2|3}>")
    for _ in range(3):
        webui.process_images(copy.copy(p))
    assert p.override_settings == {} and p.extra_generation_params == {}


def test_a_copy_of_a_running_job_is_not_ours(webui: Double) -> None:
    p = webui.job(prompt="a {red|blue} cat")
    door.before_process(p, ())
    other = copy.copy(p)
    other.all_prompts, other.all_seeds = ["theirs"], [1]
    door.process(other)
    assert other.all_prompts == ["theirs"]


def test_lists_rewritten_by_another_extension_are_told(webui: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = door.process

    def both(p: Any) -> None:
        ours(p)
        p.all_prompts = ["theirs"] * len(p.all_prompts)

    monkeypatch.setattr(door, "process", both)
    p = webui.job(prompt="a {red|blue} cat", n_iter=3)
    webui.process_images(p)
    assert sum("Another extension" in comment for comment in p.comments) == 1


def test_hires_prompts_of_every_batch_are_recorded(webui: Double) -> None:
    done = webui.make(prompt="{1|2|3|4}", hr_prompt="{a|b|c|d}", enable_hr=True, n_iter=4)
    assert [
        f"Hires prompt: {shot['hr_prompt']}" in text for shot, text in zip(webui.rendered, done.texts, strict=True)
    ] == [True] * 4


def test_styles_by_keyword_are_drawn_too(webui: Double) -> None:
    prompts = {webui.make(prompt="a {b|b} cat\\{x\\} <styles:noir>", seed=seed).prompts[0] for seed in range(9)}
    assert prompts == {"a b cat{x}, noir a", "a b cat{x}, noir b"}


def test_a_switched_on_hires_pass_has_all_it_needs(webui: Double) -> None:
    webui.make(prompt="a cat <hires:on><hr_scale:2>")
    assert webui.rendered[0]["hr_prompt"] == "a cat"


def test_what_is_not_saved_is_put_back_too(webui: Double) -> None:
    assert "CLIP_stop_at_last_layers" not in webui.opts.data
    before = webui.options["CLIP_stop_at_last_layers"]
    webui.make(prompt="a cat <clip_skip:5>")
    assert webui.rendered[0]["clip_skip"] == 5 and webui.options["CLIP_stop_at_last_layers"] == before


def test_nothing_is_loaded_back_before_it_is_needed(webui: Double) -> None:
    for _ in range(5):
        webui.make(prompt="a cat <checkpoint:two>")
    assert webui.loads == ["two.safetensors"]
    webui.make(prompt="a cat")
    assert webui.loads == ["two.safetensors", "one.safetensors"]
    assert webui.options["sd_model_checkpoint"] == "one.safetensors"


def test_a_drawn_checkpoint_is_kept_while_the_seed_is_random(webui: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    webui.opts.data["lora_loop_keep_images"] = 5
    monkeypatch.setattr(SESSION, "checkpoint", "")
    seeds = iter(range(1000))
    monkeypatch.setattr(find(), "fixed_seed", lambda seed: next(seeds) if seed == -1 else int(seed))
    linked = "{a photo <checkpoint:one>|a drawing <checkpoint:two>}"
    prompts = [webui.make(prompt=linked, seed=-1).prompts[0] for _ in range(60)]
    used = [shot["checkpoint"] for shot in webui.rendered]
    assert [("photo" in prompt) == (name == "one.safetensors") for prompt, name in zip(prompts, used, strict=True)] == [
        True
    ] * 60
    assert all(len(set(used[at : at + 5])) == 1 for at in range(0, 60, 5)), "stretches of five"
    assert len(webui.loads) <= 12 and len(set(used)) == 2
    typed = [webui.make(prompt=linked, seed=4).prompts[0] for _ in range(3)]
    assert len(set(typed)) == 1, "a typed seed gives its own prompt, whatever is kept"


def test_upscaling_a_picture_of_the_gallery_takes_its_prompt(webui: Double) -> None:
    done = webui.make((True, "cyclical"), prompt="a {1|2|3|4} cat <steps:{5|6}>", n_iter=3)
    made = {shot["seed"]: shot for shot in webui.rendered}
    for text, seed in zip(done.texts, done.all_seeds, strict=True):
        shot = made[seed]
        picture = type("Picture", (), {"info": {"parameters": text}})()
        p = webui.job(prompt="a {1|2|3|4} cat <steps:{5|6}>", seed=str(shot["seed"]), enable_hr=True)
        p.txt2img_upscale, p.firstpass_image = True, picture
        webui.process_images(p)
        assert (webui.rendered[-1]["prompt"], webui.rendered[-1]["steps"]) == (shot["prompt"], shot["steps"])


def test_pasting_gives_what_the_setting_says(webui: Double) -> None:
    read = {"Prompt": "a red cat", "Prompt template": "a {red|blue} cat", "Negative prompt": "x"}
    door.pasted("", read)
    assert read["Prompt"] == "a red cat"
    webui.opts.data["lora_loop_paste"] = "template"
    door.pasted("", read)
    assert (read["Prompt"], read["Negative prompt"]) == ("a {red|blue} cat", "x")


def test_settings_are_declared_in_the_webui(webui: Double) -> None:
    from lib_lora_train.host.settings import SETTINGS, add_settings

    class Info:
        def __init__(self, default: Any, label: str, *_: Any, section: Any) -> None:
            self.default, self.label, self.section = default, label, section

    import sys

    sys.modules["modules.shared"].OptionInfo = Info  # type: ignore[attr-defined]
    add_settings()
    assert {setting.name for setting in SETTINGS} <= set(webui.opts.data_labels)
    assert find().option("lora_loop_keep_images") == 8


def test_json_of_the_choices_is_whole(webui: Double) -> None:
    done = webui.make(prompt='a {"red: x, y"|"blue"} cat')
    assert json.loads(json.dumps(choices(done.texts[0])))["drawn"]["prompt"]["0"] in done.prompts[0]


def test_a_list_of_prompts_from_another_script(webui: Double) -> None:
    p = webui.job(prompt=["{a|a} one", "two <steps:4>"], seed=[5, 5], n_iter=2)
    done = webui.process_images(p)
    assert done.prompts == ["a one", "two"] and done.all_seeds == [5, 5]
    assert [shot["steps"] for shot in webui.rendered] == [20, 4]


def test_loras_that_are_not_there_are_told(webui: Double) -> None:
    import sys

    one = type("Network", (), {"filename": "/l/me-000004.safetensors", "alias": "me"})()
    sys.modules["networks"].available_networks = {"me-000004": one}  # type: ignore[attr-defined]
    done = webui.make(prompt="a {b|b} <lora:me-000004:1><lora:me:1><lora:me-00004:1>")
    assert done.comments.count("there is no LoRA") == 1 and "nearest: me-000004" in done.comments


def test_notices_reach_the_api(webui: Double) -> None:
    done = webui.make(prompt="a cat <width:65>")
    assert "65 became 64" in done.extra_generation_params[door.NOTES][0]


def test_an_unknown_webui_still_makes_plain_pictures(webui: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from lib_lora_train.host import finding

    monkeypatch.delitem(sys.modules, "modules.sd_models")
    finding.find.cache_clear()
    assert webui.make(prompt="a cat").prompts == ["a cat"]
    with pytest.raises(HostError, match=r"no module modules\.sd_models"):
        webui.make(prompt="a {red|blue} cat")


def test_the_script_forwards_every_hook(webui: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util
    import sys
    import types
    from pathlib import Path

    told: list[str] = []
    scripts, callbacks = types.ModuleType("modules.scripts"), types.ModuleType("modules.script_callbacks")
    scripts.Script, scripts.AlwaysVisible = object, object()  # type: ignore[attr-defined]
    for name in ("on_ui_settings", "on_infotext_pasted"):
        setattr(callbacks, name, lambda _, name=name: told.append(name))
    for module in (scripts, callbacks):
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setattr(sys.modules["modules"], module.__name__.split(".")[1], module, raising=False)
    path = Path(__file__).parents[2] / "scripts" / "lora_loop_prompts.py"
    spec = importlib.util.spec_from_file_location("lora_loop_prompts.py", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    script = module.Script()
    assert script.title() == "LoRA Loop prompts" and script.show(False) is scripts.AlwaysVisible  # type: ignore[attr-defined]
    assert told == ["on_ui_settings", "on_infotext_pasted"]
    p = webui.job(prompt="a {b|b} cat", all_prompts=["x"])
    script.before_process(p)
    script.process(p)
    assert p.all_prompts == ["a b cat"]


TAGS = st.lists(
    st.sampled_from(["<steps:{3|4}>", "<cfg:{5|6}>", "<checkpoint:{one|two}>", "{<lora:x:1>|}", "<seed:{1|2|3}>", "{red|blue}",
                     "<size:{64x64|72x64}>", "<clip_skip:{2|3}>", "<vae:{none|kl.vae}>", "<styles:noir>"]),
    unique=True, max_size=4,
)  # fmt: skip


@given(TAGS, st.integers(1, 4), st.integers(1, 3), st.integers(0, 99))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_image_is_what_it_would_be_alone(
    webui: Double, tags: list[str], size: int, count: int, seed: int
) -> None:
    template = " ".join(["a cat", *tags])
    before = dict(webui.options)
    done = webui.make(prompt=template, batch_size=size, n_iter=count, seed=seed)
    assert len(done.images) == len(done.texts) == len(done.all_seeds) == size * count
    for number, image in enumerate(done.images):
        alone = webui.make(prompt=template, seed=seed + number)
        assert alone.images[0].tobytes() == image.tobytes() and alone.prompts == [done.prompts[number]]
    assert webui.options == before
