"""Whether a request was sent by the page itself: a web page of another address must neither drive nor read ours.

A browser says who sends a request in headers that no script can set: `Sec-Fetch-Site` (only to https and to this very
machine, https://www.w3.org/TR/fetch-metadata/) and `Origin`. DNS rebinding makes a stranger's name lead to this
machine, so that its pages have the same origin as ours; they are told apart by the name. Standard library only.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from urllib.parse import urlsplit

FOREIGN = (
    "This request did not come from this page, so nothing was done. Reload the page; behind a proxy that changes the "
    "host name, start with {option} NAME, the name in the browser's address bar."
)
STRANGE_NAME = (
    "This page is not known under the name {name!r}, so nothing was done. Open it by the machine's address, or start "
    "with {option} NAME, the name in the browser's address bar."
)
PRIVATE = (".localhost", ".local", ".lan", ".home.arpa", ".internal")
"""Ends of names that no public name server answers."""
_OWN_SITES = ("same-origin", "none")
_PORTS = {"http": 80, "https": 443}
_FORWARDED = "x-forwarded-host"


@dataclass(frozen=True)
class Rule:
    """Who may send requests. All headers are given by their names in lower case, or in any case by a mapping that ignores it."""

    names: frozenset[str] = frozenset()
    """Host names, in lower case, that a person gave: pages under them are the page itself."""
    any_name: bool = False
    """Whether strangers' names are harmless: the page asks for a password, which a browser keeps for each name."""
    option: str = "--host-name"
    """What a person gives `names` with, for the sentences."""

    def refusal(self, headers: Mapping[str, str]) -> str:
        """Why a request that does something is refused, "" when it comes from the page itself."""
        site = headers.get("sec-fetch-site")
        if site is not None:
            return "" if site in _OWN_SITES else self._foreign()
        if not self._is_own(headers.get("origin", "null"), headers):
            return self._foreign()
        return self._of_name(_authority(headers.get("origin", ""))[0])

    def refusal_to_read(self, headers: Mapping[str, str]) -> str:
        """The same for a request that only reads: a link from another site may open the page, and programs send no origin."""
        site = headers.get("sec-fetch-site")
        if site is None and "origin" in headers:
            return self.refusal(headers)
        if site is None:
            return self._of_name(_host(headers.get("host", ""))[0])
        if site in _OWN_SITES:
            return ""
        opened = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
        return "" if opened else self._foreign()

    def _foreign(self) -> str:
        return FOREIGN.format(option=self.option)

    def _is_own(self, origin: str, headers: Mapping[str, str]) -> bool:
        """Whether a page of `origin` was served under the name that the request asks for."""
        name, port, scheme = _authority(origin)
        if not name:
            return False
        if name in self.names:
            return True
        host = _host(headers.get("host", ""))
        asked = [host]
        if _is_loopback(host[0]):  # a browser that asks loopback itself sends Sec-Fetch-Site, so this came by a proxy
            asked += [_host(one.strip()) for one in headers.get(_FORWARDED, "").split(",")]
        default = _PORTS.get(scheme)
        return any((name, port or default) == (one, number or default) for one, number in asked)

    def _of_name(self, name: str) -> str:
        known = bool(name) and (self.any_name or name in self.names or _is_private(name) or name == _full_name())
        return "" if known else STRANGE_NAME.format(name=name[:100], option=self.option)


def _authority(origin: str) -> tuple[str, int | None, str]:
    """Name, port and scheme of an origin; an empty name for "null" and whatever else is none."""
    try:
        parts = urlsplit(origin)
        return (parts.hostname or "").rstrip("."), parts.port, parts.scheme
    except ValueError:
        return "", None, ""


def _host(text: str) -> tuple[str, int | None]:
    """Name and port of a Host header."""
    return _authority(f"//{text}")[:2]


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _is_loopback(name: str) -> bool:
    address = _address(name)
    return name == "localhost" or (address is not None and address.is_loopback)


def _is_private(name: str) -> bool:
    """Whether `name` cannot have been bought by a stranger: an address, a name without dots, a private domain."""
    return _address(name) is not None or "." not in name or name.endswith(PRIVATE)


@cache
def _full_name() -> str:
    return socket.getfqdn().lower()
