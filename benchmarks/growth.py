"""What becomes of a list when it grows: time an object, then a table of a million rows through the command line."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from cfcore import open_field

from . import ours, posterior
from .made_field import make
from .questions import Objects, options
from .timing import Contender, duel, lap
from .verdict import Ratio

FEW, MANY, ROWS = 1_000, 100_000, 1_000_000
PATIENCE_S = 8.0
"""A list that would take longer than this is made shorter, and the line says so."""
RATIO = ("us_per_object_many_vs_few", 1.3, 1.6)
MEMORY = ("table_memory_beyond_its_size", 200.0, 200.0)

# A child's greatest memory begins with that of whoever started it, so something small does: it runs the command, waits,
# and prints the exit code, the seconds and the kilobytes.
_LAUNCH = """
import os, sys, time
began = time.perf_counter()
child = os.fork()
if child == 0:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.execv(sys.argv[1], sys.argv[1:])
_, status, usage = os.wait4(child, 0)
print('[%d, %f, %d]' % (os.waitstatus_to_exitcode(status), time.perf_counter() - began, usage.ru_maxrss))
"""


def run(quick: bool) -> tuple[dict[str, Any], list[Ratio]]:
    """Measure both."""
    facts, ratio = lists(quick)
    table_facts, more = table(quick)
    return {**facts, "table": table_facts}, [ratio, *more]


def lists(quick: bool) -> tuple[dict[str, Any], Ratio]:
    """Compare an object's share of a long list with its share of a short one, one thread."""
    made, objects = make(64 if quick else 128, planes=False), Objects.make(MANY // 10 if quick else ROWS)
    few = objects.first(FEW)
    short = Contender(ours.posteriors(made.field, few.lon, few.lat, few.cz, options()), FEW)
    short.work()
    once = lap(short, time.process_time, 5)
    # three rounds and one lap more
    many = next((n for n in (ROWS, MANY) if n <= len(objects.cz) and 4 * n * once < PATIENCE_S), MANY // 10 if quick else MANY)
    some = objects.first(many)
    long = Contender(ours.posteriors(made.field, some.lon, some.lat, some.cz, options()), many)
    result = duel(short, long, 0.5)
    facts = {"us_per_object": {str(FEW): posterior.micro(result.ours), str(many): posterior.micro(result.peer)}}
    name, target, floor = RATIO
    return facts, Ratio(name, result.ratio, target, floor, at_most=True)


def table(quick: bool) -> tuple[dict[str, Any], list[Ratio]]:
    """Send a table through ``cosmicflows distance TABLE.csv -o out.csv``; weigh its memory, and state its time."""
    name, target, ceiling = MEMORY
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        field = open_field("ongc-linear", folder)
        header = _accepted_header(folder)
        if header is None:
            return {}, [Ratio(name, None, target, ceiling, True, " MiB", "skipped: the command line takes no tables")]
        probe = Objects.make(20_000)
        work = Contender(lambda: field.distance(probe.lon, probe.lat, probe.cz), len(probe.cz))
        work.work()
        kernel = lap(work, time.perf_counter)
        rows = next((n for n in (ROWS, ROWS // 5) if n * kernel < PATIENCE_S), ROWS // 20)
        rows = min(rows, ROWS // 20) if quick else rows
        objects = Objects.make(rows)
        path, out = folder / "table.csv", folder / "out.csv"
        np.savetxt(path, np.stack([objects.lon, objects.lat, objects.cz], axis=1), "%.5f", ",", header=header, comments="")
        code, seconds, kilobytes = _command(folder, path, out)
        if code != 0:
            raise AssertionError(f"the command line ended with {code} on a table of {rows} rows")
        with open(out, "rb") as stream:
            answered = sum(chunk.count(b"\n") for chunk in iter(lambda: stream.read(2 ** 20), b"")) - 1
        if answered < rows:
            raise AssertionError(f"the command line answered {answered} of {rows} rows")
        size, peak = path.stat().st_size / 2 ** 20, kilobytes / 1024
        facts = {"rows": rows, "seconds": round(seconds, 2), "kernel_seconds": round(kernel * rows, 2),
                 "total_over_kernel": round(seconds / (kernel * rows), 2), "table_mib": round(size, 1),
                 "out_mib": round(out.stat().st_size / 2 ** 20, 1), "peak_mib": round(peak, 1)}
        return facts, [Ratio(name, peak - size, target, ceiling, True, " MiB")]


def _accepted_header(folder: Path) -> str | None:
    """Return the names of the columns that the command takes, or None where it takes no tables."""
    for header in ("lon,lat,cz", "ra,dec,cz"):
        path, out = folder / "three.csv", folder / "three-out.csv"
        path.write_text(f"{header}\n10,20,3000\n30,-40,5000\n150,2,7000\n")
        if _command(folder, path, out)[0] == 0 and out.exists():
            return header
    return None


def _command(folder: Path, table_path: Path, out: Path) -> tuple[int, float, int]:
    """Run the command on a table; return its exit code, seconds and greatest memory in kB."""
    done = subprocess.run(
        [sys.executable, "-S", "-c", _LAUNCH, sys.executable, "-m", "cfcore.cli", "distance", str(table_path), "-o", str(out),
         "--data", str(folder), "--field", "ongc-linear"], capture_output=True, text=True, timeout=120, check=True)
    code, seconds, kilobytes = json.loads(done.stdout)
    return code, seconds, kilobytes
