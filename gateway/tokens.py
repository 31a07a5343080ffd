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
    """Let a request pass that carries the token of the administrator.

    Raises
    ------
    UsageError
        Codes ``imports_closed`` (the server has no such token), ``token_missing``, ``token_wrong``.
    """
    expected = request.app[SETTINGS].admin_token_sha256
    if not expected:
        raise UsageError("this server takes and drops no catalogues over HTTP; open it by starting it with "
                         "CF_ADMIN_TOKEN_SHA256=$(printf %s TOKEN | sha256sum | cut -c1-64), or use cosmicflows catalog "
                         "import FILE on the server", code="imports_closed", where="Authorization")
    scheme, _, token = request.headers.get("Authorization", "").strip().partition(" ")
    token = token.strip()
    if scheme.lower() not in SCHEMES or not token:
        raise UsageError("catalogues are taken in and dropped only with the administrator's token; send the header "
                         "'Authorization: Bearer TOKEN'", code="token_missing", where="Authorization")
    presented = hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
    if not hmac.compare_digest(presented, expected.lower()):
        raise UsageError("this is not the administrator's token; its SHA-256 is not the one the server was started with",
                         code="token_wrong", where="Authorization")
