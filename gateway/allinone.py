"""`cosmicflows serve`: children by module name, then the gateway; the same processes and sockets as everywhere.

The children are the catalogue service and the flow workers. Each holds the read end of a pipe whose write end is ours:
when this process ends, however it ends, the pipe closes and they end too. A child that crashes is started again; one
that refuses (exit code 2: its files or its settings are wrong) would refuse again, so its reason is said, once.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import fcntl
import logging
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from aiohttp import web

from cfcore.errors import UsageError
from cfcore.settings import Settings, data_option

from . import server
from .dispatch import Dispatcher
from .keys import CATALOG, DISPATCHER
from .pages import PAGES

log = logging.getLogger("gateway")
BACKOFF_S = (0.05, 10.0)
STABLE_S = 10.0
STOP_S = 1.5
DRAIN_S = 1.0
"""Whoever pressed Ctrl-C waits for the prompt: no long good-bye here."""
READY_S = 120.0
PREFIX = "cosmicflows-"
REFUSED = 2
LINE_MAX = 2**20


class Child:
    """Keep one child process running: restart with growing pauses until it refuses or is told to stop.

    Parameters
    ----------
    name : str
        For the log.
    command : sequence of str
        Arguments after ``python -m``.
    settings : dict of str
        Variables ``CF_*`` of its environment beside those it inherits.

    Attributes
    ----------
    refusal : asyncio.Task
        Ends when the child has refused to run, with the reason.
    """

    refusal: asyncio.Task[str]

    def __init__(self, name: str, command: Sequence[str], settings: dict[str, str]) -> None:
        self.name = name
        self._environment = os.environ | settings
        self._command = command
        self._process: asyncio.subprocess.Process | None = None
        self._listener: asyncio.Task[str] | None = None
        self._read_end, self._write_end = os.pipe()

    def start(self) -> None:
        """Begin; needs a running event loop."""
        self.refusal = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """Ask the child to end, then make it."""
        self.refusal.cancel()
        await asyncio.gather(self.refusal, return_exceptions=True)
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                await asyncio.wait_for(process.wait(), STOP_S)
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if self._listener is not None:
            await self._listener
        os.close(self._write_end)
        os.close(self._read_end)

    async def _keep(self) -> str:
        pause = BACKOFF_S[0]
        while True:
            began = time.monotonic()
            # a session of its own: Ctrl-C reaches this process alone, which then ends the children in order
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", *self._command, "--parent-fd", str(self._read_end),
                pass_fds=(self._read_end,), start_new_session=True, stdin=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE, limit=LINE_MAX, env=self._environment)
            assert self._process.stderr is not None
            self._listener = asyncio.create_task(_pass_on(self._process.stderr))
            code = await self._process.wait()
            last_word = await asyncio.shield(self._listener)
            if code == REFUSED:
                return last_word or f"{self.name} ended with {code} and gave no reason"
            pause = BACKOFF_S[0] if time.monotonic() - began > STABLE_S else pause
            log.warning("%s ended with %s; starting it again in %.2g s", self.name, code, pause)
            await asyncio.sleep(pause)
            pause = min(2.0 * pause, BACKOFF_S[1])


async def _pass_on(lines: asyncio.StreamReader) -> str:
    """Repeat what a child says, save its last word ("cosmicflows PART: REASON"), which is returned for us to say once."""
    last_word = ""
    while True:
        try:
            line = await lines.readline()
        except ValueError:
            continue  # a line longer than any of ours
        if not line:
            return last_word
        prefix, _, rest = line.decode(errors="replace").partition(": ")
        if prefix in ("cosmicflows worker", "cosmicflows catalog"):
            last_word = rest.strip()
        else:
            with contextlib.suppress(OSError):  # nobody reads our log: no reason to leave the child alone
                sys.stderr.buffer.write(line)
                sys.stderr.buffer.flush()


@contextlib.asynccontextmanager
async def children(settings: Settings) -> AsyncIterator[tuple[Child, ...]]:
    """Run the catalogue service, which is the first, and the workers beside the gateway."""
    data = ("--data", str(settings.data))
    told = {"CF_LOG_LEVEL": settings.log_level, "CF_LOG_FORMAT": settings.log_format}
    kept = [Child("catalogue", ("catalog_svc", *data, "--listen", settings.catalog), told)]
    for i in range(settings.workers):
        field = ("--field", settings.field) if settings.field else ()
        kept.append(Child(f"worker {i + 1}", ("flow_worker", "--connect", settings.bus, *data, *field), told))
    for child in kept:
        child.start()
    try:
        yield tuple(kept)
    finally:
        await asyncio.gather(*(child.stop() for child in kept))


async def serve(settings: Settings) -> None:
    """Run everything until a signal, then end every process and remove the private folder.

    Raises
    ------
    UsageError
        When the catalogue or every worker refuses to run before the house has been ready.
    """
    _sweep()
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    inner = dataclasses.replace(settings, bus=f"ipc://{folder}", catalog=f"unix:{folder}/catalog")
    began = time.monotonic()
    try:
        runner = await server.start(inner, DRAIN_S)
        async with children(inner) as kept:
            try:
                await _run(runner, inner, kept, began)
            finally:
                # before the children end: it needs them to answer those who still wait
                await runner.cleanup()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _run(runner: web.AppRunner, settings: Settings, kept: Sequence[Child], began: float) -> None:
    """Wait for the signal to end; refuse when the house can never be ready."""
    tasks = [asyncio.create_task(c) for c in (server.until_signal(), _ready(runner, settings, began), _hopeless(kept))]
    stop, ready, hopeless = tasks
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if hopeless.done() and not (ready.done() or stop.done()):
            raise UsageError(str(hopeless.result()), code="child_refused")
        tasks.append(asyncio.create_task(_tell(kept, runner.app[DISPATCHER], settings.data)))
        await stop
    finally:
        for task in tasks:
            task.cancel()


async def _hopeless(kept: Sequence[Child]) -> str:
    """Wait until the catalogue or all workers have refused to run; return the reason."""
    catalogue, *workers = (child.refusal for child in kept)
    while not catalogue.done() and not (workers and all(w.done() for w in workers)):
        await asyncio.wait([t for t in (catalogue, *workers) if not t.done()], return_when=asyncio.FIRST_COMPLETED)
    return catalogue.result() if catalogue.done() else workers[0].result()


async def _tell(kept: Sequence[Child], dispatcher: Dispatcher, data: Path) -> None:
    """Log, once for each reason, what does not run any more; tell clients too when no worker is left."""
    said = set()
    while True:
        for child in kept:
            if child.refusal.done() and (reason := child.refusal.result()) not in said:
                said.add(reason)
                log.error("%s cannot run and is not started again: %s", child.name, reason)
        workers = [child.refusal for child in kept[1:]]
        if workers and all(w.done() for w in workers):
            dispatcher.explain(without_paths(workers[0].result(), data))
        running = [child.refusal for child in kept if not child.refusal.done()]
        if not running:
            return
        await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)


def without_paths(text: str, data: Path) -> str:
    """Return a sentence with the places of this machine left out: clients read it."""
    if data.is_absolute():
        text = text.replace(str(data), "DATA")
    return re.sub(r"(?<![\w^/.])/(?:[^\s/;,:'\")]+/)*([^\s/;,:'\")]*)", r"\1", text)


def _sweep() -> None:
    """Remove the private folders of houses that were killed.

    A living gateway holds the lock of its folder, so a lock that can be had tells that it is dead, in whatever container
    it ran; a number of a process would not. Nothing but sockets and the lock may lie there.
    """
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            with open(folder / "lock", "rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if all(entry.name == "lock" or entry.is_socket() for entry in folder.iterdir()):
                    shutil.rmtree(folder)


async def _ready(runner: web.AppRunner, settings: Settings, began: float) -> None:
    """Print the banner once a worker and the catalogue are there."""
    app = runner.app
    where, data = server.address(runner), data_option(settings.data)
    while time.monotonic() - began < READY_S:
        fields = app[DISPATCHER].fields()
        if (fields or not settings.workers) and await app[CATALOG].is_alive():
            default = next((f for f in fields.values() if f.get("default")), None)
            print(f"Cosmic Flows on {where}{'   open it in a browser' if app[PAGES].is_built else ''}\n"
                  f"  field    {default['id'] + ' ' + default['version'] if default else 'none'}"
                  f"   (installed: {', '.join(sorted(fields)) or 'none'})\n"
                  f"  workers  {settings.workers}   one more: cosmicflows worker --connect {settings.bus}{data}\n"
                  f"  data     {settings.data}   more fields: cosmicflows fields list{data}\n"
                  f"  try      curl '{where}/get_flow_galaxy?name=NGC%204993'\n"
                  f"  ready in {time.monotonic() - began:.1f} s; Ctrl-C ends it", flush=True)
            return
        await asyncio.sleep(0.02)
    log.error("not ready after %.0f s; see the lines above", READY_S)
