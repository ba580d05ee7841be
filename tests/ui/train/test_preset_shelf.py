"""Presets and jobs' settings as the page asks for them: what is made up is refused, what is a person's own stays."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest

from lib_lora_train.errors import LoraLoopError
from lib_lora_train.jobs import runner, store
from lib_lora_train.train import config as configs
from lib_lora_train.train import presets, toml
from lib_lora_train.train.errors import ConfigError
from lib_lora_train.ui.errors import NotAllowed, PageError
from lib_lora_train.ui.train import building, form, preset_shelf, scene
from lib_lora_train.ui.train.desk import Desk
from tests.runs import Workshop
from tests.ui.train.host import answers, desk_in


@pytest.fixture
def desk(workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A desk with a base and photos, whose queue is not worked on; what is uploaded lies in `uploads`."""
    monkeypatch.setattr(runner, "start", lambda _home: True)
    monkeypatch.setattr(building, "find", lambda _wanted: object())
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    (tmp_path / "uploads").mkdir()
    found = desk_in(tmp_path, workshop.base)
    found.host.flags["lora_loop_photos"] = [str(workshop.folder)]  # type: ignore[attr-defined]
    return found


def uploaded(desk: Desk, text: str, name: str = "ink.toml") -> str:
    path = desk.home.parent / "uploads" / name
    path.write_text(text, "utf-8")
    return str(path)


def test_a_preset_goes_from_one_person_to_another(desk: Desk, workshop: Workshop, tmp_path: Path) -> None:
    mine, words = preset_shelf.save(desk, "ink & <b>paper</b>", answers("tiny.safetensors", workshop.photos))
    assert "<b>" not in words and "Began as the preset Small file." in presets.find(mine, desk.home).source
    card = preset_shelf.card(desk.home, mine)
    assert "<b>" not in card
    data = re.findall(r'base64,([^"]*)"', card)[0]  # the chosen one stands first
    file = uploaded(desk, base64.b64decode(data).decode("utf-8"))
    other = desk_in(tmp_path / "other", workshop.base)
    theirs, said = preset_shelf.take_in(other, file)
    assert other.preset(theirs) == desk.preset(mine) and "yours now" in said


@pytest.mark.parametrize(
    "given", ["/etc/passwd", "../../etc/passwd", "", "x.toml", None, 7, ["a"], {"name": "/etc/passwd"}]
)
def test_s1_only_what_was_dropped_on_the_page_is_a_preset(given: Any, desk: Desk) -> None:
    with pytest.raises(PageError):
        preset_shelf.take_in(desk, given)
    link = desk.home.parent / "uploads" / "link.toml"
    link.symlink_to(presets.SHIPPED / "person.toml")
    with pytest.raises(PageError, match="not dropped"):
        preset_shelf.take_in(desk, str(link))
    assert not (desk.home / "presets").exists()


@pytest.mark.parametrize("name", ["../person", "person", "/etc/passwd", "", "x" * 500, None, 7, ["mine"]])
def test_s1_made_up_names_change_no_preset(name: Any, desk: Desk) -> None:
    before = {path: path.read_bytes() for path in presets.SHIPPED.iterdir()}
    for act in (lambda: preset_shelf.delete(desk, name), lambda: preset_shelf.rename(desk, name, "mine")):
        with pytest.raises(LoraLoopError):
            act()
    assert {path: path.read_bytes() for path in presets.SHIPPED.iterdir()} == before
    assert "lora-loop-presets" in preset_shelf.card(desk.home, name)


def test_s4_a_preset_s_words_are_no_html(desk: Desk) -> None:
    evil = "<img src=x onerror=alert(1)>\"'"
    text = toml.write({"preset": {"title": evil, "about": evil * 500, "source": evil}, "loop": {"steps": 3}})
    name, said = preset_shelf.take_in(desk, uploaded(desk, text))
    card = preset_shelf.card(desk.home, name)
    assert "<img" not in card and "<img" not in said and len(card) < 60_000
    (desk.home / "presets" / "worse.toml").write_text(f'[adapter]\n"{"<img>" * 200}" = 1\n', "utf-8")
    assert "<img" not in preset_shelf.card(desk.home, "worse")


