"""``cosmicflows distance`` and ``cosmicflows velocity``: one galaxy by name or position, or a table, here or on a server."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from . import frames, galaxy_text, tablerun, tables
from .asking import Asker, Facts, Local, reason
from .client_access import who
from .columns import CZ_UNITS, LOOKS_LIKE_CZ, LOOKS_LIKE_Z, Asked, Choice, choose
from .cosmology import C_KMS
from .errors import BadParameter, UnknownName
from .field import FlowField
from .options import FLOW_TYPES, LIMITS, OBSERVERS, OPTION_NAMES, PRIORS, FlowOptions
from .remote import Remote, Server, resolve

Find = Callable[[Path | None, str], Facts]
"""From the data directory and a name to the catalogue's record; raises UnknownName with suggestions."""

ANSWERED, NO_ANSWER = 0, 1
_SINGLE = ("lon", "lat", "cz", "z", "distance", "json")
_TABLE = ("output", "input_format", "output_format", "lon_column", "lat_column", "cz_column", "z_column", "sigma_cz_column",
          "distance_column", "columns", "flow", "force", "comments", "delimiter", "extension", "progress", "jobs")
_SPELLED = {"lon": "ra", "lat": "dec", "lon_column": "ra_column", "lat_column": "dec_column"}


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser], find: Find) -> None:
    """Add ``distance`` and ``velocity``; each sets ``run``, a function of the parsed arguments to an exit code."""
    for question, summary in (("distance", "distances from observed velocities"),
                              ("velocity", "peculiar velocities at known distances")):
        p = commands.add_parser(
            question, help=f"{summary}: a name, a position or a table", allow_abbrev=False,
            description=f"{summary.capitalize()}, of one galaxy or of a table. Exit code: 0 answered, 1 some rows (or the "
                        "galaxy) have no answer, 2 refused, 3 try again later, 70 our fault. docs/cli.md tells all.")
        p.add_argument("target", nargs="?", metavar="NAME|TABLE|-", help="a galaxy's name, a table's file, or - for standard "
                       "input; left out with --ra and --dec")
        _what(p, question)
        add_how(p, question).add_argument("--server", metavar="URL", help="ask this running server instead of computing here")
        p.add_argument("--json", action="store_true", default=None, help="print JSON (one galaxy)")
        _table(p, question)
        p.set_defaults(run=lambda args, q=question: _run(args, q, find))


def _what(p: argparse.ArgumentParser, question: str) -> None:
    p.add_argument("--ra", "--lon", dest="lon", metavar="DEG", help="longitude in --frame, decimal degrees")
    p.add_argument("--dec", "--lat", dest="lat", metavar="DEG", help="latitude in --frame, decimal degrees")
    if question == "distance":
        p.add_argument("--cz", type=float, help="observed velocity c z, km/s")
        p.add_argument("--z", type=float, help="observed redshift, instead of --cz")
    else:
        p.add_argument("--distance", type=float, help="comoving distance, Mpc")
    add_meaning(p, question)


def add_meaning(p: argparse.ArgumentParser, question: str) -> None:
    """Add the options that say what positions and velocities are."""
    p.add_argument("--frame", help="icrs (default), galactic or supergalactic")
    if question == "distance":
        p.add_argument("--cz-frame", help=f"rest frame of the velocity: {', '.join(frames.VELOCITY_FRAMES)} (default hel)")
        p.add_argument("--cz-unit", choices=CZ_UNITS, help="what --cz or the velocity column holds, when that is doubtful")
        p.add_argument("--sigma-cz", type=float, help="measurement error of the velocity, km/s (default 0)")


