"""Refusals as clients of the queue expect them: {field: [text]} or {detail: text}, never problem JSON."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import orjson
from aiohttp import web

from cfcore.errors import CosmicFlowsError, DeadlineExceeded

from .. import problems

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
RETRY_S = 10
_UNKNOWN = {"token_missing": "Authentication credentials were not provided.", "token_wrong": "Invalid token.",
            "token_expired": "Invalid token.", "password_wrong": "Invalid username/password."}
"""Code -> the protocol's own sentence, which clients compare."""
_DETAILS = (403, 404, 405, 413, 415)
_ABOUT_FIELDS = ("unknown_name", "not_a_galaxy", "unknown_field", "field_not_installed", "ambiguous_name")
"""Refusals with a status of their own elsewhere, that here say what is wrong with a field."""


def shaped(handler: Handler) -> Handler:
    """Return a handler whose refusals and failures have the shape of this protocol."""
    @functools.wraps(handler)
    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPException:
            raise
        except CosmicFlowsError as exc:
            return refusal(problems.logged(request, exc) if exc.kind == "fatal" else exc)
        except TimeoutError:
            return refusal(DeadlineExceeded("the answer did not come in time; try again"))
        except Exception as exc:
            return refusal(problems.logged(request, exc))
    return answer


def refusal(error: CosmicFlowsError) -> web.Response:
    """Return the answer of an error."""
    status = 400 if error.code in _ABOUT_FIELDS else problems.status_of(error)
    seconds = error.extra.get("retry_after_s", RETRY_S)
    if error.code in _UNKNOWN:
        sentence = _UNKNOWN[error.code]
        why = {} if error.code == "token_missing" else {"why": error.message}
        return answer({"detail": sentence, **why}, 401, {"WWW-Authenticate": 'Basic realm="cosmicflows"'})
    if status == 429:
        # clients look for "available in N seconds", and sleep that long
        return answer({"detail": f"Request was throttled. Expected available in {seconds} seconds.", "why": error.message}, 429,
                      {"Retry-After": str(seconds)})
    if status >= 500:
        return answer({"detail": error.message}, status, {"Retry-After": str(seconds)} if status == 503 else {})
    if status in _DETAILS or error.code in ("malformed_json", "bad_request"):
        return answer({"detail": error.message}, status)
    if error.where == "radeclist":
        return answer({"radeclist": error.message}, 400)
    return answer({error.where or "non_field_errors": [error.message]}, 400)


def answer(data: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """Return data as JSON, whatever the client accepts."""
    return web.Response(body=orjson.dumps(data), status=status, content_type="application/json", headers=headers)


def not_allowed(methods: Iterable[str]) -> Handler:
    """Return what answers all methods that an address of this face does not have; these it has."""
    allowed = ", ".join(sorted(methods))

    async def refuse(request: web.Request) -> web.Response:
        return answer({"detail": f'Method "{request.method:.20}" not allowed.'}, 405, {"Allow": allowed})
    return refuse


async def with_slash(request: web.Request) -> web.Response:
    """Send whoever left out the slash at the end there; method and body stay."""
    url = request.rel_url
    return web.Response(status=308, headers={"Location": f"{url.raw_path}/" + (f"?{url.raw_query_string}"
                                                                               if url.raw_query_string else "")})
