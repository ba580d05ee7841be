"""A real browser for tests, and what happens where there is none."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import pytest

REQUIRED = "LORA_LOOP_BROWSER_TESTS"
REBOUND = "rebound.example"
"""A name that the browser takes for this machine's, as after DNS rebinding."""
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"),
    f"--host-resolver-rules=MAP {REBOUND} 127.0.0.1",
]


def missing(sentence: str) -> NoReturn:
    """Skip with a sentence; fail where the browser tests must run (CI)."""
    if os.environ.get(REQUIRED) == "required":
        pytest.fail(sentence)
    pytest.skip(sentence)


@contextmanager
def chromium() -> Iterator[Any]:
    """Chromium, without a window. Playwright can be started once a process, so the `browser` fixture is the only user."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright is not installed; 'make setup' installs it.")
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        missing("No Chromium was found; install it (on Debian: apt install chromium).")
    with sync_playwright() as play:
        running = play.chromium.launch(executable_path=program, headless=True, args=ARGUMENTS)
        yield running
        running.close()
