"""One lock for each graphics card, for all that works on it: training, the queue, and drawing in a WebUI.

The locks lie in a folder of the user, not of a home, because two WebUIs with homes of their own have one card. Who
holds a lock, and for what, can be read by everybody. Beside the lock the WebUIs that keep a model on the card leave
their names; a trainer asks them to free it and waits for their answers.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lib_lora_train.errors import LoraLoopError
from lib_lora_train.files import atomic, locks, processes

FOLDER_VARIABLE = "LORA_LOOP_CARD_LOCKS"
CARD_VARIABLE = "LORA_LOOP_CARD"
"""Names the card to lock, also where there is none."""
PATIENCE_S = 30.0
"""For so long a trainer waits for a WebUI that is to free its memory."""
_LOOK_S = 0.5


class CardBusy(LoraLoopError):
    """Somebody else works on the card; the text says who, for what, and what to do."""

    exit_code = 4


@dataclass(frozen=True)
class Holder:
    """Who holds a card's lock. `since` is the wall clock in seconds."""

    purpose: str
    pid: int
    since: float
    place: str

    @property
    def is_trainer(self) -> bool:
        """Whether it trains: only a trainer has a place, its job's folder."""
        return bool(self.place)


def card(number: int = 0) -> str:
    """The name under which a card is locked, by its number among those that this process sees."""
    visible = [one.strip() for one in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if one.strip()]
    name = visible[number] if number < len(visible) else str(number)
    return name if name.isdigit() else hashlib.sha256(name.encode()).hexdigest()[:12]


def used(has_card: bool, number: int = 0) -> str:
    """The name of the card that this process works on, "" without one. Trainers and WebUIs ask alike."""
    told = os.environ.get(CARD_VARIABLE, "")
    return told if told.isalnum() else card(number) if has_card else ""


def folder() -> Path:
    """Where the locks lie: a folder of this user alone. Raises OSError when it cannot be made."""
    told = os.environ.get(FOLDER_VARIABLE)
    user = getattr(os, "getuid", lambda: "user")()
    path = Path(told) if told else Path(tempfile.gettempdir()) / f"lora-loop-{user}"
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if hasattr(os, "getuid") and path.stat().st_uid != os.getuid():
        raise PermissionError(f"{path} belongs to another user; set {FOLDER_VARIABLE} to a folder of your own.")
    return path


def lock(name: str) -> locks.Lock:
    """The lock of a card, not yet taken."""
    return locks.Lock(folder() / f"card-{name}.lock")


def take(claim: locks.Lock, purpose: str, place: Path | str = "", wait_s: float = 0.3) -> bool:
    """Take the lock within `wait_s` seconds and write down for what; False while another has it."""
    about = {"purpose": purpose, "pid": os.getpid(), "since": time.time(), "place": str(place)}
    return claim.acquire(about, wait_s)


def holder(name: str) -> Holder | None:
    """Who works on the card, or None. A holder that died holds nothing: the system gave its lock back."""
    path = folder() / f"card-{name}.lock"
    if not locks.is_held(path):
        return None
    told = locks.facts(path)
    pid, since = told.get("pid", 0), told.get("since", 0.0)
    return Holder(
        str(told.get("purpose", "other work"))[:200],
        pid if isinstance(pid, int) else 0,
        float(since) if isinstance(since, (int, float)) else 0.0,
        str(told.get("place", ""))[:500],
    )


def busy_sentence(name: str) -> str:
    """One sentence on who has the card, for a job that waits."""
    found = holder(name)
    who = f"{found.purpose} (process {found.pid})" if found else "other work"
    return f'The card is busy with {who}; this run starts when it is free. "Train anyway" on the Train tab lets both share its memory, each slower.'


