"""The Train tab of a real WebUI against made-up events: rows S1, S2 and S4 of the faults."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lib_lora_train.train import config as configs
from lib_lora_train.train import toml
from lib_lora_train.ui.train import form
from tests.runs import draw_photo
from tests.webui.client import WebUI
from tests.webui.events import Answer, Events
from tests.webui.test_browser import page
from tests.webui.test_train import base, tab
from tests.webui.train_tab import PART, TINY, Tab, folders, photos

__all__ = ["base", "page", "tab"]
Form = dict[str, Any]
EVIL = "<img src=x onerror=window.hacked=1>"
WRONG: tuple[Any, ...] = (None, True, 7, -1e308, [], ["/etc"], {}, {"path": "/etc/passwd"}, {"__type__": "update"})
TEXTS: tuple[Any, ...] = (*WRONG, "x" * 300_000, EVIL, "", "\x00")
KERNEL = ("/etc/passwd\x00", "/proc/self", "/proc/self/environ", "../../../../../../proc", "/sys", "/dev")
"""What nobody may name."""
OUTSIDE = ("/etc", "../../../../../../etc", *KERNEL)
"""What those who come from elsewhere may not name; who sits at the machine may use every folder."""
PATH_OPTIONS = ("base_vae", "adapter_start_from", "dataset_regularisation")
NUMBERS = ("-1", "1e999", "nan", ",".join(map(str, range(1, 3000))), "9" * 4000)


class Secret:
    """Files in a folder that no page may use, with a word in their names and texts that must not come back."""

    def __init__(self, folder: Path) -> None:
        self.word = f"hidden-{uuid.uuid4().hex}"
        self.folder = folder
        self.photo, self.preset = folder / "a.png", folder / "a.toml"
        draw_photo(self.photo, 3)
        (folder / f"{self.word}.png").write_bytes(self.photo.read_bytes())
        (folder / "a.txt").write_text(self.word, "utf-8")
        self.preset.write_text(f'[preset]\ntitle = "{self.word}"\n[loop]\nsteps = 3\n', "utf-8")

    def check(self, answer: Answer) -> None:
        """Nothing of it is shown, nor anything else that no page may show."""
        assert self.word not in answer.text and "root:" not in answer.text
        assert "Traceback" not in answer.text and "data:image" not in answer.text
        assert not [name for name, html in answer.html.items() if "<img src=x" in html]


@pytest.fixture
def events(webui: WebUI) -> Events:
    return Events(webui)


@pytest.fixture
def secret(webui: WebUI, tmp_path: Path) -> Secret:
    if any(tmp_path.is_relative_to(root) for root in (Path.home(), folders(webui)[0].parent)):
        pytest.skip("These files would lie in a folder that the page may use; give another --basetemp.")
    (tmp_path / "secret").mkdir()
    return Secret(tmp_path / "secret")


@pytest.fixture
def filled(tab: Tab, base: str) -> Form:
    """The form for four steps; what is trained from it is gone with the tab."""
    values = form.shown(configs.from_values(toml.parse(TINY.format(steps=4))))
    options = {name.replace(".", "_"): value for name, value in values.items()}
    return {**options, "name": "made-up", "trigger": "ohwx", "class_word": "cat", "base": base, "preset": "person"}


def is_shared(webui: WebUI) -> bool:
    """Whether others may reach this WebUI, so that its Train tab changes nothing."""
    words = webui.call("/internal/sysinfo")["Commandline"]
    return bool({"--listen", "--share"} & set(words)) and not {"--gradio-auth", "--lora-loop-allow-remote"} & set(words)


def files(tab: Tab) -> dict[Path, bytes]:
    """Everything that a page could have changed, without what changes by itself."""
    kept = ("jobs", "photos", "presets", "queue", "trash", "wildcards")
    roots = (*(tab.home / name for name in kept), tab.loras, Path(__file__).parents[2] / "presets")
    found = (path for root in roots for path in root.rglob("*"))
    return {path: path.read_bytes() for path in found if path.is_file() and path.suffix not in (".lock", ".txt")}


def act(events: Events, **action: Any) -> Answer:
    return events.send("do", raw=json.dumps(action))


def take(events: Events, *paths: str) -> Answer:
    """The event of dropped photos."""
    return events.send("upload", "upload", upload=[events.file(path) for path in paths], folder="", name="made-up")


def test_s1_made_up_events_with_good_values_do_work(
    webui: WebUI, tab: Tab, events: Events, filled: Form, tmp_path: Path
) -> None:
    """Without this the refusals below would prove nothing."""
    if is_shared(webui):
        pytest.skip("Nothing can be changed on a WebUI that others reach.")
    shots = [events.upload(photo) for photo in sorted(photos(tmp_path / "photos").iterdir())]
    taken = take(events, *shots)
    assert ">5 photos are in" in taken.html["taken"], taken.text
    filled["folder"] = taken.values["folder"]
    assert Path(filled["folder"]).parent == tab.home / "photos"
    checked = events.send("check", **filled)
    assert " 4 steps" in checked.html["sentence"] and checked.html["sheet"].count("data:image/jpeg") == 5
    started = events.send("start", **filled)
    job = tab.job("made-up")
    assert "made-up" in started.html["head"] and f'data-job="{job.name}"' in started.html["jobs"]
    tab.page.locator(f"#lora_loop_train_jobs [data-job='{job.name}']").click()
    tab.status("done")
    assert (tab.loras / "made-up.safetensors").is_file()
    opened = act(events.anew(), act="open", job=job.name)
    assert "lora-loop-done" in opened.html["head"]
    loaded = events.send("load", raw=json.dumps({"act": "load", "job": job.name}))
    assert (loaded.values["trigger"], loaded.values["loop_steps"]) == ("ohwx", "4")
    preset = tmp_path / "made-up.toml"
    preset.write_text('[preset]\ntitle = "made-up"\n[loop]\nsteps = 3\n', "utf-8")
    imported = events.send("preset_import", "upload", preset_import=events.file(events.upload(preset)))
    assert imported.values["preset"] == "made-up", imported.text
    (tab.home / "presets" / "made-up.toml").unlink()


def test_s1_made_up_forms_read_nothing_outside_and_queue_nothing(
    webui: WebUI, tab: Tab, events: Events, filled: Form, secret: Secret
) -> None:
    shared = is_shared(webui)
    outside = (*OUTSIDE, str(secret.folder), str(secret.photo)) if shared else KERNEL
    (tab.home / "photos").mkdir(exist_ok=True)
    filled["folder"] = str(photos(tab.home / "photos" / "made-up"))
    before = files(tab)
    tries: list[Form] = [{"folder": one} for one in (*outside, "~root/x", "file:///etc", *TEXTS)]
    tries += [{"base": one} for one in (*OUTSIDE, str(secret.photo), *WRONG, EVIL)]
    tries += [{name: one} for name in ("name", "trigger", "class_word") for one in (None, "a\x00b", "x" * 300_000)]
    tries += [{name: one} for name in PATH_OPTIONS for one in outside]
    tries += [{"loop_steps": one} for one in (*NUMBERS, *TEXTS) if one != 7]
    tries += [{"optimizer_name": one} for one in ("os.system", EVIL, {"a": 1}, "x" * 300_000)]
    for one in tries:
        for name in ("check", "start"):
            answer = events.send(name, **{**filled, **one})
            assert not answer.values.get("sentence") and not answer.html.get("sheet"), (name, str(one)[:200])
            secret.check(answer)
    assert files(tab) == before


def test_s1_only_what_was_dropped_is_taken_in(
    webui: WebUI, tab: Tab, events: Events, filled: Form, secret: Secret, tmp_path: Path
) -> None:
    """Also where gradio itself copies a file that a made-up event names into its upload folder."""
    before = files(tab)
    fine = events.upload(secret.photo)
    named = [str(one) for one in (secret.photo, secret.preset, secret.folder / "a.txt", secret.folder)]
    named += [f"{Path(fine).parent}/../../..{one}" for one in named] + ["../" * 12 + one for one in named]
    named += ["/etc/passwd", "/etc/hostname.png", f"file://{secret.photo}", f"{fine}\x00.png", "", "x" * 5000 + ".png"]
    for path in named:
        secret.check(take(events, path))
        if path.endswith((".png", ".txt")):  # anything else beside a photo is left out
            secret.check(take(events, fine, path))
        answer = events.send("preset_import", "upload", preset_import=events.file(path))
        secret.check(answer)
        assert not answer.values.get("preset"), answer.text
    for wrong in (*TEXTS, [{"name": None}], [{"path": 7}], [events.file(str(secret.photo)) | {"is_stream": True}]):
        secret.check(events.send("upload", "upload", upload=wrong))
        secret.check(events.send("preset_import", "upload", preset_import=wrong))
    for target in (str(secret.folder), "/etc", "../../x"):
        answer = events.send("upload", "upload", upload=[events.file(str(secret.photo))], folder=target, name="../x")
        secret.check(answer)
    assert files(tab) == before
    assert sorted(one.suffix for one in secret.folder.iterdir()) == [".png", ".png", ".toml", ".txt"]


def test_s1_made_up_actions_change_nothing(tab: Tab, events: Events, secret: Secret) -> None:
    before = files(tab)
    names: tuple[Any, ...] = ("../../etc", "\ud800", str(secret.folder), "/etc", EVIL, "x" * 30_000, *WRONG)
    acts = (
        "open",
        "ask",
        "resume",
        "again",
        "cure",
        "move",
        "remove",
        "delete",
        "log",
        "sample",
        "sample_now",
        "zoom",
        "share_card",
        "start_now",
    )
    for name in names:
        for what in (*acts, "caption", "captions_page", "captions_tag", "captions_do", "__init__", EVIL):
            told = {"place": name, "command": name, "fault": name, "photo": name, "text": name, "tag": name}
            secret.check(act(events, act=what, job=name, **told))
        secret.check(events.send("load", raw=json.dumps({"act": "load", "job": name})))
    for raw in (*TEXTS, "[" * 30_000, '{"act": ["open"]}', '{"act": "open", "job": NaN}', "\ud800"):
        secret.check(events.send("do", raw=raw))
        secret.check(events.send("load", raw=raw))
    assert files(tab) == before


def test_s1_any_event_with_anything_changes_nothing(tab: Tab, events: Events, secret: Secret) -> None:
    """Every event of the tab, each input the same made-up value; afterwards a real page works as before."""
    before = files(tab)
    values = ("../../evil", str(secret.folder), "evil.py", "x" * 5000, EVIL, None, 10**12, {"path": "/etc/passwd"}, [])
    assert len(events.names()) > 20
    for name, what in events.names():
        for value in values:
            count = events.inputs(name, what)
            secret.check(events.post(name, what, [value] * count))
    assert files(tab) == before
    tab.reload()
    assert "Traceback" not in tab.page.inner_text("#lora_loop_train_page")


def test_s4_names_captions_and_triggers_are_no_html(
    webui: WebUI, tab: Tab, events: Events, filled: Form, secret: Secret
) -> None:
    """A run whose every word is HTML, as it lies in the home of whoever looks next."""
    if is_shared(webui):
        pytest.skip("Nothing can be started on a WebUI that others reach.")
    folder = tab.home / "photos" / "made-up-evil"
    folder.mkdir(parents=True)
    for number in range(3):
        draw_photo(folder / f"{EVIL}{number}.png", number)
        (folder / f"{EVIL}{number}.txt").write_text(f"ohwx {EVIL}, {EVIL}", "utf-8")
    words = {"name": f"made-up{EVIL}", "trigger": f"ohwx{EVIL}", "class_word": EVIL, "folder": str(folder)}
    for name in ("check", "command", "start"):
        answer = events.send(name, **{**filled, **words})
        assert not [part for part, html in answer.html.items() if "<img src=x" in html]
        assert "Traceback" not in answer.text
    assert not list((tab.home / "jobs").glob("*made-up*")), "that name is no file's name"
    words["name"] = "made-up-evil"
    assert "<img src=x" not in "".join(events.send("start", **{**filled, **words}).html.values())
    for name in ("folder", "trigger", "class_word"):
        tab.fill(name, words[name])
    tab.page.click(PART.format("check"))
    tab.page.wait_for_selector(".lora-loop-card")
    tab.page.locator(f"#lora_loop_train_jobs [data-job='{tab.job('made-up-evil').name}'][data-act=open]").click()
    tab.status("done")
    assert EVIL in tab.page.inner_text(PART.format("sheet"))
    assert tab.page.locator("#lora_loop_train_page img[src='x']").count() == 0
    assert tab.page.evaluate("window.hacked") is None


def test_s2_nothing_is_changed_where_others_reach_the_page(
    webui: WebUI, tab: Tab, events: Events, filled: Form, tmp_path: Path
) -> None:
    if not is_shared(webui):
        pytest.skip("This WebUI is not shared; start it with --listen and without a password.")
    assert "--lora-loop-allow-remote" in tab.page.inner_text(PART.format("notice"))
    before = files(tab)
    filled["folder"] = str(photos(tmp_path / "photos"))
    shot = events.upload(next((tmp_path / "photos").iterdir()))
    preset = tmp_path / "made-up.toml"
    preset.write_text("[loop]\nsteps = 3\n", "utf-8")
    tries: list[Callable[[Events], Answer]] = [
        lambda page: page.send("start", **filled),
        lambda page: take(page, shot),
        lambda page: page.send("preset_import", "upload", preset_import=page.file(page.upload(preset))),
        lambda page: page.send("save", preset_name="made-up", **filled),
        lambda page: page.send("preset_delete", preset="person"),
        lambda page: page.send("load", raw=json.dumps({"act": "load", "job": "x"})),
    ]
    acts = (
        "build",
        "resume",
        "again",
        "cure",
        "ask",
        "move",
        "remove",
        "delete",
        "undelete",
        "queue_pause",
        "queue_go",
    )
    tries += [partial(act, act=one, job="x", place="1", command="stop") for one in acts]
    for one in tries:
        answer = one(events.anew())
        assert "--lora-loop-allow-remote" in str(answer.html), answer.text
    assert files(tab) == before
