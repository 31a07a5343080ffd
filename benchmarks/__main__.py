"""`python -m benchmarks [kernel|posterior|service|all] [--quick]`: ours and the peers alternating in one run; ratios count."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable

import numpy as np

from . import kernel, posterior, service

SECTIONS: dict[str, Callable[[bool], dict[str, object]]] = {
    "kernel": kernel.run, "posterior": posterior.run, "service": service.run}


def main() -> int:
    """Run the sections; return 1 when a ratio misses its floor."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("section", nargs="?", default="all", choices=[*SECTIONS, "all"])
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    args = parser.parse_args()
    print(json.dumps({"machine": platform.processor() or platform.machine(), "cores": os.cpu_count(),
                      "python": platform.python_version(), "numpy": np.__version__,
                      "load": round(os.getloadavg()[0], 2)}))
    passed = True
    for name in SECTIONS if args.section == "all" else [args.section]:
        line = SECTIONS[name](args.quick)
        ok = all(line["ratios"][k] >= floor for k, floor in line["floors"].items())  # type: ignore[index,attr-defined]
        passed &= ok
        print(json.dumps({"section": name, **line}))
        print(f"{'PASS' if ok else 'FAIL'} {name}: " + ", ".join(
            f"{k} {line['ratios'][k]:.3g}x (floor {floor:g})" for k, floor in line["floors"].items()),  # type: ignore[index,attr-defined]
            flush=True)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
