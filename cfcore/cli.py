"""`cosmicflows ...`: questions on the command line, fields, and the services by module name."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from . import __version__, accounts_cli, bulk_cli, catalog_cli, distance_cli, doctor_cli, fields_cli, jobs_cli
from .errors import CosmicFlowsError, UnknownName, UsageError

EXIT_OK, EXIT_USAGE, EXIT_TRANSIENT, EXIT_INTERNAL = 0, 2, 3, 70
_EXIT = {"usage": EXIT_USAGE, "transient": EXIT_TRANSIENT, "timeout": EXIT_TRANSIENT, "fatal": EXIT_INTERNAL}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code: 0 done, 1 not all answered, 2 refused, 3 try later, 70 our fault."""
    args = _parser().parse_args(argv)
    try:
        return int(args.run(args) or 0)
    except CosmicFlowsError as exc:
        message = _in_options(exc.message, args)
        print(f"cosmicflows: {message}", file=sys.stderr)
        for line in _ways_out(exc):
            if (line := _in_options(line, args)) not in message:
                print(f"  {line}", file=sys.stderr)
        return _EXIT[exc.kind]
    except ModuleNotFoundError as exc:
        print(f"cosmicflows: {exc.name} is not installed; pip install 'cosmicflows[server]' brings what the services "
              "need", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # whoever read our output has gone; without this the interpreter complains once more when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except OSError as exc:
        if args.run in _SERVICES:
            raise
        print(f"cosmicflows: {exc.filename or 'a file or a pipe'}: {exc.strerror or exc}; mend that and try again",
              file=sys.stderr)
        return EXIT_TRANSIENT
    except Exception as exc:
        if args.run in _SERVICES:
            # the log of a service is read by those who can mend it
            raise
        at = traceback.extract_tb(exc.__traceback__)[-1]
        print(f"cosmicflows: this is our fault, not yours: {type(exc).__name__} in {Path(at.filename).name} line {at.lineno} "
              f"({str(exc)[:200]}); please report it with the command", file=sys.stderr)
        return EXIT_INTERNAL


class _Parser(argparse.ArgumentParser):
    """Refuse in one sentence; the options are listed for those who ask."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and end with 2."""
        if "--dec/" in message or "--ra/" in message:
            message += " (decimal degrees, such as -23.3839; sexagesimal angles are not read)"
        elif message.endswith("expected one argument"):
            message += " (one that begins with - and is no plain number follows =, such as --cz=-3e2)"
        self.exit(EXIT_USAGE, f"{self.prog}: {message}; {self.prog} --help lists the options\n")


def _parser() -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = _Parser(
        prog="cosmicflows", description="Distances and peculiar velocities of galaxies from reconstructed velocity fields of "
        "the local Universe.")
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
    _data(p)
    p.set_defaults(run=_gateway)

    catalog_cli.register(commands, _catalog, lambda: import_module("catalog_svc.command"))

    jobs_cli.register(commands, lambda: import_module("gateway.job_backup"))

    p = commands.add_parser("worker", help="one flow worker")
    _data(p)
    p.add_argument("--connect", help="the gateway's bus: tcp://HOST:5573 or ipc:///folder")
    p.add_argument("--field", help="default field")
    p.add_argument("--slots", type=int, metavar="N", help="compute processes (default 2)")
    p.add_argument("--reserve", type=int, metavar="N", help="of which so many never take bulk jobs (default 1)")
    p.add_argument("--job-memory-mb", type=int, metavar="MB", help="most memory one of them may ask for (default 4096)")
    p.add_argument("--key", metavar="FILE", help="key file of this host, made by cosmicflows keys new (default: CF_KEY)")
    p.set_defaults(run=_worker)

    p = commands.add_parser("keys", help="the keys with which worker hosts join the gateway")
    words = p.add_subparsers(metavar="new|list|revoke", required=True)
    for word, text in (("new", "make a key for a worker host and allow it"), ("list", "the keys there are"),
                       ("revoke", "take a key back: its workers are cut off within a second")):
        p = words.add_parser(word, help=text)
        _data(p)
        if word != "list":
            p.add_argument("name", metavar="NAME", help="of the host: a-z, 0-9, '.', '_', '-'")
        if word == "new":
            p.add_argument("--out", metavar="FILE", help="the key file (default NAME.key here; - prints it)")
        p.set_defaults(run=_keys, word=word)

    accounts_cli.register(commands, lambda: import_module("gateway.accounts_command"))
    distance_cli.register(commands, _find)
    bulk_cli.register(commands)
    fields_cli.register(commands)
    doctor_cli.register(commands)
    return parser


def _data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, help="data directory (or CF_DATA)")


