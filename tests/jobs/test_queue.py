"""The queue's file: order, moves, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_lora_train.cli import main
from lib_lora_train.jobs import queue, store
from lib_lora_train.train import config as configs
from lib_lora_train.train.errors import ConfigError, StateError
from lib_lora_train.train.job import Job


def make(home: Path, name: str = "cat") -> str:
    return store.create(configs.from_values({"name": name}), home).folder.name


def order(home: Path) -> list[str]:
    return [entry.job for entry in queue.read(home).entries]


def test_add_move_remove_and_read_again(tmp_path: Path) -> None:
    a, b, c = (make(tmp_path, name) for name in "abc")
    queue.add(tmp_path, [a, b])
    queue.add(tmp_path, [c], first=True)
    assert order(tmp_path) == [c, a, b]
    queue.move(tmp_path, b, 1)
    queue.move(tmp_path, c, 99)
    assert order(tmp_path) == [b, a, c]
    queue.remove(tmp_path, a)
    assert order(tmp_path) == [b, c]
    queue.schedule(tmp_path, b, time.time() + 100)
    assert queue.read(tmp_path).next(time.time()) == queue.Entry(c)
    for wrong in (
        lambda: queue.add(tmp_path, [c]),
        lambda: queue.remove(tmp_path, a),
        lambda: queue.move(tmp_path, a, 1),
    ):
        with pytest.raises(ConfigError, match="in the queue"):
            wrong()
    with pytest.raises(ConfigError, match="too far"):
        queue.add(tmp_path, [a], start_at=1e12)
    with pytest.raises(StateError, match="not a job folder"):
        queue.add(tmp_path, ["nothing"])


@pytest.mark.parametrize("name", ["../x", "/etc", "a/b", "", "..", "C:\\x", "NUL", "a\0b"])
def test_j9_names_that_lead_elsewhere(tmp_path: Path, name: str) -> None:
    with pytest.raises(StateError, match=r"no job's name"):
        queue.add(tmp_path, [name])


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"version": 2}',
        '{"version": 1, "entries": 3, "done": [], "paused": false, "keep_going": true}',
        '{"version": 1, "entries": [{"job": 3, "start_at": null}], "done": [], "paused": false, "keep_going": true}',
        '{"version": 1, "entries": [{"job": "a", "start_at": true}], "done": [], "paused": 0, "keep_going": 1}',
        "[" * 100_000,
    ],
)
def test_j9_a_queue_tampered_with_is_a_sentence_and_stays(tmp_path: Path, text: str) -> None:
    file = tmp_path / "queue" / "queue.json"
    file.parent.mkdir()
    file.write_text(text)
    with pytest.raises(StateError, match="add the jobs again"):
        queue.read(tmp_path)
    assert file.read_text() == text


def test_two_programs_at_once_lose_nothing(tmp_path: Path) -> None:
    names = [make(tmp_path, f"n{number}") for number in range(12)]
    code = "import sys; from pathlib import Path; from lib_lora_train.jobs import queue\nfor name in sys.argv[2:]: queue.add(Path(sys.argv[1]), [name])"
    both = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path), *names[part::2]], cwd=Path(__file__).parents[2])
        for part in range(2)
    ]
    assert [process.wait(timeout=60) for process in both] == [0, 0]
    assert sorted(order(tmp_path)) == sorted(names)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(-3, 9)), max_size=12))
def test_moves_keep_every_job_once(tmp_path_factory: pytest.TempPathFactory, moves: list[tuple[int, int]]) -> None:
    home = tmp_path_factory.mktemp("moves")
    names = [f"job{number}" for number in range(5)]
    queue.change(home, lambda _queue: queue.Queue(tuple(queue.Entry(name) for name in names)))
    expected = list(names)
    for which, place in moves:
        queue.move(home, names[which], place)
        expected.remove(names[which])
        expected.insert(min(max(place - 1, 0), 4), names[which])
    assert order(home) == expected


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    toml = tmp_path / "cat.toml"
    toml.write_text('name = "cat"\n')
    words = ["--home", str(tmp_path)]
    assert main(["queue", "add", str(toml), "--sweep", "adapter.rank=4,8", "--sweep", "seed=1,2", *words]) == 0
    assert "4 runs: cat-rank4-seed1, cat-rank4-seed2" in capsys.readouterr().out and order(tmp_path) == []
    assert main(["queue", "add", str(toml), "--sweep", "adapter.rank=4,8", "--yes", "--at", "23:30", *words]) == 0
    assert "2 queued" in capsys.readouterr().out
    first, second = order(tmp_path)
    assert Job(tmp_path / "jobs" / first).config().adapter.rank == 4
    assert main(["queue", "move", second, "1", *words]) == 0 and order(tmp_path) == [second, first]
    assert main(["queue", "remove", first, *words]) == 0
    assert main(["queue", "pause", *words]) == 0
    capsys.readouterr()
    assert main(["queue", "list", *words]) == 0
    out = capsys.readouterr().out
    assert f"1. {second}: queued, not before" in out and "paused" in out
    assert main(["queue", "list", "--json", *words]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["paused"] is True and [one["job"] for one in told["waiting"]] == [second]
    assert main(["queue", "run", *words]) == 0  # paused: nothing starts
    assert main(["queue", "go", *words]) == 0
    assert main(["queue", "add", str(tmp_path / "jobs" / first), "--first", *words]) == 0
    assert order(tmp_path) == [first, second]
    assert main(["queue", "add", "nothing", *words]) == 3
    assert main(["queue", "add", str(toml), "--at", "25 o'clock", *words]) == 2


def test_a_time_of_day_is_the_next_one() -> None:
    now = datetime(2026, 11, 21, 22, 0)
    assert datetime.fromtimestamp(queue.moment("23:30", now)) == datetime(2026, 11, 21, 23, 30)
    assert datetime.fromtimestamp(queue.moment("07:00", now)) == datetime(2026, 11, 22, 7, 0)
    assert datetime.fromtimestamp(queue.moment("2026-12-24T01:00", now)) == datetime(2026, 12, 24, 1, 0)
