"""Captions on the disk: what is read, what is written, and that an undo gives the same bytes."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_lora_train.train.dataset import caption_book as book
from lib_lora_train.train.dataset.caption_edit import Edit
from lib_lora_train.train.errors import DatasetError
from lib_lora_train.train.sections import DatasetConfig


def photos(folder: Path, **captions: bytes | None) -> DatasetConfig:
    """A folder of photos (never looked into) with these captions."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in captions.items():
        (folder / f"{name}.png").write_bytes(b"")
        if data is not None:
            (folder / f"{name}.txt").write_bytes(data)
    return DatasetConfig(path=str(folder))


def on_disk(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_d8_each_kind_of_caption_is_named(tmp_path: Path) -> None:
    config = photos(
        tmp_path / "in",
        a=None,
        b=b"",
        c=b"\xef\xbb\xbfohwx man, hat",
        d="ohwx’s hat".encode("cp1252"),
        e=b"ohwx " + b"word " * 9000,
        f=b"a dog",
    )
    rows = {row.photo.name: row for row in book.read(config, "ohwx man")}
    assert {name[0]: row.odd for name, row in rows.items()} == {
        "a": ("empty",), "b": ("empty",), "c": (), "d": ("encoding",), "e": ("long",), "f": ("trigger",)
    }  # fmt: skip
    assert rows["a.png"].spoken == "ohwx man" and rows["a.png"].tokens == 2
    assert rows["d.png"].text == "ohwx’s hat" and rows["e.png"].tokens > 75


def test_what_is_counted_is_what_is_trained(tmp_path: Path) -> None:
    config = photos(tmp_path / "in", a=b"hat, sea\nsecond line")
    [row] = book.read(DatasetConfig(path=config.path, prefix="a photo of", suffix="8k"), "ohwx")
    assert row.spoken == "a photo of hat, sea 8k" and row.tokens == 8


def test_d10_a_shared_caption_is_marked_and_written_once(tmp_path: Path) -> None:
    config = photos(tmp_path / "in", a=b"hat")
    (tmp_path / "in" / "A.jpg").write_bytes(b"")
    rows = book.read(config, "")
    assert [row.odd for row in rows] == [("shared",)] * 2 and {row.name for row in rows} == {"a.txt"}
    assert book.write(rows, book.plan(rows, Edit("front", "ohwx"), tmp_path / "keep"), tmp_path / "keep") == 1
    assert (tmp_path / "in" / "a.txt").read_bytes() == b"ohwx, hat"


def test_a_caption_of_another_kind_stays_and_the_txt_goes_before_it(tmp_path: Path) -> None:
    config = photos(tmp_path / "in", a=None)
    (tmp_path / "in" / "a.caption").write_bytes(b"hat")
    rows = book.read(config, "")
    book.write(rows, book.plan(rows, Edit("behind", "sea"), tmp_path / "keep"), tmp_path / "keep")
    assert on_disk(tmp_path / "in") == {"a.caption": b"hat", "a.png": b"", "a.txt": b"hat, sea"}
    assert book.read(config, "")[0].text == "hat, sea"


def test_the_original_is_kept_once_and_comes_back(tmp_path: Path) -> None:
    config, keep = photos(tmp_path / "in", a=b"one\r\n", b=None), tmp_path / "keep"
    for number in range(3):
        rows = book.read(config, "")
        book.write(rows, book.plan(rows, Edit("front", f"tag{number}"), keep), keep)
    assert (tmp_path / "in" / "a.txt").read_bytes() == b"tag2, tag1, tag0, one"
    rows = book.read(config, "")
    assert book.write(rows, book.plan(rows, Edit("original"), keep), keep) == 2
    assert on_disk(tmp_path / "in") == {"a.png": b"", "a.txt": b"one\r\n", "b.png": b""}
    book.undo(book.read(config, ""), keep)
    assert (tmp_path / "in" / "b.txt").read_bytes() == b"tag2, tag1, tag0"


ANY = st.one_of(st.none(), st.binary(max_size=40), st.text(max_size=30).map(lambda text: text.encode("utf-8")))
EDITS = st.builds(Edit, st.sampled_from(["replace", "front", "behind", "remove"]), st.sampled_from(["a", "red hat", "é"]),
    st.sampled_from(["", "b", "a, a"]))  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(ANY, min_size=1, max_size=4), st.lists(EDITS, min_size=1, max_size=3))
