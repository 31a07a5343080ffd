"""Which fields can be served, and what to tell a request whose field cannot.

A worker that dies is usually back within a second or two; for that grace time its fields count as served.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from math import inf
from typing import Any

from cfcore.errors import CosmicFlowsError, TransientError, UsageError

from .ledger import FieldKey, Worker

WITH_DATA = "(DATA: the --data the server was started with)"
"""Clients are told commands, but not where on this machine anything lies."""


class Served:
    """Remember the fields that workers advertise, and until when each was there.

    Parameters
    ----------
    bus : str
        Named in the advice to start a worker.
    grace_s : float
        How long a field outlives its last worker.
    """

    def __init__(self, bus: str, grace_s: float) -> None:
        self.records: dict[str, dict[str, Any]] = {}
        # clients need not know a folder of this machine, nor an address that other hosts cannot use
        is_open = bus.startswith("tcp:") and not re.match(r"tcp://(127\.|localhost|\[::1\])", bus)
        if is_open:
            self._command = "cosmicflows worker --connect tcp://HOST:PORT --key FILE --data DATA (see docs/deploy.md)"
        elif bus.startswith("tcp:"):
            self._command = f"cosmicflows worker --connect {bus} --data DATA {WITH_DATA}"
        else:
            self._command = "cosmicflows worker --connect BUS --data DATA (as the first lines of the server's log name them)"
        self._grace_s = grace_s
        self._why = ""
        self._until: dict[FieldKey | None, float] = {}

    def explain(self, why: str) -> None:
        """Tell from now on why no worker runs."""
        self._why = why

    def note(self, worker: Worker, now: float) -> None:
        """Note that up to now this worker has served its fields; call it before it leaves or changes them."""
        self._until.update(dict.fromkeys([*worker.fields, None], now))

    def renew(self, workers: Iterable[Worker], advertised: Iterable[dict[str, Any]], now: float) -> None:
        """Keep the newest record of a field while somebody serves it or may again, else one that is advertised."""
        workers = list(workers)
        newest = {name: record for name, record in self.records.items()
                  if self.refusal((name, record["sha"]), workers, now) is None}
        self.records = {record["id"]: record for record in advertised} | newest

    def refusal(self, key: FieldKey | None, workers: Iterable[Worker], now: float) -> CosmicFlowsError | None:
        """Say why nobody can serve a field (None: any field); None while somebody can, or may come back in time."""
        takers = []
        for worker in workers:
            if not worker.is_draining:
                if key is None or key in worker.fields:
                    return None
                takers.append(worker)
        hopes = [key] if takers else [key, None]
        if any(now - self._until.get(hope, -inf) <= self._grace_s for hope in hopes):
            return None
        if key is None or not takers:
            return TransientError(f"no worker can run: {self._why}; then start the server again" if self._why else
                                  f"no worker is connected; start one with: {self._command}", code="no_worker")
        installed = sorted({name for worker in takers for name, _ in worker.fields})
        if key[0] in installed:
            return TransientError(f"the field {key[0]} has been replaced by another version; ask again",
                                  code="field_changed", where="field")
        return UsageError(f"the field {key[0]} is not installed; install it with: cosmicflows fields fetch {key[0]} "
                          f"--data DATA {WITH_DATA}, or choose one of: {', '.join(installed) or 'none'}",
                          code="field_not_installed", where="field", extra={"installed": installed})
