"""The wildcards tab's tree, values and search results as HTML."""

from __future__ import annotations

from collections.abc import Sequence

from lib_lora_train.ui.html import Html, element, joined
from lib_lora_train.ui.preview_html import percent
from lib_lora_train.ui.shelf import PAGE_VALUES, Hits, Leaf, Listing, Page
from lib_lora_train.ui.words import shown


def tree(listing: Listing, selected: str) -> Html:
    """The tree. Its rows are buttons for the page's script: `data-act` says what they do, `data-name` with what."""
    if not listing.total:
        return _hint(shown("There are no wildcards yet. Make the first one with the button below."))
    if not listing.rows:
        return _hint(shown("No name fits. Turn on the search in values to look inside the files."))
    rows = joined(_row(row, selected) for row in listing.rows)
    found = [element("div", rows, role="tree", aria_label=shown("Wildcards"), class_="lora-loop-tree")]
    if listing.left_out:
        found.append(_hint(shown("more rows are not shown; search for a part of the name."), f"{listing.left_out:,} "))
    found += [_hint(note) for note in listing.notes]
    return element("div", *found)


def _row(row: Leaf, selected: str) -> Html:
    size = "" if row.size is None else f"{row.size:,}"
    chosen = not row.folder and row.name == selected
    badges: list[Html] = []
    if len(row.holders) > 1:
        titles = " ← ".join(f"{holder.root}: {holder.file}" for holder in row.holders)
        badges.append(element("span", f"×{len(row.holders)}", class_="lora-loop-doubled", title=titles))
    if row.holders and row.holders[0].own:
        badges.append(element("span", "✎", class_="lora-loop-own", title=shown("Yours: can be edited")))
    return element(
        "div",
        element("span", ("▾" if row.open else "▸") if row.folder else "", class_="lora-loop-twist", aria_hidden="true"),
        element("span", row.label, class_="lora-loop-label"),
        *badges,
        element("span", size, class_="lora-loop-size"),
        role="treeitem",
        tabindex=0 if chosen else -1,
        aria_level=row.depth + 1,
        aria_expanded=("true" if row.open else "false") if row.folder else None,
        aria_selected="true" if chosen else "false",
        class_="lora-loop-folder" if row.folder else "lora-loop-leaf",
        data_act="toggle" if row.folder else "open",
        data_name=row.name,
        style=f"--depth: {row.depth}",
        title=row.holders[0].root if row.holders else None,
    )


def head(page: Page) -> Html:
    """Name, size and the files of one collection; the first of several with the same name wins (W12)."""
    first, *others = page.holders
    files = [element("li", element("b", first.root), " ", element("code", first.file))]
    for holder in others:
        hidden = element("small", shown("has the same name and is hidden by the first"))
        files.append(element("li", element("s", holder.root), " ", element("code", holder.file), " ", hidden))
    copy = element(
        "button",
        f"__{page.name}__",
        type="button",
        class_="lora-loop-copy",
        title=shown("Copy, to paste it into a prompt"),
        data_copy=f"__{page.name}__",
    )
    figure = element("span", element("b", f"{page.size:,}"), " ", element("span", shown("values")))
    return element("div", element("h3", copy, figure), element("ul", *files), class_="lora-loop-head")


def nothing() -> Html:
    """What will stand here, while nothing is chosen."""
    words = (
        shown("Choose a wildcard from the list: its values and their probabilities are shown here."),
        shown("In a prompt, __name__ draws one of them for each image."),
        shown("Your own ones can be edited; others can be copied to yours. Packs can be dropped on the list."),
    )
    return element("div", *(element("p", text) for text in words), class_="lora-loop-nothing")


def values(page: Page) -> Html:
    """One page of values with their probabilities."""
    rows = [
        element(
            "tr",
            element("td", f"{value.number:,}"),
            element("td", value.text),
            element("td", percent(value.odds), style=f"--share: {value.odds:.4f}"),
        )
        for value in page.values
    ]
    top = element("tr", *(element("th", name, scope="col") for name in ("№", shown("Value"), shown("Probability"))))
    return element("table", element("thead", top), element("tbody", *rows), class_="lora-loop-values")


def hits(found: Hits) -> Html:
    """What the search in the values found; each result opens its page."""
    rows = [
        element(
            "button",
            element("code", f"{hit.name} · {hit.number:,}"),
            element("span", hit.text),
            type="button",
            class_="lora-loop-hit",
            data_act="open",
            data_name=hit.name,
            data_page=(hit.number - 1) // PAGE_VALUES + 1,
        )
        for hit in found.found
    ]
    if not rows:
        rows.append(_hint(shown("No value holds these words.")))
    if not found.complete:
        rows.append(_hint(shown("The search stopped early: there are more results, or too many files for the time.")))
    return element("div", *rows, class_="lora-loop-hits")


def draws(texts: Sequence[str]) -> Html:
    """Prompts that were drawn for a test."""
    return element("ol", joined(element("li", text) for text in texts), class_="lora-loop-draws") if texts else Html("")


def notice(text: str, good: bool = False, number: int | None = None) -> Html:
    """A sentence above the values: what was done, or what could not be. `number` tells it from the same one before."""
    if not text:
        return Html("")
    kind = "lora-loop-notice lora-loop-good" if good else "lora-loop-notice"
    return element("p", text, class_=kind, role="alert", data_number=number)


def _hint(words: str, figure: str = "") -> Html:
    return element("p", *([figure] if figure else []), element("span", words), class_="lora-loop-hint")
