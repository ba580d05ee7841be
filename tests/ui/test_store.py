"""The person's own files: written whole, never elsewhere, deleted to a trash, refused where the page is shared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lib_lora_train.files import atomic
from lib_lora_train.ui.errors import PageError
from lib_lora_train.ui.store import MAX_TEXT, Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "wildcards", tmp_path / "trash", lambda: "")


def files(store: Store) -> set[str]:
    top = store.folder.parent
    return {path.relative_to(top).as_posix() for path in top.rglob("*") if path.is_file()}


def test_written_read_renamed_deleted_and_back(store: Store) -> None:
    stamp = store.write("places/beach", "dawn\r\ndusk", "")
    assert store.read("places/beach") == ("dawn\ndusk\n", stamp)
    stamp = store.write("places/beach", "noon\n", stamp)
    assert store.rename("places/beach", " sea/Coast.txt ") == "sea/Coast"
    assert files(store) == {"wildcards/sea/Coast.txt"}
    assert not (store.folder / "places").exists()
    store.delete("sea/Coast")
    assert not list(store.folder.rglob("*"))
    assert store.undo() == "sea/Coast"
    assert store.read("sea/Coast")[0] == "noon\n"
    assert files(store) == {"wildcards/sea/Coast.txt"}
    with pytest.raises(PageError, match="trash is empty"):
        store.undo()


def test_undo_brings_back_the_last_one_first(store: Store) -> None:
    for name in ("one", "two"):
        store.write(name, name, "")
        store.delete(name)
    assert [store.undo(), store.undo()] == ["two", "one"]


def test_undo_does_not_overwrite(store: Store) -> None:
    store.write("hue", "old", "")
    store.delete("hue")
    store.write("hue", "new", "")
    with pytest.raises(PageError, match="there again"):
        store.undo()
    assert store.read("hue")[0] == "new\n"


def test_a_change_made_elsewhere_is_not_overwritten(store: Store) -> None:
    stamp = store.write("hue", "mine", "")
    (store.folder / "hue.txt").write_text("somebody else's, longer\n", "utf-8")
    with pytest.raises(PageError, match="changed elsewhere"):
        store.write("hue", "mine again", stamp)
    with pytest.raises(PageError, match="there already"):
        store.write("hue", "mine again", "")
    assert store.read("hue")[0] == "somebody else's, longer\n"


def test_a_write_that_dies_leaves_the_old_file(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    stamp = store.write("hue", "old", "")

    def die(stage: str) -> None:
        if stage == "synced":
            raise KeyboardInterrupt

    monkeypatch.setattr(atomic, "checkpoint", die)
    with pytest.raises(KeyboardInterrupt):
        store.write("hue", "new", stamp)
    assert files(store) == {"wildcards/hue.txt"}
    assert store.read("hue")[0] == "old\n"


@pytest.mark.parametrize(
    "name",
    ["", " ", "/", "..", "../x", "a/../../x", "/etc/passwd", "C:/x", "C:x", "//host/share", "CON", "a/NUL", "aux.x", "a\0b",
     "a\nb", "x" * 300, "/".join("abcdefghij"), "a__b", "_a", "a_", "a*", "a?", "a[b]", "{a|b}", "$x", "a#b", "a(b)", "<b>",
     "a//b", "a/./b", " a/ b", "a./b", None, 5, ["x"], {"a": 1}],
)  # fmt: skip
def test_s1_names_that_are_refused(name: object, store: Store) -> None:
    store.write("here", "x", "")
    before = files(store)
    acts: list[Callable[[Any], object]] = [
        lambda bad: store.write(bad, "x", ""),
        lambda bad: store.rename("here", bad),
        lambda bad: store.rename(bad, "there"),
        store.read,
        store.delete,
    ]
    for act in acts:
        with pytest.raises(PageError) as refused:
            act(name)
        assert "passwd" not in str(refused.value)
    assert files(store) == before


@pytest.mark.parametrize("name", ["hue", "places/beach", "été/лес", "a b-c.d", "single_underscore", "森/木"])
def test_names_that_are_taken(name: str, store: Store) -> None:
    store.write(name, "x", "")
    assert files(store) == {f"wildcards/{name}.txt"}


def test_links_out_of_the_folder_are_not_followed(store: Store, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key.txt").write_text("secret", "utf-8")
    store.folder.mkdir()
    (store.folder / "out").symlink_to(secret)
    (store.folder / "key.txt").symlink_to(secret / "key.txt")
    for name in ("out/key", "key"):
        with pytest.raises(PageError):
            store.read(name)
        with pytest.raises(PageError):
            store.write(name, "changed", "")
        with pytest.raises(PageError):
            store.delete(name)
    assert (secret / "key.txt").read_text("utf-8") == "secret"


def test_the_size_is_limited(store: Store) -> None:
    with pytest.raises(PageError, match="split it"):
        store.write("hue", "x" * (MAX_TEXT + 1), "")
    with pytest.raises(PageError, match="split it"):
        store.write("hue", "é" * (MAX_TEXT - 10), "")
    store.folder.mkdir()
    (store.folder / "big.txt").write_text("x" * (MAX_TEXT + 1), "utf-8")
    with pytest.raises(PageError, match="text editor"):
        store.read("big")


def test_control_characters_and_broken_text_do_not_reach_the_file(store: Store) -> None:
    store.write("hue", "a\x00b\x1b[31m\ud800\n", "")
    assert (store.folder / "hue.txt").read_bytes() == b"ab[31m?\n"
