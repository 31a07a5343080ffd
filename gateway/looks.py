"""What may be asked when somebody looks at jobs or changes words about them: waits, filters, times."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from multidict import CIMultiDictProxy
from pydantic import BeforeValidator, Field

from cfcore.errors import BadParameter

from .job_queries import AFTER_MAX, RUN_ID_MAX
from .job_view import stamp
from .queries import Format, Number, Strict, plain
from .watchers import WAIT_MAX_S

PHASES = ("PENDING", "QUEUED", "EXECUTING", "COMPLETED", "ERROR", "ABORTED")
WAIT_ASKED_MAX = 86_400.0


def _phases(text: str) -> tuple[str, ...]:
    words = tuple(word.strip().upper() for word in text.split(","))
    for word in words:
        if word not in PHASES:
            raise BadParameter(f"phase = {word!r:.80} is none of {', '.join(PHASES)}; several are separated by commas",
                               code="bad_parameter", where="phase", extra={"known": list(PHASES)})
    return words


def unix(text: str, where: str) -> float:
    """Return a time in ISO 8601 as seconds since 1970; without a zone it is UTC.

    Raises
    ------
    BadParameter
        Code ``bad_time``.
    """
    try:
        when = datetime.fromisoformat(text.strip())
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise BadParameter(f"{where} = {text!r:.80} is no time; write it in UTC as 2026-03-01T12:00:00Z", code="bad_time",
                           where=where) from None


class StreamQuery(Strict):
    """Query of GET /v1/jobs/{job}/events: there is nothing to choose."""


class JobQuery(Format):
    """Query of GET /v1/jobs/{job}."""

    wait: Number | None = Field(default=None, ge=0.0, le=WAIT_ASKED_MAX, description="Answer when the job has ended, or after so "
                                f"many seconds; more than {WAIT_MAX_S:g} are {WAIT_MAX_S:g}")
    wait_for: Literal["end", "change"] = Field(default="end", description="What to wait for: its end, or its next change")


class JobsQuery(Format):
    """Query of GET /v1/jobs."""

    limit: Annotated[int, BeforeValidator(plain), Field(ge=1, le=1000, description="Most jobs to list")] = 100
    after: Annotated[int, BeforeValidator(plain),
                     Field(ge=0, le=AFTER_MAX, description="List jobs older than this one")] | None = None
    phase: str | None = Field(default=None, max_length=100,
                              description="Only jobs in this phase, or in one of several, separated by commas")
    kind: Literal["distance", "velocity", "sightline"] | None = Field(default=None, description="Only jobs of this kind")
    face: Literal["v1", "queue", "uws"] | None = Field(default=None, description="Only jobs that came through this door")
    run_id: str | None = Field(default=None, max_length=RUN_ID_MAX, description="Only jobs of this name")
    since: str | None = Field(default=None, max_length=64, description="Only jobs made at this time or later; ISO 8601, UTC")
    until: str | None = Field(default=None, max_length=64, description="Only jobs made before this time")

    def only(self) -> dict[str, Any]:
        """Return the filters as `Shelf.rows` takes them; raises `BadParameter` (bad_parameter, bad_time)."""
        found: dict[str, Any] = {name: value for name in ("kind", "face", "run_id") if (value := getattr(self, name)) is not None}
        if self.phase is not None:
            found["phase"] = _phases(self.phase)
        for name in ("since", "until"):
            if (text := getattr(self, name)) is not None:
                found[name] = unix(text, name)
        return found


class ChangesBody(Format):
    """Body of PATCH /v1/jobs/{job}: what is given is changed, the rest stays."""

    destruction: str | None = Field(default=None, max_length=64, description="When the job is to be destroyed; ISO 8601, UTC")
    keep_days: Number | None = Field(default=None, description="The same, in days from now")
    run_id: str | None = Field(default=None, max_length=RUN_ID_MAX, description="A name of yours for the job; null: none")
    execution_duration: Number | None = Field(default=None, ge=0.0, le=3.2e7,
                                              description="Seconds from its start in which the job must end; 0: no limit")

    def changes(self, now: float, retention_days: float) -> dict[str, Any]:
        """Return what is to be changed, checked.

        Raises
        ------
        BadParameter
            Codes ``missing_parameter``, ``bad_parameter``, ``bad_time``, ``out_of_range``.
        """
        found: dict[str, Any] = {"run_id": self.run_id} if "run_id" in self.model_fields_set else {}
        if self.execution_duration is not None:
            found["execution_duration"] = self.execution_duration
        if self.destruction is not None and self.keep_days is not None:
            raise BadParameter("destruction and keep_days are both given; give one of them", code="bad_parameter",
                               where="keep_days")
        if self.keep_days is not None:
            if not 0.0 <= self.keep_days <= retention_days:
                raise BadParameter(f"keep_days = {self.keep_days:g} is not within 0 to {retention_days:g}, the days this server "
                                   "keeps a job; fetch the result, it stays yours", code="out_of_range", where="keep_days")
            found["destruction"] = now + 86_400.0 * self.keep_days
        if self.destruction is not None:
            when, latest = unix(self.destruction, "destruction"), now + 86_400.0 * retention_days
            if not now <= when <= latest:
                raise BadParameter(f"destruction = {self.destruction} is not within {_shown(now)} (now) and {_shown(latest)}: "
                                   f"this server keeps a job {retention_days:g} days; DELETE destroys it at once",
                                   code="out_of_range", where="destruction")
            found["destruction"] = when
        if not found:
            raise BadParameter("nothing is to be changed; give destruction or keep_days, run_id, or execution_duration",
                               code="missing_parameter", where="body")
        return found


def preferred_wait(headers: CIMultiDictProxy[str]) -> int:
    """Return the seconds of the header ``Prefer: wait=N``, at most those that are granted; 0 without a sound one.

    References
    ----------
    RFC 7240 (2014), sections 2 and 4.3: the first of repeated preferences counts, one that is not understood is ignored.
    """
    for entry in ",".join(headers.getall("Prefer", ())).split(","):
        name, _, value = entry.partition(";")[0].partition("=")
        if name.strip().lower() == "wait":
            text = value.strip().strip('"')
            return min(int(text), int(WAIT_MAX_S)) if text.isascii() and text.isdecimal() and len(text) < 10 else 0
    return 0


def _shown(seconds: float) -> str:
    return str(stamp(seconds, "seconds"))
