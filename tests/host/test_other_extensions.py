"""Other extensions that touch the texts of our jobs: one draws, what is rendered is what is recorded, or the job stops."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

from lib_lora_train.grid.plan import Cell, Checkpoint
from lib_lora_train.grid.render import Picture
from lib_lora_train.host import door, dynamic_prompts, find, infotext
from lib_lora_train.host.errors import HostError, RequestError
from lib_lora_train.host.grid_jobs import JobRenderer
from lib_lora_train.host.other_extensions import CHANGED_BY, follows
from lib_lora_train.host.session import SESSION
from tests.host.double import Double, DynamicPrompts, Other, webui

__all__ = ["webui"]
TEMPLATE = "a photo of a {red|blue|green|pink} {dog|cat|robot}"


class Unknown(DynamicPrompts):
    """Draws as Dynamic Prompts does, and nobody knows it."""

    name = "Prompt machine"


class Hooked(Other):
    """Another extension with one hook."""

    def __init__(self, name: str, **hooks: Callable[..., None]) -> None:
        self.name = name
        self.__dict__.update(hooks)


def rewriting(change: Callable[[str], str]) -> Callable[..., None]:
    """A `process` that makes each text anew out of the old one."""

    def process(p: Any, *_: Any) -> None:
        p.all_prompts = [change(text) for text in p.all_prompts]

    return process


@pytest.fixture(params=["known", "unknown", "before ours"])
def rival(request: pytest.FixtureRequest, webui: Double) -> DynamicPrompts:
    """Dynamic Prompts beside ours: known; under a name that nobody knows; and with its hooks before ours."""
    script = Unknown() if request.param == "unknown" else DynamicPrompts()
    return webui.runner.add(script, before_ours=request.param == "before ours")


def check(webui: Double, done: Any, number: int) -> None:
    """What is rendered, said and recorded is the same for so many images, and nobody else's record is there."""
    made = {shot["seed"]: shot for shot in webui.rendered}
    assert len(done.images) == len(done.texts) == len(done.all_seeds) == len(webui.rendered) == number
    for text, seed in zip(done.texts, done.all_seeds, strict=True):
        record = infotext.recorded(text)
        assert text.split("\n")[0] == made[seed]["prompt"] and "{" not in made[seed]["prompt"]
        for said in record["drawn"].get("prompt", {}).values():
            assert said in made[seed]["prompt"] or said in map(str, record["set"].values())
        assert "Template: " not in text and CHANGED_BY not in text


def alone(webui: Double, **fields: Any) -> list[str]:
    """The prompts of a job with no other extension there."""
    scripts = webui.runner.alwayson_scripts
    webui.runner.alwayson_scripts = [one for one in scripts if not isinstance(one, DynamicPrompts)]
    prompts = webui.make(**fields).prompts
    webui.runner.alwayson_scripts = scripts
    webui.rendered.clear()
    return prompts


@pytest.mark.parametrize("size", [1, 2])
def test_each_image_has_its_own_prompt_beside_dynamic_prompts(webui: Double, rival: DynamicPrompts, size: int) -> None:
    wanted = alone(webui, prompt=TEMPLATE, n_iter=6, batch_size=size, seed=900)
    done = webui.make(prompt=TEMPLATE, n_iter=6, batch_size=size, seed=900)
    check(webui, done, 6 * size)
    assert done.prompts == wanted and len(set(wanted)) > 3
    assert [len(batch) for batch in webui.batches[-6:]] == [size] * 6


@pytest.mark.parametrize("more", [{}, {"init_images": [Image.new("RGB", (8, 8))]}, {"enable_hr": True}])
def test_a_job_in_parts_beside_dynamic_prompts(webui: Double, rival: DynamicPrompts, more: dict[str, Any]) -> None:
    """Every sub-job, and the person's own job, which makes nothing and hands over."""
    template = f"{TEMPLATE} <steps:{{2|3}}>"
    wanted = alone(webui, prompt=template, n_iter=3, batch_size=2, seed=900, **more)
    done = webui.make(prompt=template, n_iter=3, batch_size=2, seed=900, **more)
    check(webui, done, 6)
    assert done.prompts == wanted and done.all_seeds == list(range(900, 906))
    assert {shot["steps"] for shot in webui.rendered} == {2, 3}


