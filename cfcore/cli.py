"""`cosmicflows ...`: questions on the command line, fields, and the services by module name."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from . import __version__, fields_cli
from .errors import CosmicFlowsError
from .options import FLOW_TYPES

EXIT_OK, EXIT_USAGE, EXIT_TRANSIENT, EXIT_INTERNAL = 0, 2, 3, 70
_EXIT = {"usage": EXIT_USAGE, "transient": EXIT_TRANSIENT, "timeout": EXIT_TRANSIENT, "fatal": EXIT_INTERNAL}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code: 0 done, 2 refused, 3 try again later, 70 our fault."""
    args = _parser().parse_args(argv)
    try:
        return int(args.run(args) or 0)
    except CosmicFlowsError as exc:
        print(f"cosmicflows: {exc.message}", file=sys.stderr)
        if exc.hint:
            print(f"  {exc.hint}", file=sys.stderr)
        return _EXIT[exc.kind]
    except ModuleNotFoundError as exc:
        print(f"cosmicflows: {exc.name} is not installed; pip install 'cosmicflows[server]' brings what the services "
              "need", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return EXIT_OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cosmicflows", description="Distances and peculiar velocities of galaxies from "
                                     "reconstructed velocity fields of the local Universe.")
    parser.add_argument("--version", action="version", version=f"cosmicflows {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    p = commands.add_parser("serve", help="gateway, catalogue and workers on this machine")
    _data(p)
    _http(p)
    p.add_argument("--workers", type=int, help="flow workers (default: one per core)")
    p.add_argument("--field", help="default field")
    p.set_defaults(run=_serve)

    p = commands.add_parser("gateway", help="the HTTP front door alone")
    _http(p)
    p.add_argument("--bus", help="where workers meet the gateway: tcp://HOST:PORT or ipc:///folder")
    p.add_argument("--catalog", help="the catalogue service: http://HOST:PORT or unix:/path")
    p.set_defaults(run=_gateway)

    p = commands.add_parser("catalog", help="the catalogue service alone")
    _data(p)
    p.add_argument("--listen", help="HOST:PORT or unix:/path")
    p.set_defaults(run=_catalog)

    p = commands.add_parser("worker", help="one flow worker")
    _data(p)
    p.add_argument("--connect", help="the gateway's bus: tcp://HOST:5573 or ipc:///folder")
    p.add_argument("--field", help="default field")
    p.set_defaults(run=_worker)

    p = commands.add_parser("distance", help="distance of one object from its velocity")
    _data(p)
    _place(p)
    p.add_argument("--cz", type=float, required=True, help="observed velocity c z, km/s")
    p.add_argument("--cz-frame", default="hel", help="rest frame of --cz (default hel)")
    p.add_argument("--sigma-v", type=float, help="scatter about the field, km/s")
    p.add_argument("--prior", default="volume")
    p.set_defaults(run=_distance)

    p = commands.add_parser("velocity", help="peculiar velocity at a known distance")
    _data(p)
    _place(p)
    p.add_argument("--distance", type=float, required=True, help="comoving distance, Mpc")
    p.set_defaults(run=_velocity)

    fields_cli.register(commands)
    return parser


def _data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, help="data directory (or CF_DATA)")


