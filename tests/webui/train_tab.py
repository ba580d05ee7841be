"""The Train tab of a real WebUI as a person uses it: what to press, and what then lies on the disk."""

from __future__ import annotations

import argparse
import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.runs import draw_photo
from tests.webui.client import WebUI

PROMPT = "#txt2img_prompt textarea"
PRESET = "lora-loop-test"
TINY = """
[dataset]
resolution = 96
bucket_min = 64
bucket_max = 128
bucket_step = 32
repeats = 1
[adapter]
rank = 4
alpha = 4.0
[optimizer]
learning_rate = 0.01
[loop]
steps = {steps}
[save]
state_every_steps = 2
[samples]
prompts = []
[log]
tensorboard = false
"""
STEP_WAIT = 180_000
TRAINED = 400_000
BUILT = 900_000
PART = "#lora_loop_train_{}"
REFUSED = "#lora_loop_train_notice .lora-loop-notice:not(.lora-loop-good)"


@dataclass
class Tab:
    """One page that looks at the Train tab of `webui`, whose `home` is on this machine."""

    webui: WebUI
    page: Any
    home: Path
    loras: Path
    names: set[str] = field(default_factory=lambda: set[str]())
    photos: set[Path] = field(default_factory=lambda: set[Path]())

    @classmethod
    def open(cls, webui: WebUI, page: Any) -> Tab:
        """The tab, with the trainer's packages built by its own button where they are missing."""
        tab = cls(webui, page, *folders(webui))
        tab.look()
        build = page.locator(PART.format("build") + " [data-act=build]")
        if build.count() and build.is_visible():
            build.click()
            page.wait_for_selector(PART.format("build") + " .lora-loop-ready", timeout=BUILT)
        return tab

    def look(self) -> None:
        """Go to the tab and wait until the server has answered."""
        self.page.click("#tabs button:has-text('Train LoRA')")
        self.wait("document.querySelector('#lora_loop_train_queue')?.innerText.length > 3")

    def wait(self, condition: str, timeout: int = STEP_WAIT) -> None:
        self.page.wait_for_function(condition, timeout=timeout)

    def fill(self, name: str, text: str) -> None:
        self.page.fill(PART.format(name) + " :is(input, textarea)", text)

    def choose(self, name: str, text: str) -> None:
        """An entry of a drop-down, typed and taken with the keyboard, as a blind person does."""
        self.fill(name, text)
        self.page.press(PART.format(name) + " input", "Enter")

    def answer(self, name: str, base: str, steps: int, photos: Path) -> None:
        """Everything that the first page asks for; a preset of `steps` steps."""
        preset = f"{PRESET}-{steps}-steps"  # no name begins with another: a drop-down takes what begins so
        (self.home / "presets").mkdir(parents=True, exist_ok=True)
        (self.home / "presets" / f"{preset}.toml").write_text(TINY.format(steps=steps), "utf-8")
        chosen = self.page.locator("#lora_loop_train_preset input")
        if not chosen.is_visible():
            self.page.click("#lora_loop_train_options >> text=All options")
        if chosen.input_value() != preset:
            self.choose("preset", preset)
        self.wait(f"document.querySelector('#lora_loop_train_loop_steps :is(textarea, input)')?.value === '{steps}'")
        self.choose("base", base)
        self.fill("trigger", "ohwx")
        self.fill("class_word", "cat")
        self.fill("name", name)
        self.names.add(name)
        files = sorted(photos.iterdir())
        pictures = sum(file.suffix != ".txt" for file in files)
        taken = f"document.querySelector('{PART.format('taken')}')"
        self.page.evaluate(f"{taken}.dataset.before = {taken}.innerHTML")
        with self.page.expect_file_chooser() as chooser:  # set_input_files says nothing of the files of the last time
            self.page.click(PART.format("dropped") + " button")
        chooser.value.set_files([str(one) for one in files])
        self.wait(
            f"{taken}.dataset.before !== {taken}.innerHTML && {taken}.innerText.startsWith('{pictures} photos are in ')"
        )

        told = self.page.inner_text(PART.format("taken"))
        self.photos.add(self.home / "photos" / Path(told.partition(" photos are in ")[2].strip().rstrip(".")).name)

    def made(self) -> list[Path]:
        """What lies on the disk of the runs that this tab was asked for: jobs, photos, LoRA files and their cards."""
        own = "|".join(map(re.escape, self.names)) or "$."
        jobs = [one for one in names_in(self.home / "jobs") if re.fullmatch(rf"[\d-]+-(?:{own})(?:-\d+)?", one.name)]
        files = [one for one in names_in(self.loras) if re.fullmatch(rf"(?:{own})(?:-\d{{6}}|-step\d+)?\..+", one.name)]
        return [*jobs, *(one for one in self.photos if one.is_dir()), *files]

    def check(self, steps: int) -> None:
        """Press Check; the page says how long the run will be."""
        self.page.click(PART.format("check"))
        self.page.wait_for_selector(f"{PART.format('start')}:visible, {REFUSED}", timeout=STEP_WAIT)
        assert not self.page.is_visible(REFUSED), self.page.inner_text(REFUSED)
        assert f" {steps:,} steps" in self.page.inner_text(PART.format("sentence"))

    def start(self, name: str) -> Path:
        """Press Start; the job's folder."""
        self.page.click(PART.format("start"))
        followed = f"{PART.format('head')} h3:has-text('{name}')"
        self.page.wait_for_selector(f"{followed}, {REFUSED}", timeout=STEP_WAIT)
        assert self.page.is_visible(followed), self.page.inner_text(REFUSED)
        return self.job(name)

    def status(self, status: str, timeout: int = TRAINED) -> None:
        """Wait until the shown job says so."""
        self.page.wait_for_selector(f"{PART.format('head')} .lora-loop-pill.lora-loop-{status}", timeout=timeout)

    def press(self, act: str, **data: str) -> None:
        """A button of the page by what it does."""
        more = "".join(f'[data-{key}="{value}"]' for key, value in data.items())
        self.page.locator(f"#lora_loop_train_view [data-act={act}]{more}").first.click()

    def another(self) -> Tab:
        """The same tab in a page of its own, which is to be closed."""
        opened = self.page.context.browser.new_page()
        opened.goto(self.webui.address, wait_until="domcontentloaded")
        opened.wait_for_selector(PROMPT)
        tab = Tab(self.webui, opened, self.home, self.loras)
        tab.look()
        return tab

    def reload(self) -> None:
        """What F5 does; then the tab again."""
        self.page.reload()
        self.page.wait_for_selector(PROMPT)
        self.look()

    def shows(self, name: str, first: int, last: int) -> None:
        """Wait until the tab shows a run at one of these steps."""
        self.page.wait_for_selector(f"{PART.format('head')} h3:has-text('{name}')")
        step = f"parseInt(document.querySelector('{PART.format('head')} dd')?.innerText.replace(/\\D.*/, ''))"
        self.wait(f"{step} >= {first} && {step} <= {last}")

    def job(self, name: str) -> Path:
        [found] = [one for one in (self.home / "jobs").iterdir() if one.name.endswith(f"-{name}")]
        return found


