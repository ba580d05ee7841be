"""The lock files that ship: whole, for every Python and system, and read the way pip reads them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lib_lora_train.environment.locks import Lock, Pin, bitsandbytes_lock, release, shipped

LOCKS = sorted(Path(shipped("trainer").files[0]).parent.glob("*.txt"))
PYTHONS = [(3, 10, 6), (3, 11, 7), (3, 12, 1), (3, 13, 0)]


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.stem)
def test_every_line_is_read_and_has_hashes(path: Path) -> None:
    text = path.read_text("utf-8")
    assert len(Lock((path,)).pins()) == len(re.findall("==.*\\\\$", text, re.MULTILINE))
    blocks = re.split(r"(?m)^(?=\S)", text)
    assert all("--hash=sha256:" in block for block in blocks if "==" in block)
    assert "://" not in text


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.stem)
def test_the_lock_is_what_was_asked_for(path: Path) -> None:
    asked = re.findall(r"(?m)^([\w.-]+==[^\s;]+)", path.with_suffix(".in").read_text("utf-8"))
    assert sorted(f"{pin.name}=={pin.version}" for pin in Lock((path,)).pins()) == sorted(asked)


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("platform", ["linux", "win32", "darwin"])
def test_one_version_of_everything_everywhere(python: tuple[int, ...], platform: str) -> None:
    names = [pin.name for pin in shipped("trainer", "complete").pins() if pin.applies(python, platform)]
    assert len(names) == len(set(names))
    assert {"numpy", "pillow", "diffusers", "transformers", "networkx"} <= set(names)
    assert ("colorama" in names) == (platform == "win32")
    assert ("tomli" in names) == (python < (3, 11))


def test_the_light_lock_has_the_versions_of_the_others() -> None:
    others = {(pin.name, pin.version, pin.marker) for pin in shipped("trainer", "complete").pins()}
    assert {(pin.name, pin.version, pin.marker) for pin in shipped("light").pins()} <= others


def test_an_unknown_marker_is_refused() -> None:
    with pytest.raises(ValueError, match="not one that the lock's reader knows"):
        Pin("x", "1", "platform_machine == 'arm64'").applies()


def test_the_digest_forgets_line_ends_and_sees_all_else(tmp_path: Path) -> None:
    first, second, third = (tmp_path / name for name in "abc")
    first.write_bytes(b"x==1\n")
    second.write_bytes(b"x==1\r\n")
    third.write_bytes(b"x==2\n")
    assert Lock((first,)).digest() == Lock((second,)).digest() != Lock((third,)).digest()
    assert Lock((first,)).digest("torch==2.13.0") != Lock((first,)).digest()


@pytest.mark.parametrize(
    ("torch", "expected"),
    [("2.1.2+cu121", "0.45.5"), ("2.3.1", "0.48.2"), ("2.4.0", "0.50.2"), ("2.13.0+cpu", "0.50.2")],
)
def test_bitsandbytes_is_chosen_by_torch(torch: str, expected: str) -> None:
    assert [pin.version for pin in bitsandbytes_lock(torch).pins()] == [expected]


def test_release() -> None:
    assert release("2.13.0a0+git") == (2, 13, 0)
    assert release("unknown") == ()
