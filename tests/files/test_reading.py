from __future__ import annotations

import errno
from pathlib import Path

import pytest

from lib_lora_train.files import reading
from lib_lora_train.files.errors import DiskError


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waited: list[float] = []
    monkeypatch.setattr(reading, "sleep", waited.append)
    return waited


def test_share_that_comes_back_is_waited_for(pauses: list[float]) -> None:
    failures = [OSError(errno.EIO, "gone"), OSError(errno.ESTALE, "stale")]

    def read() -> str:
        if failures:
            raise failures.pop()
        return "here"

    assert reading.patiently("a.jpg", read) == "here"
    assert pauses == [0.1, 0.3]


def test_share_that_stays_away_is_named(pauses: list[float], tmp_path: Path) -> None:
    with pytest.raises(DiskError, match=r"a\.jpg is gone.*resume"):
        reading.read_bytes(tmp_path / "a.jpg", 1000)
    assert pauses == list(reading.PAUSES_S)


def test_other_errors_are_not_waited_for(pauses: list[float]) -> None:
    def read() -> bytes:
        raise PermissionError(errno.EACCES, "no")

    with pytest.raises(PermissionError):
        reading.patiently("a.jpg", read)
    assert not pauses
