"""A web page of another address that tries every event of ours, and the same requests with made-up headers."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

REFUSED = "nothing was done"
PREFIX = "lora_loop"
ATTACK = """
async (told) => {
    const read = [];
    const send = async (path, body, options) => {
        try {
            const signal = AbortSignal.timeout(10000); // an answer of gradio's queue goes on for ever
            const answer = await fetch(told.target + path, {method: "POST", body, signal, ...options});
            const text = await answer.text();
            if (text) read.push([answer.status, text.slice(0, 200)]);
        } catch (error) { /* what a page of another address gets */ }
    };
    const talk = (event) => new Promise((done) => {
        const socket = new WebSocket(told.target.replace("http", "ws") + "/queue/join");
        const end = () => { socket.close(); done(); };
        setTimeout(end, 1500);
        socket.onerror = socket.onclose = end;
        socket.onmessage = (message) => {
            const asked = JSON.parse(message.data).msg;
            read.push(["websocket", asked]);
            if (asked === "send_hash") socket.send(JSON.stringify({fn_index: event.fn_index, session_hash: event.session_hash}));
            if (asked === "send_data") socket.send(JSON.stringify(event));
        };
    });
    for (const event of told.events) {
        const text = JSON.stringify(event);
        for (const path of ["/run/predict", "/api/predict", "/queue/join"]) {
            await send(path, new Blob([text]), {mode: "no-cors"});
            await send(path, text, {mode: "cors", headers: {"Content-Type": "application/json"}});
        }
    }
    await talk(told.events[0]);
    const signal = AbortSignal.timeout(1000);
    for (const path of ["/config", "/"]) await send(path, undefined, {method: "GET"});
    await send("/queue/data?session_hash=csrf", undefined, {method: "GET", signal});
    return read;
}
"""
"""Sends each event in every way that a browser has; gives what the page could read of the answers."""


@dataclass(frozen=True)
class Event:
    """One event of ours: its number, and values with which it would do something."""

    number: int
    about: str
    values: Sequence[Any]

    def body(self, **more: Any) -> dict[str, Any]:
        return {"fn_index": self.number, "data": list(self.values), "session_hash": "csrf", **more}


def ours(url: str, values: Mapping[str, Any]) -> list[Event]:
    """All events of a page that one of our components sends, or that fill ours alone: the WebUI's own paste fills one of ours
    beside its own. `values` are inputs by their components' ids."""
    with urllib.request.urlopen(f"{url}/config") as answer:
        config = json.load(answer)
    known = {one["id"]: one["props"] for one in config["components"]}
    ids = {one: str(props.get("elem_id")) for one, props in known.items()}
    found: list[Event] = []
    for index, event in enumerate(config["dependencies"]):
        sources = [one[0] if isinstance(one, list) else one for one in event["targets"]]
        sent = [ids[one] for one in sources if one in ids and ids[one].startswith(PREFIX)]
        filled = [ids.get(one, "") for one in event["outputs"]]
        about = sent or (filled if all(one.startswith(PREFIX) for one in filled) else [])
        if about and event["backend_fn"]:
            given = [values.get(ids[one], known[one].get("value")) for one in event["inputs"]]
            found.append(Event(event.get("id", index), about[0], given))
    return found


def post(url: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> str:
    """What the server answers to an event that is sent with these headers."""
    told = {"Content-Type": "application/json", **headers}
    request = urllib.request.Request(f"{url}/run/predict", json.dumps(body).encode(), told)
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.read().decode()


def files(folder: Path) -> dict[Path, tuple[int, int]]:
    """What lies in a folder, but for what the page prints and the signs of life of who may write."""
    found = (path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".log", ".lock"))
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in found}


@contextmanager
def somewhere_else() -> Iterator[int]:
    """A web server of a stranger; its port."""

    class Empty(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>elsewhere</title>")

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Empty)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def attack(browser: Any, origin: str, target: str, events: Sequence[Event], sandboxed: bool = False) -> list[Any]:
    """Open a page at `origin` that sends `events` to `target`; what it could read."""
    page = browser.new_page()
    try:
        page.goto(origin, wait_until="commit")
        told = {"target": target, "events": [event.body() for event in events]}
        if not sandboxed:
            return page.evaluate(ATTACK, told)
        page.set_content('<iframe sandbox="allow-scripts" srcdoc="<p>inside</p>"></iframe>')
        return page.frames[-1].evaluate(ATTACK, told)
    finally:
        page.close()
