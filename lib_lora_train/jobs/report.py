"""One report in the morning: how each job of the queue ended, how long it took, and what helps where it failed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lib_lora_train.errors import LoraLoopError
from lib_lora_train.jobs import cures, queue
from lib_lora_train.jobs.queue import Outcome
from lib_lora_train.train.events import read_events
from lib_lora_train.train.job import Job

MOST_MESSAGE = 1000
_TAIL = 64_000


def document(home: Path, done: Sequence[Outcome]) -> str:
    """The report as Markdown; what comes from jobs is escaped."""
    good = sum(1 for one in done if one.status == "done")
    lines = [f"# Queue: {good} of {len(done)} jobs done", ""]
    for one in done:
        lines += [
            f"## {_plain(one.job)}: {one.status}",
            "",
            f"{duration(one.finished - one.started)}. {_plain(one.message)}",
        ]
        lines += _cures(home, one) if one.status in ("failed", "interrupted") else _files(home, one)
        lines.append("")
    return "\n".join(lines)


def _cures(home: Path, one: Outcome) -> list[str]:
    try:
        job = queue.job_of(home, one.job)
        found = cures.cures(error_name(job), job.config())
    except LoraLoopError:
        return []
    return ["", *(f"{number}. {_plain(cure.sentence)}" for number, cure in enumerate(found, 1))]


def _files(home: Path, one: Outcome) -> list[str]:
    try:
        names = sorted(path.name for path in queue.job_of(home, one.job).out.glob("*.safetensors"))
    except LoraLoopError:
        return []
    return ["", f"Files: {', '.join(_plain(name) for name in names[-20:])}"] if names else []


def duration(seconds: float) -> str:
    """ "1 h 05 min", "12 min", "40 s"."""
    minutes, hours = round(seconds / 60), int(seconds // 3600)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{hours} h {round(seconds % 3600 / 60) % 60:02d} min"


def last_message(job: Job) -> str:
    """The sentence with which the job ended, or an empty text."""
    told = [event for event in _last(job) if event["kind"] in ("state", "error") and event.get("message")]
    errors = [event for event in told if event["kind"] == "error"]
    newest = errors[-1] if errors and told[-1].get("status") in (None, "failed") else told[-1] if told else {}
    return str(newest.get("message", ""))[:MOST_MESSAGE]


def error_name(job: Job) -> str:
    """The kind of the job's last error ("OutOfMemory"), or an empty text."""
    errors = [event for event in _last(job) if event["kind"] == "error"]
    return str(errors[-1].get("name", "")) if errors else ""


def _last(job: Job) -> list[dict[str, object]]:
    size = job.events.stat().st_size if job.events.exists() else 0
    return read_events(job.events, max(0, size - _TAIL))[0]


def _plain(text: str) -> str:
    """Text that Markdown and HTML take as text."""
    for sign in "\\`*_{}[]<>#|":
        text = text.replace(sign, f"&#{ord(sign)};")
    return " ".join(text.split())