def add_how(p: argparse.ArgumentParser, question: str) -> argparse._ArgumentGroup:
    """Add the options that say how it is computed, and from which field of this machine."""
    group = p.add_argument_group("how it is computed")
    group.add_argument("--field", help="velocity field (default: this machine's, or the server's)")
    group.add_argument("--H0", type=float, help="km/s/Mpc, scales Mpc only (default 75)")
    group.add_argument("--Om", type=float, help="matter density (default 0.3)")
    group.add_argument("--composition", choices=frames.COMPOSITIONS, help="how redshift frames combine")
    if question == "distance":
        group.add_argument("--sigma-v", type=float, help="scatter about the field, km/s (default: the field's own)")
        group.add_argument("--prior", choices=PRIORS, help="prior of the distance (default volume)")
        group.add_argument("--alpha", type=float, help="exponent of the density prior (default 1)")
        group.add_argument("--use-field-sigma", action="store_true", default=None, help="add the field's own velocity error")
        group.add_argument("--observer", choices=OBSERVERS, help="ls: relative to the Local Sheet, within 8 Mpc")
        group.add_argument("--rmax", type=float, help="end of the line of sight, h^-1 Mpc (default: the field's, at most "
                           f"{LIMITS['rmax'][1]:g})")
        group.add_argument("--dr", type=float, help="greatest step of the line of sight, h^-1 Mpc (default 0.25)")
    group.add_argument("--data", type=Path, help="data directory (or CF_DATA)")
    return group


def _table(p: argparse.ArgumentParser, question: str) -> None:
    group = p.add_argument_group("tables")
    group.add_argument("-o", "--output", metavar="FILE", help="write here, the format by the suffix (default: CSV on "
                       "standard output)")
    group.add_argument("--force", action="store_true", default=None, help="replace an output file that is there")
    group.add_argument("--input-format", choices=tables.INPUT_FORMATS, help="instead of the suffix")
    group.add_argument("--output-format", choices=tables.OUTPUT_FORMATS, help="instead of the suffix")
    add_columns(group, question)
    group.add_argument("--comments", action="store_true", default=None, help="provenance as # lines above the header of CSV")
    group.add_argument("--delimiter", metavar="C", help="what divides the columns of a text table")
    group.add_argument("--extension", metavar="N", help="which table of a FITS or VOTable file with several")
    group.add_argument("--progress", action="store_true", default=None, help="tell how far it is (a terminal is always told)")
    group.add_argument("--jobs", type=int, metavar="N", help="chunks computed at once (default: one per core)")


def add_columns(group: argparse._ArgumentGroup, question: str) -> None:
    """Add the options that say which columns are read and added."""
    group.add_argument("--ra-column", "--lon-column", dest="lon_column", metavar="NAME")
    group.add_argument("--dec-column", "--lat-column", dest="lat_column", metavar="NAME")
    if question == "distance":
        group.add_argument("--cz-column", metavar="NAME", help="column of velocities c z, km/s")
        group.add_argument("--z-column", metavar="NAME", help="column of redshifts")
        group.add_argument("--sigma-cz-column", metavar="NAME", help="column of the velocities' errors")
        group.add_argument("--flow", choices=tuple(FLOW_TYPES), help="which variable to add (default distance)")
    else:
        group.add_argument("--distance-column", metavar="NAME", help="column of comoving distances, Mpc")
    group.add_argument("--columns", metavar="A,B", help="add these columns only (default: all)")


def _run(args: argparse.Namespace, question: str, find: Find) -> int:
    server = None if args.server is None else Server(args.server)
    if server is not None:
        server.token = who(server.url, None, None, None)[1] or ""
    if server is not None and args.data is not None:
        raise BadParameter("--data and --server are both given; the server has its own data; leave one out",
                           code="contradiction", where="server")
    target = args.target
    if target is not None and (os.sep in target or target in (".", "..")) and Path(target).is_dir():
        raise BadParameter(f"{target!r:.200} is a directory; name a table in it, or a galaxy", code="no_table", where="target")
    is_table = target is not None and (target == "-" or args.input_format is not None or _is_there(Path(target))
                                       or Path(target).suffix.lower() in tables.SUFFIXES)
    for name in _SINGLE if is_table else _TABLE:
        if getattr(args, name, None) is not None:
            option = "--" + _SPELLED.get(name, name).replace("_", "-")
            raise BadParameter(f"{option} belongs to the question about one galaxy, {target!r:.80} is a table; leave one of "
                               "them out" if is_table else f"{option} belongs to a table, and "
                               + ("none is given; name the table to read too" if target is None else
                                  f"{target!r:.80} is taken for a galaxy's name, as there is no such file; name a table")
                               + ", or - for standard input", code="contradiction", where=name)
    try:
        return _answer_table(args, question, server) if is_table else _answer_one(args, question, server, find)
    except (KeyboardInterrupt, SystemExit):
        partly = is_table and tables.is_stream(args.output or "-")
        say("interrupted; what is written is not the whole table" if partly else "interrupted; nothing written")
        raise


