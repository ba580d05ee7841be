"""What one page of the Train tab shows, and what a click in its HTML does."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any

from lib_lora_train.errors import LoraLoopError
from lib_lora_train.jobs import control, process, queue, trash, view
from lib_lora_train.jobs.queue import Queue
from lib_lora_train.train.config import TrainConfig
from lib_lora_train.train.options import is_table
from lib_lora_train.ui.errors import PageError
from lib_lora_train.ui.html import Html
from lib_lora_train.ui.train import captions, progress_html, queue_html
from lib_lora_train.ui.train.captions import Table
from lib_lora_train.ui.train.desk import Desk
from lib_lora_train.ui.wildcards_html import notice
from lib_lora_train.ui.words import said, shown

MOST_ACTION = 40_000
MOST_JOBS = 8
PARTS = (
    *("notice", "build", "head", "controls", "messages", "files", "samples", "charts", "log", "queue", "jobs"),
    *captions.PARTS,
)
"""The parts of the page that change by themselves; each is one HTML component."""
MOST_SENT = 60_000
NEWS_S = 4.0
"""For so long good news can be read at least."""
ALL = (0, 2**62)
"""Every step."""


@dataclass
class Scene:
    """One page. `sample` is the place of the sample to show, None for the newest."""

    job: str = ""
    watched: str = ""
    """The run that is shown to somebody who chose none: the one that goes on, or else the last that did."""
    sample: int | None = None
    log: bool = False
    build_log: bool = False
    checked: bool = False
    checked_runs: tuple[TrainConfig, ...] = ()
    """The runs that the last check was about: only these are started without another look."""
    starts: int = 0
    """How often this page has started a run: a check that was asked for before is too late to show its sheet."""
    table: Table | None = None
    """The captions of the checked folder."""
    zoom: tuple[int, int] = ALL
    """The steps that the curves show, first and last."""
    preset: str = ""
    """The preset whose values are in the form: choosing it by program leaves them alone."""
    message: str = ""
    good: bool = False
    said_at: float = 0.0
    """When it was said, and `said_of` how the shown job and the queue were then: good news is over when they change."""
    said_of: str | None = None
    beats: int = 0
    """How often the page has looked."""
    sent: dict[str, str] = field(default_factory=dict[str, str])
    """What the page shows now, so that a look sends only what is new."""

    def say(self, text: str, good: bool = True) -> None:
        """The sentence above the page."""
        self.message, self.good = text, good
        self.said_at, self.said_of = time.monotonic(), None

    def told_of(self, state: str) -> None:
        """Forget good news once that what it is about has changed."""
        if self.said_of is None:
            self.said_of = state
        elif self.good and state != self.said_of and time.monotonic() - self.said_at >= NEWS_S:
            self.message = ""

    def follow(self, name: str) -> None:
        """Show another job."""
        if name != self.job:
            self.job, self.sample, self.log, self.zoom = name, None, False, ALL


def act(now: Scene, desk: Desk, given: Any) -> None:
    """Carry out what was clicked: `given` is JSON with `act` and its data. What cannot be done is said, not raised."""
    told = clicked(given)
    name = told.get("act")
    if isinstance(name, str) and name in ACTS:
        guarded(now, lambda: ACTS[name](now, desk, told))


def clicked(given: Any) -> dict[str, Any]:
    """What the page's script says was clicked: `act` and its data, empty for anything else."""
    try:
        told: Any = json.loads(given) if isinstance(given, str) and len(given) <= MOST_ACTION else None
    except (ValueError, RecursionError):
        told = None
    return told if is_table(told) else {}


def guarded(now: Scene, work: Callable[[], None]) -> None:
    """Do something; an error that is meant for people becomes the sentence above the page."""
    try:
        work()
    except LoraLoopError as error:
        now.say(str(error)[:1500], False)


Told = Mapping[str, Any]


def _open(now: Scene, desk: Desk, told: Told) -> None:
    now.follow(desk.job(told.get("job")).folder.name)
    now.say("")


