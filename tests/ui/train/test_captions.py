"""The caption table as the server sees it: what is clicked and typed, crafted clicks, sizes, and who may write."""

from __future__ import annotations

import json
import re
import time
import xml.etree.ElementTree as xml
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lib_lora_train.train import config as configs
from lib_lora_train.ui.train import captions, captions_html, scene, thumbs
from lib_lora_train.ui.train.captions import Table
from lib_lora_train.ui.train.desk import Desk
from lib_lora_train.ui.train.scene import Scene
from tests.ui.train.host import Folders, desk_in

EVIL = "<img src=x onerror=alert(1)>\"'&"


def photos(folder: Path, count: int, caption: str = "ohwx man, tag {n}") -> Path:
    """Photos that cannot be decoded, which the table need not do."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f"{number:03}.png").write_bytes(b"")
        (folder / f"{number:03}.txt").write_text(caption.format(n=number % 7), "utf-8")
    return folder


def a_scene(desk: Desk, folder: Path, trigger: str = "ohwx") -> tuple[Scene, Table]:
    now = Scene()
    config = configs.from_values({"name": "me", "trigger": trigger, "dataset": {"path": str(folder)}})
    now.table = captions.opened(config, None, desk)
    return now, now.table


def click(now: Scene, desk: Desk, act: str, **data: Any) -> str:
    scene.act(now, desk, json.dumps({"act": act, **data}))
    return now.message


def names(html: str) -> list[str]:
    return re.findall(r'<textarea[^>]* data-photo="([^"]*)"', html)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return desk_in(tmp_path)


def test_a_caption_is_saved_and_told_in_its_row(desk: Desk, tmp_path: Path) -> None:
    now, table = a_scene(desk, photos(tmp_path / "in", 3))
    row = captions._rows(table)[1]
    before = table.html["captions"]
    click(now, desk, "caption", photo="001.png", was=row.stamp, text=" a hat,\r\nred ")
    assert (tmp_path / "in" / "001.txt").read_bytes() == b"a hat,\nred"
    assert table.html["captions"] == before, "somebody may be typing in the table"
    assert captions_html.SAVED in table.html["row"] and captions_html.ODD["trigger"] in table.html["row"]
    assert "captions_undo" in table.html["tags"]
    assert click(now, desk, "captions_undo") == "1 caption is as before."
    assert (tmp_path / "in" / "001.txt").read_text() == "ohwx man, tag 1"
    assert table.html["captions"] != before, "what was typed over must be drawn again"


def test_two_people_do_not_write_over_each_other_unseen(desk: Desk, tmp_path: Path) -> None:
    folder = photos(tmp_path / "in", 2)
    (one, first), (other, second) = a_scene(desk, folder), a_scene(desk, folder)
    was = captions._rows(first)[0].stamp
    click(one, desk, "caption", photo="000.png", was=was, text="mine")
    words = click(other, desk, "caption", photo="000.png", was=was, text="yours")
    assert "'mine'" in words and not other.good
    assert (folder / "000.txt").read_text() == "mine" and captions_html.CHANGED in second.html["row"]
    fresh = re.search(r'data-was="(\w+)"', second.html["row"])
    assert fresh is not None
    click(other, desk, "caption", photo="000.png", was=fresh[1], text="yours")
    assert (folder / "000.txt").read_text() == "yours"


def test_an_edit_is_previewed_with_its_count_and_done_once(desk: Desk, tmp_path: Path) -> None:
    folder = photos(tmp_path / "in", 14)
    now, table = a_scene(desk, folder)
    captions.preview(table, desk, "replace", "tag 3", "dog")
    assert "2 / 14" in table.html["preview"] and "<del>tag 3</del><ins>dog</ins>" in table.html["preview"]
    assert (folder / "003.txt").read_text() == "ohwx man, tag 3"
    sign = str(re.search(r'data-sign="(\w+)"', table.html["preview"]).group(1))  # type: ignore[union-attr]
    (folder / "003.txt").write_text("ohwx, tag 3")
    assert "meanwhile" in click(now, desk, "captions_do", sign=sign)
    assert (folder / "010.txt").read_text() == "ohwx man, tag 3"
    sign = str(re.search(r'data-sign="(\w+)"', table.html["preview"]).group(1))  # type: ignore[union-attr]
    assert click(now, desk, "captions_do", sign=sign) == "2 captions are changed."
    assert (folder / "003.txt").read_text() == "ohwx, dog"
    assert table.parts()["preview"] == ""
    assert "Press Preview first" in click(now, desk, "captions_do", sign=sign)


def test_only_what_is_shown_is_changed(desk: Desk, tmp_path: Path) -> None:
    folder = photos(tmp_path / "in", 14)
    now, table = a_scene(desk, folder)
    click(now, desk, "captions_tag", tag="Tag 3")
    assert names(table.html["captions"]) == ["003.png", "010.png"]
    captions.preview(table, desk, "front", "x", "")
    assert "2 / 2" in table.html["preview"]
    click(now, desk, "captions_tag", tag="tag 3")
    assert len(names(table.html["captions"])) == 12
    click(now, desk, "captions_tag", tag="tag 3")
    assert len(names(table.html["captions"])) == 14
    captions.search(table, desk, "012", True, "all")
    assert names(table.html["captions"]) == ["012.png"]
    click(now, desk, "captions_all")
    assert len(names(table.html["captions"])) == 14


def test_500_photos_come_in_pages_and_no_poll_moves_more_than_64_kb(desk: Desk, tmp_path: Path) -> None:
    folder = photos(tmp_path / "in", 500, "ohwx man, " + "a red hat & a <blue> coat, " * 8 + "tag {n}")
    for number in range(60):
        Image.effect_noise((300, 200), 120).convert("RGB").save(folder / f"{number:03}.png")
    now, table = a_scene(desk, folder)
    sizes: list[int] = []
    for place in range(12):
        click(now, desk, "captions_page", place=str(place))
        until = time.monotonic() + 20
        while time.monotonic() < until:
            sizes.append(sum(len(html.encode()) for html in scene.news(now, desk).values() if html is not None))
            if not thumbs._asked and sizes[-1] == 0:
                break
            time.sleep(0.02)
    assert max(sizes) < 64_000
    assert len(names(table.html["captions"])) <= thumbs.MOST and "499.png" in names(table.html["captions"])


def test_d8_a_page_of_very_long_captions_is_short_and_they_are_not_cut_by_saving(desk: Desk, tmp_path: Path) -> None:
    folder = photos(tmp_path / "in", 60, "& " * 20_000)
    now, table = a_scene(desk, folder)
    assert len(table.html["captions"].encode()) < 60_000 and " readonly " in table.html["captions"] + " "
    row = captions._rows(table)[0]
    assert "changed in their file" in click(now, desk, "caption", photo="000.png", was=row.stamp, text="short")
    assert len((folder / "000.txt").read_text()) == 40_000


HOSTILE: list[dict[str, Any]] = [
    {"act": "caption"},
    {"act": "caption", "photo": "../../secret.png", "was": "none", "text": "x"},
    {"act": "caption", "photo": "/etc/passwd", "was": "none", "text": "x"},
    {"act": "caption", "photo": ["000.png"], "was": "none", "text": "x"},
    {"act": "caption", "photo": "000.png", "was": 5, "text": "x"},
    {"act": "caption", "photo": "000.png", "was": "none", "text": {"a": 1}},
    {"act": "caption", "photo": "000.png", "was": "none", "text": "a\u0000b"},
    {"act": "caption", "photo": "000.png", "was": "none", "text": "\ud800"},
    {"act": "caption", "photo": "000.png", "was": "none", "text": "x" * 7000},
    {"act": "captions_page", "place": "-1"},
    {"act": "captions_page", "place": "99999999"},
    {"act": "captions_page", "place": None},
    {"act": "captions_tag", "tag": 5},
    {"act": "captions_tag", "tag": "x" * 5000},
    {"act": "captions_do", "sign": "none"},
    {"act": "captions_undo"},
    {"act": "zoom", "first": "9", "last": "1"},
    {"act": "zoom", "first": {"a": 1}, "last": "9" * 40},
    {"act": "sample_now", "job": "../../etc"},
]


@pytest.mark.parametrize("given", HOSTILE, ids=lambda given: json.dumps(given)[:50])
def test_s1_a_crafted_click_changes_no_file_and_is_answered(given: dict[str, Any], desk: Desk, tmp_path: Path) -> None:
    folder = photos(tmp_path / "in", 2)
    (tmp_path / "secret.png").write_bytes(b"")
    now, table = a_scene(desk, folder)
    scene.act(now, desk, json.dumps(given))
    assert sorted(path.name for path in tmp_path.rglob("*.txt")) == ["000.txt", "001.txt"]
    assert (folder / "000.txt").read_text() == "ohwx man, tag 0"
    assert now.zoom == scene.ALL and set(scene.fragments(now, desk)) >= set(captions.PARTS)
    assert table.page == 0 or given["act"] != "captions_page"


@pytest.mark.parametrize(
    "values",
    [(5, True, "all"), ("x" * 400, True, "all"), ("x", "yes", "all"), ("x", True, "everything"), (None, None, None)],
)
def test_s1_a_crafted_search_is_refused(values: tuple[Any, Any, Any], desk: Desk, tmp_path: Path) -> None:
    _, table = a_scene(desk, photos(tmp_path / "in", 2))
    now = Scene()
    scene.guarded(now, lambda: captions.search(table, desk, *values))
    assert "cannot be looked for" in now.message


def test_s2_a_shared_page_shows_captions_but_writes_none(tmp_path: Path) -> None:
    desk = desk_in(tmp_path)
    folder = photos(tmp_path / "in", 2)
    now, table = a_scene(desk, folder)
    captions.preview(table, desk, "front", "x", "")
    sign = str(re.search(r'data-sign="(\w+)"', table.html["preview"]).group(1))  # type: ignore[union-attr]
    assert isinstance(desk.host, Folders)
    desk.host.shared = True
    captions.draw(table, desk)
    assert "readonly" in table.html["captions"] and "captions_do" not in table.html["preview"]
    row = captions._rows(table)[0]
    for told in (
        {"act": "caption", "photo": "000.png", "was": row.stamp, "text": "x"},
        {"act": "captions_do", "sign": sign},
        {"act": "captions_undo"},
        {"act": "sample_now", "job": "x"},
    ):
        now.message = ""
        scene.act(now, desk, json.dumps(told))
        assert "--lora-loop-allow-remote" in now.message
    assert (folder / "000.txt").read_text() == "ohwx man, tag 0" and not (desk.home / "captions").exists()


def test_s1_a_linked_folder_that_leads_out_is_read_only(tmp_path: Path) -> None:
    outside = photos(tmp_path / "outside", 1)
    desk = desk_in(tmp_path / "data")
    assert isinstance(desk.host, Folders)
    desk.host.flags["lora_loop_allow_remote"] = desk.host.shared = True
    folder = photos(tmp_path / "data" / "in", 1)
    (folder / "more").symlink_to(outside)
    now, table = a_scene(desk, folder)
    row = next(row for row in captions._rows(table) if row.photo.name == "more/000.png")
    words = click(now, desk, "caption", photo="more/000.png", was=row.stamp, text="x")
    assert "not in a folder that this page may use" in words
    assert (outside / "000.txt").read_text() == "ohwx man, tag 0"
    captions.preview(table, desk, "front", "x", "")
    sign = str(re.search(r'data-sign="(\w+)"', table.html["preview"]).group(1))  # type: ignore[union-attr]
    click(now, desk, "captions_do", sign=sign)
    assert (folder / "000.txt").read_text() == "ohwx man, tag 0", "all or nothing"


@settings(max_examples=40, deadline=None)
@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=60))
def test_s4_nothing_of_a_caption_becomes_html(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.mktemp("evil")
    (folder / f"{EVIL.replace('/', '')}.png").write_bytes(b"")
    (folder / f"{EVIL.replace('/', '')}.txt").write_text(EVIL + text, "utf-8")
    desk = desk_in(folder / "home")
    _, table = a_scene(desk, folder, EVIL)
    captions.preview(table, desk, "replace", "img", EVIL)
    for html in (*table.html.values(), captions_html.refused(EVIL)):
        assert "<img" not in html
        clean = re.sub("[\x00-\x08\x0b-\x1f\ufffe\uffff]", "", html)
        xml.fromstring(f"<r>{re.sub(' readonly(?=[ >])', '', clean)}</r>")


def test_a_folder_that_is_gone_is_told_in_the_table(desk: Desk, tmp_path: Path) -> None:
    _, table = a_scene(desk, tmp_path / "nowhere")
    assert "There is no folder" in table.html["captions"]
    now = Scene()
    assert "Check the photos first" in click(now, desk, "captions_all")


def test_thumbnails_are_upright_and_a_broken_photo_is_grey(tmp_path: Path) -> None:
    red = Image.new("RGB", (300, 200), (250, 0, 0))
    red.paste((0, 0, 250), (0, 0, 150, 200))
    exif = Image.Exif()
    exif[0x0112] = 3
    red.save(tmp_path / "turned.jpg", exif=exif.tobytes())
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    upright = thumbs._square(tmp_path / "turned.jpg").picture
    assert upright.getpixel((2, 36))[0] > 200 and upright.getpixel((69, 36))[2] > 200  # type: ignore[index]
    assert thumbs._square(tmp_path / "broken.jpg").picture.getpixel((5, 5)) == thumbs.GREY
    html = thumbs.sprite([tmp_path / "turned.jpg", tmp_path / "gone.jpg"])
    assert thumbs.key([tmp_path / "turned.jpg", tmp_path / "gone.jpg"]) in html and len(html) < 60_000
