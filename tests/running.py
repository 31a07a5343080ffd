"""A real house in its own processes, for tests that knock at its door."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import msgpack


class Reply(NamedTuple):
    """Hold what came back over HTTP."""

    status: int
    media: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """Return the body as strict JSON: NaN and infinity are not JSON."""
        def refuse(word: str) -> None:
            raise AssertionError(f"{word} in JSON")
        return json.loads(self.body, parse_constant=refuse)

    @property
    def msgpack(self) -> Any:
        """Return the body as msgpack."""
        return msgpack.unpackb(self.body)


class House:
    """Run `cosmicflows serve` (or another command) on a free port and ask it questions."""

    def __init__(self, data: Path, *arguments: str, command: str = "serve", wait: bool = True,
                 jobs: Path | None = None) -> None:
        self.data = data
        # two houses may share their data, never their jobs or their log
        self.jobs = jobs or Path(tempfile.mkdtemp(prefix="jobs-", dir=data))
        self.log = Path(tempfile.mkdtemp(prefix="log-", dir=data)) / f"{command}.log"
        began = time.monotonic()
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "cfcore.cli", command, "--port", "0",
                 *(["--data", str(data)] if command == "serve" else []), *arguments],
                stdout=log, stderr=subprocess.STDOUT, cwd=data, env=os.environ | {"CF_JOBS": str(self.jobs)})
        pattern = re.compile(r"(?:on )http://127\.0\.0\.1:(\d+)")
        while not (found := pattern.search(self.log.read_text())) or (
                wait and command == "serve" and "ready in" not in self.log.read_text()):
            if self.process.poll() is not None or time.monotonic() - began > 60:
                raise AssertionError(f"the house did not start:\n{self.log.read_text()}")
            time.sleep(0.01)
        self.seconds_to_ready = time.monotonic() - began
        self.port = int(found[1])

    def ask(self, path: str, query: dict[str, object] | None = None, *, method: str = "GET", body: bytes | None = None,
            headers: dict[str, str] | None = None, timeout: float = 60.0) -> Reply:
        """Send one request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            target = path + ("?" + urlencode(query) if query else "")
            connection.request(method, target, body=body, headers=headers or {})
            answer = connection.getresponse()
            raw = answer.read()
            headers_in = {k.lower(): v for k, v in answer.getheaders()}
            return Reply(answer.status, headers_in.get("content-type", "").partition(";")[0], headers_in, raw)
        finally:
            connection.close()

    def post(self, path: str, data: object, **headers: str) -> Reply:
        """Send a JSON body; NaN goes as Python writes it."""
        return self.ask(path, method="POST", body=json.dumps(data).encode(),
                        headers={"Content-Type": "application/json", **headers})

    def children(self, module: str) -> list[int]:
        """Return the pids of the children that run a module."""
        return [pid for pid in child_pids(self.process.pid) if module in command_line(pid)]

    def stop(self, signum: int = signal.SIGINT) -> float:
        """End the house; return how long it took."""
        began = time.monotonic()
        if self.process.poll() is None:
            self.process.send_signal(signum)
        self.process.wait(20)
        return time.monotonic() - began


def child_pids(parent: int) -> list[int]:
    """Return the pids whose parent is `parent`."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdecimal():
            try:
                fields = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == parent:
                found.append(int(entry))
    return found


def command_line(pid: int) -> str:
    """Return the command line of a process, empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def is_running(pid: int) -> bool:
    """Tell whether a process lives (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
