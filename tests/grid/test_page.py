"""The page as a file: all of the grid in it, nothing from outside, and no text that can become markup."""

from __future__ import annotations

import base64
import hashlib
import html.parser
import json
import re
from pathlib import Path
from typing import Any

import pytest

from lib_lora_train.grid.page import build
from lib_lora_train.grid.page.build import Findings
from lib_lora_train.grid.prompts import GridPrompt
from lib_lora_train.grid.recommend import Recommendation
from lib_lora_train.grid.scores import Spread, Standing
from lib_lora_train.grid.session import Session
from tests.grid.files import Painter, make_plan, write_run
from tests.grid.pages import make_page

NASTY = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&amp;@@data@@@@script@@\u2028<!--"


def data_of(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_the_page_holds_every_place_and_its_pictures_are_beside_it(tmp_path: Path) -> None:
    session = make_page(tmp_path, Painter(["x-000003"]))
    data = data_of((tmp_path / "grid" / "index.html").read_text(encoding="utf-8"))
    assert len(data["places"]) == len(session.plan.places) == 28
    assert data["progress"] == {"done": 20, "failed": 8, "total": 28}
    files = [cell["file"] for cell in data["cells"] if cell["file"]]
    assert len(files) == 20 and all((tmp_path / "grid" / file).is_file() for file in files)
    assert {cell["error"] for cell in data["cells"] if not cell["file"]} == {
        "The memory does not suffice for this size; choose a smaller one."
    }
    for place, number in data["places"].items():
        assert data["cells"][number]["key"] == session.plan.places[tuple(map(int, place.split(",")))]  # type: ignore[index]
    assert data["epochs"][2]["also"] == ["x"] and data["epochs"][0]["figures"] == ["40 steps"]


def test_it_asks_nothing_of_the_network_and_runs_only_its_own_script(tmp_path: Path) -> None:
    page = (make_page(tmp_path).folder / "index.html").read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy and "default-src 'none'" in policy[1]
    script = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    style = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    for [text] in (script, style):
        assert base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() in policy[1]
    addresses = set(re.findall(r"https?://[^\s\"'<]+", page))
    assert addresses == {"http://www.w3.org/2000/svg"}  # a name, not an address
    assert not re.search(r"<(?:link|iframe|object|embed)\b|@import|url\(|\son\w+=", page)


def test_s4_no_text_becomes_markup(tmp_path: Path) -> None:
    run = write_run(tmp_path / "lora", "x", 1)
    from dataclasses import replace

    run = replace(run, name=NASTY)
    card = (GridPrompt(NASTY, NASTY.replace("{", ""), NASTY.replace("{", "")),)
    session = Session(make_plan(run, prompts=card, seeds=(1,)), run, tmp_path / "grid")
    session.draw(Painter(), lambda *_: None)
    session.finish()
    page = (tmp_path / "grid" / "index.html").read_text(encoding="utf-8")

    class Tags(html.parser.HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[str] = []

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.seen.append(tag)

    clean, nasty = Tags(), Tags()
    clean.feed((make_page(tmp_path / "clean").folder / "index.html").read_text(encoding="utf-8"))
    nasty.feed(page)
    assert nasty.seen == clean.seen
    data = data_of(page)
    assert data["title"] == NASTY and data["prompts"][0]["label"] == NASTY
    assert not set('"`$\\') & set(data["run"])


def test_numbers_become_headings_and_curves(tmp_path: Path) -> None:
    session = make_page(tmp_path)
    table = [
        Standing(-1, 0.0, Spread(0.3, 0.0, 4), None),
        *[
            Standing(
                epoch,
                weight,
                Spread(0.5 + epoch / 10 + weight / 100, 0.02, 4),
                Spread(0.3, 0.01, 4),
                Spread(0.01, 0, 2),
            )
            for epoch in range(3)
            for weight in (0.5, 1.0)
        ],
    ]
    findings = Findings(standings=table, recommendation=Recommendation(1, 1.0, ("Because.", "So.")), scorer="dino")
    data = build.values(session.plan, session.manifest, findings, "")
    assert data["epochs"][0]["figures"] == ["40 steps", "likeness 0.510 at 1", "obedience 0.300 at 1"]
    assert [chart["name"] for chart in data["curves"]] == [
        "Likeness to the training photos",
        "Obedience to the prompt",
        "Leak into prompts without the trigger",
    ]
    assert data["curves"][0]["lines"][1] == {
        "name": "weight 1",
        "points": [[0, 0.51, 0.02], [1, 0.61, 0.02], [2, 0.71, 0.02]],
    }
    assert data["recommendation"] == {"epoch": 1, "weight": 1, "sentence": "Because. So."}


@pytest.mark.parametrize("done", [0, 5])
def test_the_page_is_there_while_the_grid_runs(tmp_path: Path, done: int) -> None:
    run = write_run(tmp_path / "lora", "x", 2)
    session = Session(make_plan(run), run, tmp_path / "grid")

    class Stops(Painter):
        def draw(self, cells: Any) -> Any:
            if len(self.drawn) >= done:
                raise KeyboardInterrupt
            return super().draw(cells)

    with pytest.raises(KeyboardInterrupt):
        session.draw(Stops(), lambda *_: None, most=1)
    data = data_of((tmp_path / "grid" / "index.html").read_text(encoding="utf-8"))
    assert data["progress"] == {"done": done, "failed": 0, "total": 20}
    assert (tmp_path / "grid" / "cells.csv").is_file()
