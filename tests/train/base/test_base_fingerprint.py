"""Hashes of files and folders."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from lib_lora_train.train.base.fingerprint import change_since, fingerprint
from lib_lora_train.train.errors import BaseError


def test_a_files_hashes(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    content = bytes(range(256)) * 5000
    path.write_bytes(content)
    found = fingerprint(path)
    assert found.sha256 == hashlib.sha256(content).hexdigest()
    assert found.legacy == hashlib.sha256(content[0x100000 : 0x100000 + 0x10000]).hexdigest()[:8]


def test_a_short_files_old_hash_is_that_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"short")
    assert fingerprint(tmp_path / "a").legacy == "e3b0c442"


def test_a_folders_hash_follows_names_and_contents_of_weights(tmp_path: Path) -> None:
    for part in ("unet", "vae"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "model.safetensors").write_bytes(part.encode())
    before = fingerprint(tmp_path)
    assert before.legacy == before.sha256[:8]
    (tmp_path / "README.md").write_text("notes", encoding="utf-8")
    assert change_since(tmp_path, before) == ""
    (tmp_path / "vae" / "model.safetensors").rename(tmp_path / "vae" / "other.safetensors")
    assert "has changed since" in change_since(tmp_path, before)


def test_a_missing_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(BaseError, match="cannot be read"):
        fingerprint(tmp_path / "none.safetensors")
