"""The diary: append only, read while it is written, torn by kills and full disks."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from lib_lora_train.train.events import EventLog, read_events


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


def steps(path: Path) -> list[int]:
    return [event["step"] for event in read_events(path)[0]]


def test_a_reader_goes_on_from_its_offset(path: Path) -> None:
    log = EventLog(path).open()
    log.write("step", step=1, loss=float("nan"), path=path, rates={"unet": (1.0, float("inf"))}, name="\nü")
    [event], offset = read_events(path)
    assert (event["loss"], event["path"], event["name"]) == ("nan", str(path), "\nü")
    assert event["rates"] == {"unet": [1.0, "inf"]} and event["time"] > 0
    assert read_events(path, offset) == ([], offset)
    log.write("step", step=2)
    events, end = read_events(path, offset)
    assert [event["step"] for event in events] == [2] and end == path.stat().st_size
    log.close()


def test_a_torn_line_waits_and_is_then_passed_over(path: Path) -> None:
    with closing(EventLog(path).open()) as log:
        log.write("step", step=1)
    whole = path.stat().st_size
    with path.open("ab") as stream:
        stream.write('{"kind": "step", "step": 2, "name": "ü'.encode()[:-1])
    assert read_events(path)[1] == whole  # it may still be on its way
    with closing(EventLog(path).open()) as log:
        log.write("step", step=3)
    assert steps(path) == [1, 3]


def test_strangers_are_left_out(path: Path) -> None:
    path.write_text('[1]\n{"kind": "rm"}\nnonsense\n{"kind": "step", "step": 1}\n')
    assert steps(path) == [1]
    assert read_events(path.with_name("missing")) == ([], 0)


def test_a_full_disk_loses_events_and_nothing_else(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, room = os.write, [10**6]

    def scarce(descriptor: int, data: Any) -> int:
        if not room[0]:
            raise OSError(28, "No space left on device")
        written = write(descriptor, bytes(data)[: room[0]])
        room[0] -= written
        return written

    monkeypatch.setattr(os, "write", scarce)
    with closing(EventLog(path).open()) as log:
        log.write("step", step=1)
        room[0] = 10
        log.write("step", step=2)  # torn
        log.write("step", step=3)  # not at all
        room[0] = 10**6
        log.write("step", step=4)
        log.write("step", step=5)
    assert steps(path) == [1, 4, 5]
