"""The command line as people use it: real processes, exit codes, JSON lines, Ctrl+C, and a terminal that goes away."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lib_lora_train.environment.state import Wanted, find
from lib_lora_train.jobs import store
from lib_lora_train.train import config as configs
from lib_lora_train.train import toml as documents
from lib_lora_train.train.job import Job
from tests.runs import Workshop, draw_photo, events, last_state, outputs

ROOT = Path(__file__).parents[2]
WAIT_S = 120.0


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("commands") / "home"
    if find(Wanted(folder)) is None:
        pytest.skip("this Python is not the trainer's environment, and building one needs the network")
    yield folder
    for about in folder.rglob("job.json"):  # a test failed before it stopped its trainer
        trainer = Job(about.parent).read().get("process")
        if trainer:
            with contextlib.suppress(ProcessLookupError):
                os.kill(trainer["pid"], signal.SIGKILL)


def started(home: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "lib_lora_train", *words, "--home", str(home)]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background job, in which these tests may run, has Ctrl+C ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def finished(home: Path, *words: str) -> tuple[int, str, str]:
    process = started(home, *words)
    out, err = process.communicate(timeout=WAIT_S)
    return process.returncode, out, err


def wait_for(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError("it did not come")


@pytest.fixture(scope="module")
def toml(workshop: Workshop, home: Path) -> Path:
    """The run of the workshop as a file, with paths relative to it."""
    path = workshop.folder / "cat.toml"
    values = configs.merge(workshop.values(), {"base": {"path": "tiny.safetensors"}, "dataset": {"path": "photos"}})
    path.write_text(documents.write(values), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def long_run(home: Path, toml: Path) -> Job:
    """A job of more steps than anybody waits for, which the terminal's process started and was then killed."""
    folder = home / "long"
    process = started(home, "train", str(toml), "--out", str(folder), "--set", "loop.epochs=4000")
    job = Job(folder)
    wait_for(lambda: (folder / "events.jsonl").exists() and events(job, "step"))
    process.kill()
    process.communicate()
    return job


def test_train_shows_its_steps_and_says_where_the_job_is(home: Path, toml: Path) -> None:
    folder = home / "plain"
    code, out, err = finished(home, "train", str(toml), "--out", str(folder), "--set", "adapter.rank=1")
    assert code == 0, err
    assert out == f"The job is in {folder}\n"
    assert "saved cat-000002.safetensors" in err and "Training is done." in err and "loss" in err
    job = Job(folder)
    assert job.config().adapter.rank == 1 and list(outputs(job))[-1] == "cat.safetensors"
    assert (job.log.read_bytes(), job.read()["status"]) == (b"", "done")
    code, out, _ = finished(home, "resume", str(folder))
    assert (code, out) == (0, "The job plain is already finished; to train it longer, add --set loop.epochs=7.\n")
    code, out, _ = finished(home, "stop", str(folder))
    assert (code, out) == (0, "The job plain is not running.\n")


