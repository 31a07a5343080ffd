"""The event loop of the gateway: uvloop where it is installed, asyncio's own elsewhere; and a garbage collector at rest."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine
from importlib.util import find_spec
from typing import Any

YOUNG = 10_000
"""Objects made, less those gone again, until the collector looks at the young ones: some hundred requests, not seven."""


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a gateway until it ends."""
    with asyncio.Runner(loop_factory=factory()) as runner:
        runner.run(main)


def settle() -> None:
    """Take what has been made so far, which stays, out of the collector's sight; call it once when all is wired.

    A sixth of the time of a single question went into looking through modules, models and routes for garbage.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 20, 20)


def factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes the loop; None leaves it to asyncio."""
    if find_spec("uvloop") is None:
        return None
    import uvloop
    return uvloop.new_event_loop
