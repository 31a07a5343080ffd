"""Who may change what all users see: the one place that looks at the header Authorization.

The settings hold the SHA-256 of the token, never the token; what a client presents is hashed, compared in constant time and
forgotten.
"""

from __future__ import annotations

import hashlib
import hmac

from aiohttp import web

from cfcore.errors import UsageError

from .keys import SETTINGS

SCHEMES = ("token", "bearer")


def require_admin(request: web.Request) -> None:
    """Let a request pass that may change the catalogues.

    Raises
    ------
    UsageError
        Codes ``imports_closed`` (the server has no such token), ``token_missing``, ``token_wrong``.
    """
    _require(request, UsageError(
        "this server takes and drops no catalogues over HTTP; open it by starting it with CF_ADMIN_TOKEN_SHA256="
        "$(printf %s TOKEN | sha256sum | cut -c1-64), or use cosmicflows catalog import FILE on the server",
        code="imports_closed", where="Authorization"), "catalogues are taken in and dropped only")


def require_operator(request: web.Request) -> None:
    """Let a request pass that may look behind the front: at workers, hosts and the jobs of others.

    Raises
    ------
    UsageError
        Codes ``admin_closed`` (the server has no such token), ``token_missing``, ``token_wrong``.
    """
    _require(request, UsageError(
        "this server has no administrator; start it with CF_ADMIN_TOKEN_SHA256=$(printf %s TOKEN | sha256sum | cut -c1-64). "
        "/v1/stats needs no token", code="admin_closed", where="Authorization"), "this is answered only")


def _require(request: web.Request, closed: UsageError, only: str) -> None:
    expected = request.app[SETTINGS].admin_token_sha256
    if not expected:
        raise closed
    scheme, _, token = request.headers.get("Authorization", "").strip().partition(" ")
    token = token.strip()
    if scheme.lower() not in SCHEMES or not token:
        raise UsageError(f"{only} with the administrator's token; send the header 'Authorization: Bearer TOKEN'",
                         code="token_missing", where="Authorization")
    presented = hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
    if not hmac.compare_digest(presented, expected.lower()):
        raise UsageError("this is not the administrator's token; its SHA-256 is not the one the server was started with",
                         code="token_wrong", where="Authorization")
