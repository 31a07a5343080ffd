"""Tell those who asked for it that their job has ended: when, how often, how many at a time.

What is due stands in the database (`webhook_records`), so it outlives the gateway; a call that was under way when the
gateway was killed is made again, under the same id. Where calls may go is decided in `webhook_address`, how one is made in
`webhook_post`.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
import time
from collections import Counter
from collections.abc import Sequence
from sqlite3 import Row
from typing import Any

import orjson

from cfcore.errors import CosmicFlowsError
from cfcore.settings import Settings

from . import webhook_post
from . import webhook_records as records
from .job_view import stamp
from .jobs import Jobs
from .webhook_address import Lookup, SystemLookup
from .webhook_post import Outcome

log = logging.getLogger("gateway.webhooks")
DELAYS_S = (0.0, 5.0, 60.0, 600.0, 3600.0)
"""How long each try waits after the one before; there are no more."""
JITTER = 0.2
AT_ONCE, OF_AN_OWNER, TO_A_HOST = 8, 4, 2
LOOK_S = 30.0
"""The longest until the next look at what is due, should nobody have said that there is something."""
PAUSE_S = 5.0


class Webhooks:
    """Make the calls that are due.

    Parameters
    ----------
    jobs : Jobs
        Open before `start`.
    settings : Settings
        For `callback_hosts`.
    lookup : Lookup, optional
        How names are looked up; the system's way by default.
    tls : ssl.SSLContext, optional
        Whom to believe; by default the authorities of the system, or those of ``SSL_CERT_FILE``.
    delays_s, timeout_s : sequence of float, float
        Waiting before each try; the time of one.
    """

    def __init__(self, jobs: Jobs, settings: Settings, *, lookup: Lookup | None = None, tls: ssl.SSLContext | None = None,
                 delays_s: Sequence[float] = DELAYS_S, timeout_s: float = webhook_post.TIMEOUT_S) -> None:
        self._jobs, self._settings = jobs, settings
        self._lookup: Lookup = lookup or SystemLookup()
        self._tls = tls
        self._delays, self._timeout_s = tuple(delays_s), timeout_s
        self._key = b""
        self._wake = asyncio.Event()
        self._calls: dict[int, Row] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._rounds: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin with what is due."""
        self._db = self._jobs.store.reader()
        self._key = records.key(self._db)
        self._jobs.news.on_end.append(self.ended)
        self._rounds = asyncio.get_running_loop().create_task(self._go())

    async def close(self) -> None:
        """End; what is due, or under way, is for the next start."""
        if self._rounds is None:
            return
        self._jobs.news.on_end.remove(self.ended)
        for task in (self._rounds, *self._tasks):
            task.cancel()
        await asyncio.gather(self._rounds, *self._tasks, return_exceptions=True)
        self._rounds = None
        self._db.close()

    def ended(self, job: int) -> None:
        """Look at once: a job has ended."""
        self._wake.set()

    def secret(self, owner: str) -> str:
        """Return what an owner checks signatures with."""
        return webhook_post.secret(self._key, owner)

    def deliveries(self, job: int) -> list[dict[str, Any]]:
        """Return the calls about a job as its owner sees them: where to (without path and query), every try, what is next."""
        return [{"id": webhook_post.message_id(self._key, job), "type": "job.ended", "host": row["host"], "state": row["state"],
                 "next_try": stamp(row["next_try"]), "tries": orjson.loads(row["log"])}
                for row in records.of_job(self._db, job)]

    # Rounds

    async def _go(self) -> None:
        while True:
            self._wake.clear()
            try:
                found, seconds = await asyncio.to_thread(self._look, list(self._calls.values()), time.time())
                for row in found:
                    self._begin(row)
                if found:
                    continue
            except Exception:
                # whatever it is, it is tried again: without this loop nobody would ever be called
                log.exception("what is due cannot be read")
                seconds = PAUSE_S
            try:
                async with asyncio.timeout(seconds):
                    await self._wake.wait()
            except TimeoutError:
                pass

    def _look(self, under_way: list[Row], now: float) -> tuple[list[Row], float]:
        """Return calls to begin now, and else how long nothing is due; in a thread, with a connection nobody else uses."""
        hosts, owners = Counter(row["host"] for row in under_way), Counter(row["owner"] for row in under_way)
        db = self._jobs.store.reader()
        try:
            busy = [host for host, n in hosts.items() if n >= TO_A_HOST]
            found = []
            for row in records.due(db, now, AT_ONCE - len(under_way), [row["id"] for row in under_way], busy, dict(owners),
                                   OF_AN_OWNER):
                hosts[row["host"]] += 1
                owners[row["owner"]] += 1
                if hosts[row["host"]] <= TO_A_HOST and owners[row["owner"]] <= OF_AN_OWNER:
                    found.append(row)
            next_one = None if found else records.soonest(db, now)
            return found, LOOK_S if next_one is None else min(LOOK_S, max(0.0, next_one - now))
        finally:
            db.close()

    def _begin(self, row: Row) -> None:
        self._calls[row["id"]] = row
        task = asyncio.get_running_loop().create_task(self._call(row))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # One call

    async def _call(self, row: Row) -> None:
        began = time.time()
        try:
            outcome = await self._tried(row, int(began))
        except Exception:
            log.exception("the call about job %d failed by a fault of ours", row["job"])
            outcome = Outcome(None, "a fault of ours", 0)
        tries = row["tries"] + 1
        state, next_try = self._after(outcome, tries)
        entry = {"time": stamp(began), "status": outcome.status, "error": outcome.error, "ms": outcome.ms}
        level = logging.INFO if outcome.is_delivered or next_try else logging.WARNING
        log.log(level, "job %d, call %d of %d to %s: %s in %d ms (%s)", row["job"], tries, len(self._delays), row["host"],
                outcome.error or outcome.status, outcome.ms, state)

        def done(value: Any, error: CosmicFlowsError | None) -> None:
            if error is not None:
                # it stays under way until the next start: better told twice then than again and again now
                log.error("the call about job %d cannot be noted: %s", row["job"], error.message)
            else:
                self._calls.pop(row["id"], None)
                self._wake.set()
        self._jobs.store.put(lambda db: records.tried(db, row["id"], entry, state, next_try), done, must=True)

    async def _tried(self, row: Row, now: int) -> Outcome:
        if self._tls is None:
            # reads the authorities, which takes a twentieth of a second
            self._tls = await asyncio.to_thread(ssl.create_default_context)
        body, message = payload(row), webhook_post.message_id(self._key, row["job"])
        headers = {"webhook-id": message, "webhook-timestamp": str(now),
                   "webhook-signature": webhook_post.signature(self.secret(row["owner"]), message, now, body)}
        return await webhook_post.post(row["callback"], body, headers, settings=self._settings, lookup=self._lookup,
                                       tls=self._tls, timeout_s=self._timeout_s)

    def _after(self, outcome: Outcome, tries: int) -> tuple[str, float | None]:
        if outcome.is_delivered:
            return "delivered", None
        if outcome.is_final:
            return ("gone" if outcome.status == 410 else "refused"), None
        if tries >= len(self._delays):
            return "given_up", None
        return records.DUE, time.time() + self._delays[tries] * random.uniform(1 - JITTER, 1 + JITTER)


def payload(row: Row) -> bytes:
    """Return what a receiver is told of a job; no row of its data."""
    error = None if row["error_code"] is None else {"code": row["error_code"], "detail": row["error_text"]}
    return orjson.dumps({"type": "job.ended", "timestamp": stamp(row["end"]), "data": {
        "job": row["job"], "phase": row["phase"], "kind": row["kind"], "run_id": row["run_id"], "rows_done": row["rows_done"],
        "rows_total": row["rows_total"], "error": error, "url": f"/v1/jobs/{row['job']}"}})
