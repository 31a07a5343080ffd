"""Errors become HTTP here and nowhere else: RFC 9457 problem JSON, a status for each code."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import orjson
from aiohttp import web
from aiohttp.http_exceptions import (
    BadHttpMethod,
    ContentEncodingError,
    InvalidURLError,
    LineTooLong,
    PayloadEncodingError,
)

from cfcore.errors import BadParameter, CosmicFlowsError, DeadlineExceeded, InternalError, TransientError, UnknownName

from . import tracing

log = logging.getLogger("gateway")

# Codes that do not take the status of their kind.
_STATUS: dict[str, int] = {
    "malformed_json": 400, "malformed_msgpack": 400, "bad_request": 400, "repeated_parameter": 400,
    "unknown_name": 404, "not_a_galaxy": 404, "not_found": 404, "unknown_flow_type": 404,
    "unknown_field": 404, "field_not_installed": 404, "unknown_catalog": 404,
    "token_missing": 401, "token_wrong": 401, "token_expired": 401, "password_wrong": 401, "scope_missing": 403,
    "imports_closed": 403, "admin_closed": 403, "cross_site": 403,
    "unknown_worker": 404, "method_not_allowed": 405, "not_acceptable": 406,
    "ambiguous_name": 409, "request_timeout": 408, "body_too_large": 413, "too_many_rows": 413, "wrong_content_type": 415,
    "wrong_content_encoding": 415, "expectation_failed": 417, "headers_too_large": 431, "unknown_method": 501,
    "too_many_connections": 503, "no_worker": 503, "busy": 503, "draining": 503, "catalog_unavailable": 503,
    "unknown_job": 404, "unknown_record": 404, "idempotency_conflict": 409, "not_finished": 409, "job_failed": 409,
    "not_releasable": 409, "already_ended": 409, "job_gone": 410, "owner_full": 429, "too_many_pending": 429,
    "unknown_version": 404, "unknown_preview": 404, "unknown_result": 404, "unknown_asset": 404, "page_not_built": 404,
    "changed": 412, "bad_range": 416, "unknown_share": 404,
    "unknown_table": 404, "too_many_uploads": 429, "too_many_streams": 429,
    "callback_refused": 422, "callback_unresolved": 503,
    "too_many_requests": 429, "too_many_attempts": 429, "over_budget": 413, "accounts_unavailable": 503}
_BY_KIND = {"usage": 422, "transient": 503, "timeout": 504, "fatal": 500}
_TITLES = {400: "Malformed request", 401: "Token needed", 403: "Not allowed", 404: "Not found", 405: "Method not allowed",
           406: "Not acceptable", 408: "Too slow", 409: "Conflict", 410: "Gone", 429: "Too many requests",
           412: "Changed", 413: "Too large", 415: "Unsupported content type", 422: "Invalid value",
           416: "No such part", 417: "Expectation failed", 431: "Headers too large", 501: "Unknown method",
           500: "Internal error", 503: "Unavailable for now", 504: "Out of time"}
_CHALLENGE = 'Bearer realm="cosmicflows", Basic realm="cosmicflows", charset="UTF-8"'
# RFC 6750 section 3.1, RFC 7617 section 2.1
_CHALLENGES = {**dict.fromkeys(("token_wrong", "token_expired"), 'Bearer realm="cosmicflows", error="invalid_token"'),
               "password_wrong": 'Basic realm="cosmicflows", charset="UTF-8"'}
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
    wait = str(error.extra.get("retry_after_s", RETRY_AFTER_S))
    headers = {503: {"Retry-After": wait}, 429: {"Retry-After": wait},
               401: {"WWW-Authenticate": _CHALLENGES.get(error.code, _CHALLENGE)}}.get(status)
    response = web.Response(body=orjson.dumps(body, default=str), status=status, headers=headers,
                            content_type="application/problem+json")
    if status == 408:
        response.force_close()  # what is still to come of the request must not be read as the next one
    return response


def from_parser(exc: BaseException | None) -> CosmicFlowsError:
    """Translate what the HTTP parser refuses before there is a request."""
    text = str(getattr(exc, "message", "")).partition("\n")[0].strip(" :.")[:200]
    if isinstance(exc, LineTooLong):
        return BadParameter(f"the address or a header has more than {exc.args[1]} bytes; shorten it",
                            code="headers_too_large")
    if text == "Too many headers received":
        return BadParameter("there are too many headers; leave some out", code="headers_too_large")
    if isinstance(exc, BadHttpMethod):
        return BadParameter("the request does not begin with a method this server knows; use GET, HEAD or POST, and "
                            "http:// in the address", code="unknown_method")
    if isinstance(exc, ContentEncodingError) and text.startswith("Can not decode"):
        return wrong_encoding("zstd" if "zstandard" in text else "br")
    if isinstance(exc, PayloadEncodingError):
        return unreadable_body()
    if isinstance(exc, InvalidURLError) or " in url" in text:
        return BadParameter("the address cannot be read; send every character beyond ASCII percent-encoded, as UTF-8",
                            code="bad_request")
    return BadParameter(f"the request is not sound HTTP: {text or 'it cannot be read'}", code="bad_request")


def wrong_encoding(encoding: str) -> BadParameter:
    """Return the refusal of a body that is compressed in a way we do not read."""
    return BadParameter(f"content encoding {encoding!r:.80} cannot be read; send the body as it is, or with gzip or deflate",
                        code="wrong_content_encoding", where="Content-Encoding")


def unreadable_body() -> BadParameter:
    """Return the refusal of a body whose bytes break off or cannot be unpacked."""
    return BadParameter("the body cannot be read: it is not what its Content-Encoding or its length says",
                        code="bad_request", where="body")


def from_http(exc: web.HTTPException, request: web.BaseRequest) -> CosmicFlowsError:
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
    if isinstance(exc, web.HTTPExpectationFailed):
        return BadParameter("the header Expect asks for what is not offered; leave it out", code="expectation_failed")
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
        response = problem(exc) if exc.kind != "fatal" else unexpected(request, exc)
    except web.HTTPException as exc:
        if exc.status < 400:
            raise
        response = problem(from_http(exc, request))
        if isinstance(exc, web.HTTPMethodNotAllowed):
            response.headers["Allow"] = exc.headers["Allow"]
    except TimeoutError:
        response = problem(DeadlineExceeded("the answer did not come in time; ask for fewer rows at once"))
    except Exception as exc:
        response = unexpected(request, exc)
    response.headers["X-Content-Type-Options"] = "nosniff"
    # the page says more precisely what it may load
    response.headers.setdefault("Content-Security-Policy", "default-src 'self'")
    return response


def unexpected(request: web.BaseRequest, exc: BaseException | None) -> web.Response:
    """Log a fault of ours with its traceback, and answer with the id of the request."""
    fault = logged(request, exc)
    return problem(fault, tracing.request_id())


def logged(request: web.BaseRequest, exc: BaseException | None) -> InternalError:
    """Log a fault of ours with its traceback; return the error that names the line to the client."""
    request_id = tracing.request_id()
    log.error("request %s %s %s failed", request_id, request.method, _shown(request.path), exc_info=exc,
              extra={"req_id": request_id})
    return InternalError(f"the fault is ours; it is logged as request {request_id}")


def _shown(path: str) -> str:
    """Return an address as it may stand in a log: one that is a secret without that."""
    return "/v1/shared/..." if path.startswith("/v1/shared/") else path[:200]


def unavailable(what: str) -> TransientError:
    """Return the error of a service that cannot be reached."""
    return TransientError(f"{what} does not answer; try again in {RETRY_AFTER_S} seconds", code="catalog_unavailable")
