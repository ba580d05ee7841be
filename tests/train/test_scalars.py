"""TensorBoard's files: kohya's names, and a full disk that ends the chart and not the run."""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path
from typing import Any

import pytest

from lib_lora_train.train.scalars import Scalars


def read(folder: Path) -> list[Any]:
    """The events of the folder's files: records of length, checksum, data, checksum."""
    from tensorboardX.proto import event_pb2

    found: list[Any] = []
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        while data:
            [length] = struct.unpack("<Q", data[:8])
            found.append(event_pb2.Event.FromString(data[12 : 12 + length]))
            data = data[16 + length :]
    return found


def test_names_and_steps_are_kohyas(tmp_path: Path) -> None:
    scalars = Scalars(tmp_path, 0)
    scalars.step(1, 0.5, 0.25, {"text_encoder": 1e-4, "unet": 2e-4}, {"unet": 1e-6})
    scalars.epoch(1, 0.125)
    scalars.close()
    shown = {(event.step, value.tag): value.simple_value for event in read(tmp_path) for value in event.summary.value}
    assert shown == pytest.approx(
        {
            (1, "loss/current"): 0.5,
            (1, "loss/average"): 0.25,
            (1, "lr/textencoder"): 1e-4,
            (1, "lr/unet"): 2e-4,
            (1, "lr/d*lr/unet"): 1e-6,
            (1, "loss/epoch_average"): 0.125,
        }
    )


def test_a_resumed_run_voids_what_it_does_again(tmp_path: Path) -> None:
    Scalars(tmp_path, 7).close()
    assert [event.step for event in read(tmp_path) if event.HasField("session_log")] == [8]


def test_no_folder_no_file_and_a_full_disk_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = Scalars(None, 0)
    nothing.step(1, 0.5, 0.5, {}, {})
    nothing.close()
    scalars = Scalars(tmp_path / "full", 0)

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fsync", full)
    for number in range(40):
        scalars.epoch(number, 0.5)
    scalars.close()
