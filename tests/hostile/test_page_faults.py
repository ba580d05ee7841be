"""The page's rows of the faults: wildcards with the same name, shared pages, made-up events, hostile names, reloads."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from lib_lora_train.ui import scene, wildcards_html
from lib_lora_train.ui.errors import NotAllowed
from lib_lora_train.ui.scene import Scene
from lib_lora_train.ui.store import Store
from lib_lora_train.ui.surroundings import Desk
from tests.browsers import missing
from tests.ui.conftest import GRADIOS, ROOT, Folders, folders, python_with

__all__ = ["folders"]  # a fixture


def does(**action: object) -> str:
    return json.dumps(action)


def test_w12_the_first_root_wins_and_the_others_are_named(folders: Folders) -> None:
    shelf = folders.desk().shelf
    page = shelf.page("hue")
    assert [(holder.root, holder.file, holder.own) for holder in page.holders] == [
        ("Foreign", "hue.txt", False),
        ("Ours", "hue.txt", False),
    ]
    assert [(value.text, value.odds) for value in page.values] == [("teal", 0.25), ("ochre", 0.75)]
    html = wildcards_html.head(page)
    assert html.index("Foreign") < html.index("Ours")
    assert "hidden by the first" in html


def test_w13_nothing_is_written_where_the_page_is_shared(tmp_path: Path) -> None:
    refused = [""]
    store = Store(tmp_path / "wildcards", tmp_path / "trash", lambda: refused[0])
    stamp = store.write("hue", "x", "")
    store.write("gone", "x", "")
    store.delete("gone")
    before = set(tmp_path.rglob("*.txt"))
    refused[0] = "shared"
    for act in (
        lambda: store.write("hue", "y", stamp),
        lambda: store.write("new", "y", ""),
        lambda: store.rename("hue", "other"),
        lambda: store.delete("hue"),
        store.undo,
    ):
        with pytest.raises(NotAllowed, match="shared"):
            act()
    assert set(tmp_path.rglob("*.txt")) == before
    assert store.read("hue")[0] == "x\n"


CHANGES: list[Callable[[Scene, Desk], None]] = [
    scene.edit,
    scene.copy,
    scene.new,
    scene.delete,
    scene.undo,
    lambda now, desk: scene.save(now, desk, "hue", "x"),
]


@pytest.mark.parametrize("change", CHANGES)
def test_w13_s1_every_change_is_refused_on_a_shared_page(
    change: Callable[[Scene, Desk], None], folders: Folders
) -> None:
    folders.own.mkdir(parents=True)
    (folders.own / "hue.txt").write_text("mine\n", "utf-8")
    folders.refused = "It is shared."
    desk = folders.desk()
    now = Scene(name="hue", editing="hue", stamp="", text="x")  # as if the editor had been opened by a made-up event
    change(now, desk)
    assert (now.message, now.good) == ("It is shared.", False)
    assert [path.read_text("utf-8") for path in folders.own.parent.rglob("*.txt")] == ["mine\n"]


def test_s1_a_name_that_is_no_wildcard_shows_nothing(folders: Folders) -> None:
    desk, now = folders.desk(), Scene()
    scene.act(now, desk, does(act="open", name="../../../etc/passwd"))
    assert now.view(desk) is None
    assert "not there any more" in now.message
    for act in (scene.edit, scene.copy, scene.delete):
        act(now, desk)
        assert now.message
        assert "passwd" not in now.message
    assert not folders.own.exists()


def test_s4_names_and_values_are_escaped(folders: Folders) -> None:
    (folders.foreign / "<img src=x onerror=alert(1)>.txt").write_text("<script>x</script>\n", "utf-8")
    shelf = folders.desk().shelf
    name = "<img src=x onerror=alert(1)>"
    for html in (
        wildcards_html.tree(shelf.listing(), name),
        wildcards_html.head(shelf.page(name)),
        wildcards_html.values(shelf.page(name)),
        wildcards_html.hits(shelf.search("script")),
        wildcards_html.draws(["<b>"]),
        wildcards_html.notice("<b>"),
    ):
        assert "<img" not in html
        assert "<script" not in html
        assert "<b>" not in html.replace("<b>Foreign</b>", "").replace("<b>1</b>", "")


BUILT_AGAIN = """
import sys, threading, pathlib
sys.path.insert(0, sys.argv[1])
import gradio as gr
sys.argv = [sys.argv[0], "0", sys.argv[2]]
sys.path.insert(0, str(pathlib.Path("tests/ui")))
import page
from lib_lora_train import host
from lib_lora_train.ui import accordion, surroundings, wildcards_tab
standing = page.Standing(pathlib.Path(sys.argv[2]), False)
host.find = lambda: standing
counts, desks, before = [], set(), set(threading.enumerate())
for _ in range(10):
    with gr.Blocks():
        fields = [len(accordion.build(is_img2img)) for is_img2img in (False, True)]
    (blocks, title, name), = wildcards_tab.tab()
    desks.add(id(surroundings.desk(standing)))
    for thread in set(threading.enumerate()) - before:  # gradio's own, which end by themselves
        thread.join(20)
    counts.append((threading.active_count(), *fields, title, name))
assert len(set(counts)) == 1, counts
assert len(desks) == 1
print(counts[0])
"""


@pytest.mark.parametrize("version", GRADIOS)
def test_s10_building_the_page_again_leaves_nothing_behind(version: str, tmp_path: Path) -> None:
    python = python_with(version)
    if not python.exists():
        missing(f"gradio {version} is not installed; 'make setup' installs it.")
    command = [str(python), "-c", BUILT_AGAIN, str(ROOT), str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "6, 6, 'Wildcards', 'lora_loop_wildcards'" in done.stdout
