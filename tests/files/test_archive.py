from __future__ import annotations

import io
import stat
import struct
import zipfile
from pathlib import Path

import pytest

from lib_lora_train.files.archive import ArchiveError, Limits, extract

PICTURES = frozenset({".jpg", ".png", ".txt"})


def packed(path: Path, files: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as opened:
        for name, data in files.items():
            opened.writestr(name, data)
    return path


def refused(tmp_path: Path, archive: Path, words: str, limits: Limits | None = None) -> None:
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ArchiveError, match=words):
        extract(archive, tmp_path / "out", PICTURES, limits)
    assert sorted(tmp_path.rglob("*")) == before, "something was left behind"


def test_plain_archive_is_unpacked_without_litter(tmp_path: Path) -> None:
    files = {
        "me/a.jpg": b"1",
        "me/a.txt": b"2",
        "__MACOSX/me/._a.jpg": b"3",
        "me/.DS_Store": b"4",
        "run.exe": b"5",
        "me/Ünïcode 猫.png": b"6",
    }
    written = extract(packed(tmp_path / "x.zip", files), tmp_path / "out", PICTURES)
    assert sorted(path.name for path in written) == ["a.jpg", "a.txt", "Ünïcode 猫.png"]
    assert all(path.is_file() for path in written)
    assert len([path for path in (tmp_path / "out").rglob("*") if path.is_file()]) == 3


@pytest.mark.parametrize(
    "name", ["../evil.jpg", "a/../../evil.jpg", "/etc/evil.jpg", "C:/evil.jpg", "..\\evil.jpg", "con.jpg", "a/./b.jpg"]
)
def test_names_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    archive = packed(tmp_path / "x.zip", {"good.jpg": b"1", name: b"2"})
    refused(tmp_path, archive, "name")


def test_links_are_refused(tmp_path: Path) -> None:
    entry = zipfile.ZipInfo("a.jpg")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as opened:
        opened.writestr(entry, "/etc/passwd")
    refused(tmp_path, tmp_path / "x.zip", "link")


def test_bomb_is_refused_by_ratio(tmp_path: Path) -> None:
    refused(tmp_path, packed(tmp_path / "x.zip", {"a.jpg": bytes(20_000_000)}), "bombs")


def test_too_many_entries(tmp_path: Path) -> None:
    archive = packed(tmp_path / "x.zip", {f"{number}.jpg": b"" for number in range(120)})
    refused(tmp_path, archive, "120 entries", Limits(entries=100))


def test_too_much_in_all_and_in_one(tmp_path: Path) -> None:
    archive = packed(tmp_path / "x.zip", {"a.jpg": bytes(range(256)) * 40, "b.jpg": bytes(range(256)) * 40})
    refused(tmp_path, archive, "more than", Limits(total_bytes=15_000))
    refused(tmp_path, archive, "larger", Limits(file_bytes=10_000))


def test_size_that_is_a_lie_is_noticed(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("a.jpg", bytes(range(256)) * 4000)
    data = bytearray(stream.getvalue())
    for marker, at in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        start = data.find(marker)
        data[start + at : start + at + 4] = struct.pack("<I", 100)
    (tmp_path / "x.zip").write_bytes(bytes(data))
    refused(tmp_path, tmp_path / "x.zip", "damaged|more than it says")


def test_same_name_in_two_cases(tmp_path: Path) -> None:
    refused(tmp_path, packed(tmp_path / "x.zip", {"a.jpg": b"1", "A.JPG": b"2"}), "upper and lower case")


def test_file_and_folder_of_one_name(tmp_path: Path) -> None:
    refused(tmp_path, packed(tmp_path / "x.zip", {"a.jpg": b"1", "a.jpg/b.jpg": b"2"}), "same name")


@pytest.mark.parametrize("data", [b"", b"not a zip", b"PK\x03\x04" + bytes(100)])
def test_damaged_archive(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.zip").write_bytes(data)
    refused(tmp_path, tmp_path / "x.zip", "damaged")


def test_cut_archive(tmp_path: Path) -> None:
    archive = packed(tmp_path / "x.zip", {"a.jpg": bytes(range(256)) * 100})
    data = bytearray(archive.read_bytes())
    data[60:80] = bytes(20)
    archive.write_bytes(bytes(data))
    refused(tmp_path, archive, "damaged")


def test_existing_target_is_kept(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    refused(tmp_path, packed(tmp_path / "x.zip", {"a.jpg": b"1"}), "there already")
