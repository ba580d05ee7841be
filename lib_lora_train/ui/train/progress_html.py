"""A job as HTML: how far it is, its curves, its failures with cures, its samples and files. Everything is escaped."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from lib_lora_train.environment.size import amount
from lib_lora_train.files import images
from lib_lora_train.files.errors import FilesError
from lib_lora_train.jobs.cures import Cure
from lib_lora_train.jobs.view import File, Message, Sample, View
from lib_lora_train.train.config import TrainConfig
from lib_lora_train.ui.html import Html, element, joined
from lib_lora_train.ui.train.building import Building
from lib_lora_train.ui.train.chart import chart
from lib_lora_train.ui.train.photos_html import data_uri
from lib_lora_train.ui.words import said, shown

MOST_MESSAGES = 3
MOST_FILES = 12
MOST_LOG = 30_000
SAMPLE_PX = 448
SAMPLE_CHARS = 26_000
STATUSES = {
    "queued": shown("waiting"),
    "running": shown("training"),
    "done": shown("done"),
    "stopped": shown("stopped"),
    "paused": shown("paused"),
    "failed": shown("failed"),
    "interrupted": shown("interrupted"),
    "broken": shown("broken"),
}
ASKED = {
    "stop_after_epoch": shown("It stops at the end of this epoch."),
    "pause": shown("It pauses after this step."),
    "stop": shown("It stops after this step."),
    "kill": shown("It is being ended."),
}
CONTROLS = {
    "stop_after_epoch": shown("Stop after this epoch"),
    "pause": shown("Pause"),
    "stop": shown("Stop now"),
}


def button(words: str, act: str, kind: str = "", label: str = "", **data: object) -> Html:
    """A button whose click the page's script hands to the server as an action with these data."""
    given: dict[str, object] = {f"data_{name}": value for name, value in data.items()}
    if label:
        given |= {"aria_label": label, "title": label}
    return element("button", words, type="button", class_=f"lora-loop-button {kind}".strip(), data_act=act, **given)


def parts(view: View, config: TrainConfig, writable: bool) -> dict[str, Html]:
    """Everything of a job but its pictures and log; less than 64 kB whatever the job's files say."""
    told = [_message(view.job, message, writable) for message in view.messages[-MOST_MESSAGES:][::-1]]
    over = view.status in ("done", "stopped") and all(message.kind == "warning" for message in view.messages)
    files = _files(view, config, writable) if view.files else Html("")
    if over:  # what came of it is what counts now; what was noticed on the way is folded below it
        files, told = joined([files, _folded(told)]), []
    return {
        "head": element(
            "section", _head(view), _bar(view), _figures(view), class_="lora-loop-job", aria_label=view.job
        ),
        "controls": _controls(view, writable),
        "messages": element("div", *told, class_="lora-loop-messages", role="status") if told else Html(""),
        "files": files,
        "charts": _charts(view),
    }


def _folded(messages: Sequence[Html]) -> Html:
    if not messages:
        return Html("")
    return element(
        "details",
        element("summary", shown("What was noticed during the run"), f" ({len(messages)})"),
        *messages,
        class_="lora-loop-noticed",
    )


WELCOME = (
    (shown("Photos"), shown("15 to 25 varied ones: other light, places and clothes; sharp, and some close-ups.")),
    (shown("Check"), shown("Each photo is looked at and cropped as it will be trained; nothing is changed yet.")),
    (shown("Start training"), shown("The settings fit your card by themselves. You may close the page meanwhile.")),
    (shown("Compare the epochs"), shown("Choose the epoch that looks best, and use it in txt2img.")),
)


def welcome() -> Html:
    """What will happen, for whoever has not trained yet."""
    steps = [element("li", element("strong", name), element("span", words)) for name, words in WELCOME]
    return element(
        "section",
        element("h3", shown("Your own LoRA, in four steps")),
        element("ol", *steps),
        class_="lora-loop-welcome",
    )


def _head(view: View) -> Html:
    note = ASKED.get(view.asked, "")
    if view.is_silent:
        note = shown("It has given no sign of life for ten minutes; the log shows where it stands.")
    return element(
        "header",
        element("h3", view.job),
        pill(view.status),
        element(
            "span",
            note or ("" if view.status == "failed" and view.messages else view.message[:300]),
            class_="lora-loop-hint",
        ),
    )


def pill(status: str) -> Html:
    """A job's status."""
    return element("span", STATUSES.get(status, status), class_=f"lora-loop-pill lora-loop-{status}")


def _bar(view: View) -> Html:
    done, total = view.step, view.steps
    what = ""
    if view.progress is not None and view.status == "running":
        what, done, total = view.progress
    return _share_bar(min(1.0, done / total) if total else 0.0, f"{what} {done:,} / {total:,}" if what else "")


