"""The list of somebody's tasks in pages: cursors in, rows and the cursors of the pages beside it out."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from sqlite3 import Row
from urllib.parse import parse_qs, urlencode

from multidict import MultiMapping
from pydantic import BaseModel, Field

from cfcore.errors import BadParameter, UnknownName

from ..job_shelf import Shelf

SIZE, SIZE_MAX = 6, 100
ORDERS = ("-timestamp", "timestamp", "-id", "id")
FACE = "queue"
_TRUTH = {"true": True, "1": True, "false": False, "0": False}


class TasksQuery(BaseModel):
    """Query of GET /queue/; other words are ignored."""

    pagesize: int = Field(default=SIZE, description=f"Tasks of a page, at most {SIZE_MAX}")
    cursor: str | None = Field(default=None, description="As `next` and `previous` of a page have it")
    ordering: str = Field(default=ORDERS[0], description=", ".join(ORDERS))
    started: bool | None = Field(default=None, description="Only tasks that have begun, or that have not")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Hold which page is wanted: how many tasks, in which order, from where on, and in which direction from there."""

    size: int = SIZE
    is_oldest_first: bool = False
    started: bool | None = None
    position: int | None = None
    is_backward: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """Hold a page: its rows in order, the cursors beside it, how many tasks there are and how many stand before it."""

    rows: list[Row]
    next: str | None
    previous: str | None
    count: int
    before: int


def wanted(query: MultiMapping[str]) -> Wanted:
    """Return which page a query asks for; an order or a size that makes no sense is taken for none.

    Raises
    ------
    UnknownName
        Code ``not_found``, of a cursor that is none of ours.
    BadParameter
        When `started` is neither true nor false.
    """
    size = query.get("pagesize", "")
    entries = int(size) if size.isascii() and size.isdecimal() and len(size) <= 9 else 0
    started = query.get("started", "").strip().lower()
    if started and started not in _TRUTH:
        raise BadParameter(f"started = {started!r:.40} must be true or false", where="started")
    position, is_backward = _read(query["cursor"]) if query.get("cursor") else (None, False)
    return Wanted(min(entries, SIZE_MAX) or SIZE, query.get("ordering", "") in ("timestamp", "id"), _TRUTH.get(started), position,
                  is_backward)


def load(shelf: Shelf, owner: str, page: Wanted) -> Page:
    """Return a page, read from a shelf of its own, which is closed."""
    try:
        # which way the numbers go when one reads on from the cursor
        is_up = page.is_oldest_first != page.is_backward
        rows = shelf.tasks(owner, FACE, page.position, is_up, page.started, page.size + 1)
        has_more, rows = len(rows) > page.size, rows[:page.size]
        if page.is_backward:
            rows.reverse()
        count = shelf.count_tasks(owner, FACE, page.started)
        if not rows:
            return Page([], None, None, count, 0)
        first, last = rows[0]["id"], rows[-1]["id"]
        before = shelf.count_tasks(owner, FACE, page.started, beyond=first, is_up=not page.is_oldest_first)
        has_next = bool(shelf.tasks(owner, FACE, last, page.is_oldest_first, page.started, 1)) if page.is_backward else has_more
        return Page(rows, _written(last, False) if has_next else None, _written(first, True) if before else None, count, before)
    finally:
        shelf.close()


def _written(position: int, is_backward: bool) -> str:
    words = {**({"r": 1} if is_backward else {}), "p": position}
    return base64.urlsafe_b64encode(urlencode(words).encode()).decode()


def _read(cursor: str) -> tuple[int, bool]:
    try:
        words = parse_qs(base64.b64decode(cursor.encode("ascii"), altchars=b"-_", validate=True).decode("ascii"),
                         strict_parsing=True)
        position, = words["p"]
        if not position.isdecimal() or len(position) > 18:
            raise ValueError(position)
        return int(position), words.get("r") == ["1"]
    except (binascii.Error, ValueError, KeyError):
        raise UnknownName("Invalid cursor", code="not_found", where="cursor") from None
