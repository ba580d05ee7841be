"""The queue at work with real processes: a failure in the middle, kills of runner, trainer and both, one report.

Most trainers here are `stand_in`'s, which do all that the real one does but training; one test has real ones.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lib_lora_train.environment.state import Wanted, find
from lib_lora_train.jobs import control, process, queue, runner, store
from lib_lora_train.train import config as configs
from lib_lora_train.train.errors import ConfigError
from lib_lora_train.train.job import Job
from tests.jobs.test_commands import wait_for
from tests.runs import Workshop, events, outputs, run

LONG = "loop.steps=100000"
STAND_IN = "tests.jobs.stand_in"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "WORKER", STAND_IN)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "home"
    folder.mkdir()
    if find(Wanted(folder)) is None:
        pytest.skip("this Python is not the trainer's environment, and building one needs the network")
    yield folder
    for job in store.every(folder):  # a test failed before it stopped them
        process.kill(job)


def make(workshop: Workshop, home: Path, name: str, *settings: str) -> Job:
    """A job in the home's own folder."""
    job = store.create(configs.from_values(workshop.values(f"name={name}", "loop.steps=5", *settings)), home)
    job.update(created=0.0, cache=str(workshop.folder / "cache"))
    return job


def runner_process(home: Path, worker: str = STAND_IN) -> subprocess.Popen[bytes]:
    code = f"""
import sys
from lib_lora_train.jobs import process, runner
process.WORKER = {worker!r}
sys.exit(runner.main([sys.argv[1]]))
"""
    command = [sys.executable, "-c", code, str(home)]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, start_new_session=True)


def stepped(job: Job, more_than: int = 2) -> bool:
    return len(events(job, "step")) > more_than


def last_step(job: Job) -> int:
    return events(job, "step")[-1]["step"]


def test_j8_a_failure_in_the_middle_and_one_report(workshop: Workshop, home: Path, quick: None) -> None:
    jobs = [
        make(workshop, home, "first"),
        make(workshop, home, "broken", "save.comment=fail"),
        make(workshop, home, "end"),
    ]
    queue.add(home, [job.folder.name for job in jobs])
    said: list[str] = []
    report = runner.Runner(home, said.append, poll_s=0.05).run()
    assert [job.read()["status"] for job in jobs] == ["done", "failed", "done"]
    assert report is not None and not queue.read(home).entries and not queue.read(home).done
    text = report.read_text("utf-8")
    assert "2 of 3 jobs done" in text and "The photos cannot be used" in text and "1. Look at the dataset" in text
    assert any("failed" in line for line in said)
    assert runner.Runner(home, said.append).run() is None  # nothing to do, and no second report


def test_j8_it_stops_after_a_failure_when_it_is_told_to(workshop: Workshop, home: Path, quick: None) -> None:
    bad, good = make(workshop, home, "bad", "save.comment=exit"), make(workshop, home, "good")
    queue.add(home, [bad.folder.name, good.folder.name])
    queue.keep_going(home, False)
    assert runner.Runner(home, lambda _line: None, poll_s=0.05).run() is None
    left = queue.read(home)
    assert left.paused and [one.job for one in left.entries] == [good.folder.name]
    assert [one.status for one in left.done] == ["interrupted"] and "exit code 13" in left.done[0].message


def test_j1_a_runner_that_was_killed_finds_its_trainer_again(workshop: Workshop, home: Path, quick: None) -> None:
    long, after = make(workshop, home, "long", LONG), make(workshop, home, "after")
    queue.add(home, [long.folder.name, after.folder.name])
    first = runner_process(home)
    wait_for(lambda: stepped(long))
    first.kill()
    first.communicate()
    pid, step = long.read()["process"]["pid"], last_step(long)
    wait_for(lambda: last_step(long) > step)  # it goes on without its runner
    second = runner_process(home)
    wait_for(lambda: runner.is_running(home))
    with pytest.raises(ConfigError, match="worked on already"):
        runner.Runner(home, lambda _line: None).run()
    with pytest.raises(ConfigError, match="running"):
        queue.remove(home, long.folder.name)
    assert long.read()["process"]["pid"] == pid
    assert "save and stop after this step" in control.ask(long, "stop")
    _, words = second.communicate(timeout=120)
    assert second.returncode == 0 and b"is running already and is waited for" in words
    assert [long.read()["status"], after.read()["status"]] == ["stopped", "done"]


