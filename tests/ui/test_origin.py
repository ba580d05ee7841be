"""Who may send the page's requests, by the headers that browsers send; and the layer that asks."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from lib_lora_train.ui.guard import Guard, Message
from lib_lora_train.ui.origin import Rule

LOCAL = {"host": "127.0.0.1:7870"}
OWN = {
    "a browser on this machine": {**LOCAL, "origin": "http://127.0.0.1:7870", "sec-fetch-site": "same-origin"},
    "typed into the address bar": {**LOCAL, "sec-fetch-site": "none"},
    "plain http in the house's network": {"host": "192.168.1.5:7870", "origin": "http://192.168.1.5:7870"},
    "IPv6": {"host": "[fd00::5]:7870", "origin": "http://[fd00::5]:7870"},
    "the machine's own name": {"host": "studio:7870", "origin": "http://studio:7870"},
    "its name by multicast DNS": {"host": "Studio.local:7870", "origin": "http://studio.local:7870"},
    "a port forwarded by ssh": {"host": "localhost:9000", "origin": "http://localhost:9000"},
    "https by a proxy that keeps the name": {
        "host": "lora.example.org",
        "origin": "https://lora.example.org",
        "sec-fetch-site": "same-origin",
    },
    "https by a proxy that changes the name": {
        **LOCAL,
        "origin": "https://lora.example.org",
        "sec-fetch-site": "same-origin",
    },
    "a tunnel (--share, ngrok)": {
        "host": "0123abcd.gradio.live",
        "origin": "https://0123abcd.gradio.live",
        "sec-fetch-site": "same-origin",
    },
    "http by a proxy that says the name": {**LOCAL, "origin": "http://nas", "x-forwarded-host": "nas, inner"},
    "the port that http has anyway": {"host": "192.168.1.5:80", "origin": "http://192.168.1.5"},
}
FOREIGN = {
    "another site": {**LOCAL, "origin": "https://evil.example", "sec-fetch-site": "cross-site"},
    "another port of this machine": {**LOCAL, "origin": "http://127.0.0.1:8000", "sec-fetch-site": "same-site"},
    "another name of this machine": {**LOCAL, "origin": "http://localhost:7870", "sec-fetch-site": "cross-site"},
    "a sandboxed frame": {**LOCAL, "origin": "null"},
    "another site in the house's network": {"host": "192.168.1.5:7870", "origin": "http://evil.example"},
    "another port in the house's network": {"host": "192.168.1.5:7870", "origin": "http://192.168.1.5:80"},
    "a name that says it was forwarded": {
        "host": "192.168.1.5:7870",
        "origin": "http://6.6.6.6",
        "x-forwarded-host": "6.6.6.6",
    },
    "a name that leads here by DNS rebinding": {"host": "evil.example:7870", "origin": "http://evil.example:7870"},
    "a name that begins like ours": {"host": "localhost.evil.example", "origin": "http://localhost.evil.example"},
    "neither header": LOCAL,
    "nonsense": {"host": "[", "origin": "http://["},
    "no host": {"origin": "http://127.0.0.1:7870"},
}


@pytest.mark.parametrize("headers", OWN.values(), ids=OWN)
def test_the_page_itself_may_do_everything(headers: dict[str, str]) -> None:
    assert Rule().refusal(headers) == ""
    assert Rule().refusal_to_read(headers) == ""


@pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN)
def test_s5_nobody_else_may_do_anything(headers: dict[str, str]) -> None:
    assert "nothing was done" in Rule().refusal(headers)
    if headers is not LOCAL:  # a program reads without either; a browser's foreign page cannot see such an answer
        assert "nothing was done" in Rule().refusal_to_read(headers)


def test_s5_a_rebound_name_is_not_read_from_either() -> None:
    assert "'evil.example'" in Rule().refusal_to_read({"host": "evil.example:7870"})


def test_a_link_from_another_site_opens_the_page_but_a_frame_does_not() -> None:
    opened = {**LOCAL, "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert Rule().refusal_to_read(opened) == ""
    assert Rule().refusal_to_read({**opened, "sec-fetch-dest": "iframe"})
    assert Rule().refusal_to_read({**opened, "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"})


def test_a_public_name_over_plain_http_is_named_by_a_person() -> None:
    public = {"host": "lora.example.org:7870", "origin": "http://lora.example.org:7870"}
    changed = {"host": "127.0.0.1:7870", "origin": "http://lora.example.org"}
    told = Rule(frozenset({"lora.example.org"}), option="--lora-loop-host-name")
    assert "--lora-loop-host-name NAME" in Rule(option="--lora-loop-host-name").refusal(public)
    assert told.refusal(public) == told.refusal(changed) == told.refusal_to_read(public) == ""
    assert Rule(any_name=True).refusal(public) == ""  # who is logged in under a name owns it
    assert Rule(any_name=True).refusal(changed)


def answered(scope: Message, answer: list[Message]) -> list[Message]:
    """What a browser gets when the app behind the guard answers with `answer`."""
    sent: list[Message] = []

    async def app(_scope: Message, _receive: Any, send: Any) -> None:
        for message in answer:
            await send(message)

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request"}

    with ThreadPoolExecutor(1) as apart:  # the browser of other tests keeps a loop running in this thread
        apart.submit(asyncio.run, Guard(app, Rule())(scope, receive, send)).result()
    return sent


def request(headers: dict[str, str], method: str = "GET", kind: str = "http") -> Message:
    return {
        "type": kind,
        "method": method,
        "path": "/",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }


def page(status: int = 200, **headers: str) -> list[Message]:
    told = [(name.encode(), value.encode()) for name, value in headers.items()]
    return [
        {"type": "http.response.start", "status": status, "headers": told},
        {"type": "http.response.body", "body": b"page"},
    ]


def test_s5_the_guard_answers_itself_and_gives_no_cors_answer() -> None:
    for method in ("GET", "POST", "OPTIONS", "PUT", "DELETE"):
        start, body = answered(request(FOREIGN["another site"], method), page())
        assert start["status"] == 403
        assert not [name for name, _ in start["headers"] if name.startswith(b"access-control")]
        assert body["body"].startswith(b"This request did not come from this page")


def test_s5_a_foreign_websocket_is_closed_before_it_opens() -> None:
    refused = answered(request(FOREIGN["another site"], kind="websocket"), [{"type": "websocket.accept"}])
    assert [message["type"] for message in refused] == ["websocket.close"]
    own = answered(request(OWN["a browser on this machine"], kind="websocket"), [{"type": "websocket.accept"}])
    assert [message["type"] for message in own] == ["websocket.accept"]


def test_the_page_is_not_put_into_a_foreign_frame() -> None:
    start, body = answered(request(OWN["a browser on this machine"]), page())
    assert (b"content-security-policy", b"frame-ancestors 'self'") in start["headers"]
    assert body["body"] == b"page"


@pytest.mark.parametrize(
    "where", ["http://evil.example/", "//evil.example/", "\\\\evil.example", "javascript:alert(1)"]
)
def test_s5_no_answer_leads_to_another_address(where: str) -> None:
    start, *rest = answered(request(OWN["a browser on this machine"]), page(302, location=where))
    assert start["status"] == 403
    assert [message["body"] for message in rest] == [b"This page leads nowhere else."]


@pytest.mark.parametrize("where", ["/", "/login?next=/", "http://127.0.0.1:7870/config"])
def test_an_answer_may_lead_to_the_page_itself(where: str) -> None:
    assert answered(request(OWN["a browser on this machine"]), page(307, location=where))[0]["status"] == 307


def test_what_is_no_request_passes() -> None:
    assert answered({"type": "lifespan"}, [{"type": "lifespan.startup.complete"}])
