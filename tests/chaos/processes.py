"""Processes under test: start them, hurt them, find what they leave behind.

Every process carries a mark in its environment, and so do those that it starts; the mark finds orphans and nobody else's.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

from running import child_pids, is_running

ROOT = Path(__file__).resolve().parents[2]
MARK = "CHAOS_MARK"
TOY = ROOT / "tests" / "worker" / "arithmetic_worker.py"


class Ward:
    """Start processes in one folder and see them all off at the end.

    Parameters
    ----------
    folder : Path
        For logs and whatever the test writes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mark = f"{os.getpid()}-{time.monotonic_ns()}"
        self.started: list[subprocess.Popen[bytes]] = []

    def environment(self, **extra: str) -> dict[str, str]:
        """Return what a process of this ward sees: the mark, this source tree, no setting of the caller."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CF_")}
        return kept | {MARK: self.mark, "PYTHONPATH": str(ROOT)} | extra

    def run(self, *command: str, log: str, prefix: Sequence[str] = (), env: dict[str, str] | None = None,
            preexec: Callable[[], object] | None = None) -> subprocess.Popen[bytes]:
        """Start a command; both its outputs go to FOLDER/log."""
        with open(self.folder / log, "ab") as out:
            process = subprocess.Popen([*prefix, *command], env=self.environment(**(env or {})), stdin=subprocess.DEVNULL,
                                       stdout=out, stderr=out, cwd=self.folder, preexec_fn=preexec)
        self.started.append(process)
        return process

    def python(self, *arguments: str, log: str, **how: Any) -> subprocess.Popen[bytes]:
        """Start Python."""
        return self.run(sys.executable, *arguments, log=log, **how)

    def command(self, name: str, *arguments: str, log: str = "", **how: Any) -> subprocess.Popen[bytes]:
        """Start `cosmicflows NAME`."""
        return self.python("-m", "cfcore.cli", name, *arguments, log=log or f"{name}.log", **how)

    def log(self, name: str) -> str:
        """Return a log so far."""
        path = self.folder / name
        return path.read_text(errors="replace") if path.exists() else ""

    def alive(self) -> list[int]:
        """Return the pids of all living processes with our mark."""
        wanted = f"{MARK}={self.mark}".encode()
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdecimal() and int(entry) != os.getpid():
                try:
                    is_ours = wanted in Path(f"/proc/{entry}/environ").read_bytes().split(b"\0")
                except OSError:
                    continue
                if is_ours and is_running(int(entry)):
                    found.append(int(entry))
        return found

    def end(self) -> list[int]:
        """Kill what was started; return the pids of those that should have ended with it and did not."""
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.wait()
        deadline = time.monotonic() + 3.0
        while (orphans := self.alive()) and time.monotonic() < deadline:
            time.sleep(0.02)
        for pid in orphans:
            os.kill(pid, signal.SIGKILL)
        return orphans


@contextmanager
def opened() -> Iterator[Ward]:
    """Open a ward, and see that nothing which was started there outlives it, or its parent."""
    # not tmp_path: the address of an ipc socket has at most 100 bytes
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        place = Ward(Path(folder))
        yield place
        orphans = place.end()
        for log in sorted(place.folder.glob("*.log")):
            print(f"--- {log.name}\n{log.read_text(errors='replace')[-3000:]}")
        assert not orphans, f"processes that outlived their parent: {orphans}"


class Crew:
    """Workers of one gateway: keep so many alive while some are killed, stopped or drained.

    Parameters
    ----------
    ward : Ward
        Where they run.
    arguments : sequence of str
        The command line of a worker, after ``python``.
    """

    def __init__(self, ward: Ward, *arguments: str, prefix: Sequence[str] = (), log: str = "workers.log") -> None:
        self._ward, self._arguments, self._prefix, self._log = ward, arguments, prefix, log
        self.members: list[subprocess.Popen[bytes]] = []
        self.stopped: list[subprocess.Popen[bytes]] = []
        self.kills: list[float] = []

    def hire(self, n: int = 1) -> None:
        """Start n more."""
        for _ in range(n):
            self.members.append(self._ward.python(*self._arguments, log=self._log, prefix=self._prefix))

    def kill(self, k: int) -> float:
        """Kill -9 the k-th, start another in its place; return when."""
        victim = self.members.pop(k)
        now = time.monotonic()
        victim.kill()
        self.kills.append(now)
        self.hire()
        victim.wait()
        return now

    def kill_any(self, rng: Random) -> float:
        """Kill one by lot, of those that are not stopped."""
        return self.kill(rng.choice([k for k, p in enumerate(self.members) if p not in self.stopped]))

    def stop(self, k: int) -> float:
        """SIGSTOP the k-th with its children, the way a frozen virtual machine stops; return when."""
        process = self.members[k]
        self.stopped.append(process)
        for pid in family(process.pid):
            send(pid, signal.SIGSTOP)
        return time.monotonic()

    def resume(self) -> None:
        """Let the stopped go on."""
        for process in self.stopped:
            for pid in family(process.pid):
                send(pid, signal.SIGCONT)
        self.stopped.clear()


def family(pid: int) -> list[int]:
    """Return a process and its descendants, parents first."""
    return [pid, *(p for child in child_pids(pid) for p in family(child))]


def send(pid: int, signum: int) -> None:
    """Send a signal to a process that may have gone."""
    try:
        os.kill(pid, signum)
    except ProcessLookupError:
        pass


def wait_for(condition: Callable[[], Any], timeout_s: float, what: str, pause_s: float = 0.01) -> float:
    """Wait until a condition holds; return the seconds it took, or fail saying what did not happen."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > timeout_s:
            raise AssertionError(f"{what}: waited {timeout_s} s in vain")
        time.sleep(pause_s)
    return time.monotonic() - began


def rss_mb(pid: int) -> float:
    """Return the resident memory of a process, 0 when it has gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def descriptors(pid: int) -> int:
    """Count the open descriptors of a process."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def free_ports(n: int, rng: Random, hosts: Sequence[str] = ("127.0.0.1",)) -> int:
    """Return the first of n neighbouring ports that are free on each of the hosts."""
    for _ in range(100):
        first = rng.randrange(20_000, 30_000)
        probes = []
        try:
            for host in hosts:
                for k in range(n):
                    probe = socket.socket()
                    probes.append(probe)
                    probe.bind((host, first + k))
            return first
        except OSError:
            continue
        finally:
            for probe in probes:
                probe.close()
    raise RuntimeError("no free ports")