def test_combinatorial_beside_dynamic_prompts(webui: Double, rival: DynamicPrompts) -> None:
    done = webui.make((True, "combinatorial"), prompt="{red|blue} {dog|cat}", batch_size=2)
    check(webui, done, 4)
    assert done.prompts == ["red dog", "red cat", "blue dog", "blue cat"]


def test_hires_prompts_beside_dynamic_prompts(webui: Double, rival: DynamicPrompts) -> None:
    done = webui.make(prompt=TEMPLATE, hr_prompt="a {sharp|soft|grey} cat", enable_hr=True, n_iter=4)
    check(webui, done, 4)
    for shot, text in zip(webui.rendered, done.texts, strict=True):
        assert f"Hires prompt: {shot['hr_prompt']}" in text and "{" not in shot["hr_prompt"]


@pytest.mark.parametrize("fields", [{"negative_prompt": "{ugly|blurry|grey}"}, {"styles": ["noir"]}])
def test_negative_prompt_or_style_alone_beside_dynamic_prompts(
    webui: Double, rival: DynamicPrompts, fields: dict[str, Any]
) -> None:
    done = webui.make(prompt="a cat", n_iter=8, **fields)
    check(webui, done, 8)
    assert len({(shot["prompt"], shot["negative_prompt"]) for shot in webui.rendered}) > 1


def test_dynamic_prompts_is_switched_off_for_our_jobs_only(webui: Double) -> None:
    rival = webui.runner.add(DynamicPrompts())
    p = webui.job(prompt=TEMPLATE, n_iter=2)
    given = p.script_args
    done = webui.process_images(p)
    assert rival.told == [] and p.script_args is given and given[rival.args_from] is True
    assert p.prompt == TEMPLATE and "Dynamic Prompts was switched off" in done.comments
    assert dynamic_prompts.TAKEN in done.extra_generation_params[door.NOTES]
    assert p.__dict__.keys().isdisjoint({"init", "setup_prompts", "setup_conds"})
    assert "process" not in rival.__dict__ and "process_batch" not in rival.__dict__
    webui.make(prompt="a plain cat", n_iter=2)
    webui.make((False,), prompt="a {red|blue} cat", n_iter=2)
    assert rival.told == [["a plain cat"] * 2, ["a red cat", "a blue cat"]]


def test_what_is_drawn_anew_is_put_back_and_its_extension_is_named(webui: Double) -> None:
    webui.runner.add(Unknown())
    done = webui.make(prompt=TEMPLATE, n_iter=3)
    notes = done.extra_generation_params[door.NOTES]
    assert sum("Prompt machine changed the prompts" in note for note in notes) == 1
    assert "Template" not in done.extra_generation_params


def test_another_number_of_images_is_put_back(webui: Double) -> None:
    def process(p: Any, *_: Any) -> None:
        p.n_iter, p.all_seeds = 1, [5]
        p.all_prompts, p.all_negative_prompts, p.all_subseeds = ["theirs"], [""], [5]

    webui.runner.add(Hooked("One", process=process))
    done = webui.make(prompt=TEMPLATE, n_iter=3)
    check(webui, done, 3)
    assert done.all_seeds == [7, 8, 9] and "One changed the prompts" in done.comments


def ticked(webui: Double, **fields: Any) -> DynamicPrompts:
    """Dynamic Prompts with something ticked in its form."""
    script = DynamicPrompts()
    names = list(script.process.__code__.co_varnames[2:])
    defaults = list(DynamicPrompts.defaults)
    for name, value in fields.items():
        defaults[names.index(name)] = value
    script.defaults = tuple(defaults)
    return webui.runner.add(script)


def test_what_is_ticked_in_its_form_counts(webui: Double) -> None:
    ticked(webui, is_combinatorial=True, max_generations=3, combinatorial_batches=2)
    assert webui.make(prompt="{red|blue} {dog|cat}").prompts == ["red dog"] * 2 + ["red cat"] * 2 + ["blue dog"] * 2
    assert webui.make((True, "cyclical"), prompt="{1|2|3} cat", n_iter=3).prompts == ["1 cat", "2 cat", "3 cat"]


def test_its_seeds_count(webui: Double) -> None:
    ticked(webui, use_fixed_seed=True, unlink_seed_from_prompt=True)
    made = [webui.make(prompt="{0|1|2|3|4|5|6|7|8|9}" * 6, n_iter=2) for _ in range(2)]
    assert [done.all_seeds for done in made] == [[7, 7]] * 2 and made[0].prompts != made[1].prompts


