"""The queue and the list of jobs as HTML."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from lib_lora_train.jobs.queue import Entry, Queue
from lib_lora_train.jobs.view import Page, Row
from lib_lora_train.ui.html import Html, element
from lib_lora_train.ui.train.progress_html import button, pill
from lib_lora_train.ui.words import shown

MOST_ENTRIES = 40


def queue(found: Queue, row: Callable[[str], Row], writable: bool) -> Html:
    """What runs and what waits, in order, with the buttons that change the order."""
    title = element("h4", shown("Queue"))
    if not found.entries:
        return element(
            "div", title, element("p", shown("The queue is empty."), class_="lora-loop-hint"), class_="lora-loop-list"
        )
    lines = [
        _entry(place, entry, row(entry.job), writable) for place, entry in enumerate(found.entries[:MOST_ENTRIES], 1)
    ]
    turn = ""
    if writable:
        paused = found.paused
        turn = button(
            shown("Let the queue go on") if paused else shown("Start no further job"),
            "queue_go" if paused else "queue_pause",
        )
    told = element("p", shown("The queue is paused."), class_="lora-loop-hint") if found.paused else ""
    more = len(found.entries) - len(lines)
    rest = element("p", f"{more:,}", " ", shown("more wait"), class_="lora-loop-hint") if more > 0 else ""
    return element(
        "div", title, told, element("ol", *lines, class_="lora-loop-queue"), rest, turn, class_="lora-loop-list"
    )


def _entry(place: int, entry: Entry, row: Row, writable: bool) -> Html:
    name, waits, start_at = entry.job, row.status != "running", entry.start_at
    now = [button(shown("Start now"), "start_now", job=name)] if start_at is not None else []
    does = [
        *now,
        button("↑", "move", job=name, place=place - 1, label=shown("Earlier")),
        button("↓", "move", job=name, place=place + 1, label=shown("Later")),
        button("✕", "remove", job=name, label=shown("Out of the queue")),
    ]
    return element(
        "li",
        _open(row),
        pill(row.status),
        _steps(row),
        element("small", shown("not before"), " ", _time(start_at)) if waits and start_at is not None else "",
        element("span", *(does if writable and waits else ()), class_="lora-loop-does"),
    )


def jobs(page: Page, writable: bool, deleted: bool) -> Html:
    """The newest jobs, whatever became of them."""
    if not page.rows:
        rows: list[Html] = [element("li", shown("No jobs yet."), class_="lora-loop-hint")]
    else:
        rows = [_job(row, writable) for row in page.rows]
    undo = button(shown("Undo delete"), "undelete") if writable and deleted else ""
    return element(
        "div",
        element("h4", shown("Jobs")),
        element("ul", *rows, class_="lora-loop-jobs"),
        undo,
        class_="lora-loop-list",
    )


def tell() -> Html:
    """The switch of this browser's notifications; the page's script keeps and obeys it."""
    box = element("input", type="checkbox", data_tell=True)
    words = element("span", shown("Tell me in this browser when a job ends"))
    return element("label", box, words, class_="lora-loop-tell")


def _job(row: Row, writable: bool) -> Html:
    able = writable and row.status != "running"
    does = button("✕", "delete", job=row.job, label=shown("Delete")) if able else ""
    return element(
        "li",
        _open(row),
        pill(row.status),
        _time(row.created) if row.created > 0 else "",
        _steps(row),
        element("small", row.message[:160]),
        element("span", does, class_="lora-loop-does"),
        data_state=row.status,
        data_name=row.name or row.job,
        data_message=row.message[:200],
    )


def _time(seconds: float) -> Html:
    return element("time", _date(seconds), data_time=round(seconds))


def _date(seconds: float) -> str:
    """ "2026-11-21 14:55": of the machine that trains; the page's script shows it in the person's own way."""
    try:
        return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return ""


def _open(row: Row) -> Html:
    return element(
        "button",
        row.name or row.job,
        type="button",
        class_="lora-loop-open",
        data_act="open",
        data_job=row.job,
        title=row.job,
    )


def _steps(row: Row) -> Html:
    return element("small", f"{row.step:,} / {row.steps:,}" if row.steps else "")
