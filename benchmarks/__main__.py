"""`python -m benchmarks [SECTION] [--quick]`: ours and the peers in turns, in one run; the ratios are judged."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from importlib import import_module
from typing import Any

from .verdict import Ratio, as_dict, exit_code

SECTIONS = {"kernel": "kernel", "posterior": "posterior", "growth": "growth", "mmap": "mapping", "catalog": "catalog",
            "service": "service", "page": "page", "import": "imports"}
"""section -> module with ``run(quick) -> (facts, ratios)``; loaded only when it is run."""
ALONE = ("import",)
"""Sections that take minutes: run only when they are asked for."""
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "RAYON_NUM_THREADS")


def main() -> int:
    """Run the sections; return 1 when a ratio misses its floor or two contenders disagree."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("section", nargs="?", default="all", choices=[*SECTIONS, "all"])
    parser.add_argument("--quick", action="store_true", help="less of everything: shows that it runs, judges roughly")
    args = parser.parse_args()
    # read by the libraries when they are loaded, which is after this
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    from . import machine, timing
    before = timing.watch()
    _print({"section": "machine", **machine.about(), "load": round(os.getloadavg()[0], 2), "idle_before": before.idle,
            "quick": args.quick})
    judged: list[Ratio] = []
    failed = False
    for name in [s for s in SECTIONS if s not in ALONE] if args.section == "all" else [args.section]:
        began = time.perf_counter()
        with timing.Idle() as spell:
            try:
                facts, ratios = import_module(f".{SECTIONS[name]}", __package__).run(args.quick)
            except AssertionError as exc:
                # contenders that disagree are not compared
                facts, ratios, failed = {"disagreement": str(exc)}, [], True
        line: dict[str, Any] = {"section": name, **facts, "ratios": as_dict(ratios), "idle_during": spell.idle,
                                "taken_by_others": spell.others, "seconds": round(time.perf_counter() - began, 1)}
        _print(line)
        for ratio in ratios:
            print(ratio.line)
        if "disagreement" in facts:
            print(f"FAIL {name}: {facts['disagreement']}")
        if (spell.others or 0.0) > timing.BUSY:
            print(f"NOTE {name}: others took {spell.others:.0%} of the machine meanwhile; run it again on an idle one")
        sys.stdout.flush()
        judged += ratios
    count = {word: sum(r.outcome == word for r in judged) for word in ("PASS", "FAIL", "SKIP")}
    print(f"{count['PASS']} passed, {count['FAIL']} failed, {count['SKIP']} skipped"
          + (f"; only {before.idle:.0%} of the machine was idle at the start"
             if before.idle is not None and before.idle < 1 - timing.BUSY else ""))
    return 1 if failed else exit_code(judged)


def _print(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    sys.exit(main())
