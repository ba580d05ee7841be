"""The header reader says of each damage what it is and what to do, and agrees with the safetensors library."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_lora_train.files.safetensors_header import TensorFileError, read_header


def packed(header: Any, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def tensor(start: int = 0, end: int = 8, shape: Any = (2, 2), dtype: Any = "F16") -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


GOOD = packed({"__metadata__": {"format": "pt"}, "b": tensor(8, 16), "a": tensor()}, bytes(16))


def test_a_good_header_is_read_in_file_order(tmp_path: Path) -> None:
    path = tmp_path / "good.safetensors"
    path.write_bytes(GOOD)
    header = read_header(path)
    assert list(header.tensors) == ["a", "b"]
    assert header.shapes == {"a": (2, 2), "b": (2, 2)}
    assert header.metadata == {"format": "pt"}
    assert header.tensors["b"].end == len(GOOD)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (bytes(4096), "begins with zero bytes"),
        (GOOD[:-1], f"is incomplete: expected {len(GOOD)} bytes, found {len(GOOD) - 1}"),
        (GOOD[:40], "is incomplete: its header ends at byte"),
        (GOOD[:5], "is not a .safetensors file"),
        (GOOD + b"\0", f"expected {len(GOOD)} bytes, found {len(GOOD) + 1}"),
        (b"<!DOCTYPE html><html>login</html>" * 10, "is a web page"),
        (b"\n  <html>", "is a web page"),
        (b'{"error": "not found", "status": 404}', "is a JSON text"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4\n", "git-lfs pointer"),
        (b"PK\x03\x04" + bytes(200), "is a pickled PyTorch file under another name"),
        (b"\x80\x02}q\x00." + bytes(200), "is a pickled PyTorch file under another name"),
        (b"GGUF\x03" + bytes(200), "GGUF"),
        (b"\x89PNG\r\n\x1a\n" + b"x" * 99, "is not a .safetensors file"),
        ((99_000_001 + 10**6).to_bytes(8, "little") + b"{" + bytes(99), "its header claims 100,000,001"[:19]),
        ((10**17).to_bytes(8, "little") + b"{" + bytes(99), "more than the format allows"),
        (packed(b"{not json}"), "not readable JSON"),
        (packed(b'{"a":' + b"[" * 100_000), "not readable JSON"),
        (packed(b'{"a": 1, "a": 2}'), "a name occurs twice"),
        (packed(b'{"\xff": 1}'), "not readable JSON"),
        (packed({"a": 3}), "describes 'a' wrongly"),
        (packed({"a": {"dtype": "F16"}}), "describes 'a' wrongly"),
        (packed({"a": tensor(shape=(2, -2))}), "whole numbers"),
        (packed({"a": tensor(shape=(2, True))}), "whole numbers"),
        (packed({"a": {"dtype": "F16", "shape": 4, "data_offsets": [0, 8]}}), "whole numbers"),
        (packed({"a": tensor(dtype="Q4_K")}), "number format 'Q4_K' is not known"),
        (packed({"a": tensor(dtype=["F16"])}), "is not known"),
        (packed({"a": tensor(end=9)}, bytes(9)), "shape and byte range disagree"),
        (packed({"a": tensor(), "b": tensor(4, 12)}, bytes(12)), "'b' overlaps 'a'"),
        (packed({"a": tensor(), "b": tensor(10, 18)}, bytes(18)), "'b' leaves a hole after 'a'"),
        (packed({"a": tensor(4, 12)}, bytes(12)), "leaves a hole after the header"),
        (packed({"__metadata__": 3, "a": tensor()}, bytes(8)), "metadata that is not a table"),
    ],
)
def test_each_damage_has_its_sentence(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(TensorFileError) as caught:
        read_header(path)
    assert words in str(caught.value)
    assert str(caught.value).startswith("model.safetensors") and str(caught.value).endswith(".")


def test_a_length_that_looks_like_a_web_page_is_read(tmp_path: Path) -> None:
    text = json.dumps({"a": tensor()}).encode().ljust(ord("<"))
    assert len(text) != ord("<") or packed(text)[:1] == b"<"
    text = text.ljust(ord("<") + 256)
    path = tmp_path / "odd.safetensors"
    path.write_bytes(packed(text, bytes(8)))
    assert path.read_bytes()[:1] == b"<"
    assert list(read_header(path).tensors) == ["a"]


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(TensorFileError, match="is not there"):
        read_header(tmp_path / "none.safetensors")
    with pytest.raises(TensorFileError):
        read_header(tmp_path)


@settings(max_examples=200, deadline=None)
@given(cut=st.integers(0, len(GOOD)), place=st.integers(0, len(GOOD) - 1), value=st.integers(0, 255))
def test_any_damage_is_a_sentence_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, cut: int, place: int, value: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.safetensors"
    for content in (GOOD[:cut], GOOD[:place] + bytes([value]) + GOOD[place + 1 :]):
        path.write_bytes(content)
        try:
            header = read_header(path)
        except TensorFileError:
            continue
        assert all(entry.end <= len(content) for entry in header.tensors.values())
