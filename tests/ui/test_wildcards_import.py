"""Packs that are dropped on the wildcards tab: taken in whole and checked, nothing replaced, nothing outside the folder."""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lib_lora_train.files.errors import FilesError
from lib_lora_train.ui import wildcards_import
from lib_lora_train.ui.errors import NotAllowed, PageError
from lib_lora_train.ui.store import Store


@pytest.fixture
def dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where gradio puts what is dropped on its page."""
    folder = tmp_path / "gradio"
    folder.mkdir()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(folder))
    yield folder


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "wildcards", tmp_path / "trash", lambda: "")


def written(store: Store) -> dict[str, str]:
    top = store.folder
    return {path.relative_to(top).as_posix(): path.read_text("utf-8") for path in top.rglob("*") if path.is_file()}


def drop(folder: Path, name: str, text: str | bytes) -> str:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    return str(path)


def pack(folder: Path, members: dict[str, str | bytes], name: str = "pack.zip") -> str:
    with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as opened:
        for member, text in members.items():
            opened.writestr(member, text)
    return str(folder / name)


def test_texts_tables_and_a_zip_come_in_and_nothing_is_replaced(store: Store, dropped: Path) -> None:
    store.write("hue", "mine", "")
    members = {
        "colours/warm.txt": "red\r\norange", "colours/tables.yaml": "cold: [blue, green]", "read me.md": "hello",
        "hue.txt": "theirs", "__MACOSX/hue.txt": "x", "run.py": "print()", "bad__name.txt": "a",
    }  # fmt: skip
    given = [
        pack(dropped, members),
        drop(dropped, "one.json", json.dumps({"one": ["a", "b"]})),
        drop(dropped, "x.exe", ""),
    ]
    found = wildcards_import.take_in(store, given)
    assert sorted(found.names) == ["colours/tables", "colours/warm", "one"] and found.there == ["hue"]
    assert written(store) == {
        "hue.txt": "mine\n", "colours/warm.txt": "red\norange", "colours/tables.yaml": "cold: [blue, green]",
        "one.json": '{"one": ["a", "b"]}',
    }  # fmt: skip
    assert len(found.refused) == 2 and "3 files of wildcards were taken in." in found.sentence
    again = wildcards_import.take_in(store, given)
    assert not again.names and sorted(again.there) == ["colours/tables", "colours/warm", "hue", "one"]


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"../out.txt": "a"}, "leads out of its folder"),
        ({"/etc/out.txt": "a"}, "leads out of its folder"),
        ({"a.txt": b"0" * 4_000_000}, "as bombs do"),
        ({"/".join("abcdefghij") + ".txt": "a"}, "folders in each other"),
        ({"picture.png": b"0"}, "There is no wildcard in it"),
    ],
)
def test_s1_a_hostile_zip_writes_nothing(
    members: dict[str, str | bytes], words: str, store: Store, dropped: Path
) -> None:
    with pytest.raises(PageError, match=words):
        wildcards_import.take_in(store, [pack(dropped, members)])
    assert not store.folder.exists() and not (store.folder.parent / "out.txt").exists()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.txt", b"\xff\xfe\x00", "not UTF-8"),
        ("a.txt", "  \n", "is empty"),
        ("a.txt", b"a" * (wildcards_import.MOST_BYTES + 1), "larger than 16 MB"),
        ("a.yaml", "a: !!python/object/apply:os.system [x]", "tag"),
        ("a.yaml", "a: [b", "a.yaml"),
        ("a{b}.txt", "a", "That name cannot be used"),
        ("a.zip", b"PK no zip", "damaged"),
        ("a.py", "print()", "only .txt, .yaml, .json and .zip"),
    ],
)
def test_s1_what_is_no_wildcard_is_refused_with_the_reason(
    name: str, content: str | bytes, words: str, store: Store, dropped: Path
) -> None:
    with pytest.raises(PageError, match=words):
        wildcards_import.take_in(store, [drop(dropped, name, content)])
    assert not store.folder.exists()


def test_s1_only_what_was_dropped_on_the_page_is_read_and_only_where_it_is_allowed(store: Store, dropped: Path) -> None:
    with tempfile.TemporaryDirectory() as other, pytest.raises(PageError, match="not dropped"):
        wildcards_import.take_in(store, [drop(Path(other), "a.txt", "a")])
    closed = Store(store.folder, store.trash, lambda: "shared")
    with pytest.raises(NotAllowed):
        wildcards_import.take_in(closed, [drop(dropped, "a.txt", "a")])
    with pytest.raises(NotAllowed):
        closed.take_in("a", ".txt", "a")
    with pytest.raises((PageError, FilesError)):
        store.take_in("a", ".py", "a")
    assert not store.folder.exists()


def test_there_is_something_to_bring_back_only_after_a_delete(store: Store) -> None:
    assert not store.has_deleted()
    store.write("hue", "red", "")
    store.delete("hue")
    assert store.has_deleted()
    store.undo()
    assert not store.has_deleted()
