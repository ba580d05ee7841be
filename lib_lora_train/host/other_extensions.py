"""What other extensions do to the texts of a job after they were drawn: followed, put back, or the job stops.

The WebUI calls three methods of a job between the hooks and outside of them, so that what they raise reaches the person:
`setup_prompts` before the first `process`, `init` after the last, and `setup_conds` right before a batch is rendered. A
job of ours has its own in their place, each for one call. At the first the drawn texts are filled in, so every extension's
`process` sees them, in whatever order they run. At the other two the texts are compared with those that were drawn:

- number, seeds or texts drawn anew (as Dynamic Prompts does): ours are put back before the first image;
- texts made out of ours (Regional Prompter, trigger words, styles): the job follows, and each picture says who did it;
- texts replaced for a batch, when it is too late to put them back: the job stops before the first image.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lib_lora_train.host import always_on, infotext
from lib_lora_train.host.dynamic_prompts import DynamicPrompts, active
from lib_lora_train.host.errors import HostError
from lib_lora_train.host.parts import Own
from lib_lora_train.host.shots import HIRES, HIRES_NEGATIVE, Shot
from lib_lora_train.host.webui import WebUI
from lib_lora_train.keywords.read import without_networks
from lib_lora_train.prompt import NEGATIVE, POSITIVE

CHANGED_BY = "Prompt changed by"
PUT_BACK = "{} changed the prompts or the number of images after LoRA Loop had drawn them; they were put back."
FOLLOWED = "{} changes the prompts that LoRA Loop has drawn; the pictures follow, and say so."
REPLACED = (
    "LoRA Loop: {} replaces the prompts that LoRA Loop has drawn, right before they are rendered: "
    "switch one of the two off for this job."
)
ANOTHER = "Another extension"
TEXTS = {"prompt": POSITIVE, "negative_prompt": NEGATIVE, "hr_prompt": HIRES, "hr_negative_prompt": HIRES_NEGATIVE}
BATCH_HOOKS = ("before_process_batch", "after_extra_networks_activate", "process_batch")
_WORD = re.compile(r"\w+")
_ABSENT = object()


def stand_guard(host: WebUI, p: Any, mine: Own, say: Callable[[str], None]) -> None:
    """Have the job's texts filled in and watched. To be called at the end of our `before_process`."""
    mine.guard = guard = Guard(host, p, mine, say)
    if hasattr(p, "setup_prompts"):
        guard.put("setup_prompts", guard.setup_prompts)
    else:
        guard.begin()


def leave(p: Any) -> None:
    """Take away what a copy of a running job has got from it."""
    for name in ("setup_prompts", "init", "setup_conds"):
        if isinstance(getattr(p.__dict__.get(name), "__self__", None), Guard):
            del p.__dict__[name]


