"""The notification: where it may go, what it says, and that it never costs the run."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from lib_lora_train.train import notify
from lib_lora_train.train.errors import ConfigError
from tests.runs import Workshop, events, run


class Server(HTTPServer):
    posted: list[Any]
    answer: int


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        self.server.posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(self.server.answer)
        self.send_header("Location", "/elsewhere")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as one:
        one.posted, one.answer = [], 200
        thread = threading.Thread(target=one.serve_forever, daemon=True)
        thread.start()
        yield one
        one.shutdown()


def address(server: Server) -> str:
    return f"http://127.0.0.1:{server.server_port}/hook"


def test_it_says_name_status_and_sentence(server: Server) -> None:
    assert notify.send(address(server), "cat", "done", "Training is done.") == ""
    [body] = server.posted
    assert (body["name"], body["status"], body["text"]) == ("cat", "done", "cat: done. Training is done.")


@pytest.mark.parametrize("answer", [302, 307, 404, 500])
def test_what_does_not_take_it_is_a_sentence_and_no_redirect_is_followed(server: Server, answer: int) -> None:
    server.answer = answer
    assert "could not be delivered" in notify.send(address(server), "cat", "done", "")
    assert len(server.posted) == 1


def test_one_that_never_answers_takes_no_longer_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "LIMIT_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        said = notify.send(f"http://127.0.0.1:{deaf.getsockname()[1]}/", "cat", "done", "")
    assert "not touched" in said


@pytest.mark.parametrize(
    "wrong",
    ["ftp://a/b", "file:///etc/passwd", "javascript:alert(1)", "https://", "//a/b", "http://user:secret@a/b",
     "http://a:99999/", "http://a/b c", "http://a/\r\nX: y", "http://[::1", "http://ü.de/", "http://a/" + "x" * 3000],
)  # fmt: skip
def test_addresses_that_are_refused(wrong: str) -> None:
    with pytest.raises(ConfigError, match="notification"):
        notify.checked(wrong)
    assert notify.send(wrong, "cat", "done", "")


def test_a_run_tells_of_its_end_and_a_dead_address_is_a_warning(workshop: Workshop, jobs: Path, server: Server) -> None:
    job = workshop.job(jobs, f"log.notify={address(server)}", "loop.steps=1")
    assert run(job) == 0
    assert [body["status"] for body in server.posted] == ["done"]
    server.answer = 500
    failing = workshop.job(jobs, f"log.notify={address(server)}", "base.path=/nowhere.safetensors", name="failing")
    assert run(failing) == 3
    assert server.posted[-1]["status"] == "failed"
    assert [event["name"] for event in events(failing, "warning")] == ["notify"]
