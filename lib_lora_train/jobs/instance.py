"""One WebUI writes in a home; a second one that shares it reads only.

On one machine the system's lock decides. Where a share has no locks, or locks for each machine of its own, the
heartbeat does: a home whose last beat is young belongs to whoever wrote it.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lib_lora_train.errors import LoraLoopError
from lib_lora_train.files import locks, processes

BEAT_S = 15.0
STALE_S = 60.0
"""A beat that is older than this, by the file's own clock, is one of a machine that is gone."""


class ReadOnly(LoraLoopError):
    """Another WebUI writes in this home; the text says which and what to do."""


@dataclass
class Instance:
    """The claim of this process on a home."""

    home: Path
    name: str = "LoRA Loop"
    _lock: locks.Lock = field(init=False, repr=False)
    _end: threading.Event = field(default_factory=threading.Event, init=False, repr=False)
    _thread: threading.Thread | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self._lock = locks.Lock(self.home / "instance.lock")

    @property
    def is_writer(self) -> bool:
        """Whether this process may change the home; asks again when it could not before."""
        if self._lock.is_mine:
            return True
        if self._foreign_beat() or not self._lock.acquire(self._facts()):
            return False
        self._end.clear()
        self._thread = threading.Thread(target=self._beat, name="lora-loop-heartbeat", daemon=True)
        self._thread.start()
        return True

    def require_writer(self) -> None:
        """Raises ReadOnly, with who writes here and since when, unless this process may change the home."""
        if not self.is_writer:
            raise ReadOnly(self.reason())

    def reason(self) -> str:
        """Why this process only reads; empty when it writes."""
        if self._lock.is_mine:
            return ""
        told = locks.facts(self._lock.path)
        who = f"{str(told.get('name', 'another WebUI'))[:80]} on {str(told.get('machine', 'another machine'))[:80]} (process {told.get('pid', '?')})"
        return f"{self.home} is in use by {who}, so nothing can be changed here: use that one, close it, or give this one a --home of its own."

    def close(self) -> None:
        """Give the home back."""
        self._end.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._lock.is_mine:
            self._lock.tell({})
            self._lock.release()

    def _facts(self) -> dict[str, Any]:
        me = os.getpid()
        return {"name": self.name, "machine": processes.machine(), "pid": me, "born": processes.birth(me)}

    def _beat(self) -> None:
        while not self._end.wait(BEAT_S):
            self._lock.tell(self._facts())  # the file's time is the beat

    def _foreign_beat(self) -> bool:
        """Whether another machine, or a living process of this one, has written here a short while ago."""
        told = locks.facts(self._lock.path)
        pid, machine = told.get("pid"), told.get("machine")
        if not isinstance(pid, int) or not isinstance(machine, str):
            return False
        if machine == processes.machine():
            return pid != os.getpid() and processes.birth(pid) == told.get("born")
        try:
            return abs(time.time() - self._lock.path.stat().st_mtime) < STALE_S
        except OSError:
            return False
