"""The machine that draws one prompt: a loop with a stack of its own, so that no depth of nesting can break it.

A node is carried out by its step, a function (node, machine) that returns text, or a sequence to go on with, or None.
The steps stand in `draw`; here are the loop, the frames, the variables and the budget.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import lcm
from typing import TYPE_CHECKING, Any

from lib_lora_train.prompt.choose import ALL, RANDOM, Odometer
from lib_lora_train.prompt.errors import LimitReached, Place, WildcardError
from lib_lora_train.prompt.nodes import Body, Site
from lib_lora_train.prompt.stream import word
from lib_lora_train.prompt.trace import Choice

if TYPE_CHECKING:
    from lib_lora_train.prompt.template import Context, Template

TICK = 256
"""Steps between two looks at the clock and the size."""

Step = Callable[[Any, "Machine"], "Body | None"]


class TooDeep(WildcardError):
    """Wildcards or variables inside each other beyond the limit; the combinatorial mode leaves such branches out."""


@dataclass(frozen=True)
class Binding:
    """A variable's value, and the place and template where it was set."""

    body: Body
    template: Template
    start: int
    end: int

    def place(self) -> Place:
        """Where it was set."""
        return Place(self.template.source, self.start, self.end, self.template.name)


class Frame:
    """Where the machine is: in the template itself, in a wildcard's line or in a variable's value."""

    __slots__ = ("binding", "depth", "label", "parent", "prefix", "template")

    def __init__(
        self, template: Template, parent: Frame | None, label: str, prefix: str, binding: Binding | None = None
    ) -> None:
        self.template = template
        self.parent = parent
        self.label = label
        self.prefix = prefix
        self.depth: int = parent.depth + 1 if parent else 0
        self.binding = binding

    def chain(self) -> str:
        """The way here, the innermost loop shown once: "a → b → a"."""
        labels: list[str] = []
        frame = self
        while frame.parent is not None:
            labels.append(frame.label)
            if len(labels) > 1 and frame.label == labels[0]:
                break
            frame = frame.parent
        return " → ".join(reversed(labels))

    def place(self, site: Site) -> Place:
        """The place of `site` in this frame's template."""
        return Place(self.template.source, site.start, site.end, self.template.name)


@dataclass(slots=True)
class Draw:
    """What one prompt is drawn with. `position` is the image's place in its batch, which `@` follows; `goes_on` says
    that the prompt before it in the batch has just been drawn.

    `period` is worked out while drawing: after so many positions, the parts marked `@` begin again.
    """

    mode: str = RANDOM
    position: int = 0
    batch_key: int | None = None
    goes_on: bool = False
    held: Mapping[str, Choice] | None = None
    odometer: Odometer | None = None
    period: int = 1