def _ask(now: Scene, desk: Desk, told: Told) -> None:
    now.say(desk.ask(told.get("job"), told.get("command")))


def _resume(now: Scene, desk: Desk, told: Told) -> None:
    now.say(desk.resume(told.get("job")))
    now.follow(desk.job(told.get("job")).folder.name)


def _again(now: Scene, desk: Desk, told: Told) -> None:
    made = desk.again(told.get("job"))
    now.follow(made)
    now.say(said(shown("{} is queued."), made))


def _cure(now: Scene, desk: Desk, told: Told) -> None:
    job, words = desk.cure(told.get("job"), told.get("fault"), told.get("cure"))
    now.follow(job)
    now.say(words)


def _move(now: Scene, desk: Desk, told: Told) -> None:
    desk.require()
    place = told.get("place")
    if isinstance(place, str) and place.lstrip("-").isdigit() and len(place) < 6:
        place = int(place)
    if not isinstance(place, int) or isinstance(place, bool):
        raise PageError(shown("That is no place in the queue."))
    queue.move(desk.home, str(told.get("job")), place)


def _remove(now: Scene, desk: Desk, told: Told) -> None:
    desk.require()
    queue.remove(desk.home, str(told.get("job")))


def _delete(now: Scene, desk: Desk, told: Told) -> None:
    now.say(desk.delete(told.get("job")))
    if told.get("job") in (now.job, now.watched):
        now.follow("")
        now.watched = ""


def _undelete(now: Scene, desk: Desk, told: Told) -> None:
    now.say(desk.undelete())


def _pause(paused: bool) -> Callable[[Scene, Desk, Told], None]:
    def work(now: Scene, desk: Desk, told: Told) -> None:
        desk.require()
        queue.pause(desk.home, paused)
        desk.work()

    return work


def _build(now: Scene, desk: Desk, told: Told) -> None:
    desk.require()
    desk.builder.start()


def _build_log(now: Scene, desk: Desk, told: Told) -> None:
    desk.require()
    now.build_log = not now.build_log


def _log(now: Scene, desk: Desk, told: Told) -> None:
    name = desk.job(told.get("job")).folder.name
    now.log = not (now.log and now.job == name)
    now.job = name


def _sample(now: Scene, desk: Desk, told: Told) -> None:
    place = told.get("place")
    now.sample = int(place) if isinstance(place, str) and place.isdigit() and len(place) < 6 else None


def _sample_now(now: Scene, desk: Desk, told: Told) -> None:
    desk.require()
    now.say(control.sample_now(desk.job(told.get("job"))))


def _share_card(now: Scene, desk: Desk, told: Told) -> None:
    desk.require()
    desk.job(told.get("job")).update(share_card=True)
    now.say("")


def _take(now: Scene, desk: Desk, told: Told) -> None:
    now.say(desk.take(told.get("job"), told.get("file")))


def _start_now(now: Scene, desk: Desk, told: Told) -> None:
    desk.require()
    queue.schedule(desk.home, str(told.get("job")), None)
    desk.work()


def _zoom(now: Scene, desk: Desk, told: Told) -> None:
    """Show the curves from a step to another; without them, or where they are no range, all."""
    ends = [told.get(name) for name in ("first", "last")]
    first, last = (int(end) if isinstance(end, str) and end.isdigit() and len(end) < 12 else -1 for end in ends)
    now.zoom = (first, last) if 0 <= first < last else ALL


def _captions(work: Callable[[Table, Desk, Told], str]) -> Callable[[Scene, Desk, Told], None]:
    def act(now: Scene, desk: Desk, told: Told) -> None:
        if now.table is None:
            raise PageError("Check the photos first; then their captions are here.")
        now.say(work(now.table, desk, told))

    return act


def _look(now: Scene, desk: Desk, told: Told) -> None:
    now.sent.clear()


