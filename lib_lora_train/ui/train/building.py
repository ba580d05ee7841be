"""Building the trainer's environment from the page, with its words for whoever looks."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from lib_lora_train.environment.build import ensure
from lib_lora_train.environment.size import Size, expected, share
from lib_lora_train.environment.state import Wanted, find
from lib_lora_train.errors import LoraLoopError

MOST_LINES = 200
WEIGHED_EVERY_S = 2.0
"""For so long the share is believed: to know it, all files of the build are looked at."""


@dataclass(frozen=True)
class Building:
    """What the page shows of a build: `size` of what it takes, `far` from 0 to 1, `ready` once it was done here."""

    is_built: bool
    is_running: bool
    ready: bool
    size: Size
    far: float
    lines: tuple[str, ...]
    problem: str


@dataclass
class Builder:
    """One build at a time for this process; another process that builds is waited for by `ensure` itself.

    `wanted` is asked anew each time: an update, or another Python of the WebUI, changes what is wanted while the page is open.
    """

    wanted: Callable[[], Wanted]
    problem: str = ""
    ready: bool = False
    """Whether a build ended well here and nothing was begun since, so that the page still says so."""
    built: Callable[[], None] = field(default=lambda: None)
    """Called when a build has ended well."""
    _lines: deque[str] = field(default_factory=lambda: deque[str](maxlen=MOST_LINES), init=False)
    _thread: threading.Thread | None = field(default=None, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _far: float = field(default=0.0, init=False)
    _weighed: float = field(default=0.0, init=False)

    @property
    def is_built(self) -> bool:
        """Whether training can start."""
        return find(self.wanted()) is not None

    @property
    def is_running(self) -> bool:
        """Whether a build goes on now."""
        return self._thread is not None and self._thread.is_alive()

    def look(self) -> Building:
        """How things are now."""
        running, built = self.is_running, self.is_built
        return Building(
            is_built=built,
            is_running=running,
            ready=self.ready and built,
            size=expected(self.wanted()),
            far=self._share() if running else 0.0,
            lines=tuple(self._lines),
            problem=self.problem,
        )

    def start(self) -> None:
        """Begin, unless it is built or being built."""
        with self._lock:
            if self.is_running or self.is_built:
                return
            self.problem, self.ready, self._far = "", False, 0.0
            self._lines.clear()
            self._thread = threading.Thread(target=self._build, name="lora-loop-build", daemon=True)
            self._thread.start()

    def _share(self) -> float:
        """How far the build is; it never goes back, though what was fetched is removed once it is unpacked."""
        if time.monotonic() - self._weighed > WEIGHED_EVERY_S:
            self._far, self._weighed = max(self._far, share(self.wanted())), time.monotonic()
        return self._far

    def _build(self) -> None:
        try:
            ensure(self.wanted(), self._lines.append)
            self.ready = True
            self.built()
        except LoraLoopError as error:
            self.problem = str(error)
        except Exception as error:  # whatever it is, the person is to see it, and the page stays
            self.problem = f"The build stopped: {type(error).__name__}: {error}"
