# pyright: basic
"""What a LoRA has learned, by the judge: likeness with its trigger, leak without it, obedience to what else was asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image

from lib_lora_train.demo.judge import Judge, Opinion, likeness
from lib_lora_train.demo.world.characters import FAMILIAR_PLACES, Character
from lib_lora_train.demo.world.places import PLACES
from lib_lora_train.demo.world.styles import STYLES
from lib_lora_train.demo.world.subjects import COLOURS, KINDS

UNSEEN_PLACES = tuple(name for name in PLACES if name not in FAMILIAR_PLACES)
_SEEN_PLACES = ("on a beach", "in a forest", "in a room")
_PLURALS = {"fish": "fish"}


@dataclass(frozen=True)
class Question:
    """A prompt, its seed, and the labels that a picture of it should have."""

    prompt: str
    seed: int
    wanted: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Exam:
    """What a LoRA is asked: the same scenes `with_trigger` and `without`."""

    with_trigger: tuple[Question, ...]
    without: tuple[Question, ...]

    @property
    def questions(self) -> tuple[Question, ...]:
        """With the trigger first."""
        return (*self.with_trigger, *self.without)


@dataclass(frozen=True)
class Score:
    """`likeness` and `leak`: 0 as the base without a LoRA, 1 as the photos among themselves (for a style: how sure the
    judge is of it, 0 … 1). `obedience`: share of what was asked beside the trigger that the judge finds."""

    likeness: float
    leak: float
    obedience: float


def exam(who: Character, seeds: Sequence[int] = (1, 2)) -> Exam:
    """Three places that are among a character's photos and three that are not; a style is asked for six things."""
    asked: list[Question] = []
    plain: list[Question] = []
    for seed in seeds:
        for number, place in enumerate((*_SEEN_PLACES, *UNSEEN_PLACES)):
            if who.subject:
                asked.append(Question(f"a photo of {who.prompt}, {place}", seed, (("place", place),)))
                plain.append(Question(f"a photo of a {who.class_word}, {place}", seed, (("place", place),)))
            else:
                kind = KINDS[(2 * number + seed) % len(KINDS)]
                colour = tuple(COLOURS)[(5 * number + seed) % len(COLOURS)]
                wanted = (("place", place), ("kind", kind))
                asked.append(Question(f"{who.prompt}, a {colour} {kind}, {place}", seed, wanted))
                plain.append(Question(f"a photo of a {colour} {kind}, {place}", seed, wanted))
    return Exam(tuple(asked), tuple(plain))


class Examiner:
    """Scores the answers to one character's exam: against its `photos` and the base's own answers (in the order of
    `Exam.questions`)."""

    def __init__(self, who: Character, judge: Judge, photos: Sequence[Path], base: Sequence[Image.Image]) -> None:
        self._who, self._judge = who, judge
        self._exam = exam(who, range(1, 1 + len(base) // 12))
        found = judge.look([Image.open(path) for path in photos])
        self._known = found.looks
        self._ceiling = float(torch.stack([_among_others(found.looks, at) for at in range(len(photos))]).mean())
        self._floors = self._raw(judge.look(base))

    def score(self, answers: Sequence[Image.Image]) -> Score:
        """The score of pictures in the order of `Exam.questions`."""
        seen = self._judge.look(answers)
        values = self._raw(seen)
        if self._who.subject:
            values = [(value - low) / (self._ceiling - low) for value, low in zip(values, self._floors, strict=True)]
        return Score(values[0], values[1], obedience(seen, self._exam.with_trigger))

    def _raw(self, seen: Opinion) -> list[float]:
        """Likeness with the trigger and without, not yet scaled."""
        split = len(self._exam.with_trigger)
        each = likeness(seen.looks, self._known) if self._who.subject else seen.is_("style", self._who.style)
        return [float(each[:split].mean()), float(each[split:].mean())]


def _among_others(looks: torch.Tensor, at: int) -> torch.Tensor:
    others = torch.cat([looks[:at], looks[at + 1 :]])
    return looks[at] @ F.normalize(others.mean(dim=0), dim=0)


def obedience(seen: Opinion, questions: Sequence[Question]) -> float:
    """Share of the wanted labels of the first pictures that the judge names."""
    found = [seen.named(label)[at] == value for at, one in enumerate(questions) for label, value in one.wanted]
    return sum(found) / len(found)


def base_questions() -> tuple[Question, ...]:
    """144 fixed prompts for a base: every kind, colour, place and style several times, and two or three of a kind."""
    questions: list[Question] = []
    colours = tuple(COLOURS)
    for number in range(144):
        kind, colour = KINDS[number % 12], colours[(number * 5 + number // 12) % 12]
        place, style = PLACES[(number * 7 + number // 12) % len(PLACES)], STYLES[(number + number // 5) % len(STYLES)]
        count = ("one", "two", "one", "three")[number // 12 % 4]
        noun = kind if count == "one" else _PLURALS.get(kind, kind + "s")
        article = "an" if colour == "orange" else "a"
        start = "an" if style == "outlined cartoon" else "a"
        who = f"{article} {colour} {noun}" if count == "one" else f"{count} {colour} {noun}"
        wanted = (("kind", kind), ("colour", colour), ("place", place), ("style", style), ("count", count))
        questions.append(Question(f"{start} {style} of {who}, {place}", 100 + number, wanted))
    return tuple(questions)


def shares(seen: Opinion, questions: Sequence[Question]) -> dict[str, float]:
    """How often the judge names what was wanted, by label, and whether all of it was right ("all")."""
    named = {label: seen.named(label) for label in dict(questions[0].wanted)}
    right = [{label: named[label][at] == value for label, value in one.wanted} for at, one in enumerate(questions)]
    found = {label: sum(one[label] for one in right) / len(right) for label in named}
    return found | {"all": sum(all(one.values()) for one in right) / len(right)}
