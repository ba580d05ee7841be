"""R2: a run whose disk is full says so, on the terminal and in the page, also where not even its diary can be written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lib_lora_train.files import text
from lib_lora_train.jobs import control, terminal, view
from lib_lora_train.train.job import Job
from tests.jobs.test_commands import ROOT, finished, home
from tests.runs import Workshop, events, run, when_step
from tests.train.test_saving import fill, small_disk

__all__ = ["home", "small_disk"]  # fixtures
linux = pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full, which is a full disk, here")


def full_diary(job: Job) -> None:
    """The kernel says of each write to the diary and the log that the disk is full."""
    for path in (job.events, job.log):
        path.unlink(missing_ok=True)
        path.symlink_to("/dev/full")


def test_r2_the_end_is_written_down_on_a_disk_that_stays_full(
    workshop: Workshop, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = workshop.job(small_disk, "adapter.rank=1")
    when_step(monkeypatch, {2: lambda: fill(small_disk)})
    assert run(job) == 7
    assert "the disk is full" in events(job, "error")[-1]["message"]
    assert events(job, "state")[-1]["status"] == "failed"
    told = json.loads(job.file.read_text())
    assert (told["status"], told["exit_code"]) == ("failed", 7)
    assert not (job.folder / ".room").exists()
    assert any("the disk is full" in message.text for message in view.Diary(job).look().messages)


@linux
def test_r2_the_terminal_says_what_could_not_be_written(workshop: Workshop, jobs: Path) -> None:
    job = workshop.job(jobs)
    full_diary(job)
    shown: list[dict[str, Any]] = []
    child = subprocess.Popen([sys.executable, "-c", "raise SystemExit(7)"])
    assert terminal.follow(job, child, shown.append) == 7
    [said] = shown
    assert said["kind"] == "error"
    assert said["message"].startswith(f"The disk of {job.folder} is full or gone, so the run ended; free some space")
    assert job.read()["status"] == "failed"


@linux
def test_r2_a_trainer_that_is_killed_is_told_of_too(workshop: Workshop, jobs: Path) -> None:
    job = workshop.job(jobs)
    shown: list[dict[str, Any]] = []
    child = subprocess.Popen([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"])
    assert terminal.follow(job, child, shown.append) == -9
    [said] = shown
    assert said["message"].startswith("The trainer was killed (by the system when main memory runs out, or by hand);")


@linux
def test_r2_train_and_resume_end_with_a_sentence(workshop: Workshop, home: Path) -> None:
    """The real commands; the folder that the files are copied to is one that nobody can write in."""
    job = workshop.job(home / "jobs", "save.copy_to=/proc/nowhere", name="full")
    for command in ("train", "resume"):
        full_diary(job)
        code, _, err = finished(home, command, str(job.folder))
        assert code == 7, err
        assert f"Error: The disk of {job.folder} is full or gone" in err
        assert job.read()["status"] == "failed"


def test_r2_the_page_says_that_the_disk_is_full(workshop: Workshop, small_disk: Path) -> None:
    job = workshop.job(small_disk)
    job.update(status="running", process={"pid": 2**22 + 1, "born": "x", "machine": "x", "folder": str(job.folder)})
    assert not any("disk" in message.text for message in view.Diary(job).look().messages)
    fill(small_disk)
    told = view.Diary(job).look()
    assert told.status == "interrupted"
    assert told.messages[-1].text == control.full_disk(job)


def test_r2_a_limit_on_the_size_of_files_is_named(tmp_path: Path) -> None:
    """`ulimit -f`: a real one, in a process of its own."""
    script = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "from pathlib import Path; from lib_lora_train.files import atomic\n"
        "from lib_lora_train.files.errors import DiskError\n"
        f"try: atomic.write_bytes(Path({os.fspath(tmp_path)!r}) / 'cat.safetensors', b'x' * 5000)\n"
        "except DiskError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("cat.safetensors could not be written in ")
    assert "ulimit -f" in done.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (12_345, "12 kB"),
        (4_200_000, "4.2 MB"),
        (310e6, "310 MB"),
        (2.5e9, "2.5 GB"),
    ],
)
def test_a_size_has_the_unit_that_fits_it(number: float, words: str) -> None:
    assert text.size(number) == words
