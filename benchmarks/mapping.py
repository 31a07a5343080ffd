"""A published field opened memory-mapped: the first answer, and the memory each further process takes for itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from cfcore.fieldfile import publish

from .made_field import make
from .timing import pairwise
from .verdict import Ratio

MEMORY = ("private_memory_copies_vs_mapped", 50.0, 10.0)
ANSWER = ("first_answer_copy_vs_mapped", 10.0, 3.0)
_MIB = 2 ** 20

# Opens the field one way or the other, answers once, again, then looks everywhere; each word on stdin asks for a line.
_READER = """
import json, sys, time
from pathlib import Path
import numpy as np
from cfcore import FlowField
from cfcore.fieldfile import open_folder

def memory():
    sizes = {}
    for line in Path('/proc/self/smaps_rollup').read_text().splitlines()[1:]:
        name, value, *_ = line.replace(':', ' ').split()
        sizes[name] = int(value) * 1024
    return {'private': sizes['Private_Clean'] + sizes['Private_Dirty'], 'shared': sizes['Shared_Clean'] + sizes['Shared_Dirty'],
            'pss': sizes['Pss']}

folder, copied = Path(sys.argv[1]), sys.argv[2] == 'copied'
small = FlowField.from_arrays(np.ones((3, 4, 4, 4)), origin_hmpc=-10, spacing_hmpc=6, sky_frame='icrs')
small.distance(10.0, 20.0, 300.0)
before = memory()
began = time.perf_counter()
manifest, cells, sigma = open_folder(folder)
if copied:
    cells = np.load(folder / 'cells.npy')
field = FlowField(manifest, cells, sigma)
opened = time.perf_counter()
field.distance(10.0, 20.0, 3000.0)
first = time.perf_counter()
field.distance(10.0, 20.0, 3000.0)
again = time.perf_counter()
far = -manifest.origin_hmpc[0]
for seed in range(50):
    field.sample_at(np.random.default_rng(seed).uniform(-far, far, (5000, 3)))
print(json.dumps({'open_ms': 1e3 * (opened - began), 'first_ms': 1e3 * (first - began), 'warm_ms': 1e3 * (again - first)}))
sys.stdout.flush()
sys.stdin.readline()
now = memory()
print(json.dumps({'private': now['private'] - before['private'], 'shared': now['shared'] - before['shared'],
                  'pss': now['pss'] - before['pss']}))
sys.stdout.flush()
sys.stdin.readline()
"""


def run(quick: bool) -> tuple[dict[str, Any], list[Ratio]]:
    """Measure processes that map a field against processes that load it."""
    if not Path("/proc/self/smaps_rollup").exists():
        why = "skipped: this system does not tell a process's shared memory"
        return {}, [Ratio(name, None, target, floor, why=why) for name, target, floor in (MEMORY, ANSWER)]
    nodes = 96 if quick else 192
    with tempfile.TemporaryDirectory() as place:
        made = make(nodes, planes=False)
        folder = publish(Path(place), made.field.manifest, made.cells[..., 0])
        size = made.cells.nbytes
        del made
        cold = _forget(folder / "cells.npy") and _pair(folder, "mapped", 1)[0][0]
        mapped, copied = [], []
        for _ in range(2 if quick else 3):
            mapped.append(_pair(folder, "mapped", 2))
            copied.append(_pair(folder, "copied", 2))
    answers = {way: [times["first_ms"] for times, _ in rounds] for way, rounds in (("mapped", _flat(mapped)),
                                                                                   ("copied", _flat(copied)))}
    private = {way: max(sizes["private"] for _, sizes in _flat(rounds)) for way, rounds in (("mapped", mapped),
                                                                                            ("copied", copied))}
    last = mapped[-1][-1]
    mib = {"mapped_private": private["mapped"], "mapped_shared": last[1]["shared"], "copied_private": private["copied"]}
    facts = {
        "lattice": f"{nodes}^3", "field_mib": round(size / _MIB, 1), "processes": 2,
        "mapped_ms": {k: round(v, 2) for k, v in last[0].items()},
        "mapped_cold_ms": {k: round(v, 2) for k, v in cold.items()} if cold else "not measured",
        "copied_ms": {k: round(v, 2) for k, v in copied[-1][-1][0].items()},
        "mib_per_process": {k: round(v / _MIB, 1) for k, v in mib.items()}}
    # less than a mebibyte is the noise of the interpreter's own heap
    return facts, [Ratio(MEMORY[0], private["copied"] / max(private["mapped"], _MIB), *MEMORY[1:]),
                   Ratio(ANSWER[0], pairwise(answers["mapped"], answers["copied"]), *ANSWER[1:])]


def _flat(rounds: list[list[tuple[dict[str, float], dict[str, float]]]]) -> list[tuple[dict[str, float], dict[str, float]]]:
    return [one for pair in rounds for one in pair]


def _pair(folder: Path, way: str, count: int) -> list[tuple[dict[str, float], dict[str, float]]]:
    """Run processes on one field, one after the other but all alive together; return (times, memory) of each."""
    with ExitStack() as stack:
        children = []
        times = []
        for _ in range(count):
            child = stack.enter_context(_reader(folder, way))
            times.append(_line(child))
            children.append(child)
        return [(spent, _ask(child)) for spent, child in zip(times, children)]


@contextmanager
def _reader(folder: Path, way: str) -> Iterator[subprocess.Popen[str]]:
    child = subprocess.Popen([sys.executable, "-c", _READER, str(folder), way], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             text=True)
    try:
        yield child
    finally:
        assert child.stdin is not None and child.stdout is not None
        child.stdin.close()
        child.stdout.close()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _ask(child: subprocess.Popen[str]) -> dict[str, float]:
    assert child.stdin is not None
    child.stdin.write("memory\n")
    child.stdin.flush()
    return _line(child)


def _line(child: subprocess.Popen[str]) -> dict[str, float]:
    assert child.stdout is not None
    text = child.stdout.readline()
    if not text:
        raise AssertionError("a process that reads the field ended early")
    return dict(json.loads(text))


def _forget(path: Path) -> bool:
    """Ask the system to drop a file from its cache; tell whether it could be asked."""
    if not hasattr(os, "posix_fadvise"):
        return False
    with open(path, "rb") as stream:
        os.fsync(stream.fileno())
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return True