def test_train_with_json_is_one_event_a_line_and_ctrl_c_saves(home: Path, toml: Path) -> None:
    folder = home / "json"
    process = started(home, "train", str(toml), "--out", str(folder), "--json", "--set", "loop.epochs=4000")
    job = Job(folder)
    wait_for(lambda: (folder / "events.jsonl").exists() and len(events(job, "step")) > 2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 6, err
    shown = [json.loads(line) for line in out.splitlines()]
    assert {"state", "progress", "step", "saved", "warning"} == {event["kind"] for event in shown}
    assert shown[-1]["status"] == job.read()["status"] == "stopped"
    steps = [event["step"] for event in shown if event["kind"] == "step"]
    assert steps == list(range(1, len(steps) + 1))
    assert json.loads(last_state(job)["state.json"])["progress"]["step"] == steps[-1]

    more = f"loop.steps={steps[-1] + 2}"
    code, out, err = finished(home, "resume", str(folder), "--json", "--set", more)
    assert code == 0, err
    resumed = [event["step"] for line in out.splitlines() if (event := json.loads(line))["kind"] == "step"]
    assert resumed == [steps[-1] + 1, steps[-1] + 2]
    code, out, _ = finished(home, "resume", str(folder))
    assert f"already finished; to train it longer, add --set loop.steps={(steps[-1] + 2) * 3 // 2 + 1}" in out


def test_ctrl_c_before_the_trainer_is_up_is_not_forgotten(home: Path, toml: Path) -> None:
    folder = home / "early"
    process = started(home, "train", str(toml), "--out", str(folder), "--set", "loop.epochs=4000")
    wait_for(lambda: (folder / "log.txt").exists())
    time.sleep(0.2)  # the trainer's Python is loading
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 6 and "Stopping after this step" in err


def test_t9_the_terminal_dies_and_training_goes_on_until_it_is_stopped(home: Path, long_run: Job) -> None:
    step = events(long_run, "step")[-1]["step"]
    wait_for(lambda: events(long_run, "step")[-1]["step"] > step)
    code, out, _ = finished(home, "status", str(long_run.folder), "--json")
    told = json.loads(out)
    assert (code, told["status"]) == (0, "running") and told["step"] > step
    code, _, err = finished(home, "resume", str(long_run.folder))
    assert code == 2 and "is running already" in err
    code, out, _ = finished(home, "stop", str(long_run.folder))
    assert code == 0 and "save and stop after this step" in out
    wait_for(lambda: long_run.read()["status"] == "stopped")
    assert list(outputs(long_run)) and last_state(long_run)
    code, out, _ = finished(home, "status", str(long_run.folder))
    assert code == 0 and out.startswith("long: stopped, step ")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("train", "nowhere.toml"), 2, "There is no config file"),
        (("train", "{toml}", "--set", "adapter.rank=0"), 2, "adapter.rank = 0 is out of range: use from 1 to 1024"),
        (("train", "{toml}", "--set", "adapter.rnk=4"), 2, "did you mean adapter.rank"),
        (("train", "{toml}", "--preset", "nonsense"), 2, "There is no preset 'nonsense'"),
        (("train", "{toml}", "--preset", "../x"), 2, "preset"),
        (("resume", "nothing"), 3, "There is no job 'nothing'"),
        (("status", "nothing"), 3, "There is no job 'nothing'"),
        (("check", "{empty}"), 3, ""),
    ],
)
def test_what_is_wrong_is_one_sentence_and_an_exit_code(
    home: Path, toml: Path, tmp_path: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    (tmp_path / "empty").mkdir()
    found, out, err = finished(home, *(word.format(toml=toml, empty=tmp_path / "empty") for word in words))
    assert found == code, err
    assert said in err + out and "Traceback" not in err


def test_bad_photos_are_3_and_the_job_says_so(home: Path, toml: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes(b"no picture")
    setting = f"dataset.path={tmp_path / 'photos'}"
    code, _, err = finished(home, "train", str(toml), "--out", str(tmp_path / "job"), "--set", setting)
    assert code == 3 and "a.png" in err
    code, out, _ = finished(home, "status", str(tmp_path / "job"), "--json")
    told = json.loads(out)
    assert (code, told["status"]) == (0, "failed") and "photo" in told["message"]


def test_check_counts_the_steps_that_a_run_does(home: Path, tmp_path: Path) -> None:
    for number in range(3):
        draw_photo(tmp_path / f"{number}.png", number)
    code, out, err = finished(home, "check", str(tmp_path), "--json")
    assert code == 0, err
    json.loads(out)


def test_status_lists_all_jobs(home: Path, workshop: Workshop, tmp_path: Path) -> None:
    code, out, _ = finished(tmp_path, "status")
    assert (code, out) == (0, f"There are no jobs in {tmp_path / 'jobs'} yet.\n")
    store.create(configs.from_values(workshop.values()), tmp_path)
    code, out, _ = finished(tmp_path, "status")
    assert code == 0 and out.endswith("-cat: queued.\n")


def test_a_pid_used_again_by_another_program_is_not_the_trainer(workshop: Workshop, jobs: Path) -> None:
    from lib_lora_train.files import processes
    from lib_lora_train.jobs import process, status_command

    job = workshop.job(jobs)
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", str(job.folder)])
    born = processes.birth(sleeper.pid)
    assert born
    right = process.record(job, sleeper.pid, born)
    job.update(status="running", process=right)
    assert process.is_running(job) and status_command.describe(job)["status"] == "running"
    wrong = ({"born": born + "1"}, {"pid": os.getpid()}, {"folder": str(jobs)}, {"machine": "another"}, {"pid": "x"})
    for part in wrong:
        job.update(process={**right, **part})
        assert not process.is_running(job) and status_command.describe(job)["status"] == "interrupted", part
    job.update(process=process.record(job, os.getpid(), processes.birth(os.getpid()) or ""))
    assert not process.is_running(job), "a living process that was not started for this job"
    sleeper.kill()
    job.update(process=right)
    sleeper.poll()
    assert not process.is_running(job)  # also while nobody has waited for it
    sleeper.wait()
