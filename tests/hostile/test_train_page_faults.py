"""The Train tab's rows of the faults: made-up events, shared pages, output names, hostile names, start pressed often."""

from __future__ import annotations

import argparse
import json
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lib_lora_train.errors import LoraLoopError
from lib_lora_train.files import atomic
from lib_lora_train.jobs import queue, runner, store
from lib_lora_train.train import config as configs
from lib_lora_train.ui.command import Alone
from lib_lora_train.ui.errors import NotAllowed, PageError
from lib_lora_train.ui.train import building, places, preset_shelf, scene
from lib_lora_train.ui.train.desk import Desk
from lib_lora_train.ui.train.scene import Scene
from tests.runs import Workshop
from tests.ui.train.host import answers, desk_in


@pytest.fixture
def desk(workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A desk with a base and photos, whose queue is not worked on."""
    monkeypatch.setattr(runner, "start", lambda _home: True)
    monkeypatch.setattr(building, "find", lambda _wanted: object())
    found = desk_in(tmp_path, workshop.base)
    found.host.flags["lora_loop_photos"] = [str(workshop.folder)]  # type: ignore[attr-defined]
    return found


def a_job(desk: Desk) -> str:
    return store.create(configs.from_values({"name": "old", "trigger": "x"}), desk.home).folder.name


def does(desk: Desk, now: Scene, **action: Any) -> str:
    scene.act(now, desk, json.dumps(action))
    return now.message


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"}


@pytest.mark.parametrize(
    "path", ["/etc", "../../../etc", "~root", "/etc/passwd\x00", "", None, 7, {"path": "/etc"}, "x" * 5000]
)
def test_s1_paths_outside_the_allowed_folders_are_refused(path: Any, desk: Desk, workshop: Workshop) -> None:
    desk.host.shared = True  # type: ignore[attr-defined]
    with pytest.raises(LoraLoopError):
        desk.prepare(answers("tiny.safetensors", workshop.photos, folder=path))
    assert not list(desk.home.glob("jobs/*"))


@pytest.mark.parametrize("field", ["name", "trigger", "class_word"])
@pytest.mark.parametrize("text", [None, 7, ["x"], "x" * 201, "a\x00b", "a\nb"])
def test_s1_words_are_short_texts_of_one_line(field: str, text: Any, desk: Desk, workshop: Workshop) -> None:
    with pytest.raises(PageError, match=f"{field} must be a short text"):
        desk.prepare(replace(answers("tiny.safetensors", workshop.photos), **{field: text}))


def test_s1_a_link_does_not_lead_out(tmp_path: Path) -> None:
    (tmp_path / "photos").symlink_to("/etc")
    with pytest.raises(PageError, match="may use"):
        places.inside("photos", [tmp_path], "photos")


@pytest.mark.parametrize("name", ["base.vae", "adapter.start_from", "dataset.regularisation"])
def test_s1_paths_in_the_options_are_refused_too(name: str, desk: Desk, workshop: Workshop) -> None:
    desk.host.shared = True  # type: ignore[attr-defined]
    given = answers("tiny.safetensors", workshop.photos)
    with pytest.raises(PageError, match=name):
        desk.prepare(answers("tiny.safetensors", workshop.photos, options={**given.options, name: "/etc/passwd"}))


def test_who_sits_at_the_machine_may_use_photos_on_every_drive(
    desk: Desk, workshop: Workshop, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Photos and WebUIs lie on different drives as a rule; naming a folder needs no restart with another flag."""
    del desk.host.flags["lora_loop_photos"]  # type: ignore[attr-defined]
    elsewhere = tmp_path_factory.mktemp("drive") / "photos"
    shutil.copytree(workshop.photos, elsewhere)
    assert desk.prepare(answers("tiny.safetensors", elsewhere)).report.trainable
    (desk.home / "linked").symlink_to(elsewhere)
    assert desk.prepare(answers("tiny.safetensors", workshop.photos, folder="linked")).report.trainable
    desk.host.shared = True  # type: ignore[attr-defined]
    with pytest.raises(PageError, match="--lora-loop-photos FOLDER"):
        desk.prepare(answers("tiny.safetensors", elsewhere))


@pytest.mark.parametrize("path", ["/proc/self", "/proc", "/sys/kernel", "/dev", "photos/../../../../../../../proc"])
def test_s1_what_the_kernel_shows_as_files_is_no_folder_of_photos(path: str, desk: Desk) -> None:
    with pytest.raises(PageError, match="not in a folder that this page may use"):
        places.inside(path, desk.roots(), "The folder of photos")


def test_s1_a_shared_page_names_no_folder_of_the_machine(desk: Desk, workshop: Workshop) -> None:
    desk.host.shared = True  # type: ignore[attr-defined]
    with pytest.raises(PageError) as refused:
        desk.prepare(answers("tiny.safetensors", workshop.photos, folder="/etc"))
    for folder in (desk.home, desk.host.data_folder, workshop.folder, Path.home()):
        assert str(folder) not in str(refused.value)
    now = Scene()
    now.say(f"There is no folder {desk.home / 'photos'}; check dataset.path.", False)
    told = str(scene.news(now, desk)["notice"])
    assert "There is no folder lora-loop/photos" in told
    assert str(desk.home.parent) not in told


def test_s1_the_folder_around_the_home_is_not_shown_to_others(tmp_path: Path) -> None:
    """`ui --home DIR --listen`: whatever else lies beside DIR could be listed as photos."""
    home = tmp_path / "lora-loop"
    (tmp_path / "secret").mkdir()
    (home / "photos").mkdir(parents=True)
    given = argparse.Namespace(home=home, photos=[], models=[], lora=None, listen="0.0.0.0", password=None)
    given.allow_remote, given.host_name = True, []
    allowed = places.roots(Alone(given))
    assert places.inside("photos", allowed, "x") == home / "photos"
    with pytest.raises(PageError, match="may use"):
        places.inside(str(tmp_path / "secret"), allowed, "x")


@pytest.mark.parametrize("base", ["/etc/passwd", "../tiny.safetensors", None, ["tiny.safetensors"]])
def test_s1_only_a_known_checkpoint_is_a_base(base: Any, desk: Desk, workshop: Workshop) -> None:
    with pytest.raises(PageError, match="Choose a base"):
        desk.prepare(answers(base, workshop.photos))


def test_s1_only_what_was_dropped_is_taken_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workshop: Workshop
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    (tmp_path / "gradio").mkdir()
    inside = tmp_path / "gradio" / "a b.PNG"
    inside.write_bytes((workshop.photos / "0.png").read_bytes())
    folder = places.new_folder("../../me", tmp_path / "photos")
    assert folder.parent == tmp_path / "photos"
    (tmp_path / "gradio" / "evil.png").symlink_to("/etc/hostname")
    (tmp_path / "gradio" / "empty.png").touch()
    for name, words in (("evil.png", "not dropped"), ("x.py", "None of these"), ("empty.png", "did not arrive")):
        with pytest.raises(PageError, match=words):
            places.take_in([str(tmp_path / "gradio" / name)], folder)
    for made_up in (str(workshop.photos / "0.png"), None, 7, {"name": "/etc/hostname"}):
        with pytest.raises(PageError):
            places.take_in([str(inside), made_up] if isinstance(made_up, str) else [made_up], folder)
    assert folder.exists() is False
    places.take_in([str(inside)], folder)
    places.take_in([str(inside)], folder)
    assert sorted(path.name for path in folder.iterdir()) == ["a b-2.png", "a b.png"]
    assert places.new_folder("../../me", tmp_path / "photos") != folder


def test_s1_a_file_that_gradio_copied_for_a_made_up_event_is_not_taken_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workshop: Workshop, desk: Desk
) -> None:
    """gradio 3 copies any file that an event names into its upload folder, and tells the name as `orig_name`."""
    uploads = tmp_path / "gradio"
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(uploads))
    (uploads / "hash").mkdir(parents=True)
    picture, preset, empty = (uploads / "hash" / name for name in ("0.png", "a.toml", "1.png"))
    picture.write_bytes((workshop.photos / "0.png").read_bytes())
    preset.write_text("[loop]\nsteps = 3\n")
    empty.touch()
    for named in (str(workshop.photos / "0.png"), "0.png", "/etc/a.toml", f"{uploads}/../0.png", "", "x" * 5000):
        for file in (picture, preset):
            with pytest.raises(PageError, match="not dropped"):
                places.uploaded(SimpleNamespace(name=str(file), orig_name=named))
    for made_up, take in (
        (picture, lambda one: places.take_in([one], desk.home / "photos" / "me")),
        (preset, lambda one: preset_shelf.take_in(desk, one)),
    ):
        with pytest.raises(PageError, match="not dropped"):
            take(SimpleNamespace(name=str(made_up), orig_name=f"/elsewhere/{made_up.name}"))
        take(SimpleNamespace(name=str(made_up), orig_name=str(made_up)))
    assert [path.name for path in (desk.home / "photos" / "me").iterdir()] == ["0.png"]
    with pytest.raises(PageError, match="did not arrive"):
        places.take_in([SimpleNamespace(name=str(empty), orig_name="1.png")], desk.home / "photos" / "me")


