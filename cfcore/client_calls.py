"""What a client says to a server and makes of the answers, without a socket: `client` has the two drivers that do the sending.

An operation is a generator. It yields `Call` (send this), `Pause` (wait) or `Work` (do this, it takes time and blocks), is sent
the `Reply` or the value, and returns what the user gets. So patience, refusals and the order of things are written once for the
synchronous and the asynchronous client. Tables and files are the business of `client_tables`.
"""

from __future__ import annotations

import email.utils
import json
import random
import time
import uuid
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from . import errors
from .errors import CosmicFlowsError, DeadlineExceeded, TransientError, UsageError

T = TypeVar("T")
ENDED = ("COMPLETED", "ERROR", "ABORTED", "ARCHIVED")
FIRST_TRIES = 3
"""Tries at an address that has never answered: it is more likely mistyped than restarting."""
BACKOFF_S, LONGEST_BACKOFF_S = 0.25, 8.0
HELD_S = 20
"""How long the server is asked to hold a question for news of a job; with a progress bar, `WATCHED_S`."""
WATCHED_S = 1
POLL_S, LONGEST_POLL_S = 0.05, 1.0
PAGE = 200
_KEPT = ("type", "title", "detail", "code", "where", "hint")


class Sink(Protocol):
    """Take the body of a good answer as it comes."""

    received: int
    """Bytes that are safe."""

    def headers(self) -> dict[str, str]:
        """Return what a request must say to bring the rest."""

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Look at the head of the answer."""

    def write(self, piece: bytes) -> None:
        """Take some of its bytes."""


@dataclass(frozen=True, slots=True)
class Call:
    """Describe one request; a body that is a path is streamed from the disk."""

    method: str
    path: str
    query: Mapping[str, object] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Path | None = None
    sink: Sink | None = None
    timeout_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Reply:
    """Hold an answer; status 0: there was none, or it broke off, and `reason` says why."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Pause:
    """Ask the driver to wait."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Work:
    """Ask the driver to run a function that may take long, and send its value."""

    run: Callable[[], Any]


Steps = Generator[Call | Pause | Work, Any, T]
Told = Callable[[dict[str, Any]], None]


@dataclass(slots=True)
class Server:
    """What is known of the other side.

    Parameters
    ----------
    url : str
    patience_s : float
        How long one request is tried again while the server is unreachable, restarting, full or asks to wait.
    has_answered : bool
        Until the first answer patience ends after `FIRST_TRIES`.
    """

    url: str
    patience_s: float
    has_answered: bool = False


def ask(server: Server, call: Call, patience_s: float | None = None) -> Steps[Reply]:
    """Send a request until it is answered or patience ends; each request here may be sent twice without harm.

    Raises
    ------
    CosmicFlowsError
        The refusal in the server's words, or code ``server_unreachable``.
    """
    patience = server.patience_s if patience_s is None else min(server.patience_s, patience_s)
    begin, tries, received = time.monotonic(), 0, 0
    while True:
        reply: Reply = yield call
        tries += 1
        if call.sink is not None and call.sink.received > received:
            # a download that gets on is not hopeless, however often it is cut
            begin, tries, received = time.monotonic(), 1, call.sink.received
        if reply.status:
            server.has_answered = True
        if 200 <= reply.status < 300 or reply.status == 304:
            return reply
        if reply.status == 0:
            error: CosmicFlowsError = TransientError(
                f"the server {server.url} does not answer ({reply.reason}); check the address and whether it runs",
                code="server_unreachable")
            is_passing = server.has_answered or tries < FIRST_TRIES
        else:
            error = refusal(server.url, reply)
            is_passing = isinstance(error, TransientError)
        pause = pause_of(reply, tries)
        if not is_passing or time.monotonic() - begin + pause > patience:
            raise error
        yield Pause(pause)


def pause_of(reply: Reply, tries: int, spread: Callable[[], float] = random.random) -> float:
    """Return how long to wait before the next try: what Retry-After says and a little more, or twice as long each time.

    Many clients that lost the same server must not come back in the same moment, so a part of it is chance.
    """
    asked = retry_after(reply.headers.get("retry-after"))
    if asked is not None:
        return asked + min(1.0, 0.25 * asked + 0.05) * spread()
    longest = min(BACKOFF_S * 2.0 ** (tries - 1), LONGEST_BACKOFF_S)
    return longest * (0.5 + 0.5 * spread())


def retry_after(text: str | None) -> float | None:
    """Return the seconds of a header Retry-After, in either of its forms; None when there is none that can be read."""
    if not text:
        return None
    if text.strip().isdecimal():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def refusal(url: str, reply: Reply) -> CosmicFlowsError:
    """Return the error that a refusing answer tells, with its code, place and hint."""
    try:
        data = json.loads(reply.body)
        detail, code = str(data["detail"]), str(data["code"])
    except (ValueError, KeyError, TypeError):
        if reply.status in (429, 502, 503, 504):
            return TransientError(f"the server {url} answers {reply.status}; try again later", code="unavailable",
                                  extra={"status": reply.status})
        if reply.status in (301, 302, 307, 308):
            return UsageError(f"{url} sends on to {reply.headers.get('location', 'another address')!r:.200}; give the address "
                              "that answers itself", code="not_our_server", where="url")
        return UsageError(f"{url} answers {reply.status}, not as a Cosmic Flows server does; check the address",
                          code="not_our_server", where="url", extra={"status": reply.status})
    extra = {k: v for k, v in data.items() if k not in _KEPT} | {"status": reply.status}
    asked = retry_after(reply.headers.get("retry-after"))
    if asked is not None:
        extra.setdefault("retry_after_s", asked)
    return errors.from_status(reply.status, detail, code=code, where=data.get("where"), hint=data.get("hint"), extra=extra)


def answer(server: Server, call: Call, patience_s: float | None = None) -> Steps[dict[str, Any]]:
    """Ask for an object in JSON."""
    reply = yield from ask(server, call, patience_s)
    try:
        data = json.loads(reply.body)
    except ValueError:
        data = None
    if not isinstance(data, dict):
        raise UsageError(f"{server.url} answers, but not as a Cosmic Flows server does; check the address", code="not_our_server",
                         where="url")
    return data


def submit(server: Server, prepare: Callable[[], tuple[bytes | Path, dict[str, str], dict[str, object]]],
           ) -> Steps[dict[str, Any]]:
    """Submit a job once, however often the request must be sent."""
    body, headers, query = yield Work(prepare)
    # one key for all tries of one submission: the server knows a request it has already accepted
    return (yield from answer(server, Call("POST", "/v1/jobs", query, {**headers, "Idempotency-Key": uuid.uuid4().hex}, body,
                                           timeout_s=300.0)))


def status(server: Server, job: int) -> Steps[dict[str, Any]]:
    """Ask how far a job is."""
    return (yield from answer(server, Call("GET", f"/v1/jobs/{job}")))


def cancel(server: Server, job: int) -> Steps[dict[str, Any]]:
    """End a job; the rows that are done stay."""
    return (yield from answer(server, Call("POST", f"/v1/jobs/{job}/cancel")))


def delete(server: Server, job: int) -> Steps[None]:
    """Destroy a job; that it is gone already is no fault."""
    try:
        yield from ask(server, Call("DELETE", f"/v1/jobs/{job}"))
    except UsageError as error:
        if error.code != "job_gone":
            raise


def listed(server: Server, limit: int | None, filters: Mapping[str, object]) -> Steps[list[dict[str, Any]]]:
    """List jobs, newest first, page by page."""
    found: list[dict[str, Any]] = []
    after: object = None
    while limit is None or len(found) < limit:
        size = PAGE if limit is None else min(PAGE, limit - len(found))
        query = {**filters, "limit": size, **({} if after is None else {"after": after})}
        page = yield from answer(server, Call("GET", "/v1/jobs", query))
        found += page["jobs"]
        after = page["after"]
        if after is None:
            break
    return found


def wait(server: Server, job: int, told: Told | None, timeout_s: float | None) -> Steps[dict[str, Any]]:
    """Wait for the end of a job, over restarts of the server.

    Raises
    ------
    DeadlineExceeded
        Code ``wait_timeout``; the job goes on.
    CosmicFlowsError
        Code ``server_unreachable`` when the server stays away for longer than patience; the job's own error when it failed.
    """
    begin, pause, before = time.monotonic(), POLL_S, None
    held = HELD_S if told is None else WATCHED_S
    while True:
        left = None if timeout_s is None else timeout_s - (time.monotonic() - begin)
        seconds = held if left is None else max(0, min(held, int(left)))
        if told is not None and before is None:
            seconds = 0  # who watches sees at once where it stands
        asked = time.monotonic()
        # a server that cannot hold the question answers at once, and is asked again after the pause
        headers = {"Prefer": f"wait={seconds}"} if seconds else {}
        view = yield from answer(server, Call("GET", f"/v1/jobs/{job}", headers=headers, timeout_s=seconds + 30.0), left)
        if told is not None:
            told(view)
        if view["phase"] in ENDED:
            break
        seen = view["phase"], view["rows_done"]
        pause, before = (POLL_S if seen != before else min(1.5 * pause, LONGEST_POLL_S)), seen
        if timeout_s is not None and time.monotonic() - begin >= timeout_s:
            raise DeadlineExceeded(
                f"job {job} is {view['phase']} after {timeout_s:g} s, {view['rows_done']} of {view['rows_total']} rows are done; "
                f"it goes on: wait again, or later with client.job({job})", code="wait_timeout", where="timeout",
                extra={"job": job, "phase": view["phase"]})
        rest = pause - (time.monotonic() - asked)
        if timeout_s is not None:
            rest = min(rest, timeout_s - (time.monotonic() - begin))
        if rest > 0:
            yield Pause(rest)
    if view["phase"] == "ERROR":
        raise failed(view)
    return view


def failed(view: Mapping[str, Any]) -> CosmicFlowsError:
    """Return the error of a job that ended as ERROR."""
    error = view.get("error") or {}
    code = str(error.get("code") or "job_failed")
    kind = {"deadline": DeadlineExceeded, "crashed": errors.InternalError}.get(code, UsageError)
    return kind(f"job {view['id']} failed: {error.get('detail') or 'the server gives no reason'}", code=code, where="job",
                extra={"job": view["id"]})