def test_a_job_s_settings_come_back_into_the_form(desk: Desk, workshop: Workshop) -> None:
    given = answers("tiny.safetensors", workshop.photos)
    options = {**given.options, "adapter.rank": "7", "log.notify": "https://example.org/x"}
    job, _ = desk.start(answers("tiny.safetensors", workshop.photos, options=options))
    told, words = desk.answers_of(job)
    assert (told.name, told.trigger, told.base) == (given.name, given.trigger, "tiny.safetensors")
    assert told.folder == str(workshop.photos.resolve()) and job in words
    assert desk.runs(told).variants[0].config == desk.job(job).config()
    desk.host.base = None  # type: ignore[attr-defined]
    assert desk.answers_of(job)[0].base == "" and "choose one" in desk.answers_of(job)[1]


@pytest.mark.parametrize("name", ["../../etc", "/etc", "", None, 7, ["x"], "x" * 3000])
def test_s1_only_a_job_s_settings_are_loaded(name: Any, desk: Desk) -> None:
    with pytest.raises(LoraLoopError):
        desk.answers_of(name)


def test_s7_others_do_not_see_where_a_person_is_told(desk: Desk) -> None:
    config = configs.from_values({"name": "me", "trigger": "x", "log": {"notify": "https://example.org/secret"}})
    job = store.create(config, desk.home).folder.name
    assert desk.answers_of(job)[0].options["log.notify"] == "https://example.org/secret"
    desk.host.shared = True  # type: ignore[attr-defined]
    with pytest.raises(NotAllowed):
        desk.answers_of(job)
    desk.host.flags["lora_loop_allow_remote"] = True  # type: ignore[attr-defined]
    assert desk.answers_of(job)[0].options["log.notify"] == ""


def test_s1_a_page_that_others_reach_posts_to_no_address(desk: Desk, workshop: Workshop) -> None:
    given = answers("tiny.safetensors", workshop.photos)
    asked = answers("tiny.safetensors", workshop.photos, options={**given.options, "log.notify": "http://10.0.0.1/"})
    assert desk.runs(asked).variants[0].config.log.notify == "http://10.0.0.1/"
    desk.host.shared = True  # type: ignore[attr-defined]
    desk.host.flags["lora_loop_allow_remote"] = True  # type: ignore[attr-defined]
    with pytest.raises(PageError, match=r"log\.notify"):
        desk.start(asked)
    assert not list(desk.home.glob("jobs/*"))


@pytest.mark.parametrize(
    "address", ["file:///etc/passwd", "https://me:secret@example.org/", "gopher://x", "javascript:1"]
)
def test_s7_an_address_that_is_none_is_refused_in_the_form(address: str) -> None:
    with pytest.raises(ConfigError, match="notification"):
        form.runs({"log.notify": address}, {"name": "me"})


def test_a_preset_in_the_trash_is_no_deleted_job(desk: Desk, workshop: Workshop) -> None:
    name, _ = preset_shelf.save(desk, "mine", answers("tiny.safetensors", workshop.photos))
    preset_shelf.delete(desk, name)
    assert "undelete" not in scene.fragments(scene.Scene(), desk)["jobs"]
    job = store.create(configs.from_values({"name": "me", "trigger": "x"}), desk.home).folder.name
    desk.delete(job)
    assert "undelete" in scene.fragments(scene.Scene(), desk)["jobs"]
    desk.undelete()
    assert desk.job(job).config().name == "me"


def test_what_the_page_translates_is_readable_json(desk: Desk, workshop: Workshop) -> None:
    _, words = preset_shelf.save(desk, 'a "b" {} & c', answers("tiny.safetensors", workshop.photos))
    values = re.findall(r'data-values="([^"]*)"', words)[0].replace("&quot;", '"').replace("&amp;", "&")
    assert json.loads(values) == ["a _b_ {} & c"]