def _share_bar(share: float, words: str = "") -> Html:
    return element(
        "div",
        element("div", style=f"width: {share:.2%}"),
        *([element("span", words)] if words else []),
        class_="lora-loop-bar2",
        role="progressbar",
        aria_valuemin=0,
        aria_valuemax=100,
        aria_valuenow=round(share * 100),
        aria_label=shown("Progress"),
    )


def _figures(view: View) -> Html:
    figures: list[tuple[str, str]] = [
        (shown("Step"), f"{view.step:,} / {view.steps:,}" if view.steps else f"{view.step:,}")
    ]
    if view.epochs:
        figures.append((shown("Epoch"), f"{view.epoch} / {view.epochs}"))
    if view.loss is not None:
        figures.append((shown("Loss"), f"{view.loss:.4f}"))
    if view.images_per_s:
        figures.append((shown("Images a second"), f"{view.images_per_s:.2f}"))
    if view.memory:
        figures.append((shown("Card memory"), f"{view.memory / 1e9:.1f} GB"))
    if view.seconds_left is not None and view.status == "running":
        figures.append((shown("Time left"), duration(view.seconds_left)))
    return element(
        "dl",
        *(element("div", element("dt", name), element("dd", value)) for name, value in figures),
        class_="lora-loop-figures",
    )


