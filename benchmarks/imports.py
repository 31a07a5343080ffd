"""A million rows of a made catalogue: how long the import takes, what it holds, and what readers feel meanwhile."""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp

from .catalog import served
from .glade import write_glade
from .verdict import Ratio

ROWS, QUICK_ROWS = 1_000_000, 50_000
SECONDS, DISK_MB, P99_MS, PEAK_MIB = (30.0, 60.0), (300.0, 400.0), (2.0, 5.0), (250.0, 400.0)
"""(target, ceiling) for a million rows."""
PAUSE_S = 0.005
NAMES = ("NGC 4993", "M 31", "Whirlpool", "IC 342", "ESO 508-018", "PGC 45657", "NGC 1365", "Sombrero")


def run(quick: bool) -> tuple[dict[str, Any], list[Ratio]]:
    """Import beside a service that is asked 200 times a second."""
    rows = QUICK_ROWS if quick else ROWS
    with tempfile.TemporaryDirectory() as folder:
        file, data = Path(folder) / "made.txt", Path(folder) / "data"
        write_glade(file, rows, seed=1)
        size = file.stat().st_size
        with served(data) as service:
            calm, _ = asyncio.run(_quiet(service))
            seconds, peak, waits, faults = asyncio.run(_import(service, file, data))
        disk = sum(p.stat().st_size for p in (data / "catalog").glob("glade*.sqlite"))
    scale = ROWS / rows
    waits.sort()
    p99 = waits[int(0.99 * len(waits))] * 1e3
    facts = {"rows": rows, "file_mb": round(size / 1e6), "seconds": round(seconds, 1), "disk_mb": round(disk / 1e6, 1),
             "peak_mib": round(peak), "requests_meanwhile": len(waits), "failed_requests": faults,
             "reader_ms": {"p50": round(waits[len(waits) // 2] * 1e3, 2), "p99": round(p99, 2), "p99_before": round(calm, 2)}}
    assert not faults, f"{faults} requests failed during the import"
    return facts, [Ratio("import_million_rows", seconds * scale, *SECONDS, at_most=True, unit=" s"),
                   Ratio("import_disk_per_million", disk / 1e6 * scale, *DISK_MB, at_most=True, unit=" MB"),
                   Ratio("import_peak_memory", peak, *PEAK_MIB, at_most=True, unit=" MiB"),
                   Ratio("import_reader_p99", p99, *P99_MS, at_most=True, unit=" ms")]


async def _quiet(service: str) -> tuple[float, int]:
    async with aiohttp.ClientSession() as session:
        end = time.perf_counter() + 1.0
        waits, faults = await _ask(session, service, lambda: time.perf_counter() < end)
    return sorted(waits)[int(0.99 * len(waits))] * 1e3, faults


async def _import(service: str, file: Path, data: Path) -> tuple[float, float, list[float], int]:
    """Return the seconds of the import, its peak memory (MiB), the waits of readers and their failures."""
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cfcore.cli", "catalog", "import", str(file), "--profile", "glade+", "--data", str(data),
        stdout=asyncio.subprocess.DEVNULL)
    peak = asyncio.create_task(_peak(process.pid))
    ended = asyncio.create_task(process.wait())
    async with aiohttp.ClientSession() as session:
        waits, faults = await _ask(session, service, lambda: not ended.done())
    seconds = time.perf_counter() - began
    assert ended.result() == 0, "the import failed"
    return seconds, await peak, waits, faults


async def _ask(session: aiohttp.ClientSession, service: str, goes_on: Any) -> tuple[list[float], int]:
    waits: list[float] = []
    faults = 0
    while goes_on():
        began = time.perf_counter()
        async with session.get(f"{service}/v1/resolve", params={"name": NAMES[len(waits) % len(NAMES)]}) as answer:
            await answer.read()
            faults += answer.status != 200
        waits.append(time.perf_counter() - began)
        await asyncio.sleep(PAUSE_S)
    return waits, faults


async def _peak(pid: int) -> float:
    """Return the greatest resident memory of a process and its children together, MiB, until it ends."""
    greatest = 0.0
    while (now := sum(_resident(p) for p in _family(pid))) > 0.0:
        greatest = max(greatest, now)
        await asyncio.sleep(0.1)
    return greatest


def _family(pid: int) -> list[int]:
    try:
        return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
    except OSError:
        return [pid]


def _resident(pid: int) -> float:
    try:
        found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0.0
    return int(found[1]) / 1024 if found else 0.0


