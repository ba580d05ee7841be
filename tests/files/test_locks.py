"""Locks go away with their process, can be read by others, and are never held by two."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from lib_lora_train.files import locks, processes
from lib_lora_train.files.errors import DiskError

HOLD = """
import sys, time
from pathlib import Path
from lib_lora_train.files.locks import Lock
lock = Lock(Path(sys.argv[1]))
assert lock.acquire({"who": "child"})
print("held", flush=True)
time.sleep(60)
"""


def holding(path: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLD, str(path)]
    child = subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None and child.stdout.readline() == "held\n"
    return child


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.lock"
    assert not locks.is_held(path) and locks.facts(path) == {}
    child = holding(path)
    assert locks.is_held(path) and locks.facts(path) == {"who": "child"}
    mine = locks.Lock(path)
    assert not mine.acquire() and not mine.is_mine
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert not locks.is_held(path)
    assert mine.acquire({"who": "me"}) and mine.acquire() and locks.facts(path) == {"who": "me"}
    assert locks.is_held(path), "also this process sees its own lock from outside"
    mine.release()
    mine.release()
    assert not locks.is_held(path)


def test_who_looks_all_the_time_keeps_nobody_out(tmp_path: Path) -> None:
    path, end = tmp_path / "a.lock", threading.Event()
    path.touch()

    def look() -> None:
        while not end.is_set():
            locks.is_held(path)

    watchers = [threading.Thread(target=look) for _ in range(3)]
    for watcher in watchers:
        watcher.start()
    try:
        for _ in range(50):
            lock = locks.Lock(path)
            assert lock.acquire(wait_s=5.0)
            lock.release()
    finally:
        end.set()
        for watcher in watchers:
            watcher.join()


def test_a_mutex_that_is_kept_is_a_sentence(tmp_path: Path) -> None:
    with (
        locks.mutex(tmp_path / "m.lock"),
        pytest.raises(DiskError, match=r"m\.lock in .* is held"),
        locks.mutex(tmp_path / "m.lock", wait_s=0.05),
    ):
        raise AssertionError("two held it")


@pytest.mark.parametrize("text", [b"", b"{", b"[1]", b"\xff\xfe", b"[" * 5000, b'{"a":' * 3000])
def test_words_that_cannot_be_read_are_none(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "a.lock").write_bytes(text)
    assert locks.facts(tmp_path / "a.lock") == {}


def test_a_process_is_known_by_its_birth() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "a b"])
    born = processes.birth(child.pid)
    assert born and born == processes.birth(child.pid) != processes.birth(os.getpid())
    with pytest.raises(PermissionError, match="does not lead"):
        processes.kill_group(child.pid)  # it is in our group
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert processes.birth(child.pid) is None, "a dead child that nobody waited for is no process"
    child.wait()
    processes.kill_group(child.pid)
    assert all(processes.birth(pid) is None for pid in (0, -1, 2**31, child.pid))
