"""``cosmicflows doctor``: look at this machine and at a server, and say in plain sentences what is wrong and what to do."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
from pathlib import Path

from . import doctor, doctor_server
from .errors import CosmicFlowsError
from .remote import Server
from .settings import Settings, load

_GUESS_S = 1.0


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``doctor``; exit code 0: well, 1: warnings, 2: something is broken."""
    command = subparsers.add_parser("doctor", help="say what is wrong with this machine or a server, and what to do")
    command.add_argument("--server", metavar="URL", help="a server to look at, too (default: one on this machine)")
    command.add_argument("--data", metavar="DIR", type=Path, help="data directory (or CF_DATA)")
    command.add_argument("--deep", action="store_true", help="read every byte of the installed fields")
    command.add_argument("--token", metavar="TOKEN", help="the administrator's; better in CF_TOKEN, which no process list shows")
    command.add_argument("--json", action="store_true", help="findings as JSON")
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Look, print, and return the exit code."""
    server = Server(args.server) if args.server else None
    findings = []
    try:
        settings = load({"data": args.data})
    except CosmicFlowsError as exc:
        findings.append(doctor.Finding(doctor.BROKEN, "settings", f"nothing starts with these settings: {exc.message}",
                                       "mend cosmicflows.toml or the CF_* variables"))
        settings = Settings(**({"data": args.data} if args.data else {}))
    findings += doctor.examine(settings, deep=args.deep)
    if server is None:
        server = _here(settings)
        if server is None:
            findings.append(doctor.Finding(doctor.NOTE, "server", f"no server answers on port {settings.port} of this machine; "
                                           "none was looked at", "name one with --server http://HOST:PORT"))
    if server is not None:
        findings += doctor_server.examine(server, args.token or os.environ.get("CF_TOKEN", ""))
    code = doctor.worst(findings)
    if args.json:
        print(json.dumps({"exit": code, "findings": [dataclasses.asdict(f) for f in findings]}, indent=1))
    else:
        _show(findings)
    return code


def _here(settings: Settings) -> Server | None:
    """Return the server of this machine when one of ours answers there."""
    if settings.port == 0:
        return None
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)
    server = Server(f"http://{host}:{settings.port}")
    try:
        return server if server.look("/livez", timeout_s=_GUESS_S)[2].get("ok") is True else None
    except CosmicFlowsError:
        return None


def _show(findings: list[doctor.Finding]) -> None:
    for f in findings:
        print(f"{f.level:8} {f.about:10} {f.text}")
        if f.way_out:
            print(f"{'':19} > {f.way_out}")
    broken, warnings = (sum(f.level == level for f in findings) for level in (doctor.BROKEN, doctor.WARNING))
    print("all is well" if not broken + warnings else
          f"{broken} broken, {warnings} warning{'s' * (warnings != 1)}: see the lines that begin so")