@contextlib.contextmanager
def held(name: str, purpose: str, anyway: bool = False, wait_s: float = 0.0) -> Generator[bool, None, None]:
    """Hold the card's lock; with `anyway` go on without it when another has it. Gives whether it is held.

    Raises CardBusy otherwise.
    """
    claim, deadline = lock(name), time.monotonic() + wait_s
    while not (mine := take(claim, purpose)) and not anyway and time.monotonic() < deadline:
        time.sleep(_LOOK_S)
    if not mine and not anyway:
        found = holder(name)
        who = f"{found.purpose} (process {found.pid})" if found else "other work"
        raise CardBusy(f"The card is busy with {who}: wait for it, pause it, or allow both at once.")
    try:
        yield mine
    finally:
        claim.release()


@dataclass
class Tenant:
    """A program that keeps a model on the card between its uses, and frees it when a trainer asks.

    `free` returns an empty text, or the reason why it could not; it runs in a thread of this object.
    """

    name: str
    free: Callable[[], str]
    card: str = field(default_factory=card)
    _lock: locks.Lock | None = field(default=None, init=False, repr=False)
    _thread: threading.Thread | None = field(default=None, init=False, repr=False)
    _end: threading.Event = field(default_factory=threading.Event, init=False, repr=False)

    def start(self) -> None:
        """Leave the name beside the lock and wait for questions. A second call does nothing."""
        if self._thread is not None:
            return
        self._lock = locks.Lock(_tenants(self.card) / f"{os.getpid()}.tenant")
        self._lock.acquire({"name": self.name, "pid": os.getpid(), "born": processes.birth(os.getpid())})
        self._thread = threading.Thread(target=self._wait, name="lora-loop-card", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take the name away."""
        self._end.set()
        if self._thread is not None:
            self._thread.join()
        if self._lock is not None:
            self._lock.release()
            self._lock.path.unlink(missing_ok=True)
        self._lock = self._thread = None

    def _wait(self) -> None:
        question = _tenants(self.card) / f"{os.getpid()}.asked"
        while not self._end.wait(_LOOK_S):
            if question.exists():
                try:
                    answer = self.free()
                except Exception as error:  # the host's own faults are many, and the trainer waits for a word
                    answer = f"{type(error).__name__}: {error}"
                with contextlib.suppress(LoraLoopError, OSError):
                    atomic.write_json(question.with_suffix(".answer"), {"problem": answer})
                question.unlink(missing_ok=True)


def ask_to_free(name: str, patience_s: float = PATIENCE_S) -> str:
    """Ask all tenants of a card to free their memory; empty when all did, else a sentence naming those that did not."""
    waiting = {file: str(locks.facts(file).get("name", "a WebUI"))[:80] for file in _living(name)}
    for file in waiting:
        file.with_suffix(".answer").unlink(missing_ok=True)
        with contextlib.suppress(LoraLoopError, OSError):
            atomic.write_bytes(file.with_suffix(".asked"), b"")
    problems: list[str] = []
    deadline = time.monotonic() + patience_s
    while waiting and time.monotonic() < deadline:
        for file, who in list(waiting.items()):
            answered = file.with_suffix(".answer")
            if answered.exists():
                problem: Any = locks.facts(answered).get("problem")
                answered.unlink(missing_ok=True)
                problems += [f"{who} ({str(problem)[:200]})"] if problem else []
                del waiting[file]
            elif not locks.is_held(file):  # it ended, and its memory with it
                del waiting[file]
        time.sleep(0.05)
    for file in waiting:
        file.with_suffix(".asked").unlink(missing_ok=True)
    problems += [f"{who} (it is busy)" for who in waiting.values()]
    if not problems:
        return ""
    return f"The card's memory is still used by {', '.join(problems)}: if the memory does not suffice, unload the model there or close it."


def _tenants(name: str) -> Path:
    return folder() / f"card-{name}"


def _living(name: str) -> list[Path]:
    """The tenants that live, this process left out; the traces of dead ones are removed."""
    found: list[Path] = []
    for file in sorted(_tenants(name).glob("*.tenant")):
        if not locks.is_held(file):
            for suffix in (".tenant", ".asked", ".answer"):
                file.with_suffix(suffix).unlink(missing_ok=True)
        elif file.stem != str(os.getpid()):
            found.append(file)
    return found