def test_an_undo_gives_the_same_bytes(captions: list[bytes | None], edits: list[Edit]) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder, keep = Path(place, "in"), Path(place, "keep")
        config = photos(folder, **{f"p{number}": data for number, data in enumerate(captions)})
        first = on_disk(folder)
        before: dict[str, bytes] = first
        changes = 0
        for edit in edits:
            before = on_disk(folder)
            rows = book.read(config, "ohwx")
            changes = book.write(rows, book.plan(rows, edit, keep), keep)
        assert book.can_undo(keep) == changes
        if changes:
            assert book.undo(book.read(config, "ohwx"), keep) == (changes, "")
            assert on_disk(folder) == before and book.can_undo(keep) == 0
        rows = book.read(config, "ohwx")
        book.write(rows, book.plan(rows, Edit("original"), keep), keep)
        assert on_disk(folder) == first


def test_what_somebody_else_changed_is_left_alone(tmp_path: Path) -> None:
    config, keep = photos(tmp_path / "in", a=b"one", b=b"two"), tmp_path / "keep"
    rows = book.read(config, "")
    (tmp_path / "in" / "a.txt").write_bytes(b"other")
    with pytest.raises(DatasetError, match="somebody else"):
        book.write(rows, book.plan(rows, Edit("front", "x"), keep), keep)
    assert (tmp_path / "in" / "b.txt").read_bytes() == b"two"
    rows = book.read(config, "")
    book.write(rows, book.plan(rows, Edit("front", "x"), keep), keep)
    (tmp_path / "in" / "a.txt").write_bytes(b"third")
    done, words = book.undo(book.read(config, ""), keep)
    assert done == 1 and "a.txt" in words
    assert (tmp_path / "in" / "a.txt").read_bytes() == b"third" and (tmp_path / "in" / "b.txt").read_bytes() == b"two"


def test_s1_nothing_but_the_txt_beside_a_photo_is_written(tmp_path: Path) -> None:
    config, keep = photos(tmp_path / "in", a=b"one"), tmp_path / "keep"
    outside = tmp_path / "outside.txt"
    outside.write_bytes(b"secret")
    rows = book.read(config, "")
    assert book.write(rows, {"../outside.txt": b"x", "/etc/x.txt": b"x", "new.txt": b"x"}, keep) == 0
    book.write(rows, {"a.txt": b"x"}, keep)
    journal = json.loads((keep / "last.json").read_text())
    journal["../outside.txt"] = {"before": "x", "after": book.stamp(b"secret")}
    (keep / "last.json").write_text(json.dumps(journal))
    book.undo(book.read(config, ""), keep)
    assert outside.read_bytes() == b"secret" and sorted(on_disk(tmp_path / "in")) == ["a.png", "a.txt"]
    (tmp_path / "in" / "a.txt").unlink()
    (tmp_path / "in" / "a.txt").symlink_to(outside)
    with pytest.raises(DatasetError, match="is a link"):
        book.write(book.read(config, ""), {"a.txt": b"x"}, keep)
    assert outside.read_bytes() == b"secret"


def test_a_journal_that_was_changed_by_hand_loses_no_original(tmp_path: Path) -> None:
    config, keep = photos(tmp_path / "in", a=b"one"), tmp_path / "keep"
    keep.mkdir()
    for text in ("[1]", "{", '{"a.txt": 5}', "[" * 99_999):
        (keep / "originals.json").write_text(text)
        (keep / "last.json").write_text(text)
        assert book.can_undo(keep) == 0
        with pytest.raises(DatasetError, match="cannot be read"):
            book.write(book.read(config, ""), {"a.txt": b"x"}, keep)
    assert (tmp_path / "in" / "a.txt").read_bytes() == b"one"


def test_a_crash_between_two_files_can_be_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, keep = photos(tmp_path / "in", a=b"one", b=b"two"), tmp_path / "keep"
    rows = book.read(config, "")
    real = book._put

    def once(file: Path, data: bytes | None) -> None:
        if file.name == "b.txt":
            raise KeyboardInterrupt
        real(file, data)

    monkeypatch.setattr(book, "_put", once)
    with pytest.raises(KeyboardInterrupt):
        book.write(rows, book.plan(rows, Edit("front", "x"), keep), keep)
    monkeypatch.setattr(book, "_put", real)
    assert book.undo(book.read(config, ""), keep) == (1, "")
    assert (tmp_path / "in" / "a.txt").read_bytes() == b"one" and (tmp_path / "in" / "b.txt").read_bytes() == b"two"
