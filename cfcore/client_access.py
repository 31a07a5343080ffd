"""Where a client's server is, and as whom it is asked: arguments first, then ``CF_SERVER`` and ``CF_TOKEN``."""

from __future__ import annotations

import os
import urllib.parse
from types import ModuleType

from .errors import BadParameter, UsageError

LOCAL = "http://127.0.0.1:5000"


def who(url: str | None, token: str | None, user: str | None, password: str | None) -> tuple[str, str | None]:
    """Return the address and the token to present there, None for the one of a user or for none.

    Raises
    ------
    BadParameter
        When the address is none, or several ways of logging in are given.
    """
    default = os.environ.get("CF_SERVER")
    address = address_of(url or default or LOCAL)
    if user is not None:
        if token is not None:
            raise BadParameter("both a token and a user are given; give one", code="bad_parameter", where="token")
        return address, None
    if password is not None:
        raise BadParameter("a password is given, but no user", code="bad_parameter", where="user")
    if token is None and (not default or address_of(default) == address):
        token = os.environ.get("CF_TOKEN")
    if token is not None and not (token.isascii() and token.isprintable()):
        raise BadParameter("the token holds what no token holds (a line end?); copy it again", code="bad_parameter",
                           where="token")
    return address, token


def address_of(url: str) -> str:
    """Return an address as requests are built on it."""
    parts = urllib.parse.urlsplit(url.strip())
    try:
        named = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        named = False
    if parts.scheme not in ("http", "https") or not named or parts.query or parts.fragment or "@" in parts.netloc:
        # an address with a password in it is refused, and not repeated
        raise BadParameter(f"{'the address' if '@' in url else repr(url[:120])} is not the address of a server; write "
                           "https://HOST, https://HOST/PATH or http://HOST:PORT, and give user and password apart",
                           code="bad_server", where="url")
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))


def httpx_module() -> ModuleType:
    """Import httpx, or say what brings it."""
    try:
        import httpx
    except ModuleNotFoundError:
        raise UsageError("the client needs httpx, which is not installed; pip install 'cosmicflows[client]' brings it",
                         code="missing_library") from None
    return httpx
