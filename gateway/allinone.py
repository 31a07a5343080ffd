"""`cosmicflows serve`: children by module name, then the gateway; the same processes and sockets as everywhere.

The children are the catalogue service and the flow workers. Each holds the read end of a pipe whose write end is ours:
when this process ends, however it ends, the pipe closes and they end too.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import os
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from aiohttp import web

from cfcore.settings import Settings

from . import server
from .keys import CATALOG, DISPATCHER

log = logging.getLogger("gateway")
BACKOFF_S = (0.05, 10.0)
STABLE_S = 10.0
STOP_S = 1.5
READY_S = 120.0


class Child:
    """Keep one child process running: restart with growing pauses until told to stop.

    Parameters
    ----------
    name : str
        For the log.
    command : sequence of str
        Arguments after ``python -m``.
    """

    def __init__(self, name: str, command: Sequence[str]) -> None:
        self.name = name
        self._command = command
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._read_end, self._write_end = os.pipe()

    def start(self) -> None:
        """Begin; needs a running event loop."""
        self._task = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """Ask the child to end, then make it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
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
        os.close(self._write_end)
        os.close(self._read_end)

    async def _keep(self) -> None:
        pause = BACKOFF_S[0]
        while True:
            began = time.monotonic()
            # a session of its own: Ctrl-C reaches this process alone, which then ends the children in order
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", *self._command, "--parent-fd", str(self._read_end),
                pass_fds=(self._read_end,), start_new_session=True, stdin=asyncio.subprocess.DEVNULL)
            code = await self._process.wait()
            pause = BACKOFF_S[0] if time.monotonic() - began > STABLE_S else pause
            log.warning("%s ended with %s; starting it again in %.2g s", self.name, code, pause)
            await asyncio.sleep(pause)
            pause = min(2.0 * pause, BACKOFF_S[1])


@contextlib.asynccontextmanager
async def children(settings: Settings, folder: Path) -> AsyncIterator[None]:
    """Run the catalogue service and the workers beside the gateway."""
    data = ("--data", str(settings.data))
    kept = [Child("catalogue", ("catalog_svc", *data, "--listen", settings.catalog))]
    for i in range(settings.workers):
        field = ("--field", settings.field) if settings.field else ()
        kept.append(Child(f"worker {i + 1}", ("flow_worker", "--connect", settings.bus, *data, *field)))
    for child in kept:
        child.start()
    try:
        yield
    finally:
        await asyncio.gather(*(child.stop() for child in kept))


async def serve(settings: Settings) -> None:
    """Run everything until a signal, then end every process and remove the private folder."""
    folder = Path(tempfile.mkdtemp(prefix="cosmicflows-"))
    inner = dataclasses.replace(settings, bus=f"ipc://{folder}", catalog=f"unix:{folder}/catalog")
    began = time.monotonic()
    try:
        runner = await server.start(inner)
        try:
            async with children(inner, folder):
                stop = asyncio.create_task(server.until_signal())
                ready = asyncio.create_task(_ready(runner, inner, began))
                await asyncio.wait((stop, ready), return_when=asyncio.FIRST_COMPLETED)
                await stop
                ready.cancel()
        finally:
            await runner.cleanup()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _ready(runner: web.AppRunner, settings: Settings, began: float) -> None:
    """Print the banner once a worker and the catalogue are there."""
    app = runner.app
    where = server.address(runner)
    while time.monotonic() - began < READY_S:
        fields = app[DISPATCHER].fields()
        if (fields or not settings.workers) and await app[CATALOG].is_alive():
            default = next((f for f in fields.values() if f.get("default")), None)
            print(f"Cosmic Flows on {where}\n"
                  f"  field    {default['id'] + ' ' + default['version'] if default else 'none'}"
                  f"   (installed: {', '.join(sorted(fields)) or 'none'})\n"
                  f"  workers  {settings.workers}   data {settings.data}\n"
                  f"  try      curl '{where}/get_flow_galaxy?name=NGC%204993'\n"
                  f"  ready in {time.monotonic() - began:.1f} s; Ctrl-C ends it", flush=True)
            return
        await asyncio.sleep(0.02)
    log.error("not ready after %.0f s; see the lines above", READY_S)
