"""What lasts from one job to the next while the person generates for ever: the kept checkpoint, the cyclical place.

In memory only, for one process. One generation runs at a time, so nothing here needs a lock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import TypeVar

MOST_TRIES = 2000
MOST_SECONDS = 1.0
MOST_TEMPLATES = 64
T = TypeVar("T")


@dataclass
class Session:
    """`checkpoint` is kept since `since` (seconds of the monotonic clock) and has been used for `images` images."""

    checkpoint: str = ""
    images: int = 0
    since: float = 0.0
    clock: Callable[[], float] = time.monotonic
    places: dict[Hashable, int] = field(default_factory=lambda: dict[Hashable, int]())

    def keep(
        self, first: T, checkpoint_of: Callable[[T], str], again: Callable[[int], T], limits: tuple[int, float]
    ) -> T:
        """`first`, or another draw that uses the kept checkpoint, as long as it is kept.

        `limits` are images and minutes. A stretch begins with what was drawn, so each checkpoint begins as many
        stretches as its odds say; inside a stretch prompts are drawn until one uses the kept checkpoint, so what is
        linked to the checkpoint stays linked. When there is none (the template has changed), a new stretch begins.
        """
        wanted = checkpoint_of(first)
        if not wanted:
            return first
        images, minutes = limits
        over = images and self.images >= images
        late = minutes and self.clock() - self.since >= minutes * 60
        if not self.checkpoint or over or late:
            return self._begin(wanted, first)
        deadline = time.monotonic() + MOST_SECONDS
        candidate = first
        for number in range(MOST_TRIES):
            if checkpoint_of(candidate) == self.checkpoint:
                self.images += 1
                return candidate
            if time.monotonic() > deadline:
                break
            candidate = again(number + 1)
        return self._begin(wanted, first)

    def _begin(self, checkpoint: str, first: T) -> T:
        self.checkpoint, self.images, self.since = checkpoint, 1, self.clock()
        return first

    def take(self, template: Hashable, number: int) -> int:
        """The first of the next `number` places of a template in cyclical mode."""
        place = self.places.pop(template, 0)
        if len(self.places) >= MOST_TEMPLATES:
            del self.places[next(iter(self.places))]
        self.places[template] = place + number
        return place


SESSION = Session()
