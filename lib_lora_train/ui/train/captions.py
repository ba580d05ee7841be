"""The caption table of one page: which captions are looked at, and what is done to them. Every value is checked here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lib_lora_train.errors import LoraLoopError
from lib_lora_train.train.config import TrainConfig
from lib_lora_train.train.dataset import caption_book as book
from lib_lora_train.train.dataset.caption_book import Row
from lib_lora_train.train.dataset.caption_edit import SHOWN, Choice, Edit, checked
from lib_lora_train.train.dataset.photos import counted
from lib_lora_train.train.errors import DatasetError
from lib_lora_train.train.sections import DatasetConfig
from lib_lora_train.ui.errors import PageError
from lib_lora_train.ui.html import Html
from lib_lora_train.ui.train import captions_html, places, thumbs
from lib_lora_train.ui.train.captions_html import LONGEST, Preview
from lib_lora_train.ui.train.desk import Desk

PARTS = ("tags", "row", "preview", "captions", "thumbs")
"""The parts of the page that belong to the table."""
MOST_PHOTOS = 5000


@dataclass
class Table:
    """What one page shows of a folder's captions. Files are read anew at each action, so that nothing shown is old."""

    dataset: DatasetConfig
    trigger: str
    choice: Choice = field(default_factory=Choice)
    page: int = 0
    edit: Edit | None = None
    """Shown in the preview, not done yet."""
    html: dict[str, Html] = field(default_factory=dict[str, Html])
    photos: tuple[Path, ...] = ()
    """On the page that is shown."""
    drawn: int = 0
    """How often the table was drawn: each drawing differs, so that the page takes it even where only a text that
    somebody is typing over is different."""

    def parts(self) -> dict[str, Html]:
        """Each part as it is now."""
        return {**dict.fromkeys(PARTS, Html("")), **self.html, "thumbs": thumbs.sprite(self.photos)}


Told = Mapping[str, Any]


def opened(config: TrainConfig, before: Table | None, desk: Desk) -> Table:
    """The table of the folder of a checked config; a table of the same folder keeps its place."""
    table = before if before is not None and before.dataset.path == config.dataset.path else None
    table = table or Table(config.dataset, config.trigger_prompt)
    table.dataset, table.trigger = config.dataset, config.trigger_prompt
    try:
        draw(table, desk)
    except LoraLoopError as error:
        table.html = {"captions": captions_html.refused(str(error))}
    return table


def search(table: Table, desk: Desk, text: Any, has: Any, shown: Any) -> None:
    """Look for captions. Raises PageError for what no form would send."""
    if not isinstance(text, str) or len(text) > 300 or shown not in SHOWN or not isinstance(has, bool):
        raise PageError("That cannot be looked for; reload the page.")
    table.choice = replace(table.choice, text=text, has_text=has, shown=shown)
    table.page, table.edit = 0, None
    draw(table, desk)


def preview(table: Table, desk: Desk, kind: Any, text: Any, new: Any) -> None:
    """Show what an edit of the chosen captions would change. Raises LoraLoopError."""
    if not all(isinstance(value, str) for value in (kind, text, new)):
        raise PageError("That is no change of captions; reload the page.")
    table.edit = Edit(kind, text, new, table.dataset.separator or ",")
    draw(table, desk)


def draw(table: Table, desk: Desk) -> None:
    """Read the captions and draw every part."""
    rows = _rows(table)
    chosen = _chosen(table, rows)
    keep = book.keep_for(desk.home, table.dataset)
    writable = not desk.refusal()
    table.drawn += 1
    pages = captions_html.pages(chosen)
    table.page = min(table.page, len(pages) - 1)
    shown = pages[table.page]
    table.photos = tuple(row.photo.path for row in shown)
    table.html = {
        "tags": _overview(table, desk, rows),
        "captions": captions_html.table(
            shown, (table.page, len(pages)), thumbs.key(table.photos), table.drawn, writable
        ),
    }
    if table.edit is not None:
        try:
            table.html["preview"] = captions_html.preview(_preview(table, chosen, keep), writable)
        except DatasetError as error:
            table.html["preview"] = captions_html.refused(str(error))


def _overview(table: Table, desk: Desk, rows: tuple[Row, ...]) -> Html:
    undo = 0 if desk.refusal() else book.can_undo(book.keep_for(desk.home, table.dataset))
    return captions_html.overview(rows, _chosen(table, rows), table.choice, table.dataset, undo)


def _rows(table: Table) -> tuple[Row, ...]:
    rows = book.read(table.dataset, table.trigger)
    if len(rows) > MOST_PHOTOS:
        raise PageError(f"The caption table is for up to {MOST_PHOTOS:,} photos; this folder has {len(rows):,}.")
    return rows


def _chosen(table: Table, rows: tuple[Row, ...]) -> tuple[Row, ...]:
    separator = table.dataset.separator or ","
    return tuple(row for row in rows if table.choice.takes(row.text, row.photo.name, bool(row.odd), separator))