def test_s1_made_up_actions_do_nothing(desk: Desk) -> None:
    job, now = a_job(desk), Scene()
    before = files(desk.home)
    acts = [*scene.ACTS, "require", "__init__", None, 7]
    for act in (one for one in acts if one not in ("delete", "again", "resume", "queue_pause", "queue_go", "undelete")):
        for name in ("../../etc", "/etc", "", None, 7, [job], {"a": 1}, "x" * 1500):
            does(desk, now, act=act, job=name, command="kill", place="1e9", fault="x", cure="x")
    for raw in (None, 7, "[", "[]", "{}", "x" * 10**6, '{"act": ["open"]}', "[" * 1900):
        scene.act(now, desk, raw)
    assert files(desk.home) == before


def test_s2_nothing_is_changed_where_the_page_is_shared(desk: Desk, workshop: Workshop) -> None:
    job = a_job(desk)
    queue.add(desk.home, [job])
    before = files(desk.home)
    desk.host.shared = True  # type: ignore[attr-defined]
    given = answers("tiny.safetensors", workshop.photos)
    tries: list[Callable[[], object]] = [
        lambda: desk.start(given),
        lambda: desk.resume(job),
        lambda: desk.ask(job, "stop"),
        lambda: desk.again(job),
        lambda: desk.cure(job, "x", "x"),
        lambda: desk.delete(job),
        desk.undelete,
        lambda: preset_shelf.save(desk, "mine", given),
        lambda: preset_shelf.take_in(desk, "x.toml"),
        lambda: preset_shelf.rename(desk, "mine", "yours"),
        lambda: preset_shelf.delete(desk, "mine"),
        lambda: desk.answers_of(job),
    ]
    for act in tries:
        with pytest.raises(NotAllowed, match="--lora-loop-allow-remote"):
            act()
    for act in scene.ACTS:
        does(desk, Scene(), act=act, job=job, place="1", command="stop", fault="x", cure="x")
    assert files(desk.home) == before
    html = scene.fragments(Scene(job=job), desk)
    assert "--lora-loop-allow-remote" in html["notice"] and 'data-act="remove"' not in html["queue"]
    desk.host.flags["lora_loop_allow_remote"] = True  # type: ignore[attr-defined]
    assert desk.refusal() == ""


