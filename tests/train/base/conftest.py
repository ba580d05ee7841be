"""Small bases on disk, no network, and one thread (on a shared machine more make small models a hundred times slower)."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from lib_lora_train.train.base.family import BaseModel
from lib_lora_train.train.base.load import load_base
from lib_lora_train.train.base.random_base import write_random_base
from lib_lora_train.train.sections import BaseConfig


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("the network was asked")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint, fp32."""
    path = tmp_path_factory.mktemp("base") / "tiny.safetensors"
    write_random_base(path, "tiny", seed=3, dtype="fp32")
    return path


@pytest.fixture(scope="session")
def base(tiny: Path) -> BaseModel:
    return load_base(BaseConfig(path=str(tiny)))