def _http(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on (default 5000)")


def _place(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--ra", "--lon", dest="lon", type=float, required=True, help="longitude in --frame, deg")
    parser.add_argument("--dec", "--lat", dest="lat", type=float, required=True, help="latitude in --frame, deg")
    parser.add_argument("--frame", default="icrs", help="icrs (default), galactic or supergalactic")
    parser.add_argument("--field", help="velocity field (default: this machine's)")
    parser.add_argument("--H0", type=float, default=75.0, help="km/s/Mpc, scales Mpc only (default 75)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _serve(args: argparse.Namespace) -> int:
    from . import settings
    chosen = settings.load({k: getattr(args, k) for k in ("data", "host", "port", "workers", "field")})
    import_module("gateway.server").set_up_logging(chosen.log_level)
    asyncio.run(import_module("gateway.allinone").serve(chosen))
    return EXIT_OK


def _gateway(args: argparse.Namespace) -> int:
    from . import settings
    chosen = settings.load({k: getattr(args, k) for k in ("host", "port", "bus", "catalog")})
    server = import_module("gateway.server")
    server.set_up_logging(chosen.log_level)
    asyncio.run(server.serve(chosen))
    return EXIT_OK


def _catalog(args: argparse.Namespace) -> int:
    from . import settings
    chosen = settings.load({"data": args.data, "catalog_listen": args.listen})
    return int(import_module("catalog_svc.__main__").main(
        ["--data", str(chosen.data), "--listen", chosen.catalog_listen]) or 0)


def _worker(args: argparse.Namespace) -> int:
    from . import settings
    chosen = settings.load({"data": args.data, "bus": args.connect, "field": args.field})
    field = ["--field", chosen.field] if chosen.field else []
    return int(import_module("flow_worker.__main__").main(
        ["--data", str(chosen.data), "--connect", chosen.bus, *field]) or 0)


def _distance(args: argparse.Namespace) -> int:
    from . import distances, open_field
    from .options import FlowOptions
    field = open_field(args.field, args.data)
    opt = FlowOptions(frame=args.frame, cz_frame=args.cz_frame, H0=args.H0, sigma_v=args.sigma_v, prior=args.prior)
    d = distances.solve(field, args.lon, args.lat, args.cz, options=opt)
    status = distances.STATUS[d.status[0]]
    if args.json:
        plain = {"status": status, "flags": d.flags(), "roots": d.roots(), "v_rad": _finite(d.column("v_rad")[0]),
                 **{t: {k: _finite(v) for k, v in d.summary(t).items()} for t in FLOW_TYPES},
                 "field": field.manifest.id, "options": opt.as_dict()}
        print(json.dumps(plain, indent=2))
        return EXIT_OK
    sigma_v = field.manifest.sigma_v if opt.sigma_v is None else opt.sigma_v
    print(f"cz = {args.cz:g} km/s ({opt.cz_frame}), {args.lon:g} {args.lat:g} deg ({opt.frame}), field "
          f"{field.manifest.id}, H0 = {opt.H0:g}, sigma_v = {sigma_v:g} km/s, prior {opt.prior}")
    if status != "ok":
        print(f"  no answer: {status}")
        return EXIT_USAGE
    for flow, unit in FLOW_TYPES.items():
        s = d.summary(flow)
        print(f"  {flow:<10} {s['mean']:10.2f} +- {s['std']:.2f} {unit}   median {s['median']:.2f} "
              f"[{s['p16']:.2f}, {s['p84']:.2f}]")
    print(f"  v_rad      {d.column('v_rad')[0]:10.1f} km/s (posterior mean, positive = receding)")
    for root in d.roots():
        print(f"  root       {root['d_mpc']:10.2f} Mpc   weight {root['weight']:.3f}   v_rad {root['v_rad']:.0f} km/s")
    if d.flags():
        print(f"  flags      {', '.join(d.flags())}")
    return EXIT_OK


def _velocity(args: argparse.Namespace) -> int:
    from . import distances, open_field
    from .options import FlowOptions
    field = open_field(args.field, args.data)
    opt = FlowOptions(frame=args.frame, H0=args.H0)
    v = distances.velocities(field, args.lon, args.lat, args.distance, options=opt)
    if distances.STATUS[v.status[0]] not in ("ok", "outside_field"):
        print(f"cosmicflows: {distances.STATUS[v.status[0]]}", file=sys.stderr)
        return EXIT_USAGE
    row = {name: _finite(v.column(name)[0]) for name in distances.VELOCITY_VALUES}
    if args.json:
        print(json.dumps({"inside": bool(v.inside[0]), **row, "field": field.manifest.id, "options": opt.as_dict()},
                         indent=2))
        return EXIT_OK
    print(f"distance = {args.distance:g} Mpc (H0 = {opt.H0:g}), {args.lon:g} {args.lat:g} deg ({opt.frame}), field "
          f"{field.manifest.id}")
    if not v.inside[0]:
        print("  outside the field: no velocity is known there")
        return EXIT_OK
    print(f"  v_rad {row['v_rad']:.1f} km/s   v_pec (SG) {row['v_pec.sgx']:.0f} {row['v_pec.sgy']:.0f} "
          f"{row['v_pec.sgz']:.0f} km/s   c z (CMB) {row['cz.cmb']:.0f} km/s   c z (hel) {row['cz.hel']:.0f} km/s")
    return EXIT_OK


def _finite(value: float) -> float | None:
    return float(value) if value == value else None


if __name__ == "__main__":
    sys.exit(main())
