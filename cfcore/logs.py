"""How the services write their logs: lines of text for people, or one JSON object a line for machines.

What a line is about (request, job, worker ...) is passed as ``extra=`` with the names of `FACTS`; both forms show it. Nothing
else of a record's extras is written, so that no payload gets into a log by accident, and what looks like a secret is masked.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TextIO

from .settings import LOG_FORMAT

FACTS = ("req_id", "trace", "route", "code", "job", "attempt", "class", "worker", "field", "kind", "rows", "ms", "why",
         "left_out")
"""``class`` is no name Python takes as a keyword: ``extra={"class": "bulk"}`` is how it is said."""
LINE_MAX = 8_000
VALUE_MAX = 200
_MASKED = "***"
_SECRETS = (
    (re.compile(r"(?i)(\bauthorization['\"]?\s*[:=]\s*['\"]?)(?:(?:bearer|token|basic)\s+)?[^\s'\",]+"), r"\1" + _MASKED),
    (re.compile(r"(?i)\b(bearer)\s+[^\s'\",]+"), r"\1 " + _MASKED),
    (re.compile(r"(\w://[^\s:/@]*:)[^\s@]+@"), r"\1" + _MASKED + "@"),
    (re.compile(r"(?i)\b(token|password|passwd|secret)=[^\s&'\",]+"), r"\1=" + _MASKED))


class JsonFormatter(logging.Formatter):
    """Write a record as one line of JSON: ts (UTC), level, logger, msg, the facts, and the traceback of a fault."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, object] = {"ts": _moment(record.created), "level": record.levelname.lower(), "logger": record.name,
                                   "msg": masked(record.getMessage())[:LINE_MAX], **dict(facts(record))}
        if record.exc_info:
            # the end of a traceback says what happened
            line["exc"] = masked(self.formatException(record.exc_info))[-LINE_MAX:]
        return json.dumps(line, ensure_ascii=False, default=str)


class TextFormatter(logging.Formatter):
    """Write a record as a line of text, its facts in brackets at the end."""

    def __init__(self) -> None:
        super().__init__(LOG_FORMAT)

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the line without traceback."""
        told = " ".join(f"{name}={value}" for name, value in facts(record))
        return super().formatMessage(record) + (f" [{told}]" if told else "")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and the traceback of a fault below it."""
        return masked(super().format(record))


def set_up(level: str = "info", form: str = "text", stream: TextIO | None = None) -> None:
    """Send the log of this process to standard error; once, at the start of a service.

    Parameters
    ----------
    level : {"debug", "info", "warning", "error"}
    form : {"text", "json"}
    stream : file, optional
        Instead of standard error.
    """
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler])


def facts(record: logging.LogRecord) -> Iterator[tuple[str, object]]:
    """Yield what a record is about, in the order of `FACTS`; numbers and short texts only."""
    for name in FACTS:
        value = record.__dict__.get(name)
        if isinstance(value, (bool, int, float)):
            yield name, value
        elif isinstance(value, str) and value:
            yield name, masked(value)[:VALUE_MAX]


def masked(text: str) -> str:
    """Return a text without what looks like a token or a password."""
    for pattern, shown in _SECRETS:
        text = pattern.sub(shown, text)
    return text


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
