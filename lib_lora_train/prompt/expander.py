"""Prompts out of templates: one by one, in batches, every combination, or drawn again with some choices held."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count, islice
from typing import Any

from lib_lora_train.prompt.choose import ALL, CYCLE, RANDOM, Odometer
from lib_lora_train.prompt.counting import Counter, TooHard
from lib_lora_train.prompt.draw import STEPS
from lib_lora_train.prompt.errors import NotCountable, PromptError
from lib_lora_train.prompt.machine import Draw, Machine, TooDeep
from lib_lora_train.prompt.nodes import Variant
from lib_lora_train.prompt.stream import prompt_key, weight
from lib_lora_train.prompt.template import Context, Template
from lib_lora_train.prompt.trace import Choice

POSITIVE = "prompt"
NEGATIVE = "negative_prompt"
COUNTED_BY_DRAWING = 100_000
UNIQUE_TRIES = 200
UNIQUE_LISTED = 20_000
Templates = str | Mapping[str, str]
"""A template, or several by role: the first is the positive prompt, the others see its variables."""


@dataclass
class Prompt:
    """One expanded prompt. `texts` holds the text of every role, `choices` the trace of all of them."""

    texts: Mapping[str, str]
    seed: int
    position: int = 0
    attempt: int = 0
    notes: tuple[str, ...] = ()
    drawn: Mapping[str, Sequence[tuple[Any, ...]]] = field(
        default_factory=lambda: dict[str, Sequence[tuple[Any, ...]]](), repr=False, compare=False
    )

    @property
    def text(self) -> str:
        """The text of the first role."""
        return next(iter(self.texts.values()))

    @property
    def choices(self) -> tuple[Choice, ...]:
        """What was drawn for the first role."""
        return self.traces[next(iter(self.texts))]

    @cached_property
    def traces(self) -> Mapping[str, tuple[Choice, ...]]:
        """What was drawn, by role."""
        return {role: tuple(_choice(raw) for raw in drawn) for role, drawn in self.drawn.items()}

    def to_json(self) -> dict[str, Any]:
        """One plain object: the texts by role, `seed`, `position`, and `choices` by role."""
        choices = {role: [choice.to_json() for choice in trace] for role, trace in self.traces.items()}
        only = choices[POSITIVE] if list(choices) == [POSITIVE] else choices
        return {**self.texts, "seed": self.seed, "position": self.position, "choices": only, "notes": list(self.notes)}


class Expander:
    """Draws prompts in one context (wildcards, syntax, limits). Every method raises PromptError with the place."""

    def __init__(self, context: Context | None = None) -> None:
        self.context = context or Context()

    def draw(
        self, templates: Templates, seed: int, position: int = 0, *, mode: str = RANDOM, batch_seed: int | None = None
    ) -> Prompt:
        """The prompt of one image: a pure function of templates, seed, position (for `@`) and wildcard files.

        `batch_seed` makes `=!` hold for all prompts drawn with the same one.
        """
        key = None if batch_seed is None else prompt_key(batch_seed, "batch")
        return self._draw(templates, Draw(mode, position, key), seed)

    def redraw(
        self, templates: Templates, prompt: Prompt, hold: Mapping[str, Choice], seed: int | None = None
    ) -> Prompt:
        """Draw again with the choices `hold` fixed (`trace.held`) and the others by `seed` (the prompt's own if None).

        With all choices held the text is the same even when wildcard files have changed since.
        """
        held = dict(hold)
        return self._draw(templates, Draw(RANDOM, prompt.position, held=held), prompt.seed if seed is None else seed)

    def replay(self, templates: Templates, prompt: Prompt) -> Prompt:
        """The same prompt again, out of its trace."""
        return self._draw(templates, Draw(RANDOM, prompt.position), prompt.seed, prompt.attempt, prompt.traces)

    def batch(
        self,
        templates: Templates,
        seeds: Iterable[int],
        *,
        mode: str = RANDOM,
        unique: bool = False,
        batch_seed: int | None = None,
    ) -> Iterator[Prompt]:
        """One prompt for each seed, in order; image i depends on its own seed (and, for `@`, on its place) only.

        `unique` draws again what was drawn before in this batch, until every possible prompt has been; a prompt then
        also depends on those before it, and `Prompt.attempt` says which redraw it is.
        """
        seen: set[tuple[str, ...]] = set()
        key = None if batch_seed is None else prompt_key(batch_seed, "batch")
        compiled = self._compiled(templates)
        for position, seed in enumerate(seeds):
            draw = Draw(mode, position, key, position > 0)
            prompt = self._run(compiled, draw, seed, 0)
            if unique:
                prompt = self._unseen(templates, draw, prompt, seen)
                seen.add(tuple(prompt.texts.values()))
            yield prompt

    def combinations(self, templates: Templates, seed: int = 0) -> Iterator[Prompt]:
        """Every combination, lazily: the last choice changes fastest. `seed` serves the parts marked `~`.

        A template whose only choices are marked `@` gives one full round of them.
        """
        compiled = self._compiled(templates)
        odometer = Odometer()
        notes: dict[str, None] = {}
        dead: PromptError | None = None
        found = False
        deadline = time.monotonic() + self.context.limits.seconds
        number, draw = 0, Draw()
        for number in count():
            draw = Draw(ALL, number, goes_on=number > 0, odometer=odometer)
            try:
                prompt = self._run(compiled, draw, seed, number)
            except TooDeep as error:  # a wildcard that holds itself: leave this branch out, and say so
                dead = error
                if time.monotonic() > deadline:
                    raise
                notes[f"Left out: {error.reason}"] = None
            else:
                found = True
                yield (
                    prompt
                    if not notes
                    else Prompt(prompt.texts, seed, number, number, (*prompt.notes, *notes), prompt.drawn)
                )
                deadline = time.monotonic() + self.context.limits.seconds
            if not odometer.advance():
                break
        if dead is not None and not found:
            raise dead
        if number == 0 and found:
            yield from self._round(compiled, seed, draw.period)

    def cycle(self, templates: Templates, seed: int = 0) -> Iterator[Prompt]:
        """Endless: every variant and wildcard steps on by one with each prompt."""
        compiled = self._compiled(templates)
        for position in count():
            yield self._run(compiled, Draw(CYCLE, position, goes_on=position > 0), seed, 0)

    def count(self, templates: Templates) -> int:
        """How many prompts `combinations` gives. Raises NotCountable when only drawing them all would tell."""
        compiled = self._compiled(templates)
        self.context.wildcards.begin()
        try:
            total = Counter(self.context).count(compiled.values())
        except (TooHard, RecursionError):
            total = 0
        if total > 1:
            return total
        most = COUNTED_BY_DRAWING
        drawn, deadline = 0, time.monotonic() + self.context.limits.seconds
        for _ in self.combinations(templates):
            drawn += 1
            if drawn > most or time.monotonic() > deadline:
                raise NotCountable(
                    f"The combinations depend on each other in a way that only drawing them can count, and there are more than {drawn - 1:,}."
                )
        return drawn

    def _round(self, compiled: Mapping[str, Template], seed: int, period: int) -> Iterator[Prompt]:
        """The rest of one round of a template that has nothing to enumerate but parts marked `@`."""
        position = 1
        while position < period:
            draw = Draw(ALL, position, goes_on=True, odometer=Odometer(), period=period)
            yield self._run(compiled, draw, seed, position)
            period = draw.period
            position += 1

    def _unseen(self, templates: Templates, draw: Draw, first: Prompt, seen: set[tuple[str, ...]]) -> Prompt:
        """`first`, or a redraw that has not been seen; forgets all when there is none left."""
        prompt = first
        for attempt in range(1, UNIQUE_TRIES):
            if tuple(prompt.texts.values()) not in seen:
                return prompt
            prompt = self._draw(templates, draw, first.seed, attempt)
        listed = [
            found
            for found in islice(self.combinations(templates), UNIQUE_LISTED)
            if tuple(found.texts.values()) not in seen
        ]
        if listed:
            chosen = listed[prompt_key(first.seed, "unique") * len(listed) >> 64]
            return Prompt(chosen.texts, first.seed, first.position, -1, chosen.notes, chosen.drawn)
        seen.clear()
        return first

    def _draw(
        self,
        templates: Templates,
        draw: Draw,
        seed: int,
        attempt: int = 0,
        traces: Mapping[str, Sequence[Choice]] | None = None,
    ) -> Prompt:
        return self._run(self._compiled(templates), draw, seed, attempt, traces)

    def _compiled(self, templates: Templates) -> Mapping[str, Template]:
        if isinstance(templates, str):
            return {POSITIVE: self.context.template(templates)}
        return {role: self.context.template(source, role.replace("_", " ")) for role, source in templates.items()}

    def _run(
        self,
        compiled: Mapping[str, Template],
        draw: Draw,
        seed: int,
        attempt: int,
        traces: Mapping[str, Sequence[Choice]] | None = None,
    ) -> Prompt:
        self.context.wildcards.begin(draw.goes_on)
        machine = Machine(self.context, draw, STEPS)
        texts: dict[str, str] = {}
        drawn: dict[str, Sequence[tuple[Any, ...]]] = {}
        for place, (role, template) in enumerate(compiled.items()):
            machine.drawn = []
            if traces is not None:
                draw.held = {choice.path: choice for choice in traces.get(role, ())}
            texts[role] = machine.run(template, prompt_key(seed, role if place else "", attempt))
            drawn[role] = machine.drawn
        notes = tuple(machine.notes)
        for template in compiled.values():
            if template.notes:
                notes = (*template.notes, *notes)
        return Prompt(texts, seed, draw.position, attempt, notes, drawn)


def _choice(raw: tuple[Any, ...]) -> Choice:
    """The choice that the machine noted as (frame, site, picks) or (frame, site, picks, name, collection, texts)."""
    frame, site, picks = raw[:3]
    if len(raw) == 3:
        assert isinstance(site, Variant)
        kind, source, size = "variant", frame.template.source[site.start : site.end], len(site.options)
        texts, sums = tuple(site.label(index) for index in picks), site.cumulative
    else:
        kind, source, size = "wildcard", raw[3], raw[4].values.size
        texts, sums = tuple(raw[5]), raw[4].values.cumulative
    odds = tuple(_share(index, size, sums) for index in picks)
    return Choice(frame.prefix + site.path, kind, source, tuple(picks), texts, size, odds, site.start, site.end)


def _share(index: int, size: int, sums: Sequence[int] | None) -> float:
    """One value's part of all weights (0 for a held line that is no longer there)."""
    if not 0 <= index < size:
        return 0.0
    return 1 / size if sums is None else weight(sums, index) / sums[-1]
