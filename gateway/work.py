"""What the dispatcher needs of the work it gives away, whoever it is for: a request that waits, or a chunk of a stored job."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from cfcore import wire
from cfcore.errors import CosmicFlowsError

Columns = dict[str, np.ndarray]


class Work(Protocol):
    """The payload of a job of the ledger. Exactly one of `accept`, `refuse` and `quarantine` is called, once."""

    kind: str
    options: dict[str, object]
    rows: int
    trace: str

    def columns(self) -> Columns:
        """Return the rows; called each time the work goes to a worker, so it may read them from disk."""

    def is_wanted(self) -> bool:
        """Whether anybody still waits for the answer."""

    def accept(self, result: wire.Result, settled: Callable[[], None]) -> None:
        """Take a result that is ``ok``; call `settled` once it cannot be lost any more: then the worker may forget it."""

    def refuse(self, error: CosmicFlowsError) -> None:
        """End: the work is wrong, its time is over, or nobody can do it."""

    def quarantine(self, error: CosmicFlowsError) -> None:
        """End: it has crashed or held up its compute process too often. Work of several rows may come back in halves."""
