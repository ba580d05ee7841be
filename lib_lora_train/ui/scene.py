"""What one person sees in the wildcards tab, and how each action changes it. No gradio here.

Every action goes through `Scene.act` or one of the methods, with values that anybody may have made up: each is checked
again, and a fault is a sentence in `message`, never an exception in the host's log.
"""

from __future__ import annotations

import functools
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Concatenate, ParamSpec, cast

from lib_lora_train.errors import LoraLoopError
from lib_lora_train.prompt import PromptError
from lib_lora_train.ui import wildcards_import
from lib_lora_train.ui.errors import PageError
from lib_lora_train.ui.shelf import MOST_QUERY, Hits, Page
from lib_lora_train.ui.store import MAX_TEXT, checked_name
from lib_lora_train.ui.surroundings import Desk
from lib_lora_train.ui.words import shown

DRAWN = 10
MOST_ACTION = 4_000
MOST_OPENED = 2_000
Given = ParamSpec("Given")


@dataclass
class Scene:
    """The state of the tab. `editing` is None when nothing is edited, "" for a new wildcard, else its name."""

    opened: set[str] = field(default_factory=lambda: set[str]())
    query: str = ""
    deep: bool = False
    name: str = ""
    page: int = 1
    editing: str | None = None
    stamp: str = ""
    text: str = ""
    draft: str = ""
    hits: Hits | None = None
    draws: list[str] = field(default_factory=lambda: list[str]())
    message: str = ""
    good: bool = False
    imports: int = 0
    """How often files were dropped: the page waits for an answer that is new, also where its words are not."""

    def view(self, desk: Desk) -> Page | None:
        """The page of values that is looked at, None when there is none."""
        if not self.name:
            return None
        try:
            page = desk.shelf.page(self.name, self.page)
        except LoraLoopError as error:
            self.message = self.message or str(error)
            return None
        self.page = page.page
        return page


Action = Callable[Concatenate[Scene, Desk, Given], None]


def told(action: Action[Given]) -> Action[Given]:
    """An action whose errors for people become the scene's message."""

    @functools.wraps(action)
    def guarded(scene: Scene, desk: Desk, *given: Given.args, **named: Given.kwargs) -> None:
        scene.message, scene.good = "", False
        try:
            action(scene, desk, *given, **named)
        except PromptError as error:
            scene.message = error.reason
        except LoraLoopError as error:
            scene.message = str(error)

    return guarded


@told
def act(scene: Scene, desk: Desk, raw: object) -> None:
    """What the page's script asks for: {"act": "look" | "toggle" | "open" | "search", "name", "page", "query"}."""
    if not isinstance(raw, str) or len(raw) > MOST_ACTION:
        raise PageError("The page sent something that is not an action; reload it.")
    try:
        sent: Any = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise PageError("The page sent something that is not an action; reload it.") from error
    given: dict[str, Any] = cast("dict[str, Any]", sent) if isinstance(sent, dict) else {}
    name, page, query = given.get("name", ""), given.get("page", 1), given.get("query", "")
    if not (isinstance(name, str) and isinstance(page, int) and isinstance(query, str)):
        raise PageError("The page sent something that is not an action; reload it.")
    kind = given.get("act")
    if kind == "toggle":
        scene.opened ^= {name}
        if len(scene.opened) > MOST_OPENED:
            scene.opened = {name}
    elif kind == "open":
        _open(scene, name, page)
    elif kind == "search":
        _search(scene, desk, query, scene.deep)


@told
def search(scene: Scene, desk: Desk, query: object, deep: object) -> None:
    """Look for words in the names, or with `deep` in the values as well."""
    _search(scene, desk, query, deep)


@told
def turn(scene: Scene, desk: Desk, page: object) -> None:
    """Another page of values."""
    del desk
    if isinstance(page, (int, float)) and page == page and abs(page) < 10**12:
        scene.page = max(1, int(page))


@told
def edit(scene: Scene, desk: Desk) -> None:
    """Open the person's own file of this name in the editor."""
    _refuse(desk)
    if not scene.name:
        raise PageError("Choose a wildcard from the list first.")
    holders = desk.shelf.names().get(scene.name)
    if not holders:
        raise PageError("That wildcard is not there any more; choose another one from the list.")
    if not holders[0].own:
        raise PageError(f"'{scene.name}' is not one of your own wildcards; copy it first, the copy then counts.")
    scene.text, scene.stamp = desk.store.read(scene.name)
    scene.editing = scene.draft = scene.name


