"""``cosmicflows bulk``: Parquet in, one Parquet file a part out, on the cores of this machine or any Dask cluster."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from . import bulk, bulk_dask, bulk_folder, distance_cli, tablerun
from .columns import Asked, Column, choose
from .errors import BadParameter
from .registry import Registry

ANSWERED, NO_ANSWER, NOT_ALL = 0, 1, 3
_FAILED_SHOWN = 5


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``bulk``; it sets ``run``, a function of the parsed arguments to an exit code."""
    p = commands.add_parser(
        "bulk", help="distances for large Parquet tables, on many cores or hosts", allow_abbrev=False,
        description="Distances for a Parquet file or a folder of them, part by part, on the cores of this machine or a Dask "
                    "cluster. Run again, it takes up what is missing. Exit code: 0 answered, 1 some rows have no answer, 2 "
                    "refused, 3 some parts are missing: run it again, 70 our fault. docs/bulk.md tells all.")
    p.add_argument("table", metavar="IN", help="a Parquet file, or a folder of Parquet files with the same columns")
    p.add_argument("out", metavar="OUT", help="a folder of its own for the answers; made when it is not there")
    distance_cli.add_meaning(p, "distance")
    distance_cli.add_how(p, "distance")
    distance_cli.add_columns(p.add_argument_group("columns"), "distance")
    group = p.add_argument_group("how the work is divided")
    group.add_argument("--scheduler", metavar="URL", help="Dask scheduler, tcp://HOST:8786 or tls://HOST:8786 (default: workers "
                       "of this machine)")
    group.add_argument("--workers", type=int, metavar="N", help="worker processes of this machine (default: one per core)")
    group.add_argument("--rows-per-part", type=int, metavar="N", help="rows of an output file (default: the input's row groups)")
    group.add_argument("--overwrite", action="store_true", help="answer all anew, whatever run OUT holds")
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Answer a table into a folder; return the exit code."""
    if args.scheduler is not None and args.workers is not None:
        raise BadParameter("--scheduler and --workers are both given; the scheduler has its own workers; leave one out",
                           code="contradiction", where="workers")
    for name, least, greatest in (("workers", 1, 1024), ("rows_per_part", 1, 100_000_000)):
        value = getattr(args, name)
        if value is not None and not least <= value <= greatest:
            raise BadParameter(f"--{name.replace('_', '-')} {value} lies outside {least} ... {greatest}", code="out_of_range",
                               where=name)
    asked = distance_cli.asked_columns(args)
    out = Path(args.out).resolve()
    files = bulk_folder.input_files(args.table)
    if out == files[0].resolve().parent:
        raise BadParameter(f"OUT {args.out!r:.200} holds the input; name a folder of its own", code="bad_output", where="out")
    parts, about, columns = bulk_folder.divide(files, args.rows_per_part)
    plan, description = _planned(args, asked, columns, about, parts, out)
    with distance_cli.ended_by_signal(), bulk_folder.held(out):
        known = bulk_folder.prepare(out, description, overwrite=args.overwrite)
        there = {p.number for p in parts if plan.file_of(p.number).exists()}
        try:
            return _answered(args, plan, parts, known, there)
        except (KeyboardInterrupt, SystemExit):
            finished = sum(plan.file_of(p.number).exists() for p in parts)
            distance_cli.say(f"interrupted; {finished} of {len(parts)} parts are finished; run the same command again to go on")
            raise
        finally:
            bulk_folder.sweep(out)


def _planned(args: argparse.Namespace, asked: Asked, columns: tuple[Column, ...], about: list[dict[str, Any]],
             parts: list[bulk.Part], out: Path) -> tuple[bulk.Run, dict[str, Any]]:
    """Choose columns, options and field as `cosmicflows distance` does; return the run and its description."""
    flow = args.flow or "distance"
    choice = choose(columns, asked, "distance")
    names = tablerun.new_names("distance", flow, columns, args.columns)
    options = distance_cli.flow_options(args, choice.frame, choice.cz_frame)
    manifest = distance_cli.open_here(args.field, args.data).manifest
    folder = Registry(args.data).root.resolve() / manifest.id / f"{manifest.version}-{manifest.sha256[:8]}"
    distance_cli.say(distance_cli.told_columns(choice, "distance"))
    if filled := [p for p in parts if p.end > p.begin]:
        bulk.check_beginning(filled[0], choice)
    sigma = args.sigma_cz or 0.0
    description = {
        "flow": flow, "columns": list(names), "options": options.as_dict(), "sigma_cz": sigma,
        "reading": {k: None if c is None else {"column": c.name, "place": c.index, "factor": c.factor} for k, c in (
            ("lon", choice.lon), ("lat", choice.lat), ("cz", choice.value), ("sigma_cz", choice.sigma))},
        "field": {"id": manifest.id, "version": manifest.version, "sha256": manifest.sha256,
                  "manifest_sha256": bulk.manifest_digest(manifest)},
        "code": bulk.code_identity(), "rows_per_part": args.rows_per_part, "input": about}
    return bulk.Run(str(out), bulk_folder.digest(description), str(folder), manifest.sha256, bulk.manifest_digest(manifest),
                    options, flow, choice, names, sigma, bulk.code_identity()), description


def _answered(args: argparse.Namespace, plan: bulk.Run, parts: list[bulk.Part], known: dict[str, str], there: set[int]) -> int:
    """Answer the parts, write the manifest, say what came of them."""
    say = distance_cli.say
    with bulk_dask.engine(args.scheduler, args.workers or distance_cli.cores(), say) as at:
        workers = bulk_dask.check_workers(at, plan)
        say(f"{len(parts)} part{'s' * (len(parts) != 1)} on {workers} worker{'s' * (workers != 1)} of {at.address}")
        drive, progress = bulk_dask.Drive(at, plan, known, say), _Progress(parts)
        drive.go(parts, progress.show)
        progress.end(drive)
    head = bulk_folder.write_manifest(Path(plan.out), plan.sha, drive.rows, drive.failed)
    for number, why in sorted(drive.failed.items())[:_FAILED_SHOWN]:
        part = parts[number]
        say(f"  {bulk.part_name(number)} ({Path(part.file).name}, rows {part.begin + 1} to {part.end}): {why}")
    if len(drive.failed) > _FAILED_SHOWN:
        say(f"  ... and {len(drive.failed) - _FAILED_SHOWN} more; {bulk_folder.MANIFEST} lists them")
    # a worker that died may have finished a part that the next one then found
    kept = sum(row["kept"] and n in there for n, row in drive.rows.items())
    without = head["rows"] - head["statuses"].get("ok", 0)
    counts = ", ".join(f"{n} {word}" for word, n in head["statuses"].items() if word != "ok")
    say(f"{len(drive.rows)} of {len(parts)} parts are finished{f', {kept} of them before' if kept else ''}; {head['rows']} rows: "
        f"{head['rows'] - without} answered, {without} without an answer{f' ({counts})' if counts else ''}")
    if drive.failed:
        say(f"{len(drive.failed)} part{'s have' if len(drive.failed) != 1 else ' has'} no file; run the same command again: it "
            "tries these alone")
        return NOT_ALL
    return NO_ANSWER if without else ANSWERED


class _Progress:
    """Tell on standard error how far a run is: a bar on a terminal, else a line every few seconds."""

    def __init__(self, parts: list[bulk.Part]) -> None:
        self._rows = sum(p.end - p.begin for p in parts)
        self._parts = len(parts)
        self._began = self._last = time.monotonic()
        self._is_terminal = sys.stderr.isatty()

    def show(self, drive: bulk_dask.Drive, *, is_last: bool = False) -> None:
        """Tell parts, rows, rows per second and the time left."""
        now = time.monotonic()
        if not is_last and now - self._last < (0.2 if self._is_terminal else 5.0):
            return
        self._last = now
        done, rows, fresh = len(drive.rows) + len(drive.failed), 0, 0
        for row in drive.rows.values():
            rows += row["rows"]
            fresh += 0 if row["kept"] else row["rows"]
        rate = fresh / max(now - self._began, 1e-6)
        left = f", {(self._rows - rows) / rate:.0f} s left" if rate and not is_last else ""
        text = f"{done} of {self._parts} parts, {rows} rows, {rate:.0f} rows/s{left}"
        if self._is_terminal:
            filled = 24 * done // max(self._parts, 1)
            print(f"\r[{'#' * filled}{'.' * (24 - filled)}] {text:<60}", end="\n" if is_last else "", file=sys.stderr, flush=True)
        else:
            distance_cli.say(text)

    def end(self, drive: bulk_dask.Drive) -> None:
        """Tell the total."""
        self.show(drive, is_last=True)
