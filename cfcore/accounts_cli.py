"""``cosmicflows users|tokens ...``: the words of these commands; what they do is done beside the gateway's own code."""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from .errors import UsageError
from .settings import load

Command = Callable[[], ModuleType]
DEFAULT_SCOPES = "read,submit"


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser], command: Command) -> None:
    """Add ``users`` and ``tokens``.

    Parameters
    ----------
    subparsers
    command : callable
        Imports the module that does the work.
    """
    where = argparse.ArgumentParser(add_help=False)
    where.add_argument("--data", type=Path, metavar="DIR", help="data directory (or CF_DATA)")
    _users(subparsers.add_parser("users", help="who may log in at the gateway"), where, command)
    _tokens(subparsers.add_parser("tokens", help="the tokens that programs show to the gateway"), where, command)


def _users(parser: argparse.ArgumentParser, where: argparse.ArgumentParser, command: Command) -> None:
    words = parser.add_subparsers(metavar="add|list|change|password|remove", required=True)
    p = words.add_parser("add", parents=[where], help="add a user; the password is asked for")
    p.add_argument("name", metavar="NAME", help="1 to 64 of A-Z a-z 0-9 . _ @ + -; upper and lower case are the same")
    _password(p)
    _may(p, DEFAULT_SCOPES)
    p.set_defaults(run=lambda a: command().add_user(_data(a), a.name, _asked(a), a.scope, a.rows_per_hour))
    p = words.add_parser("list", parents=[where], help="the users, what they may, and when they came last")
    p.add_argument("--json", action="store_true", help="print as JSON")
    p.set_defaults(run=lambda a: command().list_users(_data(a), a.json))
    p = words.add_parser("change", parents=[where], help="change what a user may; known at once")
    p.add_argument("name", metavar="NAME")
    _may(p, None)
    p.set_defaults(run=lambda a: command().change_user(_data(a), a.name, a.scope, a.rows_per_hour))
    p = words.add_parser("password", parents=[where], help="set another password; the queue token is renewed with it")
    p.add_argument("name", metavar="NAME")
    _password(p)
    p.set_defaults(run=lambda a: command().set_password(_data(a), a.name, _asked(a)))
    p = words.add_parser("remove", parents=[where], help="remove a user with all tokens, at once")
    p.add_argument("name", metavar="NAME")
    p.set_defaults(run=lambda a: command().remove_user(_data(a), a.name))


def _tokens(parser: argparse.ArgumentParser, where: argparse.ArgumentParser, command: Command) -> None:
    words = parser.add_subparsers(metavar="new|list|revoke", required=True)
    p = words.add_parser("new", parents=[where], help="make a token; it is printed once and kept as its SHA-256 only")
    p.add_argument("--user", metavar="NAME", help="whose it is, and whose its jobs are (default: nobody's, with jobs of its own)")
    p.add_argument("--expires", default="365d", metavar="WHEN", help="90d, 12h, a date such as 2027-01-01 (UTC), or never; "
                   "default 365d")
    p.add_argument("--label", default="", metavar="TEXT", help="what it is for")
    _may(p, DEFAULT_SCOPES)
    p.set_defaults(run=lambda a: command().new_token(_data(a), a.user, a.scope, a.expires, a.label, a.rows_per_hour))
    p = words.add_parser("list", parents=[where], help="the tokens, what they may, and when they were used last")
    p.add_argument("--user", metavar="NAME", help="only those of a user")
    p.add_argument("--json", action="store_true", help="print as JSON")
    p.set_defaults(run=lambda a: command().list_tokens(_data(a), a.user, a.json))
    p = words.add_parser("revoke", parents=[where], help="take a token back: it is refused from the next request on")
    p.add_argument("token", metavar="TOKEN", help="its number, or queue:NAME, as tokens list shows them; never the token itself")
    p.set_defaults(run=lambda a: command().revoke_token(_data(a), a.token))


def _data(args: argparse.Namespace) -> Path:
    return load({"data": args.data}).data


def _may(parser: argparse.ArgumentParser, scopes: str | None) -> None:
    parser.add_argument("--scope", default=scopes, metavar="WORDS", help="of read, submit, admin, with commas"
                        + (f" (default {scopes})" if scopes else ""))
    parser.add_argument("--rows-per-hour", metavar="N", help="rows that may be asked for in an hour; default: as the "
                        "server's setting rows_per_hour says")


def _password(parser: argparse.ArgumentParser) -> None:
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--password-file", metavar="FILE", help="its first line is the password; - reads standard input")
    group.add_argument("--password", metavar="P", help="better not: the list of processes shows it to everybody here")


def _asked(args: argparse.Namespace) -> str:
    """Return the password that was given, or ask for it twice."""
    if args.password is not None:
        print("cosmicflows: a password on the command line stands in the list of processes and in the shell's history; "
              "--password-file - reads it from a pipe", file=sys.stderr)
        return str(args.password)
    if args.password_file == "-":
        return sys.stdin.readline().rstrip("\r\n")
    if args.password_file is not None:
        with open(args.password_file, encoding="utf-8") as file:
            return file.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise UsageError("there is no terminal to ask for the password; give it with --password-file FILE, - for standard "
                         "input", code="no_password")
    first = getpass.getpass(f"password of {args.name}: ")
    if getpass.getpass("once more: ") != first:
        raise UsageError("the two are not the same; nothing was changed", code="no_password")
    return first
