"""The error tree: every failure that may cross a module or a process, with a code, a kind and a way out.

CosmicFlowsError
├── UsageError             usage      the caller can mend it
│   ├── BadParameter                    a value is malformed or out of range
│   ├── UnknownName                     no such galaxy, field, frame
│   ├── Ambiguous                       more than one reading; the candidates are named
│   └── FieldRefused                    a file is not the field it claims to be
├── TransientError         transient  the same request may work later (no worker, full, draining)
├── DeadlineExceeded       timeout    the work did not end in its time
└── InternalError          fatal      ours: a bug, a broken store

HTTP status codes are decided in `gateway/problems.py` and nowhere else.
"""

from __future__ import annotations


class CosmicFlowsError(Exception):
    """Carry a failure as facts rather than as prose only.

    Parameters
    ----------
    message : str
        One sentence that names the value, the limit and the way out.
    code : str, optional
        Stable machine word such as ``"unknown_name"``; the class gives the default.
    where : str, optional
        The place in the request, such as ``"cz[3]"`` or ``"frame"``.
    hint : str, optional
        What to do next, when the message does not already say it.
    extra : dict, optional
        Further plain data for the answer (candidates, suggestions, limits).
    """

    kind: str = "fatal"
    default_code: str = "internal"

    def __init__(self, message: str, *, code: str | None = None, where: str | None = None,
                 hint: str | None = None, extra: dict[str, object] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.where = where
        self.hint = hint
        self.extra = extra or {}

    def as_dict(self) -> dict[str, object]:
        """Return the failure as plain data, as it travels between processes."""
        return {"kind": self.kind, "code": self.code, "message": self.message,
                "where": self.where, "hint": self.hint, "extra": self.extra}


class UsageError(CosmicFlowsError, ValueError):
    """Say that the request cannot be answered as it stands; the caller can mend it."""

    kind = "usage"
    default_code = "bad_request"


class BadParameter(UsageError):
    """Say that a parameter is malformed, out of range or contradicts another."""

    default_code = "bad_parameter"


class UnknownName(UsageError):
    """Say that a name (galaxy, field, frame, option) is not known."""

    default_code = "unknown_name"


class Ambiguous(UsageError):
    """Say that the request has more than one reading; `extra` names the candidates."""

    default_code = "ambiguous"


class FieldRefused(UsageError):
    """Say why a file is not the field it claims to be."""

    default_code = "field_refused"


class TransientError(CosmicFlowsError):
    """Say that the same request may succeed later."""

    kind = "transient"
    default_code = "unavailable"


class DeadlineExceeded(CosmicFlowsError):
    """Say that the work did not end within its time."""

    kind = "timeout"
    default_code = "deadline"


class InternalError(CosmicFlowsError):
    """Say that the fault is ours."""

    kind = "fatal"
    default_code = "internal"


def shown(number: float) -> str:
    """Return a number as a message names it: every digit that tells it from its neighbours, and no ``.0``."""
    return repr(float(number)).removesuffix(".0")


_BY_KIND: dict[str, type[CosmicFlowsError]] = {
    "usage": UsageError, "transient": TransientError, "timeout": DeadlineExceeded, "fatal": InternalError}


def from_dict(data: dict[str, object]) -> CosmicFlowsError:
    """Rebuild an error that crossed a process boundary as `as_dict` data."""
    cls = _BY_KIND.get(str(data.get("kind")), InternalError)
    extra = data.get("extra")
    return cls(str(data.get("message", "unknown failure")), code=str(data.get("code", cls.default_code)),
               where=_text(data.get("where")), hint=_text(data.get("hint")),
               extra=dict(extra) if isinstance(extra, dict) else None)


def from_status(status: int, message: str, *, code: str, where: object = None, hint: object = None,
                extra: dict[str, object] | None = None) -> CosmicFlowsError:
    """Rebuild an error that a server told as problem JSON, by the status of the answer.

    Parameters
    ----------
    status : int
        Of the answer, 400 or more.
    message, code, where, hint, extra
        As of `CosmicFlowsError`.
    """
    cls = _BY_STATUS.get(status) or (InternalError if status >= 500 else BadParameter)
    return cls(message, code=code, where=_text(where), hint=_text(hint), extra=extra)


_BY_STATUS: dict[int, type[CosmicFlowsError]] = {
    401: UsageError, 403: UsageError, 404: UnknownName, 408: TransientError, 409: UsageError, 410: UsageError,
    429: TransientError, 502: TransientError, 503: TransientError, 504: DeadlineExceeded}


def _text(value: object) -> str | None:
    return None if value is None else str(value)
