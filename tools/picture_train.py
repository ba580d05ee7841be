"""Takes the pictures of the Train tab in docs/pictures again: `python tools/picture_train.py` (a few minutes on a CPU).

The page of the browser tests, the small base and the demo's photos; what is seen is really trained.
"""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from lib_lora_train.demo.models import BASE  # noqa: E402
from lib_lora_train.demo.world.characters import character, write_set  # noqa: E402
from lib_lora_train.errors import LoraLoopError  # noqa: E402
from lib_lora_train.jobs import control, queue  # noqa: E402
from tests.browsers import ARGUMENTS  # noqa: E402
from tests.ui.conftest import GRADIOS, serve  # noqa: E402

FOLDER = ROOT / "docs" / "pictures"
MOST_BYTES = 150_000
PATIENCE_MS = 1_200_000
WHO = character("zorpi")
TAB = "#lora_loop_train_"
PRESET = """
[preset]
title = "Sample photos"
about = "The demo's photos on the small base, on a processor."
source = "python -m lib_lora_train demo"
[dataset]
resolution = 128
bucket_min = 64
bucket_max = 256
bucket_step = 16
repeats = 6
[adapter]
rank = 16
alpha = 16.0
[optimizer]
learning_rate = 0.001
[loop]
steps = 96
batch_size = 4
[samples]
prompts = ["a photo of [trigger], in the snow --w 128 --h 128 --s 12 --l 5 --d 4 --ss dpmpp_2m"]
"""


class Camera:
    """The open page, and what people do in it."""

    def __init__(self, browser: Any, url: str, width: int = 1280, dark: bool = False) -> None:
        self.page = browser.new_page(viewport={"width": width, "height": 900})
        self.page.set_default_timeout(PATIENCE_MS)
        self.page.route("**/*", lambda route: route.continue_() if "127.0.0.1" in route.request.url else route.abort())
        self.page.goto(url, wait_until="domcontentloaded")
        self.page.wait_for_selector("#txt2img_prompt textarea")
        self.page.evaluate(f"document.body.classList.toggle('dark', {str(dark).lower()})")
        self.page.click("#tabs button:has-text('Train')")
        self.page.wait_for_function(f"document.querySelector('{TAB}jobs')?.innerText.includes('Jobs')")

    def close(self) -> None:
        self.page.close()

    def take(self, name: str, what: str = "#tab_lora_loop_train") -> None:
        """A picture of a part of the page, small enough for the repository."""
        self.page.wait_for_timeout(800)
        picture = Image.open(io.BytesIO(self.page.locator(what).first.screenshot())).convert("RGB")
        for quality in (88, 80, 70, 60, 50):
            stream = io.BytesIO()
            picture.save(stream, "JPEG", quality=quality, optimize=True)
            if stream.tell() < MOST_BYTES:
                break
        (FOLDER / f"train_{name}.jpg").write_bytes(stream.getvalue())
        print(f"train_{name}.jpg: {picture.width} × {picture.height}, {stream.tell() // 1000} kB", flush=True)

    def fill(self, name: str, text: str) -> None:
        self.page.fill(f"{TAB}{name} :is(input, textarea)", text)

    def click(self, what: str) -> None:
        self.page.locator(what).first.click()

    def choose(self, name: str, photos: str) -> None:
        """The first page, filled in, with the preset of the sample photos."""
        self.click(f"{TAB}options >> text=All options")
        self.fill("preset", "sample")
        self.page.press(f"{TAB}preset input", "Enter")
        self.page.wait_for_function(f"document.querySelector('{TAB}loop_steps :is(input, textarea)').value === '96'")
        self.click(f"{TAB}options >> text=All options")
        for field, text in (("folder", f"photos/{photos}"), ("trigger", WHO.trigger), ("class_word", WHO.class_word)):
            self.fill(field, text)
        self.fill("name", name)

    def check(self) -> None:
        self.click(f"{TAB}check")
        self.page.wait_for_selector(f"{TAB}start:visible")

    def start(self, name: str) -> None:
        self.click(f"{TAB}start")
        self.page.wait_for_function(f"document.querySelector('{TAB}head')?.innerText.includes('{name}')")

    def open(self, name: str) -> None:
        self.click(f"{TAB}jobs [data-act=open]:text-is('{name}')")
        self.page.wait_for_function(f"document.querySelector('{TAB}head h3')?.innerText.endsWith('{name}')")

    def wait(self, status: str) -> None:
        self.page.wait_for_selector(f"{TAB}head .lora-loop-{status}")