ACTS: Mapping[str, Callable[[Scene, Desk, Told], None]] = {
    "look": _look,
    "open": _open,
    "ask": _ask,
    "resume": _resume,
    "again": _again,
    "cure": _cure,
    "move": _move,
    "remove": _remove,
    "delete": _delete,
    "undelete": _undelete,
    "queue_pause": _pause(True),
    "queue_go": _pause(False),
    "build": _build,
    "build_log": _build_log,
    "log": _log,
    "sample": _sample,
    "sample_now": _sample_now,
    "share_card": _share_card,
    "start_now": _start_now,
    "take": _take,
    "zoom": _zoom,
    **{name: _captions(work) for name, work in captions.ACTS.items()},
}


def fragments(now: Scene, desk: Desk) -> dict[str, Html]:
    """Every part of the page as it is now."""
    refused = desk.refusal()
    found: dict[str, Html] = {}
    found["build"] = progress_html.build(desk.builder.look(), now.build_log)
    found |= {part: Html("") for part in PARTS if part not in found}
    try:
        order, broken = queue.read(desk.home), ""
    except LoraLoopError as error:
        order, broken = Queue(), str(error)
    now.watched = _running(desk, order) or now.watched
    name, state = now.job or now.watched, ""
    if name:
        try:
            job = desk.job(name)
            seen = desk.look(name, now.zoom)
            if now.zoom != ALL and not seen.curves.get("loss"):  # a job begun anew has fewer steps
                now.zoom = ALL
                seen = desk.look(name)
            state = f"{name} {seen.status}"
            found |= progress_html.parts(seen, job.config(), not refused)
            found["samples"] = progress_html.samples(job.samples, seen.samples, now.sample)
            found["log"] = progress_html.log(view.tail(job)) if now.log else Html("")
        except LoraLoopError as error:
            found["head"], now.watched = notice(str(error)), ""
    now.told_of(f"{state} {order.paused} {[entry.job for entry in order.entries]}")
    found["notice"] = notice(broken or now.message or refused, now.good and bool(now.message) and not broken)
    listed = view.page(desk.home, count=MOST_JOBS)
    if not listed.rows and not now.checked:
        found["head"] = progress_html.welcome()
    found["queue"] = queue_html.queue(order, lambda job: _row(desk, job), not refused)
    found |= now.table.parts() if now.table is not None else {}
    deleted = bool(trash.listed(desk.home))
    found["jobs"] = queue_html.jobs(listed, not refused, deleted)
    return found


def news(now: Scene, desk: Desk) -> dict[str, Html | None]:
    """The parts that differ from what the page shows, None for those that do not; at most about 64 kB at a time.

    What does not fit waits for the next look.
    """
    told: dict[str, Html | None] = {}
    left = MOST_SENT
    found = fragments(now, desk)
    for name in ("notice", "messages"):
        found[name] = _without_places(found[name], desk)
    for name in PARTS:
        html = found[name]
        size = len(html.encode("utf-8"))
        fits = size <= left or left == MOST_SENT
        told[name] = html if now.sent.get(name) != html and fits else None
        if told[name] is not None:
            now.sent[name] = html
            left -= size
    return told


def _without_places(html: Html, desk: Desk) -> Html:
    """On a page that strangers may see, where the folders lie on this machine is nobody's business."""
    if not desk.host.is_non_local():
        return html
    for folder, word in ((desk.home, "lora-loop"), (desk.host.data_folder, "…")):
        html = Html(html.replace(escape(str(folder)), word))
    return html


def _running(desk: Desk, order: Queue) -> str:
    """The job that somebody who has just opened the page wants to see: the one that runs."""
    for entry in order.entries[:1]:
        try:
            if process.is_running(queue.job_of(desk.home, entry.job)):
                return entry.job
        except LoraLoopError:
            continue
    return ""


def _row(desk: Desk, name: str) -> view.Row:
    try:
        return view.row(queue.job_of(desk.home, name))
    except LoraLoopError as error:
        return view.Row(name[:120], name[:120], "broken", 0.0, 0, 0, str(error)[:300])
