"""What a person with the address and no page can send: events of a running WebUI's page, with values of their own."""

from __future__ import annotations

import copy
import json
import urllib.error
import urllib.request
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.webui.client import WebUI

OURS = "lora_loop_train_"


@dataclass(frozen=True)
class Answer:
    """What came back: the text as it is, and the values of the event's outputs by the short id of their components.

    `html` are the values that a page shows as HTML; empty where the WebUI refused.
    """

    text: str
    values: dict[str, Any]
    html: dict[str, str]


@dataclass
class Events:
    """One made-up page: events are sent with what the real page would send, but for what is changed."""

    webui: WebUI
    session: str = field(default_factory=lambda: uuid.uuid4().hex)
    headers: dict[str, str] = field(default_factory=dict[str, str])
    """Besides those of the page's own requests, or in their place."""

    def __post_init__(self) -> None:
        config = self.webui.call("/config")
        self.is_gradio_3 = str(config["version"]).startswith("3.")
        self._parts = {one["id"]: one for one in config["components"]}
        self._events: dict[tuple[str, str], tuple[int, Any]] = {}
        for index, event in enumerate(config["dependencies"]):
            for where, what in _targets(event):
                self._events.setdefault((self._name(where), what), (event.get("id", index), event))

    def anew(self) -> Events:
        """Another made-up page."""
        other = copy.copy(self)
        other.session = uuid.uuid4().hex
        return other

    def names(self) -> list[tuple[str, str]]:
        """(component, event) of all events of the Train tab."""
        return [
            key
            for key, (_, event) in self._events.items()
            if any(str(self._id(one)).startswith(OURS) for one in event["outputs"])
        ]

    def inputs(self, name: str, what: str) -> int:
        """How many inputs an event has."""
        return len(self._events[name, what][1]["inputs"])

    def send(self, name: str, what: str = "click", /, **changed: Any) -> Answer:
        """Send the event `what` of the component `name`; `changed` are inputs by the short ids of their components."""
        _, event = self._events[name, what]
        known = {self._name(one): self._parts[one]["props"].get("value") for one in event["inputs"]}
        assert changed.keys() <= known.keys(), changed.keys() - known.keys()
        return self.post(name, what, list({**known, **changed}.values()))

    def post(self, name: str, what: str, data: Sequence[Any]) -> Answer:
        """Send an event with exactly these inputs."""
        number, event = self._events[name, what]
        text = self._ask("/run/predict", {"fn_index": number, "data": list(data), "session_hash": self.session})
        answered: Any = json.loads(text)
        given = answered.get("data") or [None] * len(event["outputs"])
        values: dict[str, Any] = {}
        html: dict[str, str] = {}
        for one, value in zip(event["outputs"], given, strict=True):
            told = value.get("value") if isinstance(value, dict) and "__type__" in value else value
            values[self._name(one)] = told
            if self._parts[one]["type"] == "html" and told is not None:
                html[self._name(one)] = str(told)
        return Answer(text, values, html)

    def upload(self, file: Path) -> str:
        """Send a file as the page does; where the WebUI has put it."""
        mark = uuid.uuid4().hex
        head = f'--{mark}\r\nContent-Disposition: form-data; name="files"; filename="{file.name}"\r\n\r\n'
        body = head.encode() + file.read_bytes() + f"\r\n--{mark}--\r\n".encode()
        kind = {"Content-Type": f"multipart/form-data; boundary={mark}"}
        request = urllib.request.Request(f"{self.webui.address}/upload", body, kind)
        with urllib.request.urlopen(request) as answer:
            [path] = json.load(answer)
        return path

    def file(self, path: str) -> dict[str, Any]:
        """A file in an event, as this generation of gradio takes it."""
        if self.is_gradio_3:
            return {"name": path, "data": None, "is_file": True, "orig_name": Path(path).name}
        return {"path": path, "orig_name": Path(path).name, "meta": {"_type": "gradio.FileData"}}

    def _ask(self, path: str, body: Any) -> str:
        kind = {"Content-Type": "application/json", "Origin": self.webui.address, **self.headers}
        request = urllib.request.Request(self.webui.address + path, json.dumps(body).encode(), kind)
        try:
            with urllib.request.urlopen(request, timeout=600) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.read().decode()

    def _id(self, one: int) -> str:
        return str(self._parts[one]["props"].get("elem_id")) if one in self._parts else ""

    def _name(self, one: int) -> str:
        """The short id of a component, its number where it has none."""
        return self._id(one).removeprefix(OURS) if self._id(one).startswith(OURS) else str(one)


def _targets(event: Any) -> list[tuple[int, str]]:
    """(component, event) of a dependency: gradio 4 writes pairs, gradio 3.41 the components and one event."""
    found: list[tuple[int, str]] = []
    for one in event["targets"]:
        where, what = one if isinstance(one, list) else (one, event["trigger"])
        found += [(where, what)] if where is not None else []
    return found