def test_j2_real_trainers_killed_with_their_runner_resume_to_the_same_bytes(workshop: Workshop, home: Path) -> None:
    steps = ("loop.steps=14", "save.state_every_steps=2")
    job, waiting = make(workshop, home, "both", *steps), make(workshop, home, "waiting")
    order = [one.folder.name for one in (job, waiting)]
    queue.add(home, order)
    working = runner_process(home, process.WORKER)
    wait_for(lambda: stepped(job, 5))
    working.kill()
    trainer = process.trainer(job)
    assert trainer is not None
    os.killpg(trainer.pid, signal.SIGKILL)
    working.communicate()
    wait_for(lambda: process.status(job) == "interrupted")
    assert [one.job for one in queue.read(home).entries] == order
    again = runner_process(home, process.WORKER)
    again.communicate(timeout=180)
    assert [one.read()["status"] for one in (job, waiting)] == ["done", "done"]
    plain = workshop.job(home, "name=both", *steps, name="plain")
    assert run(plain) == 0
    assert outputs(job) == outputs(plain)


def test_j2_a_trainer_that_is_killed_is_said_and_the_next_starts(workshop: Workshop, home: Path, quick: None) -> None:
    job, after = make(workshop, home, "killed", LONG), make(workshop, home, "next")
    queue.add(home, [job.folder.name, after.folder.name])
    working = runner_process(home)
    wait_for(lambda: stepped(job))
    process.kill(job)
    working.communicate(timeout=120)
    assert (process.status(job), after.read()["status"]) == ("interrupted", "done")
    [error] = events(job, "error")
    assert error["name"] == "Interrupted" and "resume goes on" in error["message"]
    [report] = (queue.folder(home) / "reports").iterdir()
    assert "killed: interrupted" in report.read_text("utf-8")


def test_j8_a_job_folder_taken_away_in_mid_run_does_not_end_the_queue(
    workshop: Workshop, home: Path, quick: None
) -> None:
    job, after = make(workshop, home, "gone", LONG), make(workshop, home, "next")
    queue.add(home, [job.folder.name, after.folder.name])
    working = runner_process(home)
    wait_for(lambda: stepped(job))
    process.kill(job)
    shutil.rmtree(job.folder)
    working.communicate(timeout=120)
    assert working.returncode == 0 and after.read()["status"] == "done" and not queue.read(home).entries
    [report] = (queue.folder(home) / "reports").iterdir()
    assert "gone: failed" in report.read_text("utf-8")


