"""``cosmicflows fields list|add|fetch|verify``: what is said on a terminal about fields, and nothing else."""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from collections.abc import Callable
from pathlib import Path

from .conventions import DENSITIES, LATTICES
from .errors import CosmicFlowsError
from .fetch import fetch
from .fieldfile import open_folder, verify_folder
from .frames import SKY_FRAMES
from .intake import identify, take_in
from .products import EMBEDDED, PRODUCTS, product
from .registry import DEFAULT, Registry, how_to_get, lock
from .settings import data_option, load
from .verify import Report, verify

_REFUSED, _TRANSIENT = 2, 3
_EXIT = {"usage": _REFUSED, "transient": _TRANSIENT, "timeout": _TRANSIENT}
_OVERRIDES = ("id", "box", "h", "density", "lattice", "origin", "spacing", "sky_frame", "unit", "citation", "licence",
              "title", "version", "trusted", "sigma_v")


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``fields`` and its sub-commands; each sets ``run``, a function of the parsed arguments to an exit code."""
    where = argparse.ArgumentParser(add_help=False)
    where.add_argument("--data", metavar="DIR", help="data directory (default: CF_DATA, else the user's data home)")
    fields = subparsers.add_parser("fields", help="list, add, fetch and verify velocity fields")
    commands = fields.add_subparsers(dest="fields_command", required=True, metavar="list|add|fetch|verify")
    command = commands.add_parser("list", parents=[where], help="the fields that are here, and those that can be had")
    command.set_defaults(run=_guarded(run_list))
    command = commands.add_parser("verify", parents=[where], help="check a field: content, axes, units, landmarks")
    command.add_argument("id", metavar="ID")
    command.set_defaults(run=_guarded(run_verify))
    command = commands.add_parser("fetch", parents=[where], help="download a public product, check it and install it")
    command.add_argument("id", metavar="ID", help=", ".join(p.id for p in PRODUCTS.values() if p.fetchable))
    command.add_argument("--base", metavar="URL", help="another address of the files (default: CF_FETCH_BASE)")
    command.set_defaults(run=_guarded(run_fetch))
    _register_add(commands.add_parser("add", parents=[where], help="install a field from files you have"))


def _register_add(command: argparse.ArgumentParser) -> None:
    command.add_argument("paths", nargs="+", metavar="PATH",
                         help="files, or their directory; ROLE=PATH names velocity, density or sigma outright")
    command.add_argument("--product", metavar="P", help=f"{', '.join(PRODUCTS)} (default: by the names of the files)")
    command.add_argument("--id", help="name of the field (default: the product)")
    command.add_argument("--box", type=float, metavar="L", help="side of the cube, h^-1 Mpc")
    command.add_argument("--h", type=float, help="H0/100 of the source; sets the box when its side is known in Mpc")
    command.add_argument("--density", choices=DENSITIES, help="what the density file holds")
    command.add_argument("--sky-frame", choices=SKY_FRAMES, help="frame of the Cartesian axes")
    command.add_argument("--trusted", type=float, metavar="R", help="radius the data constrain, h^-1 Mpc")
    command.add_argument("--sigma-v", type=float, metavar="S", help="scatter of galaxies about the field, km/s")
    generic = command.add_argument_group("conventions of --product generic")
    generic.add_argument("--lattice", choices=LATTICES, help="with --box: where the nodes sit")
    generic.add_argument("--origin", type=float, nargs=3, metavar=("X", "Y", "Z"), help="node (0, 0, 0), h^-1 Mpc")
    generic.add_argument("--spacing", type=float, nargs=3, metavar=("DX", "DY", "DZ"), help="of the nodes, h^-1 Mpc")
    generic.add_argument("--unit", type=float, metavar="F", help="factor from stored velocities to km/s, CMB frame")
    for word in ("citation", "licence", "title", "version"):
        generic.add_argument(f"--{word}", metavar="TEXT")
    command.set_defaults(run=_guarded(run_add))


def run_list(args: argparse.Namespace) -> int:
    """Print the installed fields, then what could be installed and how."""
    registry = _registry(args)
    try:
        chosen = registry.default()
    except CosmicFlowsError as exc:
        chosen = ""
        _say(f"cosmicflows: {exc.message}")
    entries = registry.list()
    print(f"fields in {registry.root}" + ("" if entries else ": none yet"))
    for e in entries:
        mark = "*" if e.id == chosen else " "
        if e.manifest is None:
            print(f"{mark} {e.id:14} DAMAGED: {e.fault}")
            continue
        m = e.manifest
        runs = f", {m.realisations} realisations" if m.realisations > 1 else ""
        reach = f", trusted to {m.trusted_hmpc:g} h^-1 Mpc" if m.trusted_hmpc else ""
        print(f"{mark} {e.id:14} {'x'.join(map(str, m.shape))}{runs}, {m.sky_frame}{reach}; version {m.version}-"
              f"{m.sha256[:8]}; {m.title or m.citation}")
    here = {e.id for e in entries}
    for key in EMBEDDED:
        if key not in here and key == DEFAULT and importlib.util.find_spec("pyongc") is None:
            print(f"  {key:14} cannot be built: pyongc is not installed; pip install 'cosmicflows[ongc]'")
        elif key not in here:
            print(f"{'*' if key == chosen else ' '} {key:14} built at first use")
    print("others:")
    for p in PRODUCTS.values():
        if p.files and p.id not in here:
            print(f"  {p.id:14} {p.title}; {how_to_get(p, data_option(registry.data))}")
    return 0


def run_add(args: argparse.Namespace) -> int:
    """Build, check and publish a field from files; a field that fails its check is not published."""
    registry = _registry(args)
    record, files = identify(args.paths, product(args.product) if args.product else None)
    _say(f"reading {', '.join(p.name for p in files.values())} as {record.id}")
    given = {k: getattr(args, k) for k in _OVERRIDES}
    with lock(registry.root / ".add.lock"):
        folder, report = take_in(registry.root, record, files, **given)
    _announce(folder, report)
    return 0


def run_fetch(args: argparse.Namespace) -> int:
    """Download a product, check it and install it; when it is here already nothing is downloaded."""
    registry = _registry(args)
    folder = fetch(product(args.id), registry.data, _progress(), base=args.base)
    manifest, cells, sigma = open_folder(folder)
    _announce(folder, verify(manifest, cells, sigma))
    return 0


def run_verify(args: argparse.Namespace) -> int:
    """Check the bytes of an installed field against its manifest, and its flow against itself and the sky."""
    registry = _registry(args)
    folder = registry.folder(args.id)
    verify_folder(folder)
    manifest, cells, sigma = open_folder(folder)
    report = verify(manifest, cells, sigma)
    print(report)
    print(f"  {'ok':6} {'files':11} sha256 of the arrays as published in {folder.name}")
    return 0 if report.passed else _REFUSED


def _registry(args: argparse.Namespace) -> Registry:
    return Registry(load({"data": args.data}).data)


def _announce(folder: Path, report: Report) -> None:
    manifest = open_folder(folder)[0]
    print(report)
    for note in manifest.notes:
        print(f"  note   {note}")
    print(f"  cite   {manifest.citation}\n  terms  {manifest.licence}")
    print(f"installed as {manifest.id} in {folder}")


def _guarded(run: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    """Turn failures into one sentence and an exit code, 2 yours and 3 try again; ours are left to `cli.main`."""
    def guarded(args: argparse.Namespace) -> int:
        try:
            return run(args)
        except CosmicFlowsError as exc:
            if exc.kind not in _EXIT:
                raise
            _say(f"cosmicflows: {exc.message}" + (f" ({exc.hint})" if exc.hint else ""))
            return _EXIT[exc.kind]
        except BrokenPipeError:
            raise
        except OSError as exc:
            place = exc.filename or "the data directory"
            _say(f"cosmicflows: {place}: {exc.strerror}; free space or choose another --data")
            return _TRANSIENT
    return guarded


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _progress() -> Callable[[str, int, int], None]:
    last = 0.0

    def show(name: str, done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > 0.5 or done == total:
            last = now
            _say(f"{name}: {done / 1e6:.1f} of {total / 1e6:.1f} MB")
    return show