@dataclass
class Guard:
    """One job of ours being watched."""

    host: WebUI
    p: Any
    mine: Own
    say: Callable[[str], None]
    beside: DynamicPrompts | None = None
    arguments: Any = None
    counts: tuple[int, int] = (1, 1)
    asked: bool = False
    watch: Watch | None = None
    before: dict[str, Any] = field(default_factory=lambda: dict[str, Any]())
    changed: list[str | None] = field(default_factory=lambda: list[str | None]())
    agreed: dict[str, list[str]] = field(default_factory=lambda: dict[str, list[str]]())

    def put(self, name: str, method: Callable[..., None]) -> None:
        """Stand in for a method of the job until it is called."""
        self.before[name] = self.p.__dict__.get(name, _ABSENT)
        setattr(self.p, name, method)

    def take(self, name: str, method: Callable[..., None]) -> None:
        """Stand there no longer; somebody who stands in for us meanwhile stays."""
        before = self.before.pop(name, _ABSENT)
        if self.p.__dict__.get(name) == method:
            if before is _ABSENT:
                del self.p.__dict__[name]
            else:
                setattr(self.p, name, before)

    # Before the first `process` ---------------------------------------------------------------------------------------

    def setup_prompts(self) -> None:
        """The WebUI fills in its lists."""
        self.take("setup_prompts", self.setup_prompts)
        self.p.setup_prompts()
        self.asked = True
        self.fill()
        self.begin()

    def begin(self) -> None:
        """The other extensions' `process` comes next."""
        p = self.p
        if self.mine.results is not None:
            p.n_iter = 0
        self.beside = active(p)
        if self.beside is not None:
            self.arguments = p.script_args
            p.script_args = self.beside.switched_off(p.script_args)
        self.counts = (p.n_iter, p.batch_size)
        self.watch = Watch(p, ("process",))
        self.put("init", self.init)

    def fill(self) -> None:
        """The WebUI's lists say what was drawn, and so does the job's own prompt, which some extensions read."""
        p, shots = self.p, self.mine.shots
        for name, role in self.texts().items():
            setattr(p, f"all_{name}s", [shot.texts[role] for shot in shots])
        p.main_prompt, p.main_negative_prompt = p.all_prompts[0], p.all_negative_prompts[0]
        for name in ("prompt", "negative_prompt"):
            if isinstance(getattr(p, name), str):
                self.mine.before.setdefault(name, getattr(p, name))
                setattr(p, name, shots[0].texts[TEXTS[name]])

    def fill_seeds(self) -> None:
        """The WebUI's lists say with which seeds; and the texts, where the WebUI has not asked for them."""
        p, shots = self.p, self.mine.shots
        if not self.asked:
            self.fill()
        p.all_seeds, p.all_subseeds = [shot.seed for shot in shots], [shot.subseed for shot in shots]

    def texts(self) -> Mapping[str, str]:
        """The job's texts and what they are in a shot; hires texts only where there are any."""
        return {k: v for k, v in TEXTS.items() if not k.startswith("hr_") or getattr(self.p, "enable_hr", False)}

    # After the last `process` -----------------------------------------------------------------------------------------

    def init(self, *given: Any) -> None:
        """The WebUI prepares to render. A job whose parts are made prepares nothing."""
        self.take("init", self.init)
        self.end()
        p = self.p
        self.compare()
        if self.mine.results is not None:
            return
        p.init(p.all_prompts, p.all_seeds, p.all_subseeds, *given[3:])
        self.agreed = {name: list(getattr(p, f"all_{name}s")) for name in self.texts()}
        self.each_batch()

    def end(self) -> None:
        """The other extensions' `process` is over."""
        if self.watch is not None:
            self.watch.end()
        if self.arguments is not None:
            self.p.script_args, self.arguments = self.arguments, None

    def compare(self) -> None:
        """Put back what was drawn anew; take note of what was made out of ours."""
        p, shots = self.p, self.mine.shots
        theirs = {name: list(getattr(p, f"all_{name}s", None) or ()) for name in self.texts()}
        ours = {name: [shot.texts[role] for shot in shots] for name, role in self.texts().items()}
        same = theirs == ours
        numbers = (
            (p.n_iter, p.batch_size) == self.counts
            and list(p.all_seeds) == [shot.seed for shot in shots]
            and list(p.all_subseeds) == [shot.subseed for shot in shots]
        )
        if same and numbers:
            return
        if self.mine.results is None and numbers and self.made_of_ours(shots, theirs):
            self.follow(0, [any(theirs[name][at] != ours[name][at] for name in ours) for at in range(len(shots))])
            return
        self.put_back()

    def put_back(self) -> None:
        """Our lists and numbers again, and none of what was recorded with the others."""
        p, shots = self.p, self.mine.shots
        self.fill()
        p.n_iter, p.batch_size = self.counts
        p.all_seeds, p.all_subseeds = [shot.seed for shot in shots], [shot.subseed for shot in shots]
        recorded = self.watch.recorded if self.watch is not None else ()
        p.extra_generation_params = {k: v for k, v in p.extra_generation_params.items() if k not in recorded}
        if self.mine.results is None:
            self.say(PUT_BACK.format(self.who()))

    def made_of_ours(self, shots: Sequence[Shot], theirs: Mapping[str, Sequence[str]]) -> bool:
        """Whether all of these texts were made out of those of the shots."""
        return all(
            follows(shots, role, theirs[name])
            or (name.startswith("hr_") and theirs[name] == theirs[name.removeprefix("hr_")])
            for name, role in self.texts().items()
        )

    # Before each batch ------------------------------------------------------------------------------------------------

    def each_batch(self) -> None:
        """The hooks of a batch come next. Called for the first from `init`, then from our `before_process_batch`."""
        if "setup_conds" not in self.before and hasattr(self.p, "setup_conds"):
            self.watch = Watch(self.p, BATCH_HOOKS)
            self.put("setup_conds", self.setup_conds)

    def setup_conds(self) -> None:
        """The WebUI is about to render a batch. Raises HostError before the first when its texts were replaced."""
        self.take("setup_conds", self.setup_conds)
        if self.watch is not None:
            self.watch.end()
        self.compare_batch()
        self.p.setup_conds()

    def compare_batch(self) -> None:
        """Take note of what was made out of our texts for this batch, and of what is not ours any more."""
        p = self.p
        start = p.iteration * p.batch_size
        shots = self.mine.shots[start : start + p.batch_size]
        theirs: dict[str, list[str]] = {}
        differ = [False] * len(shots)
        for name in self.texts():
            agreed = self.agreed[name][start : start + p.batch_size]
            found = getattr(p, f"{name}s", None)
            theirs[name] = agreed if found is None else [str(text) for text in found]
            if len(theirs[name]) == len(shots):
                pairs = zip(agreed, theirs[name], strict=True)
                differ = [one or _bare(a) != _bare(b) for one, (a, b) in zip(differ, pairs, strict=True)]
            else:
                differ = [True] * len(shots)
        if not any(differ):
            return
        if not self.made_of_ours(shots, theirs):
            if p.iteration == 0:
                self.close()
                raise HostError(REPLACED.format(self.who()))
            self.leave_out(start, differ)
        self.follow(start, differ)

    def close(self) -> None:
        """The job is over, in whatever way."""
        self.end()
        leave(self.p)

    # What is said and recorded ----------------------------------------------------------------------------------------

    def who(self) -> str:
        """The extensions that changed a text, for people."""
        names = list(dict.fromkeys(self.watch.names)) if self.watch is not None else []
        return " and ".join(names) or ANOTHER

    def follow(self, start: int, differ: Iterable[bool]) -> None:
        """These images' texts are not what was drawn any more: said once, and recorded for each."""
        if not any(self.changed):
            self.changed = [None] * len(self.mine.shots)
            self.say(FOLLOWED.format(self.who()))
        for place, one in enumerate(differ, start):
            if one:
                self.changed[place] = infotext.quoted(self.who())
        if self.mine.fields:
            self.record(CHANGED_BY, infotext.by_image(self.changed), start)

    def leave_out(self, start: int, differ: Iterable[bool]) -> None:
        """Our record is not true of these images: it is left out."""
        kept: list[str | None] = ["kept"] * len(self.mine.shots)
        for place, one in enumerate(differ, start):
            kept[place] = None if one else "kept"
        at = infotext.by_image(kept)
        for key in self.mine.fields:
            self.record(key, _only_where(at, self.mine.each.get(key)), start)

    def record(self, key: str, value: Any, place: int) -> None:
        """A field of the images' texts, from the image `place` on."""
        self.mine.each = {**self.mine.each, key: value}
        infotext.write(self.host, self.p, self.mine.each, place)