def names_in(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def folders(webui: WebUI) -> tuple[Path, Path]:
    """Our folder, and that of LoRA files. (`cmd-flags` would say them too, but Forge's breaks on its own `--port`.)"""
    about = webui.call("/internal/sysinfo")
    data = Path(about["Data path"])
    known = argparse.ArgumentParser(allow_abbrev=False)
    known.add_argument("--lora-loop-home", type=Path, default=data / "lora-loop")
    known.add_argument("--lora-dir", type=Path, default=data / "models" / "Lora")
    found, _ = known.parse_known_args(about["Commandline"])
    return found.lora_loop_home, found.lora_dir


def steps_done(job: Path) -> int:
    """The last step in a job's diary."""
    lines = (job / "events.jsonl").read_text("utf-8").splitlines() if (job / "events.jsonl").exists() else []
    return max((json.loads(line).get("step", 0) for line in lines if '"step"' in line), default=0)


def trainer_of(job: Path) -> int:
    """The process id of a job's trainer."""
    return int(json.loads((job / "job.json").read_text("utf-8"))["process"]["pid"])


def weights(file: Path) -> bytes:
    """A safetensors file without its header, which names the run."""
    data = file.read_bytes()
    return data[8 + int.from_bytes(data[:8], "little") :]


def photos(folder: Path, number: int = 5) -> Path:
    folder.mkdir(exist_ok=True)
    for one in range(number):
        draw_photo(folder / f"{one}.png", one)
    return folder


def end(pid: int, signal: int) -> None:
    """Send a signal to a process of ours that may be gone."""
    try:
        os.kill(pid, signal)
    except ProcessLookupError:
        return