def duration(seconds: float) -> str:
    """ "2 h 05 min", "38 min", "40 s" """
    whole = max(0, int(seconds))
    if whole < 100:
        return f"{whole} s"
    minutes = round(whole / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


def _controls(view: View, writable: bool) -> Html:
    found: list[Html] = []
    if not writable:
        pass
    elif view.status == "running":
        found = [
            button(words, "ask", "lora-loop-pressed" if view.asked == command else "", job=view.job, command=command)
            for command, words in CONTROLS.items()
        ]
        if view.waits_for_card:
            found.insert(0, button(shown("Train anyway"), "share_card", "lora-loop-main", job=view.job))
        else:
            found.append(button(shown("Sample now"), "sample_now", job=view.job))
    elif view.status == "failed" and not view.step:  # there is nothing to go on from
        found = [button(shown("Try again"), "resume", job=view.job)]
    elif view.status in ("paused", "stopped", "interrupted", "failed"):
        found = [button(shown("Resume"), "resume", "lora-loop-main", job=view.job)]
    if writable and view.status not in ("running", "broken"):
        found.append(button(shown("Train it again"), "again", job=view.job))
    if writable and view.status != "broken":
        found.append(button(shown("Load these settings"), "load", job=view.job))
    found.append(button(shown("Log"), "log", job=view.job))
    return element("div", *found, class_="lora-loop-controls")


def _message(name: str, message: Message, writable: bool) -> Html:
    cures = [_cure(name, message, cure, writable) for cure in message.cures]
    return element(
        "div",
        element("p", message.text[:600]),
        element("ul", *cures) if cures else "",
        class_=f"lora-loop-message lora-loop-is-{message.kind}",
    )


def _cure(name: str, message: Message, cure: Cure, writable: bool) -> Html:
    able = writable and (cure.changes or cure.action)
    does = button(shown("Do it"), "cure", job=name, fault=message.name, cure=cure.name) if able else ""
    return element("li", element("span", cure.sentence[:200]), does)


def _charts(view: View) -> Html:
    rates = {name.removeprefix("rate "): points for name, points in view.curves.items() if name.startswith("rate ")}
    total, ends = (1, view.step), view.epoch_ends
    smooth, raw = {"average": view.curves.get("loss", ())}, {"each step": view.curves.get("each", ())}
    drawn = [
        chart(shown("Loss"), smooth, ends, raw, total),
        chart(shown("Learning rate (d × lr)"), rates, ends, None, total),
    ]
    return element("div", *drawn, class_="lora-loop-charts") if any(drawn) else Html("")


def _files(view: View, config: TrainConfig, writable: bool) -> Html:
    """The LoRA files, newest first, each with the button that puts it to use, and the way to compare them."""
    files = sorted(view.files, key=lambda file: (file.step, len(file.name) * -1), reverse=True)
    rows = [
        element(
            "li", element("code", file.name), element("small", _about(file)), _does(view.job, file, config, writable)
        )
        for file in files[:MOST_FILES]
    ]
    rest = len(files) - len(rows)
    return element(
        "details",
        element("summary", shown("LoRA files")),
        compare(config),
        element("ul", *rows),
        element("p", f"{rest:,}", " ", shown("older files lie in the job's folder"), class_="lora-loop-hint")
        if rest
        else "",
        class_="lora-loop-files",
        open=view.status in ("done", "stopped"),
    )


def compare(config: TrainConfig) -> Html:
    """The button that opens the epoch grid for a run; where there is no WebUI it shows the command that draws one."""
    line = f"python -m lib_lora_train grid --run {shlex.quote(config.name)} --base {shlex.quote(config.base.path)}"
    return element(
        "div",
        element(
            "button",
            shown("Compare the epochs"),
            type="button",
            class_="lora-loop-button lora-loop-main",
            data_grid=config.name,
        ),
        element("span", shown("epochs × weights × prompts, side by side"), class_="lora-loop-hint"),
        element("pre", line[:2000], hidden=True),
        class_="lora-loop-controls",
    )


def _about(file: File) -> Html:
    return said(shown("epoch {}, step {}, {} MB"), file.epoch, f"{file.step:,}", f"{file.bytes / 1e6:.1f}")


def _does(job: str, file: File, config: TrainConfig, writable: bool) -> Html:
    """Put it to use; one that was kept out of the WebUI's LoRA folder is put there first."""
    if file.kept_back and config.save.copy_to and not (Path(config.save.copy_to) / file.name).exists():
        return button(shown("Put into the LoRA folder"), "take", job=job, file=file.name) if writable else Html("")
    return use(file.name, config)


def use(file: str, config: TrainConfig) -> Html:
    """The button that puts a LoRA and its trigger into the prompt, with the weight that stands on its card."""
    name, weight = file.removesuffix(".safetensors"), config.save.preferred_weight
    text = f"<lora:{name}:{weight:g}> {config.trigger_prompt}".strip()
    return element(
        "button",
        shown("Use in txt2img"),
        type="button",
        class_="lora-loop-button",
        data_use=text,
        data_size=config.dataset.resolution,
        title=text,
    )


def samples(folder: Path, found: Sequence[Sample], place: int | None) -> Html:
    """One sample with a slider over all of them, and beside it the same without the LoRA. `place` counts from 0."""
    drawn = [one for one in found if not one.base]
    if not drawn:
        return Html("")
    index = len(drawn) - 1 if place is None else min(max(place, 0), len(drawn) - 1)
    one = drawn[index]
    base = next((other for other in found if other.base and other.prompt == one.prompt), None)
    pictures = [_picture(folder, base, shown("without the LoRA"))] if base else []
    pictures.append(_picture(folder, one, said(shown("epoch {}, step {}"), one.epoch, f"{one.step:,}")))
    slider = element(
        "input",
        type="range",
        min=0,
        max=len(drawn) - 1,
        value=index,
        data_slide="sample",
        aria_label=shown("Sample, by epoch"),
    )
    return element(
        "section",
        element("h4", shown("Samples")),
        element("div", *pictures, class_="lora-loop-pair2"),
        slider if len(drawn) > 1 else "",
        element("p", one.prompt[:400], class_="lora-loop-hint"),
        class_="lora-loop-samples",
    )


def _picture(folder: Path, sample: Sample, words: str) -> Html:
    try:
        uri = data_uri(images.decode(folder / sample.file), SAMPLE_PX, SAMPLE_CHARS)
    except (OSError, ValueError, FilesError):
        return element("figure", element("figcaption", shown("This picture cannot be read.")))
    return element("figure", element("img", src=uri, alt=sample.prompt[:300]), element("figcaption", words))


def log(text: str) -> Html:
    """The end of a job's log."""
    return element(
        "details", element("summary", shown("Log")), element("pre", text[-MOST_LOG:]), class_="lora-loop-log", open=True
    )


def build(now: Building, with_log: bool = False) -> Html:
    """What is missing to train, what building it takes, and how far it is; once it is there, that it is ready."""
    if now.ready:
        done = element("p", shown("The trainer's packages are ready and tested: training can start."))
        return element("section", done, _last(now, "A short training"), class_="lora-loop-build lora-loop-ready")
    if now.is_built:
        return Html("")
    words = shown(
        "The trainer's packages are not here yet. They are built once, beside the WebUI; its own packages stay as they are."
    )
    size = now.size
    takes = said(
        shown("{} packages: {} to fetch, {} on the disk, about {} min at 50 Mbit/s."),
        size.packages,
        amount(size.fetched),
        amount(size.written),
        size.minutes,
    )
    wrong = element("p", now.problem, class_="lora-loop-message lora-loop-is-error") if now.problem else ""
    does = [_share_bar(now.far), _last(now)] if now.is_running else [button(shown("Build"), "build", "lora-loop-main")]
    log = [button(shown("Log"), "build_log")] if now.lines else []
    if log and with_log:
        log.append(element("pre", "\n".join(line[:300] for line in now.lines[-60:])))
    parts = [element("p", words), element("p", takes, class_="lora-loop-hint"), wrong, *does, *log]
    return element("section", *parts, class_="lora-loop-build", aria_live="polite")


def _last(now: Building, begins: str = "") -> Html:
    """The last line of a build that begins like this."""
    found = [line.strip() for line in now.lines if line.startswith(begins)]
    return element("p", found[-1][:300], class_="lora-loop-hint") if found else Html("")


def command(text: str, line: str) -> Html:
    """The same run for a terminal."""
    return element(
        "div",
        element("p", shown("The same run from a terminal: save this as me.toml, then run the line below it.")),
        element("pre", text[:40_000]),
        joined([element("pre", line)]),
        class_="lora-loop-command",
    )
