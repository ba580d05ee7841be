"""Building the trainer's environment from the page, with its words for whoever looks."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from lib_lora_train.environment.build import ensure
from lib_lora_train.environment.state import Wanted, find
from lib_lora_train.errors import LoraLoopError

MOST_LINES = 200


@dataclass
class Builder:
    """One build at a time for this process; another process that builds is waited for by `ensure` itself."""

    wanted: Wanted
    problem: str = ""
    built: Callable[[], None] = field(default=lambda: None)
    """Called when a build has ended well."""
    _lines: deque[str] = field(default_factory=lambda: deque[str](maxlen=MOST_LINES), init=False)
    _thread: threading.Thread | None = field(default=None, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    @property
    def is_built(self) -> bool:
        """Whether training can start."""
        return find(self.wanted) is not None

    @property
    def is_running(self) -> bool:
        """Whether a build goes on now."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def lines(self) -> tuple[str, ...]:
        """The last words of the build."""
        return tuple(self._lines)

    def start(self) -> None:
        """Begin, unless it is built or being built."""
        with self._lock:
            if self.is_running or self.is_built:
                return
            self.problem = ""
            self._lines.clear()
            self._thread = threading.Thread(target=self._build, name="lora-loop-build", daemon=True)
            self._thread.start()

    def _build(self) -> None:
        try:
            ensure(self.wanted, self._lines.append)
            self.built()
        except LoraLoopError as error:
            self.problem = str(error)
        except Exception as error:  # whatever it is, the person is to see it, and the page stays
            self.problem = f"The build stopped: {type(error).__name__}: {error}"
