"""The compute children of a worker: started, fed, read, killed and reaped, without ever waiting for one of them.

Which child gets which job, and who is to blame for a death, is decided in `bench`; here are the processes.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any

from .bench import Gone
from .framing import OUT_OF_MEMORY, BrokenLink, Reader, Writer

log = logging.getLogger("cosmicflows.worker")
READY_S = 60.0
"""A child that has not begun by then never will."""
LAST_WORDS_S = 0.2
TAIL_BYTES = 8000


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to make a child.

    Parameters
    ----------
    factory : str
        ``module:callable`` that makes the computer of a child.
    arguments : mapping
        Its keyword arguments, plain data.
    provenance : mapping
        Goes into every result.
    memory_mb : int
        Most memory a child may ask for (RLIMIT_DATA).
    """

    factory: str
    arguments: Mapping[str, object] = field(default_factory=dict)
    provenance: Mapping[str, object] = field(default_factory=dict)
    memory_mb: int = 4096


class Child:
    """One process, its socket, its stderr, and the notice of its death."""

    def __init__(self, seat: int, recipe: Recipe) -> None:
        self.seat = seat
        self.is_ready = self.is_stopped = False
        self.kill_at = time.monotonic() + READY_S
        self.tail = b""
        self.link, far_end = socket.socketpair()
        self.words, words_end = os.pipe()
        # OpenBLAS would take memory for threads nobody uses: we share rows among our own
        environment = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"} | os.environ
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "flow_worker.child", "--fd", str(far_end.fileno()), "--parent", str(os.getpid()),
                 "--factory", recipe.factory, "--arguments", json.dumps(dict(recipe.arguments)),
                 "--provenance", json.dumps(dict(recipe.provenance)), "--memory-mb", str(recipe.memory_mb)],
                stdin=subprocess.DEVNULL, stdout=words_end, stderr=words_end, pass_fds=(far_end.fileno(),), env=environment)
            self.notice = os.pidfd_open(self.process.pid)
        except BaseException:
            self.link.close()
            os.close(self.words)
            raise
        finally:
            far_end.close()
            os.close(words_end)
        self.link.setblocking(False)
        os.set_blocking(self.words, False)
        self.reader, self.writer = Reader(self.link), Writer(self.link)

    def listen(self) -> None:
        """Pass on what the child says, and remember the end of it."""
        for _ in range(4):  # a child that never stops talking must not keep us
            try:
                said = os.read(self.words, 1 << 16)
            except BlockingIOError:
                return
            if not said:
                return
            self.tail = (self.tail + said)[-TAIL_BYTES:]
            with contextlib.suppress(OSError):  # nobody reads our log: no reason to stop
                os.write(2, said)

    def close(self) -> None:
        """Let go of everything; the process must be dead."""
        self.link.close()
        os.close(self.words)
        os.close(self.notice)


