"""The wildcards tab: the tree of all collections, their values, an editor for the person's own ones, and a test."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import gradio as gr  # type: ignore[import-not-found]  # the WebUI's

from lib_lora_train import host
from lib_lora_train.ui import scene, surroundings, wildcards_html, wildcards_import
from lib_lora_train.ui.element_ids import WILDCARDS_TAB, of
from lib_lora_train.ui.events import listen, transient
from lib_lora_train.ui.html import Html
from lib_lora_train.ui.scene import Scene
from lib_lora_train.ui.shelf import Page
from lib_lora_train.ui.words import shown

TITLE = shown("Wildcards")
ACTION = "(...given) => loraLoop.action(given)"


def build() -> Any:
    """Make the tab's content inside the current Blocks. It is filled when a person first looks at it."""
    parts: dict[str, Any] = {"state": gr.State(Scene())}
    with gr.Row(elem_id=of("page")):
        with gr.Column(scale=1, min_width=280, elem_id=of("shelf")):
            _shelf(parts)
        with gr.Column(scale=2, min_width=320, elem_id=of("desk")):
            _head(parts)
            _editor(parts)
            _values(parts)
    _connect(parts)


def _button(words: str, name: str, **more: Any) -> Any:
    return gr.Button(words, elem_id=of(name), size="sm", min_width=90, **more)


def _shelf(parts: dict[str, Any]) -> None:
    parts["query"] = transient(
        gr.Textbox(label=shown("Search"), placeholder=shown("part of a name"), elem_id=of("query"), max_lines=1)
    )
    parts["deep"] = transient(gr.Checkbox(label=shown("Search in the values too (Enter)"), elem_id=of("deep")))
    parts["tree"] = gr.HTML("", elem_id=of("tree"))
    with gr.Row():
        parts["new"] = _button(shown("New wildcard"), "new")
        parts["undo"] = _button(shown("Undo delete"), "undo", interactive=False)
    with gr.Column(elem_id=of("dropped")):
        parts["import"] = transient(
            gr.UploadButton(
                shown("Import wildcards: drop .txt, .yaml, .json or .zip"),
                file_count="multiple",
                file_types=list(wildcards_import.SUFFIXES),
                elem_id=of("import"),
                size="sm",
            )
        )
    parts["raw"] = transient(gr.Textbox("", visible=False, elem_id=of("raw"), label="action"))
    parts["do"] = gr.Button("do", elem_id=of("do"), elem_classes=["lora-loop-unseen"])


def _head(parts: dict[str, Any]) -> None:
    parts["notice"] = gr.HTML("", visible=False, elem_id=of("notice"))
    parts["hits"] = gr.HTML("", visible=False, elem_id=of("hits"))
    parts["head"] = gr.HTML("", visible=False, elem_id=of("head"))
    with gr.Row(visible=False, elem_id=of("actions")) as parts["actions"]:
        parts["edit"] = _button(shown("Edit"), "edit", variant="primary")
        parts["copy"] = _button(shown("Copy to my wildcards"), "copy")
        parts["delete"] = _button(shown("Delete"), "delete")
        parts["draw"] = _button(shown("Draw 10"), "draw")


def _values(parts: dict[str, Any]) -> None:
    parts["draws"] = gr.HTML("", visible=False, elem_id=of("draws"))
    parts["values"] = gr.HTML("", visible=False, elem_id=of("values"))
    with gr.Row(visible=False, elem_id=of("pager")) as parts["pager"]:
        parts["back"] = _button("←", "back")
        parts["page"] = transient(
            gr.Number(value=1, precision=0, label=shown("Page"), elem_id=of("page_number"), min_width=80)
        )
        parts["next"] = _button("→", "next")


def _editor(parts: dict[str, Any]) -> None:
    with gr.Column(visible=False, elem_id=of("editor")) as parts["editor"]:
        parts["name"] = transient(
            gr.Textbox(
                label=shown("Name"),
                info=shown("With / for folders. Another name here renames it."),
                placeholder="places/beach",
                max_lines=1,
                elem_id=of("name"),
            )
        )
        parts["text"] = transient(
            gr.Textbox(
                label=shown("Values"),
                info=shown("One on each line. 3:: in front makes one three times as likely, # begins a comment."),
                lines=14,
                max_lines=30,
                elem_id=of("text"),
            )
        )
        with gr.Row():
            parts["save"] = _button(shown("Save"), "save", variant="primary")
            parts["draw_text"] = _button(shown("Draw 10"), "draw_text")
            parts["cancel"] = _button(shown("Cancel"), "cancel")


