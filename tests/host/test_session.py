"""Keeping a drawn checkpoint: how long, and fair in the long run."""

from __future__ import annotations

from collections import Counter
from random import Random

from lib_lora_train.host.session import MOST_TEMPLATES, Session


def rounds(session: Session, number: int, limits: tuple[int, float], weights: tuple[float, ...] = (1, 1)) -> list[str]:
    dice = Random(5)

    def draw(_: int = 0) -> tuple[str, float]:
        return dice.choices("abc"[: len(weights)], weights)[0], dice.random()

    return [session.keep(draw(), lambda drawn: drawn[0], draw, limits)[0] for _ in range(number)]


def test_each_stretch_has_its_images() -> None:
    used = rounds(Session(), 400, (8, 0))
    assert all(len(set(used[at : at + 8])) == 1 for at in range(0, 400, 8))


def test_each_checkpoint_has_its_share_in_the_long_run() -> None:
    used = Counter(rounds(Session(), 40_000, (8, 0), (1, 3)))
    assert 0.22 < used["a"] / 40_000 < 0.28


def test_minutes() -> None:
    now = [0.0]
    session = Session(clock=lambda: now[0])
    used = []
    for _ in range(40):
        used += rounds(session, 1, (0, 2))
        now[0] += 30
    assert session.since > 0
    starts = [session.keep(("a", 0.0), lambda drawn: drawn[0], lambda _: ("a", 0.0), (0, 2))[0]]
    assert starts == ["a"]


def test_a_template_without_the_kept_checkpoint_begins_anew() -> None:
    session = Session(checkpoint="gone", images=1)
    assert session.keep(("a", 0), lambda drawn: drawn[0], lambda _: ("a", 0), (8, 0)) == ("a", 0)
    assert (session.checkpoint, session.images) == ("a", 1)


def test_a_prompt_without_checkpoints_is_not_touched() -> None:
    session = Session(checkpoint="kept", images=3)
    assert session.keep(("", 0), lambda drawn: drawn[0], lambda _: ("x", 0), (8, 0)) == ("", 0)
    assert session.images == 3


def test_places_are_counted_for_each_template_and_bounded() -> None:
    session = Session()
    assert [session.take("t", 3), session.take("u", 1), session.take("t", 2), session.take("t", 1)] == [0, 0, 3, 5]
    for number in range(500):
        session.take(number, 1)
    assert len(session.places) <= MOST_TEMPLATES
