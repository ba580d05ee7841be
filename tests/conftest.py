"""Shared by all tests: a tiny base and a small set of photos, made once, and runs of the real worker on them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Before torch is imported anywhere: one thread, so that small tensors are quick on busy machines; the rest as the
# launcher sets it for users.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("SOURCE_DATE_EPOCH", "1700000000")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest

from tests.browsers import chromium
from tests.runs import Workshop


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """A folder with a base, photos, and a cache that all runs of the session share."""
    return Workshop.make(tmp_path_factory.mktemp("workshop"))


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    """Where a test's jobs go."""
    return tmp_path / "home"


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """The one browser of all tests."""
    with chromium() as running:
        yield running
