"""Files that are none: pipes and devices under the names of photos, captions, wildcards and models, and files that are
far too large. Whatever opens a person's file says so at once; links to plain files go on working.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lib_lora_train.errors import LoraLoopError
from lib_lora_train.files import card, images, reading
from lib_lora_train.files.safetensors_header import read_header
from lib_lora_train.grid.keep import undo
from lib_lora_train.grid.manifest import Manifest
from lib_lora_train.grid.numbers import _events as numbers_of  # pyright: ignore[reportPrivateUsage]
from lib_lora_train.prompt import Context, Wildcards
from lib_lora_train.prompt.expander import Expander
from lib_lora_train.train import toml
from lib_lora_train.train.base.fingerprint import fingerprint
from lib_lora_train.train.base.folder import read_json
from lib_lora_train.train.dataset import caption_book
from lib_lora_train.train.dataset.scan import scan
from lib_lora_train.train.events import read_events
from lib_lora_train.train.job import Job
from lib_lora_train.train.log import tail
from lib_lora_train.train.sections import DatasetConfig
from lib_lora_train.ui.store import Store
from lib_lora_train.ui.train import thumbs
from tests.pictures import save

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files in folders")
ROOT = Path(__file__).resolve().parents[2]
MOST_S = 20.0
Make = Callable[[Path], Path]


def pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


def link_to_pipe(path: Path) -> Path:
    path.symlink_to(pipe(path.with_name(f"{path.name}-pipe")))
    return path


def link_to_device(path: Path) -> Path:
    path.symlink_to("/dev/zero")
    return path


KINDS: tuple[Make, ...] = (pipe, link_to_pipe, link_to_device)
kinds = pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)


@pytest.fixture(autouse=True)
def not_for_long() -> Iterator[None]:
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < MOST_S


def photos(folder: Path) -> Path:
    for number in range(3):
        save(folder / f"{number}.png", (120, 120), seed=number)
    return folder


@kinds
def test_s1_a_photo_that_is_none_is_named_and_left_out(make: Make, tmp_path: Path) -> None:
    make(photos(tmp_path) / "trap.png")
    found = scan(DatasetConfig(path=str(tmp_path)), "ohwx")
    assert len(found.photos) == 3
    if make is not pipe:  # a plain pipe was always passed over
        [told] = [one.message for one in found.problems if one.kind == "broken"]
        assert told == "trap.png is left out: it is a pipe or a device, not a file; leave it out."


@kinds
def test_s1_a_caption_that_is_none_is_named(make: Make, tmp_path: Path) -> None:
    make(photos(tmp_path) / "0.txt")
    for look in (
        lambda: scan(DatasetConfig(path=str(tmp_path)), "ohwx"),
        lambda: caption_book.read(DatasetConfig(path=str(tmp_path)), "ohwx"),
    ):
        if make is pipe:
            look()
            continue
        with pytest.raises(LoraLoopError, match=r"The caption 0\.txt cannot be read: it is a pipe or a device"):
            look()


@kinds
def test_s1_the_check_of_such_a_folder_ends(make: Make, tmp_path: Path) -> None:
    """The command line's, whose process a pipe would hold for ever and a device fill the memory of."""
    make(photos(tmp_path) / "trap.png")
    command = [sys.executable, "-m", "lib_lora_train.cli", "check", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=MOST_S, check=False)
    assert done.returncode == 0, done.stderr
    assert "3 photos" in done.stdout


@kinds
def test_s1_a_picture_of_the_page_is_grey_where_there_is_none(make: Make, tmp_path: Path) -> None:
    path = make(tmp_path / "trap.png")
    with pytest.raises(images.ImageError, match="pipe or a device"):
        images.thumbnail(path, 64)
    with pytest.raises(images.ImageError, match="pipe or a device"):
        images.decode(path)
    with pytest.raises(images.ImageError, match="pipe or a device"):
        images.probe(path)
    assert thumbs._square(path).picture.getpixel((0, 0)) == thumbs.GREY  # pyright: ignore[reportPrivateUsage]


