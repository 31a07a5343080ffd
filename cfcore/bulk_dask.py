"""The parts of a bulk run on Dask: workers of this machine or a scheduler elsewhere, a bounded window of tasks, rows coming back.

Data never pass through Dask: a task is the name of a part, its answer the row of the manifest. Dask notices dead workers and
gives their parts to others; which parts are done stands in the folder alone (see `bulk`).
"""

from __future__ import annotations

import contextlib
import logging
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import resource_tracker
from queue import Empty, SimpleQueue
from typing import Any

from .bulk import Part, Run, answer_part, check_host
from .errors import BadParameter, CosmicFlowsError, TransientError, UsageError

DEATHS = 3
"""Worker processes that may die over one part before it is given up."""
_TICK_S = 0.5
_LOOK_S = 2.0
# What ends the whole run: the other parts would meet it too.
_FINAL = ("another_run", "input_changed")
_LOCAL = {"distributed.scheduler.allowed-failures": DEATHS - 1, "distributed.scheduler.worker-saturation": 1.0,
          # the pages that show what runs are not asked for: their ports answer nothing
          "distributed.scheduler.http.routes": [], "distributed.worker.http.routes": [],
          "distributed.comm.timeouts.connect": "30s",
          # looking at the stack a hundred times a second is for debugging
          "distributed.worker.profile.enabled": False}


class UnfitWorker(Exception):
    """Say which worker would answer otherwise than the rest, and why."""

    def __init__(self, address: str, message: str) -> None:
        super().__init__(address, message)
        self.address, self.message = address, message


@dataclass
class Engine:
    """Hold a connected client; `is_ours` says whether its workers were started for this run alone."""

    client: Any
    is_ours: bool
    address: str


@contextlib.contextmanager
def engine(scheduler: str | None, workers: int, say: Callable[[str], None]) -> Iterator[Engine]:
    """Connect to a Dask scheduler, or start workers on this machine, on loopback, encrypted with keys of their own.

    Raises
    ------
    UsageError
        When dask.distributed is not installed.
    TransientError
        When nobody answers at the address.
    """
    try:
        import dask
        import distributed
    except ModuleNotFoundError as exc:
        raise UsageError(f"cosmicflows bulk needs dask.distributed, and {exc.name} is not installed; pip install "
                         "'cosmicflows[bulk]' brings it", code="missing_library") from None
    if scheduler is not None:
        if not scheduler.startswith(("tcp://", "tls://", "ws://", "wss://", "ucx://")):
            raise BadParameter(f"--scheduler {scheduler!r:.80} is no address; write tcp://HOST:8786 or tls://HOST:8786",
                               code="bad_parameter", where="scheduler")
        with _client(distributed, scheduler) as client:
            yield Engine(client, False, scheduler)
        return
    with tempfile.TemporaryDirectory(prefix="cosmicflows-bulk-", ignore_cleanup_errors=True) as scratch, dask.config.set(_LOCAL):
        # who reaches the port of a scheduler can run code as us, also on loopback, where every user of the machine comes
        try:
            security: Any = distributed.Security.temporary()
        except ImportError:
            security = None
            say("the workers talk on loopback without keys, within reach of every user of this machine; pip install "
                "'cosmicflows[bulk]' brings cryptography")
        with _interrupts_held():
            cluster = distributed.LocalCluster(
                n_workers=workers, threads_per_worker=1, processes=True, host="127.0.0.1", security=security,
                scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"}, dashboard_address=None,
                local_directory=scratch, silence_logs=logging.CRITICAL)
        with cluster, _client(distributed, cluster) as client:
            yield Engine(client, True, "this machine")


def check_workers(at: Engine, run: Run) -> int:
    """Let every worker that is there look at the run; return how many there are.

    Raises
    ------
    BadParameter
        When one of them has another field, other code, or does not see the folders.
    """
    found = at.client.run(check_host, run, on_error="return")
    for address, fault in sorted(found.items()):
        if isinstance(fault, CosmicFlowsError):
            raise fault
        if isinstance(fault, BaseException):
            raise BadParameter(f"worker {address} cannot run cosmicflows ({type(fault).__name__}: {str(fault)[:200]}); install "
                               "'cosmicflows[bulk]' there", code="unfit_worker", where="scheduler")
    return len(found)


def task(run: Run, part: Part, known: str | None) -> dict[str, Any]:
    """Answer one part on a worker, once it is known to be fit: workers may have joined since the run was begun."""
    from distributed import get_worker
    try:
        check_host(run)
    except BadParameter as exc:
        if exc.code != "unfit_worker":
            raise
        raise UnfitWorker(get_worker().address, exc.message) from None
    return answer_part(run, part, known)


