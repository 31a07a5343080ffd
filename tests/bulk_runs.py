"""`cosmicflows bulk` in processes of its own, the seeded tables it reads, and what can be seen of it while it works."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet as pq
from running import child_pids, command_line, is_running

ROOT = Path(__file__).parents[1]
SEED, PARTS, ROWS, EMPTY = 20261, 40, 1000, 13


class Bulk:
    """Start commands and wait for what they do; whatever still runs at the end of the test is killed."""

    def __init__(self, data: Path, logs: Path) -> None:
        self.data, self.logs = data, logs
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, table: Path, out: Path, *words: object, path: Path = ROOT) -> subprocess.Popen[bytes]:
        """Start `cosmicflows bulk` in a process group of its own."""
        words = ("bulk", table, out, "--data", self.data, "--field", "ongc-linear", *words)
        return self.python("-m", "cfcore.cli", *words, path=path)

    def python(self, *words: object, path: Path = ROOT, before: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
        """Start a Python process that sees the house at `path`."""
        with open(self.logs / f"{len(self._started)}.log", "wb") as log:
            self._started.append(subprocess.Popen(
                [*before, sys.executable, *map(str, words)], stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.logs,
                start_new_session=True, env={**os.environ, "PYTHONPATH": str(path), "CF_DATA": str(self.data)}))
        return self._started[-1]

    def said(self, process: subprocess.Popen[bytes]) -> str:
        """Return what a process has written."""
        return (self.logs / f"{self._started.index(process)}.log").read_text()

    def run(self, table: Path, out: Path, *words: object) -> tuple[int, str]:
        """Run a command to its end; return its exit code and what it said."""
        process = self.start(table, out, *words)
        code = process.wait(60)
        assert "Traceback" not in self.said(process)
        return code, self.said(process)

    def wait(self, what: Callable[[], object], process: subprocess.Popen[bytes], seconds: float = 40.0) -> None:
        """Wait until something is so, while a process runs."""
        end = time.monotonic() + seconds
        while not what():
            assert process.poll() is None and time.monotonic() < end, self.said(process)
            time.sleep(0.001)

    def kill_all(self) -> None:
        """Kill what was started, and what that has started."""
        for process in self._started:
            if process.poll() is None:
                below = family(process.pid)
                process.kill()
                process.wait(10)
                for pid in filter(is_running, below):
                    os.kill(pid, 9)


def family(pid: int) -> list[int]:
    """Return the processes below one."""
    return [p for child in child_pids(pid) for p in (child, *family(child))]


def workers_of(process: subprocess.Popen[bytes]) -> list[int]:
    """Return the pids of the Dask workers of a command."""
    return [p for p in family(process.pid) if "spawn_main" in command_line(p)]


def finished(out: Path) -> list[Path]:
    """Return the finished files of a folder."""
    return sorted(out.glob("part-*.parquet"))


def drafts(out: Path, part: str = "") -> list[Path]:
    """Return the files that are being written."""
    return sorted(out.glob(f".part-{part}*.part"))


def contents(out: Path) -> dict[str, bytes]:
    """Return every file of a folder, hidden ones too."""
    return {p.name: p.read_bytes() for p in out.iterdir()}


def made_table(parts: int, rows: int, empty: int = -1) -> tuple[pyarrow.Table, list[int]]:
    """Return a seeded table with a few bad rows, and the sizes of its row groups."""
    print(f"seed {SEED}", file=sys.stderr)
    rng = np.random.default_rng(SEED)
    sizes = [0 if i == empty else rows for i in range(parts)]
    n = sum(sizes)
    cz = 14000.0 * rng.uniform(size=n) ** (1 / 3)
    dec = np.degrees(np.arcsin(rng.uniform(-1, 1, n)))
    cz[::997], dec[5::1999], cz[7::2503] = np.nan, 95.0, -999.0
    return pyarrow.table({"name": [f"G{i}" for i in range(n)], "ra": rng.uniform(0, 360, n), "dec": dec,
                          "vhel": pyarrow.array(cz, mask=np.isnan(cz))}), sizes


def write(path: Path, table: pyarrow.Table, sizes: list[int]) -> Path:
    """Write a table with row groups of these sizes."""
    with pq.ParquetWriter(path, table.schema) as out:
        at = 0
        for size in sizes:
            # write_table would leave an empty row group out
            out.writer.write_table(table.slice(at, size), size or 1)
            at += size
    return path