class Machine:
    """One drawing. Variables live on between the templates that are run in it (prompt, negative, hires)."""

    def __init__(self, context: Context, draw: Draw, steps: Mapping[type, Step]) -> None:
        self.context = context
        self.draw = draw
        self.steps = steps
        self.key = 0
        self.mode = draw.mode
        self.position = draw.position
        self.rounds = 1
        self.quick = False
        self.turning: Odometer | None = None
        self.scope: dict[str, Binding] = {}
        self.out: list[str] = []
        self.saved: list[tuple[list[str], list[str]]] = []
        self.drawn: list[tuple[Any, ...]] = []
        self.notes: dict[str, None] = {}
        self.steps_left = context.limits.expansions
        self.deadline = 0.0
        self.characters = 0
        self.counted = 0
        self.frame: Frame | None = None

    def run(self, template: Template, key: int) -> str:
        """The text of `template`, drawn with `key`. Raises PromptError."""
        if isinstance(template.body, str):
            return template.body
        self.key = key
        self.frame = Frame(template, None, template.name, "")
        self.mode = self.draw.mode
        self.choose_way()
        self.position = self.draw.position
        self.rounds = 1
        out = self.out = []
        self.saved.clear()
        self.characters = self.counted = 0
        steps, tick = self.steps, TICK
        stack: list[Iterator[Any]] = []
        items: Iterator[Any] = iter(template.body)
        while True:
            for item in items:
                if item.__class__ is str:
                    out.append(item)
                    continue
                tick -= 1
                if not tick:
                    tick = TICK
                    self.tick()
                got = steps[item.__class__](item, self)
                if got.__class__ is str:
                    out.append(got)  # pyright: ignore[reportArgumentType] - narrowed by the line above
                    continue
                out = self.out
                if got:
                    stack.append(items)
                    items = iter(got)
                    break
            else:
                if not stack:
                    return "".join(out)
                items = stack.pop()

    def tick(self) -> None:
        """Every `TICK` steps: is there budget left? Raises LimitReached."""
        limits = self.context.limits
        self.steps_left -= TICK
        now = time.monotonic()
        if not self.deadline:
            self.deadline = now + limits.seconds
        if self.counted > len(self.out):
            self.counted = 0
        self.characters += sum(map(len, self.out[self.counted :]))
        self.counted = len(self.out)
        if self.steps_left <= 0:
            self.stop(f"{limits.expansions:,} expansions")
        if now > self.deadline:
            self.stop(f"{limits.seconds:g} seconds")
        if self.characters > limits.output_characters:
            self.stop(f"{limits.output_characters:,} characters")

    def stop(self, budget: str) -> None:
        """Raise LimitReached."""
        assert self.frame is not None
        chain = self.frame.chain()
        where = f" at {chain}" if chain else ""
        raise LimitReached(
            f"The budget of {budget} for one prompt was used up{where}; make the wildcards or variables there simpler."
        )

    def enter(
        self, site: Site, template: Template, label: str, number: int = 0, binding: Binding | None = None
    ) -> Leave:
        """Go into a wildcard's line or a variable's value; the result leads back. Raises TooDeep."""
        outer = self.frame
        assert outer is not None
        leave = Leave(self)
        prefix = f"{outer.prefix}{site.path}>{number or ''}" + ("" if number == 0 else "/")
        self.frame = Frame(template, outer, label, prefix, binding)
        if self.frame.depth > self.context.limits.depth:
            chain = self.frame.chain()
            loop = chain.split(" → ")
            reason = (
                f"refers to itself: {chain}"
                if len(loop) > 1 and loop[0] == loop[-1]
                else f"is nested too deep: {chain}"
            )
            kind = "variable" if label.startswith("$") else "wildcard"
            raise TooDeep(f"The {kind} '{label}' {reason}; take one of these references out.", outer.place(site))
        self.key = word(self.key ^ site.key, -1 - number)
        return leave

    def choose_way(self) -> None:
        """Which short way a draw may take in the current mode: `quick` at random, `turning` for combinations."""
        free = self.draw.held is None
        self.quick = free and self.mode == RANDOM
        self.turning = self.draw.odometer if free and self.mode == ALL else None

    def turn(self, size: int) -> int:
        """The place in a cycle of `size`; what is inside turns once a round."""
        self.rounds *= size
        self.draw.period = lcm(self.draw.period, self.rounds)
        self.position, place = divmod(self.position, size)
        return place

    def note(self, text: str) -> None:
        """Keep a warning, each once."""
        self.notes[text] = None


class Leave:
    """Puts the machine back to where it was when this was made."""

    __slots__ = ("frame", "key", "mode", "position", "rounds", "scope")

    def __init__(self, machine: Machine) -> None:
        self.frame = machine.frame
        self.key = machine.key
        self.mode = machine.mode
        self.position = machine.position
        self.rounds = machine.rounds
        self.scope = machine.scope


def leave(saved: Leave, machine: Machine) -> None:
    """The step of `Leave`."""
    machine.frame = saved.frame
    machine.key = saved.key
    if machine.mode != saved.mode:
        machine.mode = saved.mode
        machine.choose_way()
    machine.position = saved.position
    machine.rounds = saved.rounds
    machine.scope = saved.scope