class Drive:
    """Send the parts of a run to the workers and gather their rows.

    Attributes
    ----------
    rows : dict
        Part -> row of the manifest.
    failed : dict
        Part -> why it was given up.
    """

    def __init__(self, at: Engine, run: Run, known: dict[str, str], say: Callable[[str], None]) -> None:
        self.rows: dict[int, dict[str, Any]] = {}
        self.failed: dict[int, str] = {}
        self._at, self._run, self._known, self._say = at, run, known, say
        self._done: SimpleQueue[Any] = SimpleQueue()
        self._flying: dict[str, tuple[Any, Part]] = {}
        self._unfit: dict[str, str] = {}
        self._window, self._looked, self._told = 1, 0.0, False
        self._workers: list[str] = []

    def go(self, parts: Sequence[Part], tick: Callable[[Drive], None]) -> None:
        """Answer parts; `tick` is called after each of them and about twice a second.

        Raises
        ------
        CosmicFlowsError
            When no other part could be answered either: the disk is full, the scheduler gone, the input changed.
        """
        from distributed.comm import CommClosedError
        todo = iter(parts)
        try:
            while True:
                self._look()
                while len(self._flying) < self._window and (part := next(todo, None)) is not None:
                    self._send(part)
                if not self._flying:
                    return
                with contextlib.suppress(Empty):
                    self._take(self._done.get(timeout=_TICK_S))
                tick(self)
        except CommClosedError:
            # a question that was on its way to the scheduler when it went
            raise self._gone() from None
        finally:
            with contextlib.suppress(Exception):
                self._at.client.cancel([future for future, _ in self._flying.values()])

    def _look(self) -> None:
        """See how many threads there are now; tasks wait here rather than in the scheduler."""
        if self._looked and time.monotonic() - self._looked < _LOOK_S:
            return
        threads = self._at.client.nthreads() if self._at.client.status == "running" else {}
        self._looked, self._workers = time.monotonic(), list(threads)
        # Our own workers get one part each, so that a death is blamed on one part alone. Elsewhere some wait in the scheduler:
        # clusters that grow with their load shall see it.
        self._window = max(sum(threads.values()), 1) if self._at.is_ours else 2 * sum(threads.values()) + 8
        if self._at.client.status in ("closed", "closing"):
            raise self._gone()
        if not threads and not self._at.is_ours and not self._told:
            self._told = True
            self._say(f"no worker is connected to {self._at.address}; waiting for one")

    def _send(self, part: Part) -> None:
        fit = None
        if self._unfit:
            fit = [w for w in self._workers if w not in self._unfit]
            if not fit:
                raise BadParameter(f"no worker of {self._at.address} can take part: {list(self._unfit.values())[-1]}",
                                   code="unfit_worker", where="scheduler")
        future = self._at.client.submit(task, self._run, part, self._known.get(self._run.file_of(part.number).name), pure=False,
                                        workers=fit, key=f"cosmicflows-{self._run.sha[:8]}-{part.number}-{time.monotonic_ns()}")
        self._flying[future.key] = future, part
        future.add_done_callback(self._done.put)

    def _take(self, future: Any) -> None:
        _, part = self._flying.pop(future.key)
        if future.status in ("cancelled", "lost"):
            raise self._gone()
        fault = future.exception() if future.status == "error" else None
        if fault is None:
            self.rows[part.number] = future.result()
        elif isinstance(fault, UnfitWorker):
            if fault.address not in self._unfit:
                self._unfit[fault.address] = fault.message
                self._say(f"worker {fault.address} is left out: {fault.message}")
            self._looked = 0.0
            self._look()
            self._send(part)
        elif isinstance(fault, CosmicFlowsError):
            if fault.kind == "transient" or fault.code in _FINAL:
                raise fault
            self.failed[part.number] = fault.message
        elif type(fault).__name__ == "KilledWorker":
            self.failed[part.number] = (f"{fault.allowed_failures + 1} worker processes died while they answered it; perhaps "
                                        "they had too little memory")
        else:
            self.failed[part.number] = f"{type(fault).__name__}: {str(fault)[:300]}"

    def _gone(self) -> TransientError:
        return TransientError(f"the Dask scheduler at {self._at.address} is gone; run the same command again when it is back: it "
                              "goes on from here", code="scheduler_away")


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Keep Ctrl-C from threads and processes that are started meanwhile, and from their children: it is ours to end them.

    A terminal sends it to every process of the command; the mask of a thread passes to what it starts.
    """
    # started later, it would unblock the signal in the thread that starts it (CPython, multiprocessing/resource_tracker.py)
    resource_tracker.ensure_running()
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])


@contextlib.contextmanager
def _client(distributed: Any, at: Any) -> Iterator[Any]:
    try:
        client = distributed.Client(at, set_as_default=False)
    except (OSError, ValueError) as exc:
        raise TransientError(f"no Dask scheduler answers at {at!s:.80} ({str(exc)[:160]}); start one there (dask scheduler), or "
                             "leave --scheduler out to use this machine", code="scheduler_away") from None
    try:
        yield client
    finally:
        client.close(timeout=5)
