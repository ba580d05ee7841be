"""Tells an address of the person's own that a job has ended: one POST of JSON, without anything secret."""

from __future__ import annotations

import http.client
import json
import threading
import urllib.parse
import urllib.request
from typing import Any

from lib_lora_train.train.errors import ConfigError

LIMIT_S = 5.0
MOST_ADDRESS = 2000


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """An address that leads elsewhere was not the one that the person gave: the redirect stays the error that it is."""

    def redirect_request(self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: Any) -> None:
        return None


def checked(address: str) -> str:
    """The address, if one may post to it. Raises ConfigError: http and https only, no user names or passwords."""
    try:
        parts = urllib.parse.urlsplit(address)
        port = parts.port
    except ValueError as error:
        raise ConfigError(
            f"The notification's address cannot be read ({error}); write it as https://example.org/path."
        ) from error
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ConfigError("The notification's address must begin with https:// or http:// and name a host.")
    if parts.username is not None or parts.password is not None:
        raise ConfigError(
            "The notification's address must not hold a user name or password: they would be written down with the job."
        )
    if len(address) > MOST_ADDRESS or any(ord(sign) <= 32 or ord(sign) > 126 for sign in address):
        raise ConfigError("The notification's address holds signs that an address cannot hold, or is too long.")
    return address


def send(address: str, name: str, status: str, message: str) -> str:
    """Post {"name", "status", "message", "text"}; gives an empty text, or one sentence on why it did not arrive.

    Takes LIMIT_S at most, whatever the other side does, and follows no redirect. Never raises.
    """
    answer = [f"The notification was not taken within {LIMIT_S:.0f} s; the job itself is not touched by that."]
    body = {
        "name": name,
        "status": status,
        "message": message,
        "text": f"{name}: {status}. {message}",  # what Slack shows, and the next what Discord does
        "content": f"{name}: {status}. {message}"[:1900],
    }
    thread = threading.Thread(target=lambda: answer.__setitem__(0, _post(address, body)), daemon=True)
    thread.start()
    thread.join(LIMIT_S)
    return answer[0]


def _post(address: str, body: dict[str, str]) -> str:
    try:
        request = urllib.request.Request(
            checked(address),
            data=json.dumps(body).encode("utf-8"),
            headers={"Content-Type": "application/json", "User-Agent": "LoRA-Loop"},
            method="POST",
        )
        with urllib.request.build_opener(_NoRedirects).open(request, timeout=LIMIT_S):
            return ""
    except ConfigError as error:
        return str(error)
    except (OSError, ValueError, http.client.HTTPException) as error:
        return f"The notification could not be delivered ({str(error)[:200]}); the job itself is not touched by that."
