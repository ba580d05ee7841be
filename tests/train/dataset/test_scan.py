from __future__ import annotations

import errno
import os
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from lib_lora_train.files import reading
from lib_lora_train.files.errors import DiskError
from lib_lora_train.train.dataset.photos import Dataset
from lib_lora_train.train.dataset.scan import scan
from lib_lora_train.train.errors import DatasetError
from lib_lora_train.train.sections import DatasetConfig
from tests.pictures import save


def scanned(path: Path, trigger: str = "ohwx man", **settings: Any) -> Dataset:
    return scan(DatasetConfig(path=str(path), **settings), trigger, class_word="man")


def kinds(dataset: Dataset) -> set[str]:
    return {problem.kind for problem in dataset.problems}


def test_adding_or_renaming_changes_nothing_for_the_others(tmp_path: Path) -> None:
    for number in range(4):
        save(tmp_path / f"{number}.png", seed=number)
    before = {photo.name: photo.identity for photo in scanned(tmp_path).photos}
    save(tmp_path / "0a.png", seed=9)
    (tmp_path / "3.png").rename(tmp_path / "00.png")
    after = {photo.name: photo.identity for photo in scanned(tmp_path).photos}
    assert after["00.png"] == before["3.png"]
    assert all(after[name] == before[name] for name in ("0.png", "1.png", "2.png"))
    assert len(set(after.values())) == 5


def test_exact_copies_have_identities_of_their_own(tmp_path: Path) -> None:
    save(tmp_path / "a.png", seed=1)
    save(tmp_path / "b.png", seed=1)
    one, two = scanned(tmp_path).photos
    assert one.content == two.content and one.identity != two.identity


def test_kohyas_project_folder(tmp_path: Path) -> None:
    save(tmp_path / "img" / "20_ohwx man" / "a.png")
    save(tmp_path / "reg" / "1_man" / "r.png")
    save(tmp_path / "output" / "sample.png")
    found = scanned(tmp_path, prior_weight=0.5)
    assert [photo.name for photo in found.photos] == ["20_ohwx man/a.png"]
    assert [(photo.name, photo.words, photo.weight) for photo in found.regularisation] == [("1_man/r.png", "man", 0.5)]
    assert any("kohya project" in line for line in found.understood)


def test_regularisation_without_names_is_called_by_the_class(tmp_path: Path) -> None:
    save(tmp_path / "me" / "a.png")
    save(tmp_path / "reg" / "r.png")
    found = scanned(tmp_path / "me", regularisation=str(tmp_path / "reg"))
    assert found.regularisation[0].is_regularisation and found.regularisation[0].words == "man"
    assert "caption-nothing" not in kinds(found)


def test_year_is_no_number_of_repeats(tmp_path: Path) -> None:
    save(tmp_path / "2024_summer" / "a.png")
    assert scanned(tmp_path).photos[0].repeats == 0


def test_several_names_and_one_trigger_is_told(tmp_path: Path) -> None:
    save(tmp_path / "10_ohwx man" / "a.png")
    save(tmp_path / "5_zxc woman" / "b.png")
    assert "concepts" in kinds(scanned(tmp_path))
    assert "concepts" not in kinds(scanned(tmp_path, fallback="folder"))
    assert "concepts" not in kinds(scanned(tmp_path, trigger=""))


def test_weights_by_pattern_and_a_pattern_that_fits_nothing(tmp_path: Path) -> None:
    save(tmp_path / "x" / "Close-Up 1.png")
    save(tmp_path / "x" / "far.png")
    found = scanned(tmp_path, weights={"close-up*": 2.0, "x/far*": 0.5, "clsoe*": 3.0})
    assert [photo.weight for photo in found.photos] == [2.0, 0.5]
    assert ["clsoe*" in problem.message for problem in found.problems if problem.kind == "weight-unused"] == [True]


def test_trigger_that_no_caption_has_is_told(tmp_path: Path) -> None:
    save(tmp_path / "a.png", caption="a man at the sea")
    save(tmp_path / "b.png", caption="photo of OHWX man")
    problem = next(problem for problem in scanned(tmp_path).problems if problem.kind == "caption-trigger")
    assert problem.names == ("a.png",)
    assert "caption-trigger" not in kinds(scanned(tmp_path, prefix="ohwx,"))


def test_txt_before_caption_and_the_same_case_first(tmp_path: Path) -> None:
    save(tmp_path / "a.png", caption="text")
    (tmp_path / "a.caption").write_text("caption")
    save(tmp_path / "b.png")
    (tmp_path / "b.caption").write_text("only")
    assert [photo.caption for photo in scanned(tmp_path).photos] == ["text", "only"]


def test_fallback_error_refuses(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    found = scanned(tmp_path, fallback="error")
    with pytest.raises(DatasetError, match=r"a\.png"):
        found.require_trainable()


def test_a_link_to_its_own_parent_is_followed_once(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    try:
        (tmp_path / "again").symlink_to(tmp_path, target_is_directory=True)
    except OSError:
        pytest.skip("no links here")
    assert len(scanned(tmp_path).photos) == 1


def test_regularisation_folder_within_the_dataset_is_not_trained_as_subject(tmp_path: Path) -> None:
    save(tmp_path / "me" / "a.png")
    save(tmp_path / "class" / "r.png")
    found = scanned(tmp_path, regularisation=str(tmp_path / "class"))
    assert [photo.name for photo in found.photos] == ["me/a.png"] and [
        photo.name for photo in found.regularisation
    ] == ["r.png"]


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes in folders there")
def test_dead_links_are_named_and_pipes_ignored(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    (tmp_path / "dead.png").symlink_to(tmp_path / "nowhere.png")
    os.mkfifo(tmp_path / "pipe.png")
    found = scanned(tmp_path)
    assert len(found.photos) == 1
    assert [problem.names for problem in found.problems if problem.kind == "broken"] == [("dead.png",)]


def test_drive_that_goes_away_during_the_scan_is_no_broken_photo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "a.png")
    monkeypatch.setattr(reading, "sleep", lambda _pause: None)

    def gone(_path: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("lib_lora_train.train.dataset.scan.probe", gone)
    with pytest.raises(DiskError, match=r"a\.png is gone"):
        scanned(tmp_path)


def test_progress_counts_and_cancels(tmp_path: Path) -> None:
    for number in range(30):
        save(tmp_path / f"{number}.png", (8, 8))
    counted: list[tuple[int, int, str]] = []
    scan(DatasetConfig(path=str(tmp_path)), "", lambda done, total, what: counted.append((done, total, what)))
    assert counted[-1][:2] == (30, 30)

    class Cancelled(Exception):
        pass

    def cancel(done: int, _total: int, _what: str) -> None:
        if done == 5:
            raise Cancelled

    with pytest.raises(Cancelled):
        scan(DatasetConfig(path=str(tmp_path)), "", cancel)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("scan")]


@pytest.mark.parametrize(("make", "words"), [(None, "no folder"), ("zip", "unpack"), ("picture", "give its folder")])
def test_what_is_no_folder_is_named(tmp_path: Path, make: str | None, words: str) -> None:
    path = tmp_path / "x"
    if make:
        path = tmp_path / ("x.zip" if make == "zip" else "x.png")
        path.write_bytes(b"1")
    with pytest.raises(DatasetError, match=words):
        scanned(path)
    with pytest.raises(DatasetError, match=r"dataset\.path"):
        scan(DatasetConfig(), "")
