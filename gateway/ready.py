"""Answers that are given again for a moment, as the bytes they were: all who type a name pass through the same few letters."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import NamedTuple

KEPT = 4096
LIVES_S = 2.0
KEY_MAX = 512
"""Longer questions are answered but not kept: what is kept stays small whatever clients send."""


class Ready(NamedTuple):
    """Hold an answer."""

    until: float
    media: str
    body: bytes


class ReadyAnswers:
    """Keep the newest answers by what was asked, as it was written."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str], Ready] = OrderedDict()

    def get(self, asked: tuple[str, str]) -> Ready | None:
        """Return the answer to a question that was asked within the last two seconds."""
        found = self._kept.get(asked)
        return found if found is not None and time.monotonic() < found.until else None

    def put(self, asked: tuple[str, str], media: str, body: bytes) -> None:
        """Keep an answer; the oldest one makes room."""
        if len(asked[0]) + len(asked[1]) > KEY_MAX:
            return
        self._kept[asked] = Ready(time.monotonic() + LIVES_S, media, body)
        self._kept.move_to_end(asked)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)

    def clear(self) -> None:
        """Forget everything: what is known has changed."""
        self._kept.clear()