def test_j3_pressed_five_times_by_two_programs_it_runs_once(workshop: Workshop, home: Path) -> None:
    job = make(workshop, home, "once", LONG)
    code = f"""
import sys
from pathlib import Path
from lib_lora_train.errors import LoraLoopError
from lib_lora_train.jobs import control, process
from lib_lora_train.train.job import Job
process.WORKER = {STAND_IN!r}
for _ in range(5):
    try:
        print(control.resume(Job(Path(sys.argv[1])), Path(sys.argv[2])).pid)
    except LoraLoopError as error:
        assert "running already" in str(error), error
"""
    command = [sys.executable, "-c", code, str(job.folder), str(home)]
    both = [
        subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    started = [line for process in both for line in process.communicate(timeout=60)[0].split()]
    assert len(started) == 1
    wait_for(lambda: stepped(job))
    assert job.read()["process"]["pid"] == int(started[0])
    process.kill(job)
    wait_for(lambda: not process.is_running(job))


def test_j5_the_second_press_ends_it_and_only_its_own_group(workshop: Workshop, home: Path, quick: None) -> None:
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    job = make(workshop, home, "pressed", LONG)
    child = control.resume(job, home)
    wait_for(lambda: stepped(job))
    os.kill(child.pid, signal.SIGSTOP)  # it cannot obey
    assert "at the end of this epoch" in control.ask(job, "stop_after_epoch")
    assert control.asked(job).command == "stop_after_epoch"
    assert "after this step" in control.ask(job, "stop_after_epoch")
    assert "ended at once" in control.ask(job, "stop")
    assert child.wait(timeout=60) == -signal.SIGKILL
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()
    assert control.ask(job, "stop") == f"The job {job.folder.name} is not running."
    assert process.status(job) == "interrupted"


def test_j5_pause_gives_the_card_back_and_keeps_the_place(workshop: Workshop, home: Path, quick: None) -> None:
    job, after = make(workshop, home, "paused", LONG), make(workshop, home, "behind")
    queue.add(home, [job.folder.name, after.folder.name])
    working = runner_process(home)
    wait_for(lambda: stepped(job))
    control.ask(job, "pause")
    _, words = working.communicate(timeout=60)
    assert b"queue is paused" in words
    left = queue.read(home)
    assert left.paused and [one.job for one in left.entries] == [job.folder.name, after.folder.name]
    assert process.status(job) == "paused" and process.status(after) == "queued"


@pytest.mark.parametrize("command", ["pause", "stop"])
def test_a_resume_pressed_as_the_job_ends_wins_however_close(
    command: str, workshop: Workshop, home: Path, quick: None
) -> None:
    """The runner looks every half second, a person is quicker; each press goes on, and no one stays paused or lost."""
    job = make(workshop, home, "pressed", LONG)
    queue.add(home, [job.folder.name])
    runners = [runner_process(home)]
    for pause_s in (0.0, 0.2, 0.4, 0.6):
        wait_for(lambda: process.status(job) == "running" and stepped(job))
        before = job.read()["process"]["pid"]
        control.ask(job, command)
        wait_for(lambda: process.status(job) in ("paused", "stopped"))
        time.sleep(pause_s)
        queue.resume(home, job.folder.name)
        if not runner.is_running(home):  # as the page does
            runners.append(runner_process(home))
        wait_for(lambda before=before: (job.read().get("process") or {}).get("pid", before) != before)
        found = queue.read(home)
        assert not found.paused and [one.job for one in found.entries] == [job.folder.name]
    control.ask(job, "stop")
    for one in runners:
        one.communicate(timeout=60)
    assert process.status(job) == "stopped" and not queue.read(home).entries


def test_jobs_that_come_while_the_runner_ends_are_not_left_waiting(
    workshop: Workshop, home: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever adds one then sees a runner at work and starts none."""
    late = make(workshop, home, "late")
    waiting, report = [late.folder.name], runner.Runner._report

    def last_words(self: runner.Runner) -> Path | None:
        found = report(self)
        if waiting:
            assert runner.is_running(home)
            queue.add(home, [waiting.pop()])
        return found

    monkeypatch.setattr(runner.Runner, "_report", last_words)
    assert runner.Runner(home, lambda _line: None, poll_s=0.05).run() is not None
    assert late.read()["status"] == "done" and not queue.read(home).entries


def test_letting_the_queue_go_on_wins_over_the_pause_that_its_runner_is_about_to_note(
    workshop: Workshop, home: Path
) -> None:
    job = make(workshop, home, "paused")
    job.update(status="paused")
    queue.add(home, [job.folder.name])
    queue.pause(home, False)
    ended = queue.Outcome(job.folder.name, "paused", 6, "", 0.0, 1.0)
    assert not queue.settle(home, ended, ran=True).paused
    job.update(status="paused")
    assert queue.settle(home, ended, ran=True).paused


def test_j6_a_hung_trainer_shows_its_stack_and_is_ended(workshop: Workshop, home: Path, quick: None) -> None:
    job = make(workshop, home, "hung", LONG)
    queue.add(home, [job.folder.name])
    child = control.resume(job, home)
    wait_for(lambda: stepped(job))
    assert control.silence(job) < control.SILENT_S
    assert process.show_stack(job)
    wait_for(lambda: "most recent call first" in job.log.read_text("utf-8", "replace"))
    os.kill(child.pid, signal.SIGSTOP)
    old = time.time() - 4000
    for path in (job.events, job.file):
        os.utime(path, (old, old))
    said: list[str] = []
    working = runner.Runner(home, said.append, poll_s=0.05, hung_s=1000.0)
    with contextlib.ExitStack() as stack:
        stack.callback(child.wait)
        working.run()
    assert any("not responding" in line for line in said)
    assert process.status(job) == "interrupted"


def test_a_job_with_a_time_waits_for_it(workshop: Workshop, home: Path, quick: None) -> None:
    later, now = make(workshop, home, "later"), make(workshop, home, "now")
    queue.add(home, [later.folder.name], start_at=time.time() + 2.0)
    queue.add(home, [now.folder.name])
    said: list[str] = []
    runner.Runner(home, said.append, poll_s=0.05).run()
    assert [line.split(":")[0] for line in said if ": done" in line] == [now.folder.name, later.folder.name]


def test_a_runner_of_its_own_outlives_who_started_it(workshop: Workshop, home: Path) -> None:
    job = make(workshop, home, "own")
    job.update(status="done")
    queue.add(home, [job.folder.name])
    assert runner.start(home)
    wait_for(lambda: list((queue.folder(home) / "reports").glob("*.md")))
    wait_for(lambda: not runner.is_running(home))
    assert json.loads((queue.folder(home) / "queue.json").read_text("utf-8"))["entries"] == []
