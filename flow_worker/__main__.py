"""`python -m flow_worker`: a worker of its own, with the fields of one data folder."""

from __future__ import annotations

import argparse
import logging
import sys
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path

from cfcore.errors import CosmicFlowsError
from cfcore.settings import LOG_FORMAT
from flow_worker.loop import run


def main(arguments: list[str] | None = None) -> int:
    """Read the command line, join the gateway, work."""
    parser = argparse.ArgumentParser(prog="cosmicflows worker", description="Compute for a Cosmic Flows gateway.")
    parser.add_argument("--connect", required=True, metavar="ADDRESS", help="ipc:///folder or tcp://HOST:5573")
    parser.add_argument("--data", required=True, type=Path, metavar="DIR", help="folder that holds fields/")
    parser.add_argument("--field", default="", metavar="ID", help="default field")
    parser.add_argument("--parent-fd", type=int, metavar="N", help="read end of a pipe; exit when it closes")
    asked = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format=LOG_FORMAT)
    from flow_worker.compute import Computer  # loads the kernels: --help and wrong options need not wait for them
    try:
        run(asked.connect, Computer(data=asked.data, default_field=asked.field), parent_fd=asked.parent_fd,
            version=_version())
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
