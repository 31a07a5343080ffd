"""Which request is being answered: its id, and the trace it belongs to (W3C Trace Context), wherever the code has come to.

Both follow the task of the request by a context variable, so nothing in between has to hand them on.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from contextvars import ContextVar
from itertools import count

from multidict import istr

# as istr, names of headers are found twice as fast
REQUEST_ID, TRACEPARENT = istr("X-Request-Id"), istr("traceparent")
_OWN_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_TRACE = re.compile(r"(?!ff)([0-9a-f]{2})(-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2})(-.*)?")
_TRACE_MAX = 512


Visit = tuple[str, str]
"""A request: our id or the client's own, and its traceparent, empty when it sent none."""
_here: ContextVar[Visit] = ContextVar("visit", default=("", ""))
_prefix = secrets.token_hex(4)
_numbers = count(1)


def enter(headers: Mapping[str, str]) -> Visit:
    """Begin a request: take over its id and its traceparent where they are sound, else make an id."""
    asked, told = headers.get(REQUEST_ID), headers.get(TRACEPARENT)
    visit = (asked if asked is not None and _OWN_ID.fullmatch(asked) else f"{_prefix}-{next(_numbers):x}",
             "" if told is None else traceparent(told))
    _here.set(visit)
    return visit


def current() -> str:
    """Return the traceparent of the request being answered; empty when it has none, or outside of any request."""
    return _here.get()[1]


def request_id() -> str:
    """Return the id of the request being answered; a new one outside of any request."""
    return _here.get()[0] or f"{_prefix}-{next(_numbers):x}"


def traceparent(text: str) -> str:
    """Return a traceparent in the form of version 00; empty when it is none.

    A later version may say more after its four parts; only these four are understood, and passed on.

    References
    ----------
    W3C Trace Context, Recommendation of 23 November 2021, sections 3.2 and 4.
    """
    found = _TRACE.fullmatch(text.strip()) if len(text) <= _TRACE_MAX else None
    if found is None or (found[1] == "00" and found[3]):
        return ""
    return f"00{found[2]}"
