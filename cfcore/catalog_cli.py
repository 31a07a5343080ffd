"""``cosmicflows catalog [import|list|drop]``: what is said on a terminal about catalogues; the service does the work."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from .errors import BadParameter, CosmicFlowsError
from .settings import load

OPTIONS: tuple[str, ...] = ("profile", "id", "frame", "convention", "format", "delimiter", "title", "citation", "licence", "kind",
                            "link")
_HELP = {"profile": "how a known table is laid out: edd-cf4, edd-groups, 2mrs, glade+, 50mgc, skyportal, abell",
         "id": "short name of the catalogue (default: that of the profile, or of the file)",
         "frame": "rest frame of the velocities: hel, cmb, lg, ls, gsr ...",
         "convention": "what the velocities are: cz, z, optical, radio, relativistic",
         "format": "csv, tsv, text, ecsv, fits, votable, parquet (default: by the suffix)",
         "delimiter": "what divides the columns of text", "title": "name for people", "citation": "whom to cite",
         "licence": "under which licence the table is published", "kind": "galaxy (default), cluster or group",
         "link": "objects within so many seconds of arc are the same one"}
Command = Callable[[], ModuleType]


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser],
             serve: Callable[[argparse.Namespace], int], command: Command) -> None:
    """Add ``catalog``: without a further word it runs the service.

    Parameters
    ----------
    subparsers
    serve : callable
        Runs the service.
    command : callable
        Imports the module that does the work.
    """
    where = argparse.ArgumentParser(add_help=False)
    where.add_argument("--data", type=Path, metavar="DIR", help="data directory (or CF_DATA)")
    catalog = subparsers.add_parser("catalog", parents=[where], help="the catalogue service alone; or import, list and drop "
                                    "catalogues")
    catalog.add_argument("--listen", help="HOST:PORT or unix:/path")
    catalog.set_defaults(run=serve)
    words = catalog.add_subparsers(dest="catalog_command", metavar="import|list|drop")
    p = words.add_parser("import", parents=[where], help="take in a table of galaxies, groups or clusters")
    p.add_argument("file", type=Path, metavar="FILE")
    for name in OPTIONS:
        p.add_argument(f"--{name.replace('_', '-')}", dest=f"import_{name}", metavar=name.upper(), help=_HELP[name],
                       type=float if name == "link" else str)
    p.add_argument("--map", action="extend", nargs="+", default=[], metavar="QUANTITY=COLUMN",
                   help="which column holds what, such as ra=RAJ2000 dec=DEJ2000")
    p.add_argument("--dry-run", action="store_true", help="read, check, count and link, but store nothing")
    p.add_argument("--max-bad", type=int, metavar="N", help="stop when more rows than N are refused")
    p.add_argument("--json", action="store_true", help="print the whole report as JSON")
    p.set_defaults(run=lambda args: _import(args, command))
    p = words.add_parser("list", parents=[where], help="the catalogues that are here")
    p.add_argument("--json", action="store_true", help="print as JSON")
    p.set_defaults(run=lambda args: _list(args, command))
    p = words.add_parser("drop", parents=[where], help="take an imported catalogue out")
    p.add_argument("id", metavar="ID")
    p.set_defaults(run=lambda args: _drop(args, command))


def _import(args: argparse.Namespace, command: Command) -> int:
    chosen = load({"data": args.data})
    progress = _Progress(sys.stderr.isatty() and not args.json)
    with contextlib.suppress(OSError, AttributeError):
        os.nice(10)  # those who ask the catalogue come before those who fill it
    try:
        options: dict[str, Any] = {name: getattr(args, f"import_{name}") for name in OPTIONS}
        options["fmt"], options["link_arcsec"] = options.pop("format"), options.pop("link")
        if args.max_bad is not None and args.max_bad < 0:
            raise BadParameter(f"--max-bad {args.max_bad} is below 0; give the number of rows that may be refused",
                               where="max_bad")
        report = command().import_file(chosen.data, chosen.catalog_dsn, args.file, {**options, "mapping": _mapping(args.map)},
                                       dry_run=args.dry_run, max_bad=args.max_bad, progress=progress)
    except CosmicFlowsError as exc:
        if args.json:
            print(json.dumps({"error": exc.as_dict()}))
        raise
    progress.end()
    if args.json:
        print(json.dumps(report.as_dict()))
    else:
        _tell(report, Path("the database") if chosen.catalog_dsn else chosen.data)
    return 0


def _mapping(given: list[str]) -> dict[str, str]:
    out: dict[str, str] = {}
    for entry in given:
        parts = entry.split(",")
        for part in parts if all("=" in part for part in parts) else [entry]:  # names=A,B is one
            quantity, equals, column = part.partition("=")
            if not equals or not quantity.strip() or not column.strip():
                raise BadParameter(f"--map {entry!r:.80} is not QUANTITY=COLUMN, such as ra=RAJ2000", where="map")
            if quantity.strip() in out:
                raise BadParameter(f"--map names {quantity.strip()!r:.40} twice; give it once", where="map")
            out[quantity.strip()] = column.strip()
    return out


def _tell(report: Any, where: Path) -> None:
    done = "would be imported" if report.is_dry else "imported"
    print(f"{report.catalog} {report.version[:8]} {done} into {where} in {report.seconds:.1f} s\n"
          f"  {report.n_read} rows read = {report.n_new} new + {report.n_updated} updated + {report.n_unchanged} unchanged + "
          f"{report.n_rejected} refused")
    if report.n_gone:
        print(f"  {report.n_gone} rows of the version before are not in this file and are gone")
    for id, found in report.n_linked.items():
        print(f"  {found['by_name'] + found['by_place']} are known from {id} ({found['by_name']} by name, "
              f"{found['by_place']} by place)")
    print(f"  {report.n_objects} objects are new to the library; {report.n_velocities} rows have a velocity")
    for note in report.notes:
        print(f"  {note}")
    for discord in report.discords[:5]:
        print(f"  line {discord.line}: {discord.name} has cz = {discord.cz:.0f} km/s here and {discord.cz_known:.0f} as "
              f"{discord.known_as}; both are kept, the rule of velocities chooses")
    if report.n_discords > 5:
        print(f"  and {report.n_discords - 5} more whose velocities differ by over 500 km/s")
    for conflict in report.conflicts[:5]:
        print(f"  line {conflict.line}: {conflict.name} has a name of {conflict.known_as}, {conflict.separation_deg:.2f} deg "
              "away, and is not taken for it")
    if report.n_conflicts > 5:
        print(f"  and {report.n_conflicts - 5} more whose names belong elsewhere")
    for reject in report.rejects[:10]:
        print(f"  refused line {reject.line}{', ' + reject.column if reject.column else ''}"
              f"{f' = {reject.raw!r}' if reject.raw else ''}: {reject.reason}")
    if len(report.rejects) > 10:
        print(f"  and {len(report.rejects) - 10} more; --json lists them")


def _list(args: argparse.Namespace, command: Command) -> int:
    chosen = load({"data": args.data})
    found = command().catalogs(chosen.data, chosen.catalog_dsn)
    if args.json:
        print(json.dumps(found))
        return 0
    for entry in found:
        print(f"{entry['id']:12} {entry['version'][:8]}  {entry['entries']:>9} entries, {entry.get('velocities', 0)} velocities"
              f"  {entry['name']}{'  licence ' + entry['licence'] if entry['licence'] else ''}")
    return 0


def _drop(args: argparse.Namespace, command: Command) -> int:
    chosen = load({"data": args.data})
    command().drop(chosen.data, chosen.catalog_dsn, args.id)
    print(f"{args.id} is dropped")
    return 0


class _Progress:
    """Show how many rows are read, twice a second, on a terminal."""

    def __init__(self, shown: bool) -> None:
        self._shown, self._next = shown, time.monotonic() + 1.0

    def __call__(self, rows: int) -> None:
        """Take the number of rows read so far."""
        if self._shown and time.monotonic() > self._next:
            self._next = time.monotonic() + 0.5
            print(f"\r  {rows} rows", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Wipe the line."""
        if self._shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


