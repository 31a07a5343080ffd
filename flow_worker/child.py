"""A compute child: one job at a time from its supervisor's socket, computed, the answer written back.

It knows neither ZeroMQ nor the gateway. Whatever kills it, only the job it runs is to blame; so it takes risks that
the supervisor must not, and ends at once when the supervisor does.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import faulthandler
import json
import logging
import os
import pkgutil
import resource
import signal
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np

from cfcore import wire
from cfcore.errors import BadParameter, CosmicFlowsError, InternalError, UnknownName
from cfcore.settings import LOG_FORMAT

from .framing import OUT_OF_MEMORY, READY, REFUSED, Reader, Writer

log = logging.getLogger("cosmicflows.worker")
REFUSES = 2
"""Exit code of a child whose settings are wrong: it would refuse again."""
NICENESS = 10
_PR_SET_PDEATHSIG = 1

Columns = dict[str, np.ndarray]


class Computer(Protocol):
    """What a child computes with; made once per child."""

    def compute(self, kind: str, field: str, sha: str, options: dict[str, object],
                columns: Columns) -> tuple[Columns, Columns, dict[str, object]]:
        """Return columns with one entry per row, columns common to all rows, and plain facts.

        Raises `UnknownName` with code ``no_such_field`` when the field is not here: the job then goes elsewhere.
        """


class Answerer:
    """Answer jobs until the supervisor is gone.

    Parameters
    ----------
    link : socket
        Blocking, connected to the supervisor.
    computer : Computer
    provenance : dict
        Goes into every result, beside the field's version.
    """

    def __init__(self, link: socket.socket, computer: Computer, provenance: dict[str, object]) -> None:
        self._reader, self._writer = Reader(link), Writer(link)
        self._computer, self._provenance = computer, provenance
        # Niceness belongs to a thread and cannot be taken back: so bulk jobs have a thread of their own, and the same
        # process answers interactive ones at full priority.
        self._bulk = ThreadPoolExecutor(1, initializer=_be_nice)

    def work(self) -> None:
        """Take jobs until the link ends."""
        self._writer.send([READY])
        while not self._reader.is_ended:
            for frames in self._reader.read():
                self._writer.send(self._answer(frames))

    def _answer(self, frames: list[Any]) -> list[Any]:
        job: wire.Job = wire.unpack(frames, wire.LANE)
        begin = time.perf_counter_ns()
        try:
            if job.cls == wire.BULK:
                return self._bulk.submit(self._compute, job, begin).result()
            return self._compute(job, begin)
        except MemoryError:
            os.write(2, b"the job asked for more memory than --job-memory-mb allows\n")
            os._exit(OUT_OF_MEMORY)
        except UnknownName as error:
            if error.code == "no_such_field":
                return [REFUSED, error.message.encode()]
            return _error_frames(job, error, begin)
        except CosmicFlowsError as error:
            return _error_frames(job, error, begin)
        except Exception:
            log.exception("job %d (%s) failed", job.j, job.kind)
            fault = InternalError("the worker failed on this request; its log has the details")
            return _error_frames(job, fault, begin)

    def _compute(self, job: wire.Job, begin: int) -> list[Any]:
        columns, shared, info = self._computer.compute(job.kind, job.f, job.fv, job.options, job.columns)
        # in the order and layout of the frames, so that one pass over the columns suffices
        columns, shared = ({name: np.asarray(c, order="C") for name, c in part.items()} for part in (columns, shared))
        sha = wire.digest([c.reshape(-1).data for part in (columns, shared) for c in part.values() if c.size])
        us = (time.perf_counter_ns() - begin) // 1000
        return wire.pack(wire.Result(j=job.j, a=job.a, tok=job.tok, w=job.w, st="ok", n=job.n, us=us, info=info, sha=sha,
                                     prov={**self._provenance, "fv": job.fv[:8]}, columns=columns, shared=shared))


def _error_frames(job: wire.Job, error: CosmicFlowsError, begin: int) -> list[Any]:
    us = (time.perf_counter_ns() - begin) // 1000
    plain = {"kind": error.kind, "code": error.code, "message": error.message[:1000], "where": error.where}
    # Details that cannot travel must not hide the failure itself.
    for told in (error.as_dict(), plain):
        with contextlib.suppress(wire.WireError):
            frames = wire.pack(wire.Result(j=job.j, a=job.a, tok=job.tok, w=job.w, st="error", n=0, us=us, err=told))
            wire.unpack(frames, wire.RESULTS)
            break
    return frames


def _be_nice() -> None:
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


def _tie_to(parent: int) -> None:
    """End with the supervisor, however it ends, and leave signals that are meant for it to it."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def _limit(memory_mb: int) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (memory_mb << 20, memory_mb << 20))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        # when the machine runs out of memory, the supervisor is the last that should go
        file.write("500")


def main(arguments: list[str] | None = None) -> int:
    """Read what the supervisor gave on the command line; nothing of it comes from the wire."""
    parser = argparse.ArgumentParser(description="A compute process; started by python -m flow_worker only.")
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--factory", required=True, help="module:callable")
    parser.add_argument("--arguments", type=json.loads, required=True)
    parser.add_argument("--provenance", type=json.loads, required=True)
    parser.add_argument("--memory-mb", type=int, required=True)
    asked = parser.parse_args(arguments)
    _tie_to(asked.parent)
    faulthandler.enable()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format=LOG_FORMAT)
    link = socket.socket(fileno=asked.fd)
    link.set_inheritable(False)
    try:
        computer = pkgutil.resolve_name(asked.factory)(**asked.arguments)
    except CosmicFlowsError as error:
        print(error.message, file=sys.stderr)
        return REFUSES
    try:
        _limit(asked.memory_mb)
    except (OSError, ValueError, OverflowError):
        print(BadParameter(f"job-memory-mb = {asked.memory_mb} lies above what this process may set").message, file=sys.stderr)
        return REFUSES
    with contextlib.suppress(OSError):
        Answerer(link, computer, asked.provenance).work()
    # threads that still compute for nobody must not hold us
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