def _is_there(path: Path) -> bool:
    """Tell whether a word is a file, or a pipe such as the shell's ``<(...)``; a folder called M31 is no table."""
    try:
        return path.exists() and not path.is_dir()
    except OSError:
        return False


def flow_options(args: argparse.Namespace, frame: str | None, cz_frame: str | None) -> FlowOptions:
    """Return the options that were given, the frames as the columns have them."""
    given = {k: getattr(args, k, None) for k in OPTION_NAMES} | {"frame": frame, "cz_frame": cz_frame}
    return FlowOptions(**{k: v for k, v in given.items() if v is not None})  # type: ignore[arg-type]


def _asker(args: argparse.Namespace, question: str, server: Server | None, options: FlowOptions) -> Asker:
    flow = getattr(args, "flow", None) or "distance"
    if args.jobs is not None and not 1 <= args.jobs <= 64:
        raise BadParameter(f"--jobs {args.jobs} lies outside 1 ... 64", code="out_of_range", where="jobs")
    if server is not None:
        return Remote(server, options.as_dict(), args.field, question, flow, jobs=args.jobs or 2)
    return Local(open_here(args.field, args.data), options, question, flow, jobs=args.jobs or cores())


def open_here(name: str | None, data: Path | None) -> FlowField:
    """Open a field of this machine; one that is not there is refused with the place that was searched."""
    from .registry import Registry
    registry = Registry(data)
    try:
        return registry.open(name)
    except UnknownName as exc:
        exc.hint = f"searched in {registry.root}; if the field lies elsewhere, say --data DIR or CF_DATA"
        raise


def cores() -> int:
    """Return how many cores this process may use."""
    # a container may be allowed fewer than the machine has
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# ---- one galaxy --------------------------------------------------------------------------------------------------

def _answer_one(args: argparse.Namespace, question: str, server: Server | None, find: Find) -> int:
    value = _observed(args) if question == "distance" else args.distance
    found: Facts = {}
    if args.target is not None:
        if args.lon is not None or args.lat is not None or args.frame is not None:
            raise BadParameter(f"{args.target!r:.80} is a name, and --ra, --dec or --frame give a position too; leave one of "
                               "them out", code="two_positions", where="target")
        if not args.target.strip():
            raise BadParameter("the name is empty; give a name such as 'NGC 4993', or --ra and --dec", code="bad_name",
                               where="target")
        found = find(args.data, args.target) if server is None else resolve(server, args.target)
        place = found["position"]["icrs"]
        lon, lat = place["lon"], place["lat"]
    elif (args.lon is None) != (args.lat is None):
        raise BadParameter(f"--{'ra' if args.lon is None else 'dec'} is missing; a position is --ra and --dec, decimal degrees",
                           code="missing_parameter", where="lon" if args.lon is None else "lat")
    elif args.lon is None:
        raise BadParameter("no galaxy is given; give a name ('NGC 4993'), --ra and --dec, or a table", code="no_position",
                           where="target")
    else:
        lon, lat = _degrees("--ra", args.lon), _degrees("--dec", args.lat)
    source = "given"
    if value is None and question == "velocity":
        raise BadParameter("--distance is missing: the comoving distance in Mpc at which the velocity is asked",
                           code="missing_parameter", where="distance")
    if value is None:
        if not found:
            raise BadParameter("the velocity is missing; give --cz (km/s) or --z", code="missing_parameter", where="cz")
        if found["cz_helio"] is None:
            raise BadParameter(f"{found['name']} is in the catalogue without a velocity; give one with --cz (km/s) or --z",
                               code="no_velocity", where="cz")
        if args.cz_frame is not None:
            raise BadParameter(f"--cz-frame {args.cz_frame!r:.40} says how to read --cz, and none is given; the catalogue's "
                               "velocity is heliocentric, and the answer lists all frames", code="missing_parameter", where="cz")
        value, source = float(found["cz_helio"]), "catalogue"
    options = flow_options(args, args.frame, getattr(args, "cz_frame", None))
    sigma = getattr(args, "sigma_cz", None) or 0.0
    asker = _asker(args, question, server, options)
    key = "cz" if question == "distance" else "distance"
    said = {"lon": lon, "lat": lat, key: value, **({"sigma_cz": sigma} if key == "cz" else {})}
    answer = galaxy_text.plain(asker.single(lon, lat, value, sigma))
    facts = asker.facts()
    status, about = str(answer["status"]), facts["field"]
    called = {"lon": "--ra", "lat": "--dec", "cz": "--cz", "distance": "--distance", "sigma_cz": "--sigma-cz"}
    detail = galaxy_text.said(answer) if status == "ok" else reason(status, called, said, str(about["id"]),
                                                         asker.sight() if status == "outside_field" else None)
    if status not in ("ok", "outside_field"):
        raise BadParameter(detail, code=status, where=status.partition("_")[0])
    if args.json:
        lines = [json.dumps(galaxy_text.plain({"name": found.get("name"), "asked": {**said, f"{key}_source": source}, **answer,
                                    "detail": detail, **facts}), indent=2, ensure_ascii=False)]
    else:
        lines = [galaxy_text.head(found, options, said, key, source, facts), f"  {detail}"]
        if status == "ok":
            lines += galaxy_text.distance_lines(answer) if key == "cz" else galaxy_text.velocity_lines(answer)
        lines.append(f"  cite       {about['citation']}")
    with tables.output("-", force=False):
        print("\n".join(lines), flush=True)
    return ANSWERED if status == "ok" else NO_ANSWER


