"""Start the catalogue service: build its file when needed, serve, end with the signal or with the parent.

    python -m catalog_svc --data DIR (--listen unix:/path/sock | --listen 127.0.0.1:5571) [--parent-fd N]
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import socket
import stat
import sys
import time
from contextlib import closing
from pathlib import Path

from aiohttp import web

from cfcore import logs
from cfcore.errors import BadParameter, CosmicFlowsError
from cfcore.settings import load

from . import uploads
from .app import LOG, build_app, build_runner
from .build import ensure
from .desk import Desk
from .library import open_library


def main(argv: list[str] | None = None) -> int:
    """Run the service until it is told to end; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m catalog_svc", description="Names of galaxies over HTTP.")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of the built catalogue")
    parser.add_argument("--listen", required=True, metavar="ADDRESS", help="unix:/path/sock or HOST:PORT")
    parser.add_argument("--parent-fd", type=int, metavar="N",
                        help="read end of a pipe held by the parent: the service ends when it closes")
    options = parser.parse_args(argv)
    # aiohttp logs a traceback for every malformed request line; failures of ours are logged by `app`.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    started = time.monotonic()
    try:
        settings = load({"data": options.data})
        logs.set_up(settings.log_level, settings.log_format)
        # the address of a database holds its password, so it comes by the environment and not by the command line
        dsn = settings.catalog_dsn
        with closing(open_library(options.data, dsn)) as library:
            ensure(library)
        uploads.sweep()
        with closing(Desk(options.data, dsn)) as desk:
            asyncio.run(_serve(desk, options.listen, options.parent_fd, started))
    except CosmicFlowsError as error:
        print(f"cosmicflows catalog: {error.message}", file=sys.stderr)
        return 2
    return 0


async def _serve(desk: Desk, listen: str, parent_fd: int | None, started: float) -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    if parent_fd is not None:
        _watch_parent(loop, parent_fd, ended)
    runner = build_runner(build_app(desk))
    await runner.setup()
    path = _socket_path(listen)
    try:
        shown = await (_listen_unix(runner, path) if path else _listen_tcp(runner, listen))
        LOG.info("ready on %s: %s galaxies of %s, %.2f s", shown, desk.store.galaxies, desk.store.known_as,
                 time.monotonic() - started)
        try:
            await ended.wait()
        finally:
            if path:
                path.unlink(missing_ok=True)  # before the connections drain: nobody new comes in
    finally:
        await runner.cleanup()


def _watch_parent(loop: asyncio.AbstractEventLoop, fd: int, ended: asyncio.Event) -> None:
    def read() -> None:
        if not os.read(fd, 4096):
            loop.remove_reader(fd)
            ended.set()

    try:
        os.set_blocking(fd, False)
        loop.add_reader(fd, read)
    except OSError as error:
        raise BadParameter(f"--parent-fd {fd} is no open pipe ({error.strerror}); hand over its read end",
                           where="parent-fd") from error


def _socket_path(listen: str) -> Path | None:
    return Path(listen.removeprefix("unix:")) if listen.startswith("unix:") else None


async def _listen_unix(runner: web.AppRunner, path: Path) -> str:
    if _is_served(path):
        raise BadParameter(f"another process serves {str(path)!r:.200}; end it or choose another --listen",
                           where="listen")
    try:
        await web.UnixSite(runner, str(path)).start()  # takes over a socket that a crash left behind
    except OSError as error:
        raise _refused(f"unix:{path}", error) from error
    return f"unix:{path}"


def _is_served(path: Path) -> bool:
    try:
        if not stat.S_ISSOCK(path.stat().st_mode):
            return False
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1.0)
            probe.connect(str(path))
            return True
    except OSError:
        return False


async def _listen_tcp(runner: web.AppRunner, listen: str) -> str:
    host, colon, port = listen.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise BadParameter(f"--listen {listen!r:.80} is neither unix:/path/sock nor HOST:PORT "
                           "with a port of 0..65535", where="listen")
    try:
        await web.TCPSite(runner, host.strip("[]") or None, int(port)).start()
    except OSError as error:
        raise _refused(listen, error) from error
    bound = runner.addresses[0]
    return f"{bound[0]}:{bound[1]}"


def _refused(listen: str, error: OSError) -> BadParameter:
    return BadParameter(f"cannot listen on {listen!r:.200} ({error.strerror or error}); choose another --listen",
                        where="listen")


if __name__ == "__main__":
    sys.exit(main())