@pytest.mark.parametrize("name", list(dynamic_prompts.ALONE))
def test_what_only_it_can_do_is_left_to_it(webui: Double, name: str) -> None:
    rival = ticked(webui, **{name: True})
    done = webui.make(prompt="a {red|blue} cat", n_iter=2)
    assert done.prompts == ["a red cat", "a blue cat"] and len(rival.told) == 1
    assert "Prompt choices" not in done.texts[0] and repr(dynamic_prompts.ALONE[name]) in done.comments
    with pytest.raises(RequestError, match=r"Dynamic Prompts has .* and the prompt has <steps:3>"):
        webui.make(prompt="a cat <steps:3>")
    assert len(rival.told) == 1


def test_other_marks_are_left_to_it(webui: Double) -> None:
    webui.opts.data["dp_parser_variant_start"] = "[["
    rival = webui.runner.add(DynamicPrompts())
    webui.make(prompt="a {red|blue} cat")
    assert len(rival.told) == 1


def test_stepping_back(webui: Double) -> None:
    webui.opts.data["lora_loop_dynamic_prompts"] = "step back"
    rival = webui.runner.add(DynamicPrompts())
    done = webui.make(prompt="a {red|blue} cat", n_iter=2)
    assert done.prompts == ["a red cat", "a blue cat"] and rival.told == [done.prompts]
    assert "Prompt choices" not in done.texts[0] and "Prompt template" not in done.texts[0]
    assert dynamic_prompts.STEPPED_BACK in done.extra_generation_params[door.NOTES]
    assert webui.make(prompt="a <lora:x:1> cat").comments == "", "no word where there is nothing of ours"


def test_a_switched_off_dynamic_prompts_is_not_mentioned(webui: Double) -> None:
    ticked(webui, is_enabled=False, is_magic_prompt=True)
    assert "Dynamic Prompts" not in webui.make(prompt=TEMPLATE).comments


# Texts made out of ours ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before_ours", [False, True])
def test_texts_made_out_of_ours_are_followed_and_recorded(webui: Double, before_ours: bool) -> None:
    """Trigger words, styles, regions: whichever extension's `process` comes first, it sees the drawn text."""
    script = Hooked("Trigger words", process=rewriting(lambda text: f"{text}, ohwx"))
    webui.runner.add(script, before_ours=before_ours)
    done = webui.make(prompt=TEMPLATE, n_iter=4)
    assert [shot["prompt"] for shot in webui.rendered] == done.prompts
    assert all(prompt.endswith(", ohwx") and "{" not in prompt for prompt in done.prompts)
    assert all(f"{CHANGED_BY}: Trigger words" in text for text in done.texts)
    assert sum("Trigger words changes the prompts" in note for note in done.extra_generation_params[door.NOTES]) == 1


def test_regions_are_followed(webui: Double) -> None:
    """As Regional Prompter does: separators exchanged in `process`, the drawn texts put back for the record later."""
    kept: list[str] = []

    def process(p: Any, *_: Any) -> None:
        kept[:] = p.all_prompts
        for number, text in enumerate(p.all_prompts):
            p.all_prompts[number] = text.replace("ADDCOL", "BREAK")
        p.prompt = p.prompt.replace("ADDCOL", "BREAK")

    def process_batch(p: Any, *_: Any, **__: Any) -> None:
        part = slice(p.iteration * p.batch_size, (p.iteration + 1) * p.batch_size)
        p.all_prompts[part] = kept[part]

    webui.runner.add(Hooked("Regional Prompter", process=process, process_batch=process_batch))
    template = "a {red|blue} cat {ADDCOL a|ADDCOL the} dog"
    p = webui.job(prompt=template, n_iter=4)
    done = webui.process_images(p)
    assert all(re.fullmatch(r"a (red|blue) cat BREAK (a|the) dog", shot["prompt"]) for shot in webui.rendered)
    assert all(f"{CHANGED_BY}: Regional Prompter" in text for text in done.texts) and p.prompt == template


def test_only_the_changed_images_say_so(webui: Double) -> None:
    webui.runner.add(
        Hooked("Dogs", process=rewriting(lambda text: text.replace("photo", "big photo") if "dog" in text else text))
    )
    done = webui.make(prompt="a photo of a {dog|cat}", n_iter=8)
    assert [CHANGED_BY in text for text in done.texts] == ["dog" in prompt for prompt in done.prompts]
    assert 0 < sum("dog" in prompt for prompt in done.prompts) < 8


