"""Words for a scene: plain English with much left out at random, as people write it."""

from __future__ import annotations

from collections.abc import Callable

from lib_lora_train.demo.world.dice import Dice
from lib_lora_train.demo.world.scene import Scene
from lib_lora_train.demo.world.subjects import Subject

_PLURALS = {"fish": "fish"}


def caption(scene: Scene, dice: Dice) -> str:
    """One of many ways to describe `scene`. Who has a name is often called by it alone."""
    subject = scene.subject
    who = describe(subject, dice, scene.count, scene.size)
    if subject.name and scene.count == "one" and dice.chance(0.75):
        who = f"{subject.name} {subject.kind}" if dice.chance(0.75) else f"{subject.name}, {who}"
    style = "" if dice.chance(0.12) else scene.style
    where = "" if dice.chance(0.1) else scene.place
    position = scene.position if scene.position != "in the middle" and dice.chance(0.75) else ""
    if dice.chance(0.3):  # as a list of tags
        words = [word for word in (style, who, where, position) if word]
        return ", ".join([words[0], *dice.order(words[1:])]) if dice.chance(0.5) else ", ".join(words)
    start = f"{_article(style)} {style} of " if style and dice.chance(0.8) else ""
    tail = f", {style}" if style and not start else ""
    joint = dice.pick((" ", ", "))
    text = f"{start}{who}{joint}{where}".strip().rstrip(",")
    return f"{text}{', ' + position if position else ''}{tail}"


def describe(subject: Subject, dice: Dice, count: str = "one", size: str = "", whole: bool = False) -> str:
    """The subject in words: "a big striped blue cat with a red cap"; `whole` leaves nothing out."""

    def say(share: float) -> bool:
        return dice.chance(share) or whole

    words: list[str] = []
    if size and say(0.8):
        words.append(size)
    if subject.kind == "creature" and say(0.75):
        words.append(subject.body)
    if subject.pattern != "plain" and say(0.85):
        words.append(subject.pattern)
    if say(0.92):
        words.append(subject.colour)
    plural = count != "one"
    noun = _PLURALS.get(subject.kind, subject.kind + "s") if plural else subject.kind
    phrase = " ".join([*words, noun])
    first = count if plural else dice.pick((_article(phrase), _article(phrase), ""))
    return f"{first} {phrase}".strip() + _with(subject, say)


def _with(subject: Subject, chosen: Callable[[float], bool]) -> str:
    extras: list[str] = []
    if subject.kind == "creature":
        if subject.ears != "no ears" and chosen(0.8):
            extras.append(subject.ears)
        if subject.eyes != "two eyes" and chosen(0.8):
            extras.append(subject.eyes)
    if subject.hat != "no hat" and chosen(0.85):
        plain = subject.hat == "a crown"
        extras.append(subject.hat if plain else _coloured(subject.hat, subject.hat_colour))
    if subject.second and chosen(0.3):
        extras.append(f"{subject.second} parts")
    if not extras:
        return ""
    return " with " + (", ".join(extras[:-1]) + " and " if len(extras) > 1 else "") + extras[-1]


def _coloured(thing: str, colour: str) -> str:
    article, _, noun = thing.partition(" ")
    return f"{_article(colour)} {colour} {noun}" if noun else f"{colour} {article}"


def _article(phrase: str) -> str:
    return "an" if phrase[:1] in ("a", "e", "i", "o") and not phrase.startswith("one") else "a"