@told
def copy(scene: Scene, desk: Desk) -> None:
    """Copy the collection to the person's own wildcards, where it wins over the original, and edit it."""
    _refuse(desk)
    if not scene.name:
        raise PageError("Choose a wildcard from the list first.")
    scene.text = desk.shelf.lines(scene.name, MAX_TEXT)
    scene.stamp = desk.store.write(scene.name, scene.text, "")
    scene.editing = scene.draft = scene.name
    _done(scene, shown("Copied to your wildcards. The copy counts from now on; the original stays as it was."))


@told
def new(scene: Scene, desk: Desk) -> None:
    """An empty editor."""
    _refuse(desk)
    folder = scene.name.rpartition("/")[0]
    scene.editing, scene.stamp, scene.text, scene.draft = "", "", "", f"{folder}/" if folder else ""


@told
def cancel(scene: Scene, desk: Desk) -> None:
    """Close the editor without saving."""
    del desk
    scene.editing = None


@told
def save(scene: Scene, desk: Desk, name: object, text: object) -> None:
    """Write what is in the editor, under another name when that was changed."""
    _refuse(desk)
    if scene.editing is None or not isinstance(text, str):
        raise PageError("There is nothing to save; open a wildcard of yours with Edit first.")
    wanted = checked_name(name)
    if scene.editing and wanted != scene.editing:
        scene.editing = scene.name = desk.store.rename(scene.editing, wanted)
    scene.draft, scene.text = wanted, text
    scene.stamp = desk.store.write(wanted, text, scene.stamp)
    scene.editing, scene.draws = None, []
    _open(scene, wanted, 1)
    _done(scene, shown("Saved. The next image already draws from it."))


@told
def delete(scene: Scene, desk: Desk) -> None:
    """Move the person's own file to the trash."""
    _refuse(desk)
    if not scene.name:
        raise PageError("Choose a wildcard from the list first.")
    desk.store.delete(scene.name)
    scene.editing = None
    if scene.name not in desk.shelf.names():
        scene.name = ""
    _done(scene, shown("Moved to the trash. “Undo delete” brings it back."))


@told
def undo(scene: Scene, desk: Desk) -> None:
    """Bring back what was deleted last."""
    _refuse(desk)
    _open(scene, desk.store.undo(), 1)
    _done(scene, shown("It is back."))


@told
def take_in(scene: Scene, desk: Desk, dropped: object) -> None:
    """Take in wildcard files that were dropped on the page."""
    scene.imports += 1
    _refuse(desk)
    given = cast("list[object]", dropped) if isinstance(dropped, list) else [dropped]
    found = wildcards_import.take_in(desk.store, given)
    scene.opened |= {name.split("/")[0] for name in found.names if "/" in name}
    if len(found.names) == 1:
        names = desk.shelf.names()
        _open(scene, found.names[0] if found.names[0] in names else scene.name, 1)
    _done(scene, found.sentence)


@told
def draw(scene: Scene, desk: Desk, text: object) -> None:
    """Ten draws; out of the editor's text while something is being edited."""
    edited = text if scene.editing is not None and isinstance(text, str) else None
    if edited is not None and len(edited) > MAX_TEXT:
        raise PageError(f"The text is larger than {MAX_TEXT // 1024} kB; split it into several wildcards.")
    name = scene.editing or scene.name or ("new" if edited is not None else "")
    if not name:
        raise PageError("Choose a wildcard from the list first.")
    first = secrets.randbelow(2**32)
    scene.draws = desk.shelf.draw(name, range(first, first + DRAWN), edited)


def _open(scene: Scene, name: str, page: int) -> None:
    if name != scene.name:
        scene.draws = []
        scene.editing = None
    scene.name, scene.page = name, max(1, page)
    scene.opened |= {name[:index] for index, letter in enumerate(name[:200]) if letter == "/"}


def _search(scene: Scene, desk: Desk, query: object, deep: object) -> None:
    if not isinstance(query, str) or len(query) > MOST_QUERY:
        raise PageError(f"Search for at most {MOST_QUERY} characters.")
    scene.query, scene.deep = query, deep is True
    scene.hits = desk.shelf.search(query) if scene.deep and query.strip() else None


def _refuse(desk: Desk) -> None:
    if refused := desk.refusal():
        raise PageError(refused)


def _done(scene: Scene, words: str) -> None:
    scene.message, scene.good = words, True