def test_followed_in_parts(webui: Double) -> None:
    webui.runner.add(Hooked("Trigger words", process=rewriting(lambda text: f"{text}, ohwx")))
    done = webui.make(prompt=f"{TEMPLATE} <steps:{{2|3}}>", n_iter=4)
    assert all(shot["prompt"].endswith(", ohwx") for shot in webui.rendered)
    assert all(f"{CHANGED_BY}: Trigger words" in text for text in done.texts)
    assert "Trigger words changes the prompts" in str(done.extra_generation_params[door.NOTES])


def test_nothing_is_recorded_where_recording_is_off(webui: Double) -> None:
    webui.opts.data["lora_loop_record"] = False
    webui.runner.add(Hooked("Trigger words", process=rewriting(lambda text: f"{text}, ohwx")))
    assert CHANGED_BY not in webui.make(prompt=TEMPLATE).texts[0]


# Texts replaced for a batch --------------------------------------------------------------------------------------------


def replacing(from_batch: int) -> Callable[..., None]:
    def hook(p: Any, *_: Any, **__: Any) -> None:
        if p.iteration >= from_batch:
            p.prompts = ["theirs"] * len(p.prompts)

    return hook


@pytest.mark.parametrize("hook", ["before_process_batch", "process_batch"])
@pytest.mark.parametrize("prompt", [TEMPLATE, f"{TEMPLATE} <steps:{{2|3}}>"])
def test_replaced_texts_stop_the_job_before_the_first_image(webui: Double, hook: str, prompt: str) -> None:
    script = webui.runner.add(Hooked("Batch writer", **{hook: replacing(0)}))
    p = webui.job(prompt=prompt, n_iter=3)
    with pytest.raises(HostError, match="Batch writer replaces the prompts"):
        webui.process_images(p)
    assert webui.rendered == [] and not [name for name in ("process", "init") if name in p.__dict__]
    webui.runner.alwayson_scripts.remove(script)
    assert len(webui.process_images(p).images) == 3, "the same job may run again"


def test_replaced_later_the_pictures_say_nothing_of_ours(webui: Double) -> None:
    webui.runner.add(Hooked("Batch writer", process_batch=replacing(2)))
    done = webui.make(prompt=TEMPLATE, n_iter=4)
    assert ["Prompt choices" in text for text in done.texts] == [True, True, False, False]
    assert ["Prompt template" in text for text in done.texts] == [True, True, False, False]
    assert [f"{CHANGED_BY}: Batch writer" in text for text in done.texts] == [False, False, True, True]


def test_a_batch_made_out_of_ours_is_followed(webui: Double) -> None:
    def hook(p: Any, *_: Any, **__: Any) -> None:
        p.prompts = [f"{text}, sharp" for text in p.prompts]

    webui.runner.add(Hooked("Sharpener", process_batch=hook))
    done = webui.make(prompt=f"{TEMPLATE} <lora:x:1>", n_iter=2)
    assert all(shot["prompt"].endswith(", sharp") for shot in webui.rendered)
    assert all(f"{CHANGED_BY}: Sharpener" in text for text in done.texts)


# What else others do ---------------------------------------------------------------------------------------------------


def test_a_copy_of_a_running_job_is_followed_by_nothing(webui: Double) -> None:
    """ADetailer runs the hooks on a copy of the running job after each batch: no place of the cyclical mode is lost,
    and the copy does not act on the job."""

    def after(p: Any, *_: Any, **__: Any) -> None:
        again = copy.copy(p)
        p.scripts.call("before_process", again)
        p.scripts.call("process", again)

    webui.runner.add(Hooked("ADetailer", process_batch=after))
    SESSION.places.clear()
    made = [webui.make((True, "cyclical"), prompt="{1|2|3}", n_iter=2).prompts for _ in range(3)]
    assert made == [["1", "2"], ["3", "1"], ["2", "3"]]


def test_inner_jobs_have_dynamic_prompts_as_the_person_set_it(webui: Double) -> None:
    """ADetailer's own prompts may have choices for Dynamic Prompts: it is off while ours are drawn, not longer."""
    seen: list[bool] = []
    rival = webui.runner.add(DynamicPrompts())
    webui.runner.add(Hooked("Looker", process_batch=lambda p, *_, **__: seen.append(p.script_args[rival.args_from])))
    webui.make(prompt=TEMPLATE, n_iter=2)
    assert seen == [True, True]


