"""One builder at a time. The operating system holds the lock, so it goes away with a builder that is killed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from pathlib import Path

from lib_lora_train.files.locks import Lock

Report = Callable[[str], None]


@contextlib.contextmanager
def one_builder(folder: Path, report: Report, pause: float = 0.5) -> Generator[None, None, None]:
    """Hold the build lock of `folder`, waiting (and saying so) while another program builds there."""
    lock, said = Lock(folder / "build.lock"), False
    while not lock.acquire(wait_s=pause if said else 0.0):
        if not said:
            report("Another program is building the trainer's environment here; waiting for it.")
            said = True
    try:
        yield
    finally:
        lock.release()
