"""Work in a process of its own, with bounds: what it opens may be a stranger's file, and what it needs must not weigh on the
gateway.

`run` starts a module of ours as a program, gives it a question and takes its answer, both JSON; the program calls `bound`
before anything else. An answer with the key `error` is an error of ours and raised as such. What it means to a client that a
program came to a bound (`Stopped`), whoever had it run says.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import logging
import os
import resource
import signal
import sys
import warnings
from contextlib import suppress
from typing import Any

from cfcore.errors import BadParameter, InternalError, from_dict

log = logging.getLogger("gateway.confined")
NICENESS = 10
# the rest of our environment holds secrets, names proxies, and says where our files are
_PASSED_ON = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR")
# threads of a linear algebra that is not used would reserve memory each
_ALONE = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system", "PYTHONUTF8": "1",
          "HOME": "/nonexistent"}
_PR_SET_PDEATHSIG = 1
_FORBIDDEN = frozenset(("socket.connect", "socket.getaddrinfo", "urllib.Request", "subprocess.Popen", "os.system", "os.exec",
                        "os.fork", "os.posix_spawn", "ftplib.connect"))
_LOST_WORDS = 2000


class Stopped(Exception):
    """Say that a program came to a bound: that of its time (`is_late`), or of its memory, its computing or its files."""

    def __init__(self, words: str, *, is_late: bool = False) -> None:
        super().__init__(words)
        self.is_late = is_late


async def run(module: str, asked: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Run a module as a program and return its answer.

    Parameters
    ----------
    module : str
    asked : dict
        Plain data; `parent` is added, our process id.
    seconds : float
        After which it is ended.

    Raises
    ------
    Stopped
        When it came to a bound.
    CosmicFlowsError
        What the program answers instead; `InternalError` when it ended without a word.
    """
    environment = {k: os.environ[k] for k in _PASSED_ON if k in os.environ} | _ALONE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE, env=environment, start_new_session=True)
    try:
        async with asyncio.timeout(seconds):
            out, err = await process.communicate(json.dumps({**asked, "parent": os.getpid()}).encode())
    except TimeoutError:
        raise Stopped(f"it was not ready after {seconds:.0f} s", is_late=True) from None
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    words = err[-_LOST_WORDS:].decode("utf-8", "replace")
    if process.returncode is not None and process.returncode < 0:
        log.warning("%s was ended by signal %d: %s", module, -process.returncode, words)
        raise Stopped(f"it was ended by signal {-process.returncode}")
    try:
        answer: dict[str, Any] = json.loads(out)
    except ValueError:
        if b"MemoryError" in err or b"bad_alloc" in err:
            raise Stopped("it needs more memory than it may have") from None
        log.error("%s ended with %s and no answer: %s", module, process.returncode, words)
        raise InternalError(f"{module} ended with {process.returncode} and no answer") from None
    if "error" in answer:
        raise from_dict(answer["error"])
    return answer


def bound(parent: int, *, memory: int, cpu_s: int, file_bytes: int, niceness: int = NICENESS) -> None:
    """Give up what is not needed, for good: memory, time, size of files, the network, other programs.

    Parameters
    ----------
    parent : int
        The process that asked; this one ends with it.
    memory, file_bytes : int
    cpu_s, niceness : int
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    for what, most in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_FSIZE, file_bytes), (resource.RLIMIT_CORE, 0),
                       (resource.RLIMIT_NOFILE, 64)):
        resource.setrlimit(what, (most, most))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with suppress(OSError):
        os.nice(niceness)
    sys.addaudithook(_refuse)
    # rows are lists of texts, which hold no circles: to look for them takes a third of the time
    gc.disable()
    warnings.simplefilter("ignore")


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event in _FORBIDDEN:
        # a VOTable may name an address, or a file of ours, where its rows are
        raise BadParameter("the table says that its rows are elsewhere; send a table that holds them", code="table_elsewhere",
                           where="table")