OUTPUTS = (
    "state", "tree", "notice", "hits", "head", "actions", "edit", "copy", "delete", "values", "pager", "page",
    "new", "undo", "draws",
)  # fmt: skip
EDITOR = ("editor", "name", "text")
"""Only the actions that open or close the editor touch it, so that what is being typed stays."""


def _connect(parts: dict[str, Any]) -> None:
    seen = [parts[name] for name in OUTPUTS]
    state = parts["state"]

    def on(
        event: Any, action: Callable[..., None], *inputs: str, script: str | None = None, editor: bool = False
    ) -> None:
        work = partial(_carried_out, action, editor)
        outputs = seen + ([parts[name] for name in EDITOR] if editor else [])
        listen(event, work, [*(parts[name] for name in inputs), state], outputs, script)

    on(parts["do"].click, scene.act, "raw", script=ACTION, editor=True)
    on(parts["query"].submit, scene.search, "query", "deep")
    on(parts["deep"].change, scene.search, "query", "deep")
    on(parts["back"].click, _step(-1))
    on(parts["next"].click, _step(1))
    on(parts["page"].submit, scene.turn, "page")
    on(parts["draw"].click, scene.draw, "text")
    on(parts["draw_text"].click, scene.draw, "text")
    for name in ("edit", "copy", "new", "undo", "delete", "cancel"):
        on(parts[name].click, getattr(scene, name), editor=True)
    on(parts["import"].upload, scene.take_in, "import")
    on(parts["save"].click, scene.save, "name", "text", editor=True)


def _step(by: int) -> Callable[..., None]:
    def step(now: Scene, desk: surroundings.Desk) -> None:
        scene.turn(now, desk, now.page + by)

    return step


def _carried_out(action: Callable[..., None], editor: bool, *values: Any) -> list[Any]:
    """Carry out an action; what every part of the tab shows afterwards. The state is the last of `values`."""
    *given, now = values
    desk = surroundings.desk(host.find())
    before = (now.editing, now.stamp)
    action(now, desk, *given)
    page = now.view(desk)
    updates = [now, *_outputs(now, desk, page)]
    if editor:
        opened = now.editing is not None
        changed = before != (now.editing, now.stamp)
        updates.append(gr.update(visible=opened))
        updates += [gr.update(value=now.draft), gr.update(value=now.text)] if opened and changed else [gr.update()] * 2
    return updates


def _outputs(now: Scene, desk: surroundings.Desk, page: Page | None) -> list[Any]:
    refused = desk.refusal()
    own = page is not None and page.holders[0].own
    viewing = page is not None and now.editing is None
    message = now.message or refused
    return [
        wildcards_html.tree(desk.shelf.listing(now.opened, now.query), now.name),
        _filled(wildcards_html.notice(message, now.good, now.imports)),
        _filled(wildcards_html.hits(now.hits) if now.hits is not None else Html("")),
        _filled(_head_of(now, page)),
        gr.update(visible=viewing),
        gr.update(visible=own, interactive=not refused),
        gr.update(visible=not own, interactive=not refused),
        gr.update(visible=own, interactive=not refused),
        _filled(wildcards_html.values(page) if page is not None and viewing else Html("")),
        gr.update(visible=viewing and page is not None and page.pages > 1),
        gr.update(value=now.page),
        gr.update(interactive=not refused),
        gr.update(interactive=not refused and desk.store.has_deleted()),
        _filled(wildcards_html.draws(now.draws)),
    ]


def _head_of(now: Scene, page: Page | None) -> Html:
    if page is not None:
        return wildcards_html.head(page)
    return wildcards_html.nothing() if now.editing is None and now.hits is None else Html("")


def _filled(content: Html) -> Any:
    """Content, out of the way when there is none."""
    return gr.update(value=content, visible=bool(content))


def tab() -> list[tuple[Any, str, str]]:
    """What the WebUI's `on_ui_tabs` wants: the content, the title, the id."""
    with gr.Blocks(analytics_enabled=False) as blocks:
        build()
    return [(blocks, TITLE, WILDCARDS_TAB)]