@kinds
@pytest.mark.parametrize("suffix", [".txt", ".yaml", ".json"])
def test_w_a_wildcard_that_is_none_is_left_out_with_a_note(make: Make, suffix: str, tmp_path: Path) -> None:
    root = tmp_path / "wildcards"
    root.mkdir()
    (root / "hue.txt").write_text("teal\n", "utf-8")
    make(root / f"trap{suffix}")
    wildcards = Wildcards([root])
    assert [one.text for one in Expander(Context(wildcards)).batch("__*__", [1])] == ["teal"]
    assert list(wildcards.names()) == ["hue"]
    assert [note for note in wildcards.notes if f"trap{suffix}" in note]


@kinds
def test_w_a_wildcard_of_the_persons_own_that_is_none_is_refused(make: Make, tmp_path: Path) -> None:
    make(tmp_path / "trap.txt")
    with pytest.raises(LoraLoopError, match=r"'trap' cannot be read|leads out"):
        Store(tmp_path, tmp_path / "trash", lambda: "").read("trap")


@kinds
def test_m2_a_model_that_is_none_is_refused(make: Make, tmp_path: Path) -> None:
    path = make(tmp_path / "trap.safetensors")
    with pytest.raises(LoraLoopError, match="pipe or a device"):
        read_header(path)
    with pytest.raises(LoraLoopError, match="pipe or a device"):
        fingerprint(path)


@kinds
def test_j9_notes_that_are_none_are_refused_or_count_as_none(make: Make, tmp_path: Path) -> None:
    notes = tmp_path / "job"
    notes.mkdir()
    for name in ("job.json", "events.jsonl", "log.txt", "a.json", "undo.json", "manifest.json", "journal.jsonl"):
        make(notes / name)
    with pytest.raises(LoraLoopError, match="pipe or a device"):
        Job(notes).read()
    with pytest.raises(LoraLoopError, match="pipe or a device"):
        toml.read(notes / "job.json")
    with pytest.raises(LoraLoopError):
        read_json(notes / "job.json")
    with pytest.raises(LoraLoopError):
        undo(notes)
    assert read_events(notes / "events.jsonl") == ([], 0)
    assert tail(notes / "log.txt") == ""
    assert card.read(notes / "a.safetensors") == {}
    assert list(numbers_of(notes / "events.jsonl")) == []
    assert Manifest.open(notes).done == {}


def test_a_link_to_a_plain_file_goes_on_working(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "set").mkdir()
    save(tmp_path / "far" / "a.png", (120, 120))
    (tmp_path / "far" / "a.txt").write_text("a cat", "utf-8")
    for name in ("a.png", "a.txt"):
        (tmp_path / "set" / name).symlink_to(tmp_path / "far" / name)
    [photo] = scan(DatasetConfig(path=str(tmp_path / "set")), "ohwx").photos
    assert photo.caption == "a cat"


def test_what_is_larger_than_its_kind_is_refused_before_it_is_read(tmp_path: Path) -> None:
    photos(tmp_path)
    for name, size in (("0.txt", reading.MOST_TEXT), ("1.png", reading.MOST_PHOTO), ("a.toml", reading.MOST_TEXT)):
        with (tmp_path / name).open("wb") as stream:
            stream.truncate(size + 1)  # takes no room
    with pytest.raises(
        LoraLoopError, match=r"0\.txt cannot be read: it has 16,000,001 bytes, more than the 16,000,000"
    ):
        scan(DatasetConfig(path=str(tmp_path)), "ohwx")
    (tmp_path / "0.txt").unlink()
    [told] = [one.message for one in scan(DatasetConfig(path=str(tmp_path)), "ohwx").problems if one.kind == "broken"]
    assert "1.png is left out: it has 500,000,001 bytes" in told
    with pytest.raises(LoraLoopError, match="16,000,001 bytes"):
        toml.read(tmp_path / "a.toml")


def header(tmp_path: Path, shape: list[Any], more: str = "") -> Path:
    table = json.dumps({"a": {"dtype": "F16", "shape": shape, "data_offsets": [0, 2]}}).replace('"more"', more)
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(table).to_bytes(8, "little") + table.encode() + b"\0\0")
    return path


