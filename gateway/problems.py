"""Errors become HTTP here and nowhere else: RFC 9457 problem JSON, a status for each code."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable

import orjson
from aiohttp import web

from cfcore.errors import BadParameter, CosmicFlowsError, DeadlineExceeded, InternalError, TransientError, UnknownName

log = logging.getLogger("gateway")

# Codes that do not take the status of their kind.
_STATUS: dict[str, int] = {
    "malformed_json": 400, "malformed_msgpack": 400, "bad_request": 400, "repeated_parameter": 400,
    "unknown_name": 404, "not_a_galaxy": 404, "not_found": 404, "unknown_flow_type": 404,
    "unknown_field": 404, "field_not_installed": 404, "method_not_allowed": 405, "not_acceptable": 406,
    "ambiguous_name": 409, "body_too_large": 413, "too_many_rows": 413, "wrong_content_type": 415,
    "no_worker": 503, "busy": 503, "draining": 503, "catalog_unavailable": 503}
_BY_KIND = {"usage": 422, "transient": 503, "timeout": 504, "fatal": 500}
_TITLES = {400: "Malformed request", 404: "Not found", 405: "Method not allowed", 406: "Not acceptable",
           409: "Ambiguous", 413: "Too large", 415: "Unsupported content type", 422: "Invalid value",
           500: "Internal error", 503: "Unavailable for now", 504: "Out of time"}
RETRY_AFTER_S = 2


def status_of(error: CosmicFlowsError) -> int:
    """Return the HTTP status of an error."""
    return _STATUS.get(error.code, _BY_KIND.get(error.kind, 500))


def problem(error: CosmicFlowsError, request_id: str | None = None) -> web.Response:
    """Return the problem-JSON answer of an error.

    The body has ``type``, ``title``, ``status``, ``detail``, ``code``, and where they apply ``where``, ``hint`` and
    the error's own facts (``suggestions``, ``known``, ``errors`` ...).
    """
    status = status_of(error)
    body: dict[str, object] = {
        "type": f"urn:cosmicflows:problem:{error.code}", "title": _TITLES.get(status, "Error"), "status": status,
        "detail": error.message, "code": error.code}
    for key, value in (("where", error.where), ("hint", error.hint), ("request_id", request_id)):
        if value is not None:
            body[key] = value
    body.update({k: v for k, v in error.extra.items() if k not in body})
    headers = {"Retry-After": str(RETRY_AFTER_S)} if status == 503 else {}
    return web.Response(body=orjson.dumps(body, default=str), status=status, headers=headers,
                        content_type="application/problem+json")


def from_http(exc: web.HTTPException, request: web.Request) -> CosmicFlowsError:
    """Translate what aiohttp itself refuses (unknown path, method, body size) into our errors."""
    if isinstance(exc, web.HTTPRequestEntityTooLarge):
        limit = request.client_max_size
        return BadParameter(f"the body is larger than the limit of {limit // 2**20} MiB; send it in parts",
                            code="body_too_large", where="body")
    if isinstance(exc, web.HTTPMethodNotAllowed):
        return BadParameter(f"{exc.method} is not offered at {request.path:.100}; use "
                            f"{', '.join(sorted(exc.allowed_methods))}", code="method_not_allowed")
    if isinstance(exc, web.HTTPNotFound):
        return UnknownName(f"there is nothing at {request.path:.100}; /openapi.json lists every address",
                           code="not_found")
    if exc.status < 500:
        return BadParameter(exc.reason or "the request cannot be read", code="bad_request")
    return InternalError("the request failed")


@web.middleware
async def middleware(request: web.Request,
                     handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.StreamResponse:
    """Answer every failure as problem JSON; an unknown one is a 500 with a request id and a line in our log."""
    try:
        response = await handler(request)
    except CosmicFlowsError as exc:
        response = problem(exc) if exc.kind != "fatal" else _unexpected(request, exc)
    except web.HTTPException as exc:
        if exc.status < 400:
            raise
        response = problem(from_http(exc, request))
        if isinstance(exc, web.HTTPMethodNotAllowed):
            response.headers["Allow"] = exc.headers["Allow"]
    except TimeoutError:
        response = problem(DeadlineExceeded("the answer did not come in time; ask for fewer rows at once"))
    except Exception as exc:
        response = _unexpected(request, exc)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Content-Security-Policy"] = "default-src 'self'"
    return response


def _unexpected(request: web.Request, exc: Exception) -> web.Response:
    request_id = secrets.token_hex(6)
    log.error("request %s %s %s failed", request_id, request.method, request.path[:200], exc_info=exc)
    return problem(InternalError(f"the fault is ours; it is logged as request {request_id}"), request_id)


def unavailable(what: str) -> TransientError:
    """Return the error of a service that cannot be reached."""
    return TransientError(f"{what} does not answer; try again in {RETRY_AFTER_S} seconds", code="catalog_unavailable")
