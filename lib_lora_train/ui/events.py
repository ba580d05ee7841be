"""Listening to gradio's events the same way in its third and fourth generation, and only to those of the page itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr  # type: ignore[import-not-found]  # the WebUI's
from starlette.requests import HTTPConnection  # type: ignore[import-not-found]  # comes with gradio

from lib_lora_train import host
from lib_lora_train.ui import origin

HOST_NAME_FLAG = "--lora-loop-host-name"
SCRIPT_ARGUMENT = "_js" if int(gr.__version__.split(".")[0]) < 4 else "js"


def listen(
    event: Callable[..., Any],
    work: Callable[..., Any] | None,
    inputs: Sequence[Any] = (),
    outputs: Sequence[Any] = (),
    script: str | None = None,
) -> Any:
    """`event(work)`, beside the queue, so that it answers while images are being made. `script` runs in the page first.

    Every event of ours is made here: `work` is carried out for the page itself only, see `guarded`.

    Returns the dependency, whose `then` is an event again.
    """
    scripted = {} if script is None else {SCRIPT_ARGUMENT: script}
    answer = None if work is None else guarded(work)
    return event(answer, inputs=list(inputs), outputs=list(outputs), queue=False, show_progress="hidden", **scripted)


def guarded(work: Callable[..., Any]) -> Callable[..., Any]:
    """`work` for requests that the page itself sends; others get an error and nothing is done.

    The server is the WebUI's, and any web page that a person visits can send its events: see `origin`.
    """

    def answer(request: gr.Request, *values: Any) -> Any:
        refused = refusal(request)
        if refused:
            raise gr.Error(refused)
        return work(*values)

    answer.__name__ = getattr(work, "__name__", answer.__name__)
    return answer


def refusal(request: Any) -> str:
    """Why an event is not carried out, "" when it is.

    An event's body may hold a made-up `request`, which gradio hands on: only the server's own object counts.
    """
    real: Any = getattr(request, "request", None)
    webui = host.find()
    names: list[str] = [*(webui.flag("lora_loop_host_name") or ()), webui.flag("server_name") or ""]
    rule = origin.Rule(
        frozenset(name.lower() for name in names if name), bool(request and request.username), HOST_NAME_FLAG
    )
    return rule.refusal(real.headers if isinstance(real, HTTPConnection) else {})


def transient(component: Any) -> Any:
    """A component whose value is not to be kept in the WebUI's ui-config.json. Returns it."""
    component.do_not_save_to_config = True
    return component
