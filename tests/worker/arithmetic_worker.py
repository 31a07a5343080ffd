"""A worker that computes sums instead of flows: the real supervisor and children, a small Computer. Run as a process.

    python arithmetic_worker.py --connect BUS [--fields a:1,b:1] [--fields-file PATH] [--slots N] [--reserve N] ...
"""

from __future__ import annotations

import argparse
import ctypes
import logging
import mmap
import os
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from cfcore.errors import BadParameter, TransientError, UnknownName
from flow_worker.children import Recipe
from flow_worker.loop import Columns, run


class Shelf:
    """Advertise the fields of a text."""

    def __init__(self, fields: str, fields_file: Path | None) -> None:
        self._fields, self._file = fields, fields_file
        self._told = ""

    def _text(self) -> str:
        return self._file.read_text() if self._file else self._fields

    def fields(self) -> list[dict[str, object]]:
        """Read `id:sha,id:sha`."""
        self._told = self._text()
        pairs = [item.split(":") for item in self._told.strip().split(",") if item]
        return [{"id": name, "sha": sha, "version": "1", "default": k == 0} for k, (name, sha) in enumerate(pairs)]

    def changed(self) -> bool:
        """Compare with what was told."""
        return self._text() != self._told


class Computer:
    """Know the kinds echo, double, sleep, raise, bug, misfit, large, lacking and many ways to die; see `compute`."""

    def __init__(self, starts: str = "") -> None:
        if starts:
            with open(starts, "a", encoding="ascii") as file:
                file.write(f"{os.getpid()}\n")
            if Path(starts).with_name("refuse").exists():
                raise BadParameter("these settings are wrong")
            if Path(starts).with_name("die").exists():
                os._exit(5)

    def compute(self, kind: str, field: str, sha: str, options: dict[str, object],
                columns: Columns) -> tuple[Columns, Columns, dict[str, object]]:
        """Answer with the columns, twice the columns, or trouble; `mark` files show the test that a job has begun."""
        x = columns.get("x", np.empty(0))
        if mark := options.get("mark"):
            with open(str(mark), "a", encoding="ascii") as file:
                file.write(f"{os.getpid()}\n")
        if kind == "sleep":
            time.sleep(float(str(options["s"])))
        elif kind == "raise" and np.any(x < 0):
            raise BadParameter(f"x[{int(np.argmax(x < 0))}] is negative", where="x", extra={"rows": len(x)})
        elif kind == "busy":
            raise TransientError("not now", code="cold")
        elif kind == "bug":
            raise ZeroDivisionError("secret path /etc/passwd")
        elif kind == "crash" and np.any(x < 0):
            os._exit(9)
        elif kind == "lacking":
            raise UnknownName(f"no field {field} version {sha} here", code="no_such_field")
        elif kind == "large":
            return {"x": x, "v": np.ones((len(x), int(str(options["width"]))))}, {}, {}
        elif kind == "nice":
            return {"x": x}, {}, {"nice": os.getpriority(os.PRIO_PROCESS, threading.get_native_id())}
        elif kind.startswith("die-"):
            die(kind.removeprefix("die-"))
        elif kind == "misfit":
            return {"x": x[:-1]}, {}, {}
        if kind == "double":
            columns = {name: 2 * column for name, column in columns.items()}
        facts = {"field": field, "sha": sha, "rows": len(x), "pid": os.getppid(), "child": os.getpid()}
        return dict(columns), {"grid": np.arange(4.0)}, facts


def die(how: str) -> None:
    """End this process, or at least this computation, in one of the ways that jobs have."""
    print(f"about to die by {how}", file=sys.stderr, flush=True)
    if how == "abort":
        os.abort()
    elif how == "segv":
        ctypes.string_at(8)
    elif how == "bus":
        with tempfile.TemporaryFile() as file:
            file.truncate(1 << 20)
            mapped = mmap.mmap(file.fileno(), 1 << 20)
            file.truncate(0)
            mapped[1 << 19]
    elif how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "memory":
        blocks = []
        while True:
            blocks.append(np.ones(4 << 20))
    elif how == "loop":
        while True:
            pass
    elif how == "gil":
        # PyDLL keeps the interpreter lock during the call
        ctypes.PyDLL(None).usleep(600_000_000)
        while True:
            ctypes.PyDLL(None).sleep(3600)
    elif how == "stack":
        callback = ctypes.CFUNCTYPE(None)
        deeper = callback(lambda: deeper())
        sys.setrecursionlimit(1 << 30)
        deeper()


def main() -> None:
    """Read the command line and work."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--connect", required=True)
    parser.add_argument("--fields", default="toy:1")
    parser.add_argument("--fields-file", type=Path)
    parser.add_argument("--parent-fd", type=int)
    parser.add_argument("--slots", type=int, default=1)
    parser.add_argument("--reserve", type=int, default=0)
    parser.add_argument("--memory-mb", type=int, default=4096)
    parser.add_argument("--starts", default="")
    parser.add_argument("--key", type=Path)
    asked = parser.parse_args()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    # the children import this file by its name
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    recipe = Recipe("arithmetic_worker:Computer", {"starts": asked.starts}, {"cf": "test", "abi": 7}, asked.memory_mb)
    run(asked.connect, lambda: Shelf(asked.fields, asked.fields_file), recipe, slots=asked.slots, reserve=asked.reserve,
        parent_fd=asked.parent_fd, abi=7, key=asked.key)


if __name__ == "__main__":
    main()
