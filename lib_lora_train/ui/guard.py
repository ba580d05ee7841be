"""A layer around the page's server: only requests of the page itself get through, and no answer leads elsewhere.

Plain ASGI (https://asgi.readthedocs.io/en/latest/specs/www.html), so that it fits every generation of gradio. It must be
the outermost layer: gradio's own answers other sites' CORS questions before anything else sees them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from lib_lora_train.ui.origin import Rule

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

NOT_FRAMED = (b"content-security-policy", b"frame-ancestors 'self'")
ELSEWHERE = "This page leads nowhere else."
_READING = ("GET", "HEAD")
_VIOLATION = 1008


class Guard:
    """`app` for requests that `rule` lets through; others get 403 and a sentence."""

    def __init__(self, app: App, rule: Rule) -> None:
        self.app = app
        self.rule = rule

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        reads = scope["type"] == "http" and scope["method"] in _READING
        refused = self.rule.refusal_to_read(headers) if reads else self.rule.refusal(headers)
        if refused:
            await _refuse(scope, send, refused)
        elif scope["type"] == "websocket":
            await self.app(scope, receive, send)
        else:
            await self.app(scope, receive, _Answer(scope, headers, send))


class _Answer:
    """Passes an answer on, unless it sends the browser to another address."""

    def __init__(self, scope: Message, headers: Mapping[str, str], send: Send) -> None:
        self.scope = scope
        self.host = headers.get("host", "")
        self.send = send
        self.is_refused = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.is_refused = self._leads_elsewhere(message)
            if self.is_refused:
                await _refuse(self.scope, self.send, ELSEWHERE)
            else:
                await self.send({**message, "headers": [*message.get("headers", ()), NOT_FRAMED]})
        elif not self.is_refused:
            await self.send(message)

    def _leads_elsewhere(self, message: Message) -> bool:
        location = next((value for name, value in message.get("headers", ()) if name.lower() == b"location"), b"")
        # browsers read \ as /, and skip control characters
        text = "".join(sign for sign in location.decode("latin-1").replace("\\", "/") if sign > " ")
        try:
            parts = urlsplit(text)
        except ValueError:
            return True
        return bool(parts.scheme or parts.netloc) and (
            parts.scheme not in ("", "http", "https") or parts.netloc != self.host
        )


async def _refuse(scope: Message, send: Send, sentence: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": _VIOLATION, "reason": sentence[:100]})
        return
    body = b"" if scope["method"] == "HEAD" else sentence.encode()
    told = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(sentence.encode())).encode())]
    await send({"type": "http.response.start", "status": 403, "headers": told})
    await send({"type": "http.response.body", "body": body})