class Children:
    """Keep the processes of all seats.

    Parameters
    ----------
    recipe : Recipe
    poller : select.epoll
        Told which descriptors to watch; events of ours go to `events`.
    """

    def __init__(self, recipe: Recipe, poller: select.epoll) -> None:
        self._recipe, self._poller = recipe, poller
        self._children: dict[int, Child] = {}
        self._by_fd: dict[int, Child] = {}
        self._is_closing = False

    def spawn(self, seat: int) -> Gone | None:
        """Start the child of a seat; when that is not possible now, say how it failed."""
        try:
            child = Child(seat, self._recipe)
        except OSError as error:
            log.error("no compute process can be started: %s", error.strerror)
            return Gone(None, None, str(error.strerror))
        self._children[seat] = child
        for fd in (child.link.fileno(), child.words, child.notice):
            self._by_fd[fd] = child
            self._poller.register(fd, select.EPOLLIN)
        return None

    def run(self, seat: int, frames: list[Any]) -> None:
        """Hand a job to a child; what it does not take at once follows as it reads."""
        child = self._children[seat]
        child.tail = b""
        with contextlib.suppress(OSError):  # it is dead; the notice comes
            child.writer.send(frames)
        if child.writer.is_waiting:
            self._poller.modify(child.link.fileno(), select.EPOLLIN | select.EPOLLOUT)

    def kill(self, seat: int, *, is_asked: bool) -> None:
        """End a child; one that is asked first has a moment to say in its log where it was."""
        child = self._children.get(seat)
        if child is None:
            return
        child.is_stopped = True
        with contextlib.suppress(ProcessLookupError):
            # SIGABRT: faulthandler writes where every thread was, even in a loop that holds the interpreter lock
            child.process.send_signal(signal.SIGABRT if is_asked else signal.SIGKILL)
        child.kill_at = time.monotonic() + LAST_WORDS_S

    def owns(self, fd: int) -> bool:
        """Whether a descriptor is one of ours."""
        return fd in self._by_fd

    def events(self, fds: Iterable[tuple[int, int]]) -> Iterator[tuple[int, list[Any] | Gone]]:
        """Yield (seat, what happened) for the descriptors on which something did: frames of a child, or its end."""
        for fd, mask in fds:
            child = self._by_fd.get(fd)
            if child is None:
                continue  # another event of the same round was its death
            if fd == child.notice:
                child.listen()
                # what it wrote before it died counts
                while said := list(self._read(child)):
                    yield from said
                yield child.seat, self._bury(child)
            elif fd == child.words:
                child.listen()
                if mask & select.EPOLLHUP and not mask & select.EPOLLIN:
                    self._poller.unregister(fd)
                    del self._by_fd[fd]
            else:
                if mask & select.EPOLLOUT:
                    self._flush(child)
                yield from self._read(child)

    def _read(self, child: Child) -> Iterator[tuple[int, list[Any]]]:
        try:
            for frames in child.reader.read():
                if not child.is_ready:
                    child.is_ready, child.kill_at = True, inf
                yield child.seat, frames
        except BrokenLink as error:
            log.error("compute process %d wrote %s", child.process.pid, error)
            child.reader.is_ended = True
        if child.reader.is_ended and child.link.fileno() in self._by_fd:
            # dead, or as good as: the notice tells how it ended
            self._poller.unregister(child.link.fileno())
            del self._by_fd[child.link.fileno()]
            child.kill_at = min(child.kill_at, time.monotonic() + LAST_WORDS_S)

    def _flush(self, child: Child) -> None:
        try:
            child.writer.flush()
        except OSError:
            return  # dead; the notice comes
        if not child.writer.is_waiting:
            self._poller.modify(child.link.fileno(), select.EPOLLIN)

    def _bury(self, child: Child) -> Gone:
        code = child.process.wait()
        child.listen()
        for fd in (child.link.fileno(), child.words, child.notice):
            if self._by_fd.pop(fd, None):
                self._poller.unregister(fd)
        child.close()
        del self._children[child.seat]
        tail = child.tail.decode("utf-8", "replace")
        if self._is_closing:
            pass
        elif child.is_stopped:
            log.info("compute process %d was stopped: its job was cancelled, or took too long", child.process.pid)
        elif not child.is_ready:
            log.warning("compute process %d ended with %d before it could begin", child.process.pid, code)
        else:
            log.warning("compute process %d ended with %d", child.process.pid, code)
        return Gone(-code if code < 0 else None, code if code >= 0 else None, tail, code == OUT_OF_MEMORY)

    def keep_time(self, now: float) -> None:
        """Kill those whose time is over."""
        for child in self._children.values():
            if now >= child.kill_at:
                child.kill_at = inf
                child.process.kill()

    def due(self) -> float:
        """Return when `keep_time` has something to do."""
        return min([child.kill_at for child in self._children.values()], default=inf)

    def pids(self) -> list[int]:
        """Return the processes that live."""
        return [child.process.pid for child in self._children.values()]

    def close(self) -> None:
        """Kill and bury them all."""
        self._is_closing = True
        for child in self._children.values():
            child.process.kill()
        for child in list(self._children.values()):
            self._bury(child)


def memory_mb(pids: Iterable[int]) -> int:
    """Return what these processes and this one keep in memory; pages that they share, such as fields, count once."""
    own = most_shared = 0
    for pid in ("self", *pids):
        with contextlib.suppress(OSError, ValueError, IndexError), open(f"/proc/{pid}/statm", encoding="ascii") as statm:
            resident, shared = map(int, statm.read().split()[1:3])
            own += resident - shared
            most_shared = max(most_shared, shared)
    return (own + most_shared) * os.sysconf("SC_PAGE_SIZE") >> 20
