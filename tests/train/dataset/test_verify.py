from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageFilter

from lib_lora_train.train.dataset import verify as verifying
from lib_lora_train.train.dataset.scan import scan
from lib_lora_train.train.dataset.verify import alike, verify
from lib_lora_train.train.sections import DatasetConfig
from tests.pictures import encoded, picture, save


def config(path: Path, **options: object) -> DatasetConfig:
    return DatasetConfig(path=str(path), **options)


def test_sound_photos_stay_and_broken_ones_are_named(tmp_path: Path) -> None:
    for number in range(5):
        save(tmp_path / f"{number}.png", (200, 150), seed=number)
    (tmp_path / "cut.jpg").write_bytes(encoded(picture((200, 150)), "JPEG")[:-20])
    scanned = scan(config(tmp_path), "x")
    assert len(scanned.photos) == 6
    counted: list[int] = []
    checked = verify(scanned, config(tmp_path), lambda done, _total, _what: counted.append(done), workers=2)
    assert [photo.name for photo in checked.photos] == [f"{number}.png" for number in range(5)]
    assert counted == [1, 2, 3, 4, 5, 6]
    assert [problem.names for problem in checked.problems if problem.kind == "broken"] == [("cut.jpg",)]
    checked.require_trainable()


def test_decoder_that_dies_takes_one_photo_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        save(tmp_path / f"{number}.png", seed=number)
    program = (
        "import sys, os, json\n"
        "for line in sys.stdin:\n"
        "    if '2.png' in line: os._exit(139)\n"
        "    print(json.dumps({'hash': None, 'sharpness': 1.0}), flush=True)\n"
    )
    start = subprocess.Popen
    monkeypatch.setattr(
        verifying.subprocess, "Popen", lambda _command, **options: start([sys.executable, "-c", program], **options)
    )
    checked = verify(scan(config(tmp_path), "x"), config(tmp_path), workers=1)
    assert [photo.name for photo in checked.photos] == ["0.png", "1.png", "3.png"]
    assert any("crash" in problem.message for problem in checked.problems)


def test_decoder_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "a.png")
    start = subprocess.Popen
    monkeypatch.setattr(
        verifying.subprocess,
        "Popen",
        lambda _command, **options: start([sys.executable, "-c", "import time; time.sleep(60)"], **options),
    )
    monkeypatch.setattr(verifying, "TIMEOUT_S", 0.3)
    checked = verify(scan(config(tmp_path), "x"), config(tmp_path), workers=1)
    assert not checked.photos and any("hang" in problem.message for problem in checked.problems)


def test_cancel_leaves_no_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(12):
        save(tmp_path / f"{number}.png", seed=number)
    started: list[subprocess.Popen[str]] = []
    start = subprocess.Popen

    def remember(*arguments: object, **options: object) -> subprocess.Popen[str]:
        started.append(start(*arguments, **options))  # type: ignore[call-overload]
        return started[-1]

    monkeypatch.setattr(verifying.subprocess, "Popen", remember)

    def cancel(done: int, _total: int, _what: str) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verify(scan(config(tmp_path), "x"), config(tmp_path), cancel, workers=2)
    assert started and all(process.poll() is not None for process in started)


def test_near_duplicates_and_blur_are_noted(tmp_path: Path) -> None:
    original = picture((400, 300), seed=5)
    original.save(tmp_path / "a.png")
    original.resize((200, 150), Image.Resampling.LANCZOS).save(tmp_path / "b.jpg", quality=60)
    picture((400, 300), seed=6).save(tmp_path / "c.png")
    picture((400, 300), seed=7).filter(ImageFilter.GaussianBlur(6)).save(tmp_path / "d.png")
    checked = verify(scan(config(tmp_path), "x"), config(tmp_path), workers=1)
    named = {problem.kind: problem.names for problem in checked.problems}
    assert named["near-duplicate"] == ("b.jpg",)
    assert named["blurred"] == ("d.png",)


def test_alike_finds_what_a_full_comparison_finds() -> None:
    import random

    numbers = random.Random(3)
    hashes = {f"h{n}": numbers.getrandbits(128) for n in range(60)}
    for n in range(20):
        bits = hashes[f"h{n}"]
        for _ in range(numbers.randrange(0, 10)):
            bits ^= 1 << numbers.randrange(128)
        hashes[f"near{n}"] = bits
    expected = {
        (one, two)
        for one in hashes
        for two in hashes
        if one < two and bin(hashes[one] ^ hashes[two]).count("1") <= verifying.ALIKE_BITS
    }
    found = {(one, two) for group in alike(hashes) for one in group for two in group if one < two}
    assert found == expected
