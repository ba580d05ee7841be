"""Follows a job's diary and shows it on a terminal: a live bar, or one JSON line an event."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from lib_lora_train.files.text import printable
from lib_lora_train.jobs import control
from lib_lora_train.train.events import read_events
from lib_lora_train.train.job import Job

POLL_S = 0.1
WIDTH = 28
Event = dict[str, Any]


def follow(job: Job, process: subprocess.Popen[bytes], show: Callable[[Event], None], offset: int = 0) -> int:
    """Show the job's events from byte `offset` until its process ends; returns the process's exit code.

    An end whose reason is not among the events, because the disk is full, is said all the same. Ctrl+C asks the trainer to stop and save; a second one kills it.
    """
    asked, is_told = False, False
    while True:
        try:
            ended = process.poll() is not None  # before reading, so that the last events are not missed
            events, offset = read_events(job.events, offset)
            for event in events:
                show(event)
                is_told = is_told or _tells_end(event)
            if ended:
                message = "" if is_told or not process.returncode else control.write_end(job, process.returncode)
                if message:
                    show({"kind": "error", "name": "Interrupted", "message": message})
                return process.returncode
            time.sleep(POLL_S)
        except KeyboardInterrupt:
            if asked:
                control.kill(job)
                raise
            asked = True
            job.post("stop")
            show(
                {
                    "kind": "warning",
                    "name": "stopping",
                    "message": "Stopping after this step and saving; press Ctrl+C again to kill.",
                }
            )


def _tells_end(event: Event) -> bool:
    return event["kind"] == "error" or event.get("status") in control.ENDED or event.get("name") == "running"


def print_json(event: Event) -> None:
    """One event a line."""
    print(json.dumps(event, ensure_ascii=False), flush=True)


class Bar:
    """Events as lines for a person, the last line being a bar while training."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._steps = 0
        self._begun: tuple[float, int] | None = None
        self._open = False
        self._epoch = 0

    def __call__(self, event: Event) -> None:
        kind = event["kind"]
        if kind == "step":
            self._step(event)
        elif kind == "progress":
            self._progress(event)
        elif kind == "saved" and "file" in event:
            losses = [(word, event.get(key)) for word, key in (("loss", "loss"), ("held-out loss", "held_out"))]
            told = "".join(f", {word} {value:.4f}" for word, value in losses if isinstance(value, float))
            self._line(
                f"  saved {event['file']}, {event['matched']}/{event['expected']} modules, {event['bytes'] / 1e6:.1f} MB{told}"
            )
        elif kind == "sample":
            self._line(f"  drew {event['file']}")
        elif kind in ("warning", "error"):
            self._line(f"{'Warning' if kind == 'warning' else 'Error'}: {event['message']}")
        elif kind == "state":
            self._steps = event.get("steps", self._steps)
            if event.get("message"):
                self._line(event["message"])

    def close(self) -> None:
        """End the bar's line."""
        if self._open:
            print(file=sys.stderr)
            self._open = False

    def _step(self, event: Event) -> None:
        now, step = float(event["time"]), int(event["step"])
        if self._begun is None:
            self._begun = now, step - 1
        begun, before = self._begun
        left = (now - begun) / max(1, step - before) * (self._steps - step)
        rates = " ".join(f"{part} {rate:.2e}" for part, rate in (event["d_lr"] or event["lr"]).items())
        memory = f" {event['memory'] / 2**30:.1f} GB" if event.get("memory") else ""
        words = f"epoch {event['epoch']} step {step}/{self._steps} loss {event['average']:.4f} {'d*lr' if event['d_lr'] else 'lr'} {rates} {event['images_per_s']:.2f} img/s{memory}"
        if self._live:
            done = WIDTH * step // max(1, self._steps)
            self._redraw(f"[{'=' * done}{' ' * (WIDTH - done)}] {words} left {_clock(left)}")
        elif event["epoch"] != self._epoch or step == self._steps:
            self._line(words)
        self._epoch = event["epoch"]

    def _progress(self, event: Event) -> None:
        if self._live:
            self._redraw(f"{event['what']} {event['done']}/{event['total']}")
            if event["done"] == event["total"]:
                self.close()
        elif event["done"] == event["total"] and event["total"]:
            self._line(f"{event['what']}: {event['total']}")

    def _redraw(self, text: str) -> None:
        print(f"\r\033[K{printable(text)}", end="", file=sys.stderr, flush=True)
        self._open = True

    def _line(self, text: str) -> None:
        if self._open:
            print("\r\033[K", end="", file=sys.stderr)
            self._open = False
        print(printable(text, sys.stderr.encoding or "utf-8"), file=sys.stderr, flush=True)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