def test_m2_astronomic_dimensions_are_refused_at_once(tmp_path: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(LoraLoopError, match="shape and byte range disagree"):
        read_header(header(tmp_path, [2**62] * 400_000))
    with pytest.raises(LoraLoopError, match="far too large"):
        read_header(header(tmp_path, ["more"], "9" * 2_000_000))
    assert time.monotonic() - begun < 5
    assert read_header(header(tmp_path, [1])).shapes == {"a": (1,)}


def test_d4_the_largest_pictures_are_decoded_one_at_a_time(tmp_path: Path) -> None:
    """Each takes up to 0.9 GB; eight children at once would take the machine's memory."""
    from lib_lora_train.train.dataset import verify as verifying

    for number in range(3):
        save(tmp_path / f"{number}.png", (120, 120), seed=number)
    found = scan(DatasetConfig(path=str(tmp_path)), "ohwx").photos
    inside, most = 0, 0

    def ask(_child: Any, _photo: Any, _background: str) -> verifying.Examined:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        time.sleep(0.1)
        inside -= 1
        return verifying.Examined()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verifying._Child, "ask", ask)  # pyright: ignore[reportPrivateUsage]
        patch.setattr(verifying, "HEAVY_PIXELS", 100)
        list(verifying.examine(found, "white", 3))
        assert most == 1
        patch.setattr(verifying, "HEAVY_PIXELS", 10**9)
        list(verifying.examine(found, "white", 3))
        assert most == 3


def test_d4_pillows_raw_warning_is_not_shown(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("1", (13_000, 13_000)).save(tmp_path / "large.png")
    command = [sys.executable, "-m", "lib_lora_train.cli", "check", "--quick", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert "Warning" not in done.stderr
    assert done.stderr == ""


STEERING = "\x1b[31mred\x1b[2J\x1b]0;PWNED\x07"


def test_s4_names_that_steer_a_terminal_are_printed_as_codes(tmp_path: Path) -> None:
    """Escape sequences would clear the screen and set its title; a line end would forge a line of the report."""
    folder = tmp_path / f"10_ohwx {STEERING} man"
    for number, name in enumerate((f"{STEERING}.png", "new\nError: line.png", "\u202egnp.exe.png", "plain.png")):
        save(folder / name, (120, 120), seed=number // 2)  # copies of each other: named in warnings
    (folder / f"broken{STEERING}.png").write_bytes(b"no picture")
    command = [sys.executable, "-m", "lib_lora_train.cli", "check", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    printed = done.stdout + done.stderr
    assert not [sign for sign in printed if (sign < " " and sign != "\n") or sign == "\u202e"]
    assert "\\x1b[31mred" in printed
    assert "new\\nError: line.png" in printed
    assert not [line for line in printed.splitlines() if line.startswith("Error: line")]


def test_s4_the_bar_of_a_run_prints_messages_without_what_steers_a_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from lib_lora_train.jobs.terminal import Bar

    bar = Bar()
    bar({"kind": "warning", "name": "x", "message": f"{STEERING} is odd\r\u2028"})
    bar({"kind": "sample", "file": STEERING, "time": 0.0})
    assert capsys.readouterr().err == (
        "Warning: \\x1b[31mred\\x1b[2J\\x1b]0;PWNED\\x07 is odd\\r\\u2028\n"
        "  drew \\x1b[31mred\\x1b[2J\\x1b]0;PWNED\\x07\n"
    )


def test_s4_an_error_of_the_command_line_is_printed_so_too(capsys: pytest.CaptureFixture[str]) -> None:
    from lib_lora_train.cli import guarded

    def fail() -> int:
        raise LoraLoopError(f"{STEERING} is not there.")

    assert guarded(fail) == 2
    assert "\x1b" not in capsys.readouterr().err


def test_a_name_keeps_every_letter_of_every_script() -> None:
    from lib_lora_train.files import text

    for name in ("Zoë (2).png", "фото.png", "照片.png", "e\u0301.png", "👩\u200d🎤.png", "a b'c\"&%.png"):
        assert text.name(name) == name
    assert text.name(os.fsdecode(b"\xff.png")) == "\\xff.png"
    assert text.printable("ü…", "ascii") == "\\xfc\\u2026"