def _degrees(option: str, text: str) -> float:
    """Return an angle in degrees; sexagesimal ones are refused, since nobody says whether they are hours."""
    try:
        return float(text)
    except ValueError:
        kind = "is sexagesimal" if tables.SEXAGESIMAL.fullmatch(text.strip()) else "is not a number"
        raise BadParameter(f"{option} {text!r:.40} {kind}; write decimal degrees (hours times 15), such as {option} "
                           f"{'197.4488' if option == '--ra' else '-23.3839'}", code="not_a_number", where=option) from None


def _observed(args: argparse.Namespace) -> float | None:
    """Return the velocity of one galaxy, km/s; a number that looks like the other quantity is refused."""
    if args.cz is not None and args.z is not None:
        raise BadParameter("--cz and --z are both given; give one of them", code="two_velocities", where="z")
    if args.z is not None:
        if not abs(args.z) < LOOKS_LIKE_CZ:
            raise BadParameter(f"--z {args.z:g} is no redshift: as a velocity of {args.z:g} km/s it is --cz {args.z:g}, as a "
                               f"redshift it lies beyond every field (limit {LOOKS_LIKE_CZ:g})", code="z_looks_like_cz",
                               where="z")
        return float(args.z * C_KMS)
    if args.cz is None:
        return None
    if args.cz_unit is None and 0.0 < abs(args.cz) < LOOKS_LIKE_Z:
        raise BadParameter(f"--cz {args.cz:g} can be read in two ways: as a redshift (c z = {args.cz * C_KMS:.1f} km/s) it is "
                           f"--z {args.cz:g}, as a velocity of {args.cz:g} km/s it is --cz {args.cz:g} --cz-unit km/s",
                           code="cz_looks_like_z", where="cz")
    return float(args.cz * CZ_UNITS[args.cz_unit or "km/s"])


# ---- a table -----------------------------------------------------------------------------------------------------