@pytest.mark.parametrize("name", ["../../scripts/x", "a/b", "NUL", "x\ny", "trailing ", "con.safetensors", "a:b"])
def test_s3_output_names_stay_in_their_folder(name: str, desk: Desk, workshop: Workshop) -> None:
    lora = desk.home.parent / "Lora"
    lora.mkdir()
    desk.host.lora_folder = lora  # type: ignore[attr-defined]
    try:
        made, _ = desk.start(answers("tiny.safetensors", workshop.photos, name=name))
    except LoraLoopError as error:
        assert "name" in str(error)
        assert not list(desk.home.glob("jobs/*"))
    else:
        assert desk.job(made).config().name == name.strip()
        assert (desk.home / "jobs" / made).is_dir()
        assert desk.job(made).config().save.copy_to == str(lora)


def test_s3_a_preset_is_saved_in_its_folder_without_paths(desk: Desk, workshop: Workshop) -> None:
    given = answers("tiny.safetensors", workshop.photos)
    options = {**given.options, "log.notify": "https://example.org/x"}
    saved, _ = preset_shelf.save(desk, "../../evil", answers("tiny.safetensors", workshop.photos, options=options))
    [path] = desk.home.glob("presets/*")
    assert path.stem == saved and ".." not in saved.split("_")[0].strip(".")
    assert "example.org" not in path.read_text() and str(workshop.photos) not in path.read_text()
    assert desk.preset(saved).loop.steps == 4


@pytest.mark.parametrize("times", [5])
def test_j3_start_pressed_often_starts_once(times: int, desk: Desk, workshop: Workshop) -> None:
    told: list[str] = []
    given = answers("tiny.safetensors", workshop.photos)
    threads = [threading.Thread(target=lambda: told.append(desk.start(given)[0])) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == times and len(set(told)) == 1
    assert [entry.job for entry in queue.read(desk.home).entries] == [told[0]]
    assert len(list(desk.home.glob("jobs/*"))) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"status": "<script>"},
        {"config": {"name": "../../x"}},
        {"config": {"name": "<img src=x onerror=alert(1)>", "base": {"path": ["sh", "-c"]}}},
        {"process": {"pid": 1, "born": "x", "machine": "<b>", "folder": "/"}},
        {"config": "rm -rf /"},
    ],
)
def test_j9_s4_a_tampered_job_is_shown_and_harms_nothing(change: dict[str, Any], desk: Desk) -> None:
    job = a_job(desk)
    file = desk.home / "jobs" / job / "job.json"
    atomic.write_json(file, {**json.loads(file.read_text()), **change})
    (desk.home / "queue").mkdir(exist_ok=True)
    atomic.write_json(
        desk.home / "queue" / "queue.json",
        {"version": 1, "entries": [{"job": job, "start_at": None}, {"job": "../../<b>", "start_at": None}], "done": [], "paused": False, "keep_going": True},
    )  # fmt: skip
    (file.parent / "events.jsonl").write_text('{"kind": "error", "time": 1, "name": "<b>", "message": "<b>x</b>"}\n')
    (desk.home / "jobs" / "<b>evil").mkdir()
    (desk.home / "jobs" / "<b>evil" / "job.json").write_text("{}")
    now = Scene(job=job, log=True)
    for html in scene.fragments(now, desk).values():
        assert "<b>" not in html and "<script" not in html and "<img" not in html
    for act in scene.ACTS:
        does(desk, Scene(), act=act, job=job, place="1", command="stop")


def test_the_parts_of_a_look_are_small_and_only_what_is_new(desk: Desk) -> None:
    now = Scene(job=a_job(desk))
    first = scene.news(now, desk)
    assert first["head"] and first["jobs"]
    assert set(scene.news(now, desk).values()) == {None}
    now.sent.clear()
    assert scene.news(now, desk) == first
