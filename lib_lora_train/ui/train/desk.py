"""What the server knows behind the Train tab, and what it does when asked; every value from the page is checked here."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from lib_lora_train.demo.world.characters import Character, character, write_set
from lib_lora_train.environment.entry import wanted_here
from lib_lora_train.errors import LoraLoopError
from lib_lora_train.files import atomic
from lib_lora_train.files import card as lora_card
from lib_lora_train.files.roots import safe_name
from lib_lora_train.host import memory
from lib_lora_train.host.api import Host
from lib_lora_train.host.folders import home as home_of
from lib_lora_train.jobs import card as cards
from lib_lora_train.jobs import change, control, process, queue, runner, store, trash
from lib_lora_train.jobs.instance import Instance
from lib_lora_train.jobs.sweep import Sweep
from lib_lora_train.jobs.view import Diary, View
from lib_lora_train.keywords.catalogue import CHECKPOINT
from lib_lora_train.train import config as configs
from lib_lora_train.train import estimate, presets, toml
from lib_lora_train.train.base import native
from lib_lora_train.train.config import TrainConfig
from lib_lora_train.train.dataset import report as reports
from lib_lora_train.train.dataset.scan import scan
from lib_lora_train.train.dataset.verify import verify
from lib_lora_train.train.job import Job
from lib_lora_train.ui.errors import NotAllowed, PageError
from lib_lora_train.ui.html import Html
from lib_lora_train.ui.train import base_html, form, places
from lib_lora_train.ui.train.building import Builder
from lib_lora_train.ui.words import said, shown

SHARED = shown(
    "This WebUI can be reached by others, so training can be looked at but not changed; "
    "start it with --lora-loop-allow-remote to allow changes."
)
SAMPLE = "zorpi"
"""The character of the sample photos."""
MOST_DIARIES = 8
MOST_LOOKED_AT = 200
"""Newest jobs that are asked which photos they use."""
CARD_S = 120.0
"""How long an answer about the card is believed."""


@dataclass(frozen=True)
class Answers:
    """What a person has filled in; nothing of it is trusted. `options` is by field name."""

    name: Any
    trigger: Any
    class_word: Any
    base: Any
    folder: Any
    preset: Any
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Prepared:
    """A checked dataset and run. `config` has what was changed so that it fits."""

    report: reports.Report
    sweep: Sweep
    config: TrainConfig
    sentence: str
    changes: Mapping[str, Any]
    warning: str = ""


@dataclass
class Desk:
    """The jobs of one home, for all pages that look at them."""

    host: Host
    home: Path
    builder: Builder
    instance: Instance
    _diaries: dict[str, Diary] = field(default_factory=dict[str, Diary], init=False)
    _lock: threading.RLock = field(default_factory=threading.RLock, init=False)
    _cards: tuple[float, list[cards.Card]] = field(default=(0.0, []), init=False)

    def __post_init__(self) -> None:
        self.builder.built = self.go_on

    # Who may ---------------------------------------------------------------------------------------------------------

    def refusal(self) -> str:
        """Why nothing may be changed from this page, "" when it may."""
        if self.host.is_non_local() and not self.host.flag("lora_loop_allow_remote"):
            return SHARED
        return "" if self.instance.is_writer else self.instance.reason()

    def require(self) -> None:
        """Raises NotAllowed where nothing may be changed."""
        refused = self.refusal()
        if refused:
            raise NotAllowed(refused)

    def roots(self) -> tuple[Path, ...]:
        """Where paths from the page may lead: see `places.roots`, and where the WebUI keeps its models."""
        models = {Path(entry.path).parent for entry in self._bases() if entry.path}
        return (*places.roots(self.host), *self.host.lora_folders, *sorted(models))

    # What there is ---------------------------------------------------------------------------------------------------

    def _bases(self) -> Sequence[Any]:
        return [entry for entry in self.host.catalogue().entries.get(CHECKPOINT, ()) if entry.path]

    def bases(self) -> list[str]:
        """The names of the checkpoints that can be trained on."""
        return [entry.name for entry in self._bases()]

    def base(self, name: Any) -> Path:
        """The file of the one checkpoint that `name`, or what a person typed of it, means. Raises PageError."""
        found = self.host.catalogue().find(CHECKPOINT, name).entry if isinstance(name, str) and name.strip() else None
        if found is not None and found.path:
            return Path(found.path)
        raise PageError(shown("Choose a base: a checkpoint that the WebUI knows."))

    def presets(self) -> list[str]:
        """The names of all presets, the person's own first."""
        return list(dict.fromkeys(path.stem for path in presets.paths(self.home)))

    def first_base(self) -> str:
        """The checkpoint to offer first: the one that the WebUI has loaded, "" where there is none."""
        loaded = self.host.option("sd_model_checkpoint")
        found = self.host.catalogue().find(CHECKPOINT, loaded).entry if isinstance(loaded, str) and loaded else None
        return found.name if found is not None and found.path else next(iter(self.bases()), "")

    def preset_for(self, base: Any, subject: Any) -> str:
        """The preset to offer for a base and the answer to "What is it?"."""
        with contextlib.suppress(LoraLoopError):
            if native.is_small_base(self.base(base)):
                return native.SMALL_PRESET
        return presets.SUBJECTS.get(subject if isinstance(subject, str) else "", presets.SUBJECTS["person"])

    def values_of(self, preset: Any, base: Any = "") -> dict[str, str | bool]:
        """What the form holds for a preset: at the base's own size where the preset's is one that it does not know.

        Raises ConfigError.
        """
        config = self.preset(preset)
        with contextlib.suppress(PageError):
            own = native.size(self.base(base))
            if native.is_far(config.dataset.resolution, own):
                config = estimate.changed(config, estimate.at_size(own))
        return form.shown(config)

    def about_base(self, name: Any) -> Html:
        """A sentence about a base whose pictures are not of the usual size."""
        try:
            path = self.base(name)
        except PageError:
            return Html("")
        return base_html.sentence(native.is_small_base(path), native.size(path), not self.refusal())

    def card(self) -> cards.Card | None:
        """The GPU that would be used, or the processor where there is none; None where nobody can tell."""
        with self._lock:
            when, found = self._cards
            if time.monotonic() - when > CARD_S or not when:
                found = cards.ask_driver() or (cards.ask_torch(self.home) if self.builder.is_built else [])
                self._cards = (time.monotonic(), found)
        return found[0] if found else None

    def job(self, name: Any) -> Job:
        """A job of this home by its folder's name. Raises StateError for anything else."""
        job = queue.job_of(self.home, name if isinstance(name, str) else "")
        job.read()
        return job

    def look(self, name: str, steps: tuple[int, int] = (0, 2**62)) -> View:
        """A job as it is now, its curves from the first of `steps` to the last."""
        with self._lock:
            diary = self._diaries.pop(name, None) or Diary(self.job(name))
            self._diaries[name] = diary
            while len(self._diaries) > MOST_DIARIES:
                del self._diaries[next(iter(self._diaries))]
            view = diary.look(*steps)
            while view.more:
                view = diary.look(*steps)
            return view

    # What is filled in -----------------------------------------------------------------------------------------------

    def runs(self, answers: Answers) -> Sweep:
        """The runs that the filled form means. Raises LoraLoopError that names the field."""
        words = {name: getattr(answers, name) for name in ("name", "trigger", "class_word")}
        for name, value in words.items():
            if not isinstance(value, str) or len(value) > 200 or any(ord(sign) < 32 for sign in value.strip()):
                raise PageError(f"{name} must be a short text.")
        trigger = " ".join((words["trigger"], words["class_word"])).strip()
        if not trigger:
            raise PageError(shown("Give a trigger: a rare word that stands for your subject, such as ohwx."))
        if not str(answers.folder or "").strip():
            raise PageError(shown("There are no photos yet: drop some, or give a folder."))
        folder = places.inside(answers.folder, self.roots(), "The folder of photos")
        fixed: dict[str, Any] = {
            "name": words["name"].strip() or safe_name(trigger.replace(" ", "-")),
            "trigger": words["trigger"].strip(),
            "class_word": words["class_word"].strip(),
            "base.path": str(self.base(answers.base)),
            "dataset.path": str(folder),
            "preset": answers.preset if answers.preset in self.presets() else "",
            "save.copy_to": str(self.host.lora_folder or ""),
        }
        found = form.runs(answers.options, fixed)
        for variant in found.variants:
            self._check_paths(variant.config)
        return found

    def _check_paths(self, config: TrainConfig) -> None:
        if config.log.notify and self.host.is_non_local():
            raise PageError(
                shown("log.notify: a page that others reach without a password sends nothing to any address.")
            )
        for name, entry in configs.known().items():
            if entry.option.path and name not in (*form.FIRST, *form.BY_SERVER):
                section, _, key = name.rpartition(".")
                path = getattr(getattr(config, section), key)
                if path:
                    places.inside(path, self.roots(), name)

    def prepare(self, answers: Answers, thorough: bool = True) -> Prepared:
        """Check photos and settings, and make the run fit the card. Changes nothing. Raises LoraLoopError."""
        sweep = self.runs(answers)
        config = sweep.variants[0].config
        dataset = scan(config.dataset, config.trigger_prompt, class_word=config.class_word)
        report = reports.build(verify(dataset, config.dataset) if thorough else dataset, config)
        if not report.trainable:
            return Prepared(report, sweep, config, shown("Nothing can be trained yet: mend what is marked."), {})
        steps = report.length.steps
        facts, card = estimate.base_facts(Path(config.base.path)), self.card()
        warning = estimate.size_warning(config, facts)
        if card is None or card.is_processor:
            time = cards.processor_seconds(config, facts, card, report.length, self.home) if card else None
            words = (
                said(shown("No NVIDIA GPU was found, so the processor trains, slowly: {} steps."), f"{steps:,}")
                if time is None
                else said(
                    shown("No NVIDIA GPU was found, so the processor trains: about {}, {} steps."),
                    estimate.duration(time * len(sweep.variants)),
                    f"{steps * len(sweep.variants):,}",
                )
            )
            return Prepared(report, sweep, config, words, {}, warning)
        fit = cards.made_to_fit(config, facts, card, steps, self.home)
        changed = ", ".join(f"{name} = {form.written(value)}" for name, value in fit.changes.items())
        words = f"{card.name}: {fit.sentence}." + (f" Changed so that it fits: {changed}." if changed else "")
        return Prepared(report, sweep, estimate.changed(config, fit.changes), words, fit.changes, warning)

    # What is done ----------------------------------------------------------------------------------------------------

    def start(self, answers: Answers, at: Any = "") -> tuple[str, str]:
        """Queue the runs, to start no sooner than `at` ("23:30"), and let the queue work; gives the first job's name
        and a sentence.

        The same run is queued once, however often it is asked for. Raises LoraLoopError.
        """
        self.require()
        start_at = queue.moment(at.strip(), datetime.now()) if isinstance(at, str) and at.strip() else None
        if not self.builder.is_built:
            raise PageError(shown("The trainer's packages are not here yet: press Build first."))
        prepared = self.prepare(answers, thorough=False)
        if not prepared.report.trainable:
            raise PageError(next((one.message for one in prepared.report.problems), prepared.sentence))
        with self._lock:
            waiting = self._waiting(prepared.sweep)
            if waiting:
                self.work()
                return waiting, said(shown("{} is in the queue already."), waiting)
            made = [store.create(variant.config, self.home).folder.name for variant in prepared.sweep.variants]
            queue.add(self.home, made, start_at)
            self.builder.ready = False  # it was read
            self.work()
        return made[0], said(shown("{} is queued."), made[0]) if len(made) == 1 else prepared.sweep.sentence

    def dropped_before(self, folder: Any) -> Path | None:
        """The folder in the form, where it is one of dropped photos that no run uses yet: more photos join those."""
        if not isinstance(folder, str) or not folder.strip() or len(folder) > 4000:
            return None
        path = Path(folder)
        if path.parent != self.home / "photos" or path.is_symlink() or not path.is_dir():
            return None
        newest = itertools.islice(store.usable(self.home), MOST_LOOKED_AT)
        return None if any(Path(job.config().dataset.path) == path for job in newest) else path

    def _waiting(self, sweep: Sweep) -> str:
        """The job in the queue that is this run, or ""."""
        for entry in queue.read(self.home).entries:
            with contextlib.suppress(LoraLoopError):
                if self.job(entry.job).config() == sweep.variants[0].config:
                    return entry.job
        return ""

    def work(self) -> None:
        """Let the queue's runner work, unless it does or the queue is paused."""
        found = queue.read(self.home)
        if found.entries and not found.paused:
            runner.start(self.home)

    def go_on(self) -> None:
        """Let the jobs start that wait since before this WebUI was started, or since before the packages were built.

        Nobody has asked for it here, so what stands in the way is left to the page, which says it.
        """
        with contextlib.suppress(LoraLoopError, OSError):
            if queue.read(self.home).entries and self.builder.is_built and self.instance.is_writer:
                self.work()

    def resume(self, name: Any) -> str:
        """Go on with a job, before all that wait."""
        self.require()
        job = self.job(name)
        status = process.status(job)
        if status == "running":
            return said(shown("{} is running already."), job.folder.name)
        if status == "done":
            raise PageError(f"The job {job.folder.name} is finished; train it again under a new name.")
        with self._lock:
            queue.resume(self.home, job.folder.name)
            self.work()
        return said(shown("{} goes on from its last saved state."), job.folder.name)

    def ask(self, name: Any, command: Any) -> str:
        """Stop, pause, stop after this epoch; asked again it happens sooner."""
        self.require()
        return control.ask(self.job(name), command if isinstance(command, str) else "")

    def again(self, name: Any) -> str:
        """Queue a job with the same settings under the next free name; gives its name."""
        self.require()
        with self._lock:
            made = change.clone(self.job(name), self.home).folder.name
            queue.add(self.home, [made])
            self.work()
        return made

    def cure(self, name: Any, fault: Any, cure: Any) -> tuple[str, str]:
        """Do what the button of a cure says; gives the job to look at and a sentence."""
        self.require()
        job = self.job(name)
        view = self.look(job.folder.name)
        offered = [one for message in view.messages if message.name == fault for one in message.cures]
        chosen = next((one for one in offered if one.name == cure), None)
        if chosen is None:
            raise PageError(shown("That cure is not offered any more; look at the job again."))
        if chosen.action == "build":
            self.builder.start()
            return job.folder.name, shown("The build has begun.")
        if chosen.action == "free_host":
            problem = memory.free()
            if problem:
                raise PageError(f"The WebUI's memory could not be freed: {problem}.")
        if chosen.action in ("accept_dataset", "accept_base"):
            job.update(accept=[chosen.action.removeprefix("accept_")])
        if chosen.changes:
            job = change.apply(job, self.home, chosen.changes)
        return job.folder.name, self.resume(job.folder.name)

    def answers_of(self, name: Any) -> tuple[Answers, str]:
        """What the form held for a job, and a sentence. Raises LoraLoopError where the page may not change anything.

        What is a person's own is not shown to others who reach the page.
        """
        self.require()
        job = self.job(name)
        config = job.config()
        trained_on = Path(config.base.path).resolve()
        base = next((entry.name for entry in self._bases() if Path(entry.path).resolve() == trained_on), "")
        options: dict[str, Any] = form.shown(config)
        if self.host.is_non_local():
            empty = form.shown(TrainConfig())
            options |= {key: empty[key] for key in options if configs.known()[key].option.private}
        told = Answers(
            config.name, config.trigger, config.class_word, base, config.dataset.path, config.preset, options
        )
        if not base:
            return told, said(
                shown("The settings of {} are in the form; its base is not here any more, so choose one."),
                job.folder.name,
            )
        return told, said(shown("The settings of {} are in the form."), job.folder.name)

    def take(self, name: Any, file: Any) -> str:
        """Put a LoRA file that a stopped run kept in its own folder among the WebUI's. Gives a sentence."""
        self.require()
        job = self.job(name)
        known = {one.name for one in self.look(job.folder.name).files if one.kept_back}
        folder = self.host.lora_folder
        if file not in known or folder is None:
            raise PageError(shown("That file is not there any more; look at the job again."))
        lora_card.copy(job.out / file, folder)
        return said(shown("{} is among the WebUI's LoRA files now."), file)

    def sample_photos(self) -> tuple[str, Character]:
        """The folder with the drawn photos of a character that the small base never saw, and the character."""
        self.require()
        folder = self.home / "photos" / f"sample-{SAMPLE}"
        who = character(SAMPLE)
        with atomic.disk_errors("The sample photos", folder):
            if not any(folder.glob("*.jpg")):
                write_set(who, folder)
        return str(folder), who

    def delete(self, name: Any) -> str:
        """Put a job into the trash."""
        self.require()
        with self._lock:
            trash.delete(self.home, name if isinstance(name, str) else "")
            self._diaries.pop(name, None)
        return said(shown("{} is in the trash."), name)

    def undelete(self) -> str:
        """Put the job that was deleted last back."""
        self.require()
        found = [one.name for one in trash.listed(self.home)]
        if not found:
            raise PageError(shown("There is no deleted job."))
        trash.restore(self.home, found[0])
        return said(shown("{} is back."), found[0])

    def preset(self, name: Any) -> TrainConfig:
        """The config that a preset means. Raises ConfigError."""
        return configs.from_values(presets.find(name if isinstance(name, str) else "", self.home).values)

    def as_toml(self, answers: Answers) -> tuple[str, str]:
        """The run as a TOML document and the command that starts it."""
        config = self.runs(answers).variants[0].config
        return toml.write(configs.to_values(config)), f'python -m lib_lora_train train me.toml --home "{self.home}"'


def desk(host: Host) -> Desk:
    """The desk of this WebUI: the same one as long as its home is the same."""
    return _desk(host, home_of(host))


@lru_cache(maxsize=4)
def _desk(host: Host, home: Path) -> Desk:
    return Desk(host, home, Builder(lambda: wanted_here(home)), Instance(home, host.name))