def _answer_table(args: argparse.Namespace, question: str, server: Server | None) -> int:
    path, out = args.target, args.output or "-"
    fmt = tables.table_format(path, args.input_format, "--input-format")
    out_fmt = tables.table_format(out, args.output_format, "--output-format")
    if out == "-" and out_fmt in ("fits", "parquet") and sys.stdout.isatty():
        raise BadParameter(f"{out_fmt} is not for a terminal; add -o FILE", code="bad_output", where="output")
    delimiter = None if args.delimiter is None else args.delimiter.replace("\\t", "\t")
    if delimiter not in (None, ",", ";", "\t", "|", " "):
        raise BadParameter(f"--delimiter {delimiter!r:.20} is not one of , ; | blank and tab (\\t)",
                           code="bad_parameter", where="delimiter")
    asked = asked_columns(args)
    tables.check_output(out, force=bool(args.force))
    reader = tables.open_reader(path, fmt, stated=args.input_format is not None, extension=args.extension,
                                delimiter=delimiter)
    with contextlib.closing(reader), ended_by_signal():
        choice = choose(reader.columns, asked, question)
        names = tablerun.new_names(question, getattr(args, "flow", None) or "distance", reader.columns, args.columns)
        asker = _asker(args, question, server, flow_options(args, choice.frame, choice.cz_frame))
        say(told_columns(choice, question))
        progress = tablerun.Progress() if args.progress or sys.stderr.isatty() else None
        with tables.output(out, force=bool(args.force)) as stream:
            tally = tablerun.run(
                reader, asker, choice, names,
                lambda facts: tables.open_writer(stream, out_fmt, reader, facts, comments=bool(args.comments)),
                sigma=getattr(args, "sigma_cz", None) or 0.0, progress=progress)
        _tell(tally, asker, reader.notes, "line" if fmt in ("csv", "tsv", "text") else "row")
    return ANSWERED if tally.answered == tally.rows else NO_ANSWER


def asked_columns(args: argparse.Namespace) -> Asked:
    """Return what was said about columns.

    Raises
    ------
    BadParameter
        When the error of the velocity is given twice.
    """
    if getattr(args, "sigma_cz", None) is not None and args.sigma_cz_column is not None:
        raise BadParameter("--sigma-cz and --sigma-cz-column are both given; give one of them", code="contradiction",
                           where="sigma_cz")
    words = {k: getattr(args, k, None) for k in ("frame", "cz_frame", "cz_unit")}
    return Asked(args.lon_column, args.lat_column, *(getattr(args, f"{k}_column", None) for k in (
        "cz", "z", "sigma_cz", "distance")), **words, no_sigma=getattr(args, "sigma_cz", None) is not None)


def told_columns(choice: Choice, question: str) -> str:
    """Say which columns are read as what."""
    where = f"{choice.lon.name}, {choice.lat.name} ({choice.frame})"
    if question == "velocity":
        return f"reading {where} and {choice.value.name}, comoving distance"
    kind = "redshift" if choice.value.factor == C_KMS else "c z"
    frame = f"frame {choice.cz_frame}" + ("" if choice.implied else " (no name says so; --cz-frame names another)")
    error = f", error {choice.sigma.name}" if choice.sigma else ""
    return f"reading {where} and {choice.value.name}, {kind}, {frame}{error}"


def _tell(tally: tablerun.Tally, asker: Asker, notes: list[str], counted: str) -> None:
    for number, why in tally.examples:
        say(f"  {counted} {number}: {why}")
    without = tally.rows - tally.answered
    if without > len(tally.examples):
        say(f"  ... and {without - len(tally.examples)} more: "
             + ", ".join(f"{n} {status}" for status, n in tally.statuses.most_common()) + " in all")
    for note in notes:
        say(note)
    about = asker.facts().get("field")
    cite = f"; field {about['id']} {about['version']}, cite {about['citation']}" if isinstance(about, dict) else ""
    say(f"{tally.rows} row{'s' * (tally.rows != 1)}: {tally.answered} answered, {without} without an answer{cite}")


def say(text: str) -> None:
    """Tell a line on standard error."""
    print(f"cosmicflows: {text}" if not text.startswith(" ") else text, file=sys.stderr)


@contextlib.contextmanager
def ended_by_signal() -> Iterator[None]:
    """Let SIGTERM unwind as an interrupt does, so that no half-written file is left."""
    def end(signum: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + signum)
    try:
        before = signal.signal(signal.SIGTERM, end)
    except ValueError:
        # not the main thread of a program that calls us: its signals are its own
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