@dataclass
class Watch:
    """The other extensions' hooks of one job, each looked at before and after: `names` changed its texts or numbers,
    `recorded` are the fields that they put into the pictures' texts."""

    p: Any
    hooks: tuple[str, ...]
    names: list[str] = field(default_factory=lambda: list[str]())
    recorded: set[str] = field(default_factory=lambda: set[str]())

    def __post_init__(self) -> None:
        for script in always_on.of_job(self.p):
            for hook in self.hooks:
                _unwatched(script, hook)
                call = getattr(script, hook, None)
                if callable(call):
                    setattr(script, hook, Watched(self, script, call, script.__dict__.get(hook)))

    def end(self) -> None:
        """Look no more."""
        for script in always_on.of_job(self.p):
            for hook in self.hooks:
                _unwatched(script, hook)


@dataclass
class Watched:
    """One hook of one script while it is being watched. `own` is what the script had put in its place itself."""

    watch: Watch
    script: Any
    call: Callable[..., Any]
    own: Any

    def __call__(self, p: Any, *given: Any, **named: Any) -> Any:
        if p is not self.watch.p:
            return self.call(p, *given, **named)
        before, fields = _state(p), set(p.extra_generation_params)
        try:
            return self.call(p, *given, **named)
        finally:
            if _state(p) != before:
                self.watch.names.append(always_on.name_of(self.script))
                self.watch.recorded |= set(p.extra_generation_params) - fields


def _unwatched(script: Any, hook: str) -> None:
    found = script.__dict__.get(hook)
    if isinstance(found, Watched):
        if found.own is None:
            del script.__dict__[hook]
        else:
            setattr(script, hook, found.own)


def _state(p: Any) -> list[Any]:
    """What a job is going to render: its texts, seeds and numbers, of the job and of the batch."""
    names = [f"{start}{name}s" for name in TEXTS for start in ("all_", "")]
    lists: list[Any] = [getattr(p, name, None) or () for name in (*names, "all_seeds", "all_subseeds")]
    return [*map(list, lists), p.n_iter, p.batch_size]


def follows(shots: Sequence[Shot], role: str, texts: Sequence[str]) -> bool:
    """Whether `texts` were made out of the shots' own: each still says what was drawn for it, and two that differed
    still differ. Separators in capitals (BREAK, ADDCOL) may have been exchanged."""
    if len(texts) != len(shots):
        return False
    made: dict[str, str] = {}
    for shot, text in zip(shots, texts, strict=True):
        ours = shot.texts[role]
        if made.setdefault(text, ours) != ours or not _drawn(shot, role) <= _words(text):
            return False
    return True


def _drawn(shot: Shot, role: str) -> set[str]:
    """The words of the image's text that were drawn."""
    said = {word for choice in shot.drawn.traces.get(role, ()) for text in choice.texts for word in _words(text)}
    return {word for word in said & _words(shot.texts[role]) if not (word.isupper() and len(word) > 2)}


def _words(text: str) -> set[str]:
    return set(_WORD.findall(without_networks(text)))


def _bare(text: str) -> str:
    """The text without networks' tags, which the WebUI takes out before a batch is rendered."""
    return " ".join(without_networks(text).split())


def _only_where(at: Callable[..., str | None], value: Any) -> Callable[..., Any]:
    """A field of a picture's text, for the images of which it is true."""

    def own(*given: Any, **named: Any) -> Any:
        if at(*given, **named) is None:
            return None
        return value(*given, **named) if callable(value) else value

    return own
