"""Rows J and T6, T7, T11: jobs that are started twice, shared, tampered with, or made by experts.

J1, J2, J3, J5, J6 and J8 are in tests/jobs/test_runner.py with real processes, J7 in tests/train/test_log.py, J10 in
tests/jobs/test_view.py and test_changes.py, T6 in tests/train/test_card_lock.py and here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from lib_lora_train.environment import launch
from lib_lora_train.environment.state import Environment
from lib_lora_train.files import locks, processes
from lib_lora_train.jobs import control, instance, process, queue, store
from lib_lora_train.train import card_lock, device, worker
from lib_lora_train.train import config as configs
from lib_lora_train.train.errors import CardLost, ConfigError, StateError
from lib_lora_train.train.events import EventLog
from tests.runs import Workshop, events, run, when_step

ROOT = Path(__file__).parents[2]
CLAIM = """
import sys, time
from pathlib import Path
from lib_lora_train.jobs.instance import Instance
print(Instance(Path(sys.argv[1]), "A1111").is_writer, flush=True)
time.sleep(60)
"""


def test_j4_the_second_webui_in_a_home_reads_only(tmp_path: Path) -> None:
    command = [sys.executable, "-c", CLAIM, str(tmp_path)]
    first = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert first.stdout is not None and first.stdout.readline() == "True\n"
    mine = instance.Instance(tmp_path, "Forge")
    assert not mine.is_writer
    with pytest.raises(instance.ReadOnly, match=f"in use by A1111 on .* \\(process {first.pid}\\)"):
        mine.require_writer()
    first.kill()
    first.communicate()
    assert mine.is_writer and mine.reason() == "", "the first is gone: the home is free at once"
    mine.require_writer()
    mine.close()
    assert not locks.is_held(tmp_path / "instance.lock")


def test_j4_another_machine_on_a_share_without_locks_is_believed_by_its_heartbeat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "instance.lock"
    file.write_text(json.dumps({"name": "Forge", "machine": "the other one", "pid": 7, "born": "x"}))
    mine = instance.Instance(tmp_path)
    assert not mine.is_writer and "the other one" in mine.reason()
    old = time.time() - instance.STALE_S - 1
    os.utime(file, (old, old))
    monkeypatch.setattr(instance, "BEAT_S", 0.02)
    assert mine.is_writer
    os.utime(file, (old, old))
    deadline = time.monotonic() + 10
    while time.time() - file.stat().st_mtime > 30 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert time.time() - file.stat().st_mtime < 30, "it beats"
    mine.close()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("status", "<script>"),
        ("status", 3),
        ("config", "x"),
        ("cache", "../../etc"),
        ("cache", "/home/../etc"),
        ("created", "now"),
        ("accept", "dataset"),
        ("process", [1]),
        ("exit_code", "0"),
        ("share_card", 1),
        ("version", True),
    ],
)
def test_j9_each_field_of_a_job_is_checked(workshop: Workshop, jobs: Path, field: str, value: Any) -> None:
    job = workshop.job(jobs)
    values = json.loads(job.file.read_text("utf-8"))
    job.file.write_text(json.dumps({**values, field: value}))
    with pytest.raises(StateError):
        job.read()
    if field != "process":
        assert not process.is_running(job)


def test_j9_a_job_cannot_make_us_end_another_process(workshop: Workshop, jobs: Path) -> None:
    job = workshop.job(jobs)
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    job.update(status="running", process=process.record(job, stranger.pid, processes.birth(stranger.pid) or ""))
    assert process.status(job) == "interrupted" and "not running" in control.kill(job) and stranger.poll() is None
    job.update(process=process.record(job, os.getpid(), processes.birth(os.getpid()) or ""))
    assert not process.kill(job)
    stranger.kill()
    stranger.wait()


def test_j9_a_request_that_is_no_request(workshop: Workshop, jobs: Path) -> None:
    job = workshop.job(jobs)
    for text in (
        "{",
        '{"command": "rm -rf /", "time": 1}',
        '{"command": ["stop"], "time": 1}',
        "[]",
        '{"command": "stop", "time": "x"}',
    ):
        (job.folder / "asked.json").write_text(text)
        assert control.asked(job) == control.Asked("", 0.0)
    with pytest.raises(ConfigError, match="cannot be asked"):
        control.ask(job, "rm")


def test_j3_a_second_worker_leaves_the_first_alone(workshop: Workshop, jobs: Path) -> None:
    job = workshop.job(jobs)
    lock = locks.Lock(job.lock)
    assert lock.acquire({"machine": "this"})
    assert run(job) == worker.UNKNOWN and process.is_running(job)
    assert [event["name"] for event in events(job)] == ["running"]
    with pytest.raises(StateError, match="runs on this"):
        process.kill(job)
    lock.release()


def test_j6_a_trainer_without_a_sign_of_life_shows_its_stack_unasked(
    workshop: Workshop, jobs: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(worker, "SILENCE_S", 1.0)
    job = workshop.job(jobs, "loop.steps=2")
    with capfd.disabled(), (jobs / "stderr.txt").open("w") as stream, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", stream)
        when_step(patch, {1: lambda: time.sleep(4)})
        assert run(job) == 0
    assert "Timeout" in (jobs / "stderr.txt").read_text() and "_train_epoch" in (jobs / "stderr.txt").read_text()


def test_t6_a_run_waits_for_the_card_and_can_be_stopped_or_told_to_share(
    workshop: Workshop, jobs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(card_lock.FOLDER_VARIABLE, str(jobs / "cards"))
    job = workshop.job(jobs)
    log = EventLog(job.events).open()
    with card_lock.held("0", "drawing"):
        stopping = threading.Timer(0.3, lambda: job.post("stop"))
        stopping.start()
        with pytest.raises(worker.Stopped, match="waited for the card"):
            worker._claim_card(job, log, "0")
        stopping.join()
        [waiting] = events(job, "state")
        assert waiting["status"] == "waiting" and "busy with drawing" in waiting["message"]
        job.update(share_card=True)
        assert not worker._claim_card(job, log, "0").is_mine
    job.update(share_card=False)
    claim = worker._claim_card(job, log, "0")
    found = card_lock.holder("0")
    assert claim.is_mine and found is not None and found.purpose == "training cat" and found.place == str(job.folder)
    claim.release()
    log.close()


@pytest.mark.parametrize(
    "words",
    ["CUDA error: unspecified launch failure", "CUDA error: an illegal memory access was encountered\nCompile with"],
)
def test_t7_a_lost_card_is_said_with_what_helps(
    workshop: Workshop, jobs: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    def lost() -> None:
        raise RuntimeError(words)

    job = workshop.job(jobs, "save.state_every_steps=1")
    when_step(monkeypatch, {2: lost})
    assert run(job) == CardLost.exit_code
    [error] = events(job, "error")
    assert error["name"] == "CardLost" and words.splitlines()[0] in error["message"]
    assert "power limit" in error["message"] and "update the driver" in error["message"]
    assert not device.is_lost(RuntimeError("shape mismatch"))


def test_t11_an_expert_may_go_further_but_not_anywhere() -> None:
    bold = {"name": "x", "adapter": {"rank": 4096}, "optimizer": {"learning_rate": 1.0}}
    with pytest.raises(ConfigError, match=r"rank = 4096 is out of range.* set expert = true"):
        configs.from_values(bold)
    with pytest.raises(ConfigError, match="set expert = true"):
        configs.from_values({"name": "x", "optimizer": {"learning_rate": 1.0}})
    found = configs.from_values({**bold, "expert": True})
    assert found.adapter.rank == 4096 and configs.from_values(configs.to_values(found)) == found
    with pytest.raises(ConfigError, match="out of range: use from 1 to 8192"):
        configs.from_values({"name": "x", "expert": True, "adapter": {"rank": 9000}})
    with pytest.raises(ConfigError, match="out of range") as caught:
        configs.from_values({"name": "x", "loop": {"steps": 10**9}})
    assert "expert" not in str(caught.value)


def test_the_trainer_gets_none_of_the_host_s_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of_forge = ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HUGGINGFACE_ASSETS_CACHE", "HF_DATASETS_CACHE",
                "PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_NVML_BASED_CUDA_CHECK", "GRADIO_ANALYTICS_ENABLED", "PYTHONPATH",
                "COMMANDLINE_ARGS", "SD_WEBUI_RESTARTING", "MPLBACKEND")  # fmt: skip
    for name in of_forge:
        monkeypatch.setenv(name, "host")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    _, variables = launch.command_for(Environment(tmp_path, Path(sys.executable)), "x", [])
    assert not set(of_forge) & set(variables) and variables["CUDA_VISIBLE_DEVICES"] == "1"


def test_two_jobs_of_one_name_and_a_broken_one_do_not_stop_the_list(tmp_path: Path) -> None:
    one = store.create(configs.from_values({"name": "cat"}), tmp_path)
    (tmp_path / "jobs" / "odd").mkdir()
    (tmp_path / "jobs" / "odd" / "job.json").write_text('{"config": {"name": "../x"}}')
    assert [job.folder.name for job in store.usable(tmp_path)] == [one.folder.name]
    assert queue.read(tmp_path) == queue.Queue()
