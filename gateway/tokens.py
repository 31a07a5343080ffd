"""Who may change what all users see, and look behind the front: whoever has the scope admin.

A server that knows no such user or token, and was started without one, is closed, and says how to open it.
"""

from __future__ import annotations

from aiohttp import web

from cfcore.errors import UsageError

from .callers import CALLERS, caller_of, missing

_OPEN = ("CF_ADMIN_TOKEN_SHA256=$(printf %s TOKEN | sha256sum | cut -c1-64), or make a token with: cosmicflows tokens new "
         "--scope admin")


async def require_admin(request: web.Request) -> None:
    """Let a request pass that may change the catalogues.

    Raises
    ------
    UsageError
        Codes ``imports_closed`` (nobody may), ``token_missing``, ``token_wrong``, ``scope_missing`` and those of `caller_of`.
    """
    await _require(request, UsageError(
        f"this server takes and drops no catalogues over HTTP; open it by starting it with {_OPEN}, or use cosmicflows catalog "
        "import FILE on the server", code="imports_closed", where="Authorization"), "catalogues are taken in and dropped only")


async def require_operator(request: web.Request) -> None:
    """Let a request pass that may look behind the front: at workers, hosts and the jobs of others.

    Raises
    ------
    UsageError
        Codes ``admin_closed`` (nobody may), ``token_missing``, ``token_wrong``, ``scope_missing`` and those of `caller_of`.
    """
    await _require(request, UsageError(f"this server has no administrator; start it with {_OPEN}. /v1/stats needs no token",
                                       code="admin_closed", where="Authorization"), "this is answered only")


async def _require(request: web.Request, closed: UsageError, only: str) -> None:
    if not request.app[CALLERS].has_admin():
        raise closed
    try:
        await caller_of(request, "admin")
    except UsageError as exc:
        if exc.code == "token_missing":
            raise missing(f"{only} with the token of an administrator") from None
        raise
