"""The log: what a page is shown of it, and what becomes of one that grows."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_lora_train.train import log as logs


def test_j7_bars_escapes_and_binary_become_plain_lines(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_bytes(
        b"start\r\n 10%|#   |\r 50%|##  |\r100%|####|\n\x1b[31mred\x1b[0m \x1b]0;title\x07end\n\x00\xff\xfe caf\xe9 \x85\n"
        + "ü <b>x</b> \u202eevil\n".encode()
    )
    assert logs.tail(log) == "start\n100%|####|\nred end\n\ufffd\ufffd caf\ufffd \ufffd\nü <b>x</b> evil\n"


def test_j7_a_gigabyte_moves_64_kb(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    with log.open("wb") as stream:
        stream.truncate(1 << 30)  # a hole, so that the disk is spared
        stream.seek(0, os.SEEK_END)
        stream.write(("ü" * 40 + "\n").encode() * 4000)
    found = logs.tail(log)
    assert 60_000 < len(found.encode()) <= logs.TAIL_BYTES and set(found) == {"ü", "\n"}
    log.write_bytes("ü".encode() * 200_000)
    assert len(logs.tail(log).encode()) <= logs.TAIL_BYTES
    assert logs.tail(tmp_path / "nothing") == ""


def test_j7_rotation_keeps_the_end_and_the_writer_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    with log.open("ab", buffering=0) as writer:
        for number in range(100):
            writer.write(f"line {number:05d}\n".encode())
        assert not logs.rotate(log, 2000) and logs.rotate(log, 1000)
        writer.write(b"after\n")
    assert log.read_bytes() == b"after\n"
    assert (tmp_path / "log.1.txt").read_text("utf-8").endswith("line 00099\n")
    assert (tmp_path / "log.1.txt").stat().st_size == 500
    assert not logs.rotate(tmp_path / "nothing")


@given(st.text(max_size=300))
def test_nothing_but_plain_text_is_left(text: str) -> None:
    found = logs.plain(text)
    assert all(sign in "\t\n" or (ord(sign) >= 32 and not 0x7F <= ord(sign) < 0xA0) for sign in found)
    assert logs.plain(found) == found


@pytest.mark.parametrize("most", [10, 100])
def test_the_tail_is_never_longer_than_asked(tmp_path: Path, most: int) -> None:
    (tmp_path / "log.txt").write_text("äöü\n" * 200, encoding="utf-8")
    assert len(logs.tail(tmp_path / "log.txt", most).encode()) <= most
