"""What the command `grid` says while it works: lines and a bar for a person, or one JSON object an event."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from lib_lora_train.files.text import printable
from lib_lora_train.grid.discover import Run
from lib_lora_train.grid.manifest import Done
from lib_lora_train.grid.render import duration
from lib_lora_train.grid.session import Outcome, Session

WIDTH = 28


class Progress:
    """Everything that is shown of one grid."""

    def __init__(self, as_json: bool) -> None:
        self._json = as_json
        self._live = sys.stderr.isatty() and not as_json
        self._before = 0.0

    def begin(self, session: Session, run: Run) -> None:
        """What was found and what it will take, before the first picture. Raises DiskError when it does not fit."""
        estimate = session.estimate()
        epochs = [
            {"name": epoch.name, "label": epoch.label, "also": list(epoch.also), "problem": epoch.problem}
            for epoch in run.epochs
        ]
        self._event(
            "plan",
            run=run.name,
            epochs=epochs,
            images=estimate.images,
            waiting=estimate.waiting,
            seconds=estimate.seconds,
            disk_bytes=estimate.disk_bytes,
            sheets=[list(sheet.size) for sheet in estimate.sheets],
            notes=[*run.notes, *session.plan.notes],
            folder=str(session.folder),
        )
        used = ", ".join(epoch.label for epoch in session.plan.request.epochs)
        self._line("\n".join((f"{run.name}: {used}", *run.notes, *session.plan.notes, estimate.sentence)))
        self._before = time.monotonic()

    def drawn(self, done: Done, count: int, total: int) -> None:
        """One picture more."""
        now = time.monotonic()
        left = (now - self._before) * (total - count)  # the first picture also waits for the base to load
        self._before = now
        self._event(
            "cell", key=done.key, file=done.file, error=done.error, done=count, total=total, seconds_left=round(left, 1)
        )
        if count == 2 and total > 2:
            self._line(f"Two pictures are there: about {duration(left)} for the other {total - 2}.")
        if done.error:
            self._line(f"  A picture failed: {done.error}")
        if self._live:
            bar = "=" * (WIDTH * count // total)
            end = "\n" if count == total else ""
            print(
                f"\r\033[K[{bar:<{WIDTH}}] {count}/{total} left {duration(left)}", end=end, file=sys.stderr, flush=True
            )

    def scored(self, count: int, total: int) -> None:
        """One picture measured."""
        if self._live:
            print(f"\r\033[Kmeasured {count}/{total}", end="\n" if count == total else "", file=sys.stderr, flush=True)

    def stopped(self, session: Session) -> None:
        """After Ctrl+C."""
        left = len(session.manifest.waiting(session.plan))
        self._event("stopped", waiting=left, page=str(session.folder / "index.html"))
        self._line(f"Stopped with {left} pictures to go; the same command goes on from here.")

    def end(self, session: Session, outcome: Outcome) -> None:
        """Where everything is and what the numbers say."""
        sentence = outcome.findings.recommendation.sentence
        self._event(
            "done",
            page=str(outcome.page),
            sheets=[str(path) for path in outcome.sheets],
            failures=outcome.failures,
            recommendation=sentence,
        )
        if outcome.failures:
            self._line(
                f"{outcome.failures} of {len(session.plan.cells)} pictures failed; the page says why. The same command tries them again."
            )
        self._line(f"{sentence}\nThe page is {outcome.page}\nThe sheets are in {outcome.sheets[0].parent}")

    def _event(self, kind: str, **fields: Any) -> None:
        if self._json:
            print(json.dumps({"kind": kind, **fields}, ensure_ascii=False), flush=True)

    def _line(self, text: str) -> None:
        if not self._json:
            print(printable(text, sys.stdout.encoding or "utf-8"), flush=True)
