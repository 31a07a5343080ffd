"""``cosmicflows jobs [backup|list]``: the store of jobs from a terminal, beside a gateway that runs or does not."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from .settings import load

Command = Callable[[], ModuleType]


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser], command: Command) -> None:
    """Add ``jobs``.

    Parameters
    ----------
    subparsers
    command : callable
        Imports the module that does the work.
    """
    where = argparse.ArgumentParser(add_help=False)
    where.add_argument("--data", type=Path, metavar="DIR", help="data directory (or CF_DATA)")
    where.add_argument("--jobs", metavar="DIR", help="folder of the jobs (or CF_JOBS; default: jobs in the data directory)")
    jobs = subparsers.add_parser("jobs", help="back up and list the jobs the gateway keeps")
    words = jobs.add_subparsers(metavar="backup|list", required=True)
    p = words.add_parser("backup", parents=[where], help="copy the store, also while the gateway works")
    p.add_argument("folder", type=Path, metavar="DIR", help="a folder that is not there yet")
    p.set_defaults(run=lambda args: _backup(args, command))
    p = words.add_parser("list", parents=[where], help="the newest jobs of everybody")
    p.add_argument("--limit", type=int, default=20, metavar="N", help="so many (default 20)")
    p.add_argument("--json", action="store_true", help="print as JSON")
    p.set_defaults(run=lambda args: _list(args, command))


def _folder(args: argparse.Namespace) -> Path:
    return load({"data": args.data, "jobs": args.jobs}).jobs_folder()


def _backup(args: argparse.Namespace, command: Command) -> int:
    done = command().backup(_folder(args), args.folder)
    print(f"{done['jobs']} jobs and {done['files']} files of rows and results copied to {args.folder} in {done['seconds']:.1f} s")
    return 0


def _list(args: argparse.Namespace, command: Command) -> int:
    listed = command().listing(_folder(args), args.limit)
    if args.json:
        print(json.dumps(listed))
        return 0
    for job in listed:
        print(f"{job['id']:>8}  {job['phase']:<10}{job['rows_done']:>9} of {job['rows_total']:>9} rows  {job['kind']:<9}"
              f"{job['creation']}  {job['owner']}{'  ' + job['run_id'] if job['run_id'] else ''}")
    if not listed:
        print("no jobs")
    return 0