def main() -> None:
    """Take them all."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as play:
        data = Path(folder)
        _furnish(data)
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), headless=True, args=ARGUMENTS)
        with contextmanager(serve)(GRADIOS[-1], data, "--trainer", sys.executable) as served:
            try:
                _take_all(browser, served.url)
            finally:
                _end(data / "lora-loop")
        browser.close()


def _furnish(data: Path) -> None:
    for name in ("models", "Lora", "lora-loop/presets"):
        (data / name).mkdir(parents=True)
    shutil.copyfile(BASE, data / "models" / "small.safetensors")
    shutil.copytree(BASE.with_suffix(".tokenizer"), data / "models" / "small.tokenizer")
    (data / "lora-loop" / "presets" / "sample.toml").write_text(PRESET, "utf-8")
    photos = data / "lora-loop" / "photos"
    write_set(WHO, photos / "zorpi")
    mixed = shutil.copytree(photos / "zorpi", photos / "mixed")
    cut = (mixed / "zorpi-02.jpg").read_bytes()
    (mixed / "holiday.jpg").write_bytes(cut[:9000])
    (mixed / "zorpi-02 copy.jpg").write_bytes(cut)
    Image.open(mixed / "zorpi-05.jpg").resize((60, 48)).save(mixed / "thumbnail.jpg")


def _take_all(browser: Any, url: str) -> None:
    with _camera(browser, url) as camera:
        camera.take("first")
        camera.choose("zorpi", "mixed")
        camera.check()
        camera.take("refused")
        camera.fill("folder", "photos/zorpi")
        camera.check()
        camera.page.wait_for_function(f"!document.querySelector('{TAB}sheet').innerText.includes('holiday')")
        camera.take("checked")
        camera.start("zorpi")
        camera.page.wait_for_function(f"document.querySelector('{TAB}samples')?.innerText.includes('epoch 2')")
        camera.take("running")
        camera.take("samples", f"{TAB}samples")
        camera.wait("done")
        camera.page.wait_for_function(f"document.querySelector('{TAB}queue').innerText.includes('empty')")
        camera.take("done")
    with _camera(browser, url, dark=True) as camera:
        camera.open("zorpi")
        camera.take("dark")
    with _camera(browser, url, width=400) as camera:
        camera.open("zorpi")
        camera.take("phone", f"{TAB}view")
    with _camera(browser, url) as camera:
        camera.choose("too-fast", "zorpi")
        camera.click(f"{TAB}options >> text=All options")
        camera.click(f"{TAB}every input")
        camera.page.evaluate(f"document.querySelector('{TAB}expert input').click()")
        camera.click(f"{TAB}options button:has-text('Optimizer')")
        camera.fill("optimizer_learning_rate", "10")
        camera.click(f"{TAB}options >> text=All options")
        camera.check()
        camera.start("too-fast")
        camera.wait("failed")
        camera.take("failed")
    with _camera(browser, url) as camera:
        camera.choose("ranks", "zorpi")
        camera.click(f"{TAB}options >> text=All options")
        camera.click(f"{TAB}options button:has-text('LoRA')")
        camera.fill("adapter_rank", "8, 16, 32")
        camera.take("options", f"{TAB}options")
        camera.click(f"{TAB}options >> text=All options")
        camera.check()
        camera.start("ranks")
        camera.wait("running")
        camera.take("queue")


@contextmanager
def _camera(browser: Any, url: str, width: int = 1280, dark: bool = False) -> Iterator[Camera]:
    camera = Camera(browser, url, width, dark)
    try:
        yield camera
    finally:
        camera.close()


def _end(home: Path) -> None:
    """Leave nothing behind that trains."""
    queue.pause(home, True)
    for entry in queue.read(home).entries:
        with suppress(LoraLoopError):
            control.kill(queue.job_of(home, entry.job))


if __name__ == "__main__":
    main()
