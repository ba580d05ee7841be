"""Hashes that say which base a LoRA was trained on, and whether it is still the same."""

from __future__ import annotations

import hashlib
from pathlib import Path

from lib_lora_train.files.reading import opened
from lib_lora_train.train.base.info import BaseHashes
from lib_lora_train.train.errors import BaseError

_BLOCK = 4 << 20
_LEGACY_START, _LEGACY_LENGTH = 0x100000, 0x10000
_WEIGHTS = frozenset({".safetensors", ".bin", ".ckpt", ".pt"})


def fingerprint(path: Path) -> BaseHashes:
    """Hashes of a file, or of a folder's weight files (their relative names and contents, in order).

    The short hash is the one of the WebUIs' early days, which model pages still quote: SHA-256 of 64 KiB at 1 MiB,
    8 digits. A folder has no such thing; its short hash is the start of its long one.
    Raises BaseError when something cannot be read.
    """
    try:
        if not path.is_dir():
            return BaseHashes(_sha256(path), _legacy(path))
        whole = hashlib.sha256()
        for file in sorted(file for file in path.rglob("*") if file.suffix in _WEIGHTS and file.is_file()):
            whole.update(f"{file.relative_to(path).as_posix()}\n{_sha256(file)}\n".encode())
    except OSError as error:
        raise BaseError(
            f"{path} cannot be read ({error.strerror or error}); check the path and its permissions."
        ) from error
    return BaseHashes(whole.hexdigest(), whole.hexdigest()[:8])


def change_since(path: Path, before: BaseHashes) -> str:
    """One sentence when `path` is no longer what `before` was taken of, else an empty text.

    Raises BaseError when it cannot be read.
    """
    if fingerprint(path) == before:
        return ""
    return f"{path.name} has changed since this run was set up (it was {before.sha256[:10]}); put the old file back, or start a new run."


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with opened(path, buffering=0) as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _legacy(path: Path) -> str:
    with opened(path) as stream:
        stream.seek(_LEGACY_START)
        return hashlib.sha256(stream.read(_LEGACY_LENGTH)).hexdigest()[:8]
