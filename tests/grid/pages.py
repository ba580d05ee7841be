"""A grid whose pictures differ, for the page's tests."""

from __future__ import annotations

from pathlib import Path

from lib_lora_train.grid.prompts import GridPrompt
from lib_lora_train.grid.session import Session
from tests.grid.files import Painter, make_plan, write_run

CARD = (GridPrompt("in its world", "[trigger] on a mat"), GridPrompt("style bleed", "a teapot", trigger=False))


def make_page(folder: Path, painter: Painter | None = None) -> Session:
    """A finished grid of three epochs, two weights, two prompts and two seeds in `folder / "grid"`."""
    run = write_run(folder / "lora", "x", 3)
    session = Session(make_plan(run, prompts=CARD), run, folder / "grid")
    session.draw(painter or Painter(), lambda *_: None)
    session.finish()
    return session
