"""A worker that computes sums instead of flows: the real loop, a small Computer. Run by the tests as a process.

    python arithmetic_worker.py --connect BUS [--fields a:1,b:1] [--parent-fd N] [--fields-file PATH]
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from pathlib import Path

import numpy as np

from cfcore.errors import BadParameter, TransientError
from flow_worker.loop import Columns, run


class Computer:
    """Know the kinds echo, double, sleep, raise, bug, crash, misfit and facts; see `compute`."""

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
        elif kind == "misfit":
            return {"x": x[:-1]}, {}, {}
        if kind == "double":
            columns = {name: 2 * column for name, column in columns.items()}
        facts = {"field": field, "sha": sha, "rows": len(x), "pid": os.getpid()}
        return dict(columns), {"grid": np.arange(4.0)}, facts


def main() -> None:
    """Read the command line and work."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--connect", required=True)
    parser.add_argument("--fields", default="toy:1")
    parser.add_argument("--fields-file", type=Path)
    parser.add_argument("--parent-fd", type=int)
    asked = parser.parse_args()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    run(asked.connect, Computer(asked.fields, asked.fields_file), parent_fd=asked.parent_fd)


if __name__ == "__main__":
    main()
