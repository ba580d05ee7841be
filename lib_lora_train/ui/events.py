"""Listening to gradio's events the same way in its third and fourth generation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr  # type: ignore[import-not-found]  # the WebUI's

SCRIPT_ARGUMENT = "_js" if int(gr.__version__.split(".")[0]) < 4 else "js"


def listen(
    event: Callable[..., Any],
    work: Callable[..., Any] | None,
    inputs: Sequence[Any] = (),
    outputs: Sequence[Any] = (),
    script: str | None = None,
) -> Any:
    """`event(work)`, beside the queue, so that it answers while images are being made. `script` runs in the page first.

    Returns the dependency, whose `then` is an event again.
    """
    scripted = {} if script is None else {SCRIPT_ARGUMENT: script}
    return event(work, inputs=list(inputs), outputs=list(outputs), queue=False, show_progress="hidden", **scripted)


def transient(component: Any) -> Any:
    """A component whose value is not to be kept in the WebUI's ui-config.json. Returns it."""
    component.do_not_save_to_config = True
    return component