def test_a_hook_that_a_script_has_put_in_itself_stays(webui: Double) -> None:
    script = Hooked("Own", process=lambda *_: None)
    own = script.process
    webui.runner.add(script)
    webui.make(prompt=TEMPLATE)
    assert script.process is own


def test_a_webui_without_setup_prompts(webui: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    rival = webui.runner.add(DynamicPrompts())
    plain = webui.job().setup_prompts.__func__
    monkeypatch.delattr("tests.host.double.Job.setup_prompts")
    monkeypatch.setattr(webui, "fill", plain, raising=False)
    done = webui.make(prompt=TEMPLATE, n_iter=3)
    check(webui, done, 3)
    assert rival.told == []


def test_strange_scripts_are_no_trouble(webui: Double) -> None:
    class Broken(Other):
        def title(self) -> str:
            raise RuntimeError

        process = None

    webui.runner.alwayson_scripts.append(Broken())
    webui.runner.call = lambda hook, p, *given, **named: [  # type: ignore[method-assign]
        getattr(one, hook)(p, *given, **named)
        for one in webui.runner.alwayson_scripts
        if callable(getattr(one, hook, None))
    ]
    check(webui, webui.make(prompt=TEMPLATE, n_iter=2), 2)


def test_follows() -> None:
    from types import SimpleNamespace

    def shot(text: str, drawn: str) -> Any:
        choice = SimpleNamespace(texts=(drawn,))
        return SimpleNamespace(texts={"prompt": text}, drawn=SimpleNamespace(traces={"prompt": (choice,)}))

    shots = [shot("a red cat BREAK x", "red"), shot("a blue cat BREAK x", "blue")]
    assert follows(shots, "prompt", ["best, a red cat ADDCOL x", "best, a blue cat"])
    assert not follows(shots, "prompt", ["a red cat", "a red cat"])
    assert not follows(shots, "prompt", ["a red cat", "a green cat"])
    assert not follows(shots, "prompt", ["a red cat"])
    assert follows([shots[0], shots[0]], "prompt", ["the red cat"] * 2)
    assert follows([shot("BREAK a cat", "BREAK")], "prompt", ["a cat"])


def test_it_is_found_on_the_page(webui: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    import types

    assert not dynamic_prompts.on_page(False)
    module = types.ModuleType("modules.scripts")
    module.scripts_txt2img = webui.runner  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "modules.scripts", module)
    assert not dynamic_prompts.on_page(False)
    webui.runner.add(DynamicPrompts())
    assert dynamic_prompts.on_page(False) and not dynamic_prompts.on_page(True)
    assert find().option("lora_loop_dynamic_prompts", "take over") == "take over"


@pytest.mark.parametrize("hires", [False, True])
@pytest.mark.parametrize("before_ours", [False, True])
def test_the_cells_of_an_epoch_grid_are_drawn_as_planned(webui: Double, before_ours: bool, hires: bool) -> None:
    """A cell's prompt was drawn for the whole grid: it is neither lost nor drawn again."""
    rival = webui.runner.add(DynamicPrompts(), before_ours=before_ours)
    base = Checkpoint("one.safetensors", webui.folder / "one.safetensors", "1")
    texts = ("a {red|blue} cat", "a {red|blue} dog", "a {red|blue} cat")
    cells = [Cell(str(at), base, None, 0, text, "grey", 5 + at, {"steps": 3}) for at, text in enumerate(texts)]
    fields: dict[str, Any] = {"enable_hr": True, "hr_prompt": ""} if hires else {}
    job = webui.job(prompt="what the page says", steps=3, subseed=2, **fields)
    renderer = JobRenderer(find(), job, subseed=2)
    made = [picture for part in (cells[:2], cells[2:]) for picture in renderer.draw(part)]
    assert [(shot["prompt"], shot["negative_prompt"], shot["seed"]) for shot in webui.rendered] == [
        (cell.text, "grey", cell.seed) for cell in cells
    ]
    for picture, cell in zip(made, cells, strict=True):
        assert isinstance(picture, Picture), picture
        assert picture.infotext.startswith(f"{cell.text}\nNegative prompt: grey\n")
        assert f"Seed: {cell.seed}" in picture.infotext and "Template" not in picture.infotext
    assert job.prompt == "what the page says" and not rival.told