def _preview(table: Table, chosen: tuple[Row, ...], keep: Path) -> Preview:
    assert table.edit is not None
    changed = book.plan(chosen, table.edit, keep)
    pairs = tuple(
        (row.photo.name, row.text, (changed[row.name] or b"").decode("utf-8", "replace"))
        for row in chosen
        if row.name in changed
    )
    return Preview(len(chosen), len(changed), pairs, _sign(changed))


def _sign(changed: Mapping[str, bytes | None]) -> str:
    """Says whether what is done is what was shown."""
    return book.stamp("\n".join(f"{name}:{book.stamp(data)}" for name, data in sorted(changed.items())).encode("utf-8", "surrogateescape"))  # fmt: skip


# What is clicked -------------------------------------------------------------------------------------------------------


def _page(table: Table, desk: Desk, told: Told) -> str:
    place = told.get("place")
    if not isinstance(place, str) or not place.isdigit() or len(place) > 4:
        raise PageError("There is no such page of captions.")
    table.page = int(place)
    draw(table, desk)
    return ""


def _tag(table: Table, desk: Desk, told: Told) -> str:
    """The first click shows captions with the tag, the second those without, the third all."""
    tag = told.get("tag")
    if not isinstance(tag, str) or len(tag) > 1000:
        raise PageError("There is no such tag.")
    now = table.choice
    if tag.casefold() != now.tag.casefold():
        table.choice = replace(now, tag=tag, has_tag=True)
    else:
        table.choice = replace(now, has_tag=False) if now.has_tag else replace(now, tag="", has_tag=True)
    table.page = 0
    draw(table, desk)
    return ""


def _all(table: Table, desk: Desk, told: Told) -> str:
    table.choice, table.page, table.edit = Choice(), 0, None
    draw(table, desk)
    return ""


def _caption(table: Table, desk: Desk, told: Told) -> str:
    """Save one caption as it was typed; the rest of the table is left alone, because somebody is typing in it."""
    desk.require()
    name, text, was = told.get("photo"), told.get("text"), told.get("was")
    rows = _rows(table)
    row = next((row for row in rows if row.photo.name == name), None)
    if row is None or not isinstance(text, str) or not isinstance(was, str):
        raise PageError("That photo is not in this folder any more; check it again.")
    text = checked(text).strip()
    if len(text) > LONGEST or len(row.text) > LONGEST:
        raise PageError(f"Captions of more than {LONGEST:,} letters are changed in their file {row.name}.")
    problem = was != row.stamp and text != row.text
    if not problem and text != row.text:
        _write(table, desk, (row,), {row.name: text.encode("utf-8")})
        rows = _rows(table)
        row = next(one for one in rows if one.photo.name == name)
        if "shared" in row.odd:
            draw(table, desk)
            return ""
    table.html["tags"] = _overview(table, desk, rows)
    table.drawn += 1
    table.html["row"] = captions_html.about_row(row, table.drawn, "changed" if problem else "saved")
    if problem:
        raise PageError(
            f"{row.name} was changed elsewhere meanwhile and says {row.text[:300]!r} now; change yours once more to save it over that."
        )
    return ""


def _write(table: Table, desk: Desk, rows: tuple[Row, ...], changed: book.Bytes) -> int:
    """Raises PageError where a folder below leads out of those that the page may use."""
    roots = desk.roots()
    for folder in {row.file.parent for row in rows if row.name in changed}:
        places.inside(str(folder), roots, "The captions' folder")
    return book.write(rows, changed, book.keep_for(desk.home, table.dataset))


def _do(table: Table, desk: Desk, told: Told) -> str:
    desk.require()
    if table.edit is None:
        raise PageError("Press Preview first: it shows what would change.")
    chosen = _chosen(table, _rows(table))
    changed = book.plan(chosen, table.edit, book.keep_for(desk.home, table.dataset))
    if told.get("sign") != _sign(changed):
        draw(table, desk)
        raise PageError("The captions were changed meanwhile; look at the new preview.")
    done = _write(table, desk, chosen, changed)
    table.edit = None
    draw(table, desk)
    return f"{counted(done, 'caption is', 'captions are')} changed."


def _drop(table: Table, desk: Desk, told: Told) -> str:
    table.edit = None
    table.html.pop("preview", None)
    return ""


def _undo(table: Table, desk: Desk, told: Told) -> str:
    desk.require()
    rows, roots = _rows(table), desk.roots()
    for folder in {row.file.parent for row in rows}:
        places.inside(str(folder), roots, "The captions' folder")
    done, words = book.undo(rows, book.keep_for(desk.home, table.dataset))
    table.edit = None
    draw(table, desk)
    return f"{counted(done, 'caption is', 'captions are')} as before. {words}".strip()


ACTS: Mapping[str, Callable[[Table, Desk, Told], str]] = {
    "captions_page": _page,
    "captions_tag": _tag,
    "captions_all": _all,
    "captions_do": _do,
    "captions_drop": _drop,
    "captions_undo": _undo,
    "caption": _caption,
}
"""What can be clicked in the table: each gives the sentence above the page."""
