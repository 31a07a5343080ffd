"""`python -m flow_worker`: a worker of its own, with the fields of one data folder."""

from __future__ import annotations

import argparse
import os
import sys
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path

from cfcore import logs
from cfcore.errors import CosmicFlowsError
from cfcore.settings import load
from flow_worker.children import Recipe
from flow_worker.loop import Fields, run

ABI = 1
"""Number of what the kernels answer; raised when the same question gets other bits."""


def main(arguments: list[str] | None = None) -> int:
    """Read the command line, join the gateway, work."""
    parser = argparse.ArgumentParser(prog="cosmicflows worker", description="Compute for a Cosmic Flows gateway.")
    parser.add_argument("--connect", required=True, metavar="ADDRESS", help="ipc:///folder or tcp://HOST:5573")
    parser.add_argument("--data", required=True, type=Path, metavar="DIR", help="folder that holds fields/")
    parser.add_argument("--field", default="", metavar="ID", help="default field")
    parser.add_argument("--slots", type=int, default=2, metavar="N", help="compute processes (default 2)")
    parser.add_argument("--reserve", type=int, metavar="N",
                        help="of which so many never take bulk jobs (default 1; 0 with a single slot)")
    parser.add_argument("--job-memory-mb", type=int, default=4096, metavar="MB",
                        help="most memory one compute process may ask for (default 4096)")
    parser.add_argument("--key", type=Path, metavar="FILE", default=os.environ.get("CF_KEY") or None,
                        help="key file of this host, made by cosmicflows keys new (default: CF_KEY)")
    parser.add_argument("--parent-fd", type=int, metavar="N", help="read end of a pipe; exit when it closes")
    asked = parser.parse_args(arguments)
    if not 64 <= asked.job_memory_mb <= 1 << 24:
        parser.error(f"--job-memory-mb {asked.job_memory_mb} lies outside 64 ... {1 << 24}")

    def shelf() -> Fields:
        from flow_worker.shelf import Shelf  # loads the kernels: --help, wrong options and the first child need not wait
        return Shelf(asked.data, asked.field)

    version = _version()
    recipe = Recipe("flow_worker.compute:Computer", {"data": str(asked.data)}, {"cf": version, "abi": ABI}, asked.job_memory_mb)
    reserve = min(1, asked.slots - 1) if asked.reserve is None else asked.reserve
    try:
        settings = load({"data": asked.data})
        logs.set_up(settings.log_level, settings.log_format)
        run(asked.connect, shelf, recipe, slots=asked.slots, reserve=reserve, parent_fd=asked.parent_fd, version=version,
            abi=ABI, key=asked.key)
    except CosmicFlowsError as error:
        print(f"cosmicflows worker: {error.message}", file=sys.stderr)
        return 2
    return 0


def _version() -> str:
    try:
        return installed_version("cosmicflows")
    except PackageNotFoundError:
        return "0+source"


if __name__ == "__main__":
    sys.exit(main())