def _http(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on (default 5000)")


def _serve(args: argparse.Namespace) -> int:
    from . import settings
    chosen = settings.load({k: getattr(args, k) for k in ("data", "host", "port", "workers", "field")})
    import_module("gateway.server").set_up_logging(chosen.log_level, chosen.log_format)
    import_module("gateway.loop").run(import_module("gateway.allinone").serve(chosen))
    return EXIT_OK


def _gateway(args: argparse.Namespace) -> int:
    from . import settings
    chosen = settings.load({k: getattr(args, k) for k in ("data", "host", "port", "bus", "catalog")})
    server = import_module("gateway.server")
    server.set_up_logging(chosen.log_level, chosen.log_format)
    import_module("gateway.loop").run(server.serve(chosen))
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
    given = {"--slots": args.slots, "--reserve": args.reserve, "--job-memory-mb": args.job_memory_mb, "--key": args.key}
    options = [word for name, value in given.items() if value is not None for word in (name, str(value))]
    return int(import_module("flow_worker.__main__").main(
        ["--data", str(chosen.data), "--connect", chosen.bus, *field, *options]) or 0)


def _keys(args: argparse.Namespace) -> int:
    from . import settings
    chosen, command = settings.load({"data": args.data}), import_module("gateway.keys_command")
    if args.word == "new":
        return int(command.new(chosen, args.name, args.out))
    return int(command.revoke(chosen, args.name) if args.word == "revoke" else command.list_all(chosen))


_SERVICES = (_serve, _gateway, _catalog, _worker)


def _find(data: Path | None, name: str) -> dict[str, object]:
    """Return what the catalogue of this machine knows of a name, or refuse it with what could have been meant."""
    from . import settings
    from .registry import Registry
    try:
        build, store, library = (import_module(f"catalog_svc.{m}") for m in ("build", "store", "library"))
    except ModuleNotFoundError as exc:
        raise UsageError(f"names need the catalogue, and {exc.name} is not installed: pip install 'cosmicflows[server]', or "
                         "send lon, lat and cz", code="missing_library", where="name") from None
    try:
        shelf = library.open_library(Registry(data).data, settings.load().catalog_dsn)
        build.ensure(shelf)
        here = store.Store(shelf)
    except CosmicFlowsError as exc:
        if exc.code not in ("catalog_missing", "catalog_not_writable"):
            raise
        raise UsageError(exc.message, code=exc.code, where="name", hint="or send lon, lat and cz") from exc
    try:
        return dict(here.resolve(name))
    except UnknownName as exc:
        if not exc.extra.get("suggestions"):
            exc.extra["begin_so"] = here.hints(name, limit=5)[0]
        raise
    finally:
        shelf.close()


def _in_options(text: str, args: argparse.Namespace) -> str:
    """Return a sentence that speaks of Python or HTTP in the words of the command line."""
    position = "give --ra, --dec and --cz" if hasattr(args, "cz") else "give --ra and --dec"
    return text.replace("send lon, lat and cz", position).replace("open_field('mould2000')", "--field mould2000")


def _ways_out(exc: CosmicFlowsError) -> Iterator[str]:
    """Yield what else could be asked, one line each, when the message does not already say it."""
    if exc.hint:
        yield exc.hint
    for key in ("suggestions", "candidates"):
        listed = exc.extra.get(key)
        for entry in listed if isinstance(listed, list) else ():
            if isinstance(entry, dict) and "name" in entry:
                yield f"{entry['name']}   ({entry.get('reason')})"
    begin_so = exc.extra.get("begin_so")
    if isinstance(begin_so, list) and begin_so:
        yield f"names that begin so: {', '.join(map(str, begin_so))}"


if __name__ == "__main__":
    sys.exit(main())
