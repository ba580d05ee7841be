"""A desk with three roots, and real pages in a real browser for the two generations of gradio."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lib_lora_train.train.base.random_base import write_random_base
from lib_lora_train.ui.shelf import Root, Shelf
from lib_lora_train.ui.store import Store
from lib_lora_train.ui.surroundings import Desk, Reading
from tests.browsers import missing
from tests.runs import draw_photo

TINY = """
[dataset]
resolution = 96
bucket_min = 64
bucket_max = 128
bucket_step = 32
repeats = 1
[adapter]
rank = 2
alpha = 2.0
[optimizer]
learning_rate = 0.001
[loop]
steps = 4
[samples]
prompts = ["ohwx cat --s 2 --w 64 --h 64"]
[log]
tensorboard = false
"""
"""A preset of four steps."""
ROOT = Path(__file__).resolve().parents[2]
GRADIOS = ("3.41.2", "4.40.0")


@dataclass
class Folders:
    """The roots of a desk, and the switch that a shared WebUI's refusal is."""

    own: Path
    foreign: Path
    ours: Path
    refused: str = ""
    found: tuple[Root, ...] = field(default=())

    def desk(self) -> Desk:
        roots = (Root(self.own, "Yours", own=True), Root(self.foreign, "Foreign"), Root(self.ours, "Ours"))
        trash = self.own.parent / "trash"
        return Desk(Reading(roots), Shelf(roots), Store(self.own, trash, lambda: self.refused), lambda: self.refused)


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    """Three roots: hue in two of them, a table in the foreign one."""
    made = Folders(*(tmp_path / name / "wildcards" for name in ("home", "foreign", "ours")))
    (made.foreign / "places").mkdir(parents=True)
    made.ours.mkdir(parents=True)
    (made.foreign / "hue.txt").write_text("# colours\nteal\n3::ochre\n", "utf-8")
    (made.ours / "hue.txt").write_text("plum\n", "utf-8")
    (made.foreign / "places" / "beach.txt").write_text("a beach at dawn\na beach at dusk\n", "utf-8")
    (made.foreign / "more.yaml").write_text("birds:\n  - wren\n  - 2::heron\n", "utf-8")
    return made


def python_with(version: str) -> Path:
    """The interpreter that has this gradio, made by tools/develop.py."""
    folder = ROOT / "build" / f"gradio-{version}"
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


@dataclass
class Served:
    """A running page. `data` is the folder that plays the WebUI's data folder."""

    url: str
    data: Path
    version: str


@pytest.fixture(scope="session", params=GRADIOS)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The page of one generation of gradio; in its data folder lie a tiny base and photos, and training works."""
    data = tmp_path_factory.mktemp(f"gradio-{request.param}")
    (data / "models").mkdir()
    write_random_base(data / "models" / "tiny.safetensors", "tiny", seed=0)
    (data / "photos").mkdir()
    for number in range(5):
        draw_photo(data / "photos" / f"{number}.png", number)
    (data / "photos" / "broken.png").write_bytes(b"not a picture")
    presets = data / "lora-loop" / "presets"
    presets.mkdir(parents=True)
    (presets / "tiny.toml").write_text(TINY, "utf-8")
    yield from serve(request.param, data, "--trainer", sys.executable)


@pytest.fixture(scope="session", params=GRADIOS)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The page of a WebUI that others can reach."""
    yield from serve(request.param, tmp_path_factory.mktemp(f"shared-{request.param}"), "--shared")


def serve(version: str, data: Path, *more: str) -> Iterator[Served]:
    python = python_with(version)
    if not python.exists():
        missing(f"gradio {version} is not installed in {python.parents[1]}; 'make setup' installs it.")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1", "PYTHONPATH": ""}
    command = [str(python), str(ROOT / "tests" / "ui" / "page.py"), str(port), str(data), *more]
    # Its output goes to a file: a pipe that nobody reads stops the page when it is full.
    said = data / "page.log"
    with said.open("wb") as log:
        child = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
    try:
        yield Served(f"http://127.0.0.1:{_ready(child, said)}", data, version)
    finally:
        os.killpg(child.pid, signal.SIGTERM)
        child.wait(20)


def _ready(child: subprocess.Popen[bytes], said: Path) -> int:
    """The port that the page names when it is up."""
    while True:
        ended = child.poll() is not None
        text = said.read_text("utf-8", errors="replace")
        if found := re.search(r'^\{"ready": (\d+),', text, re.MULTILINE):
            return int(found[1])
        if ended:
            pytest.fail(text[-3000:])
        time.sleep(0.1)


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Any]]:
    """`visit(served)` opens the page; what it asks of other machines is refused, what it throws fails the test."""
    pages: list[Any] = []
    thrown: list[str] = []

    def local(route: Any) -> None:
        host = route.request.url.split("/")[2].split(":")[0] if route.request.url.startswith("http") else "127.0.0.1"
        if host == "127.0.0.1":
            route.continue_()
        else:
            route.abort()

    def opened(served: Served, width: int = 1280, script: str = "") -> Any:
        page = browser.new_page(viewport={"width": width, "height": 900})
        pages.append(page)
        page.set_default_timeout(15_000)
        page.on("pageerror", lambda error: thrown.append(str(error)))
        page.route("**/*", local)
        if script:
            page.add_init_script(script)
        page.goto(served.url, wait_until="domcontentloaded")
        page.wait_for_selector("#txt2img_prompt textarea")
        page.wait_for_function("window.loraLoop && loraLoop.boxes.length === 4")
        return page

    yield opened
    for page in pages:
        page.close()
    assert not thrown
