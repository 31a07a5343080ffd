"""`cosmicflows users ...` and `cosmicflows tokens ...`: what is said on a terminal about accounts; `accounts` does the work.

All of it works beside a running gateway, which knows a change from its next request on.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cfcore.errors import UsageError
from cfcore.settings import ROWS_PER_HOUR_MAX

from . import passwords
from .accounts import SCOPES, Accounts, User

QUEUE = "queue:"
LABEL_MAX = 200
_UNITS_S = {"h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_SPAN = re.compile(r"(\d{1,6})([hdw])")


def add_user(data: Path, name: str, password: str, scope: str, rows_per_hour: str | None) -> int:
    """Add a user."""
    hashed, scopes, rows = passwords.hashed(passwords.checked(password)), scopes_of(scope), rows_of(rows_per_hour)
    with Accounts(data) as accounts:
        user = accounts.add_user(name, hashed, scopes, rows)
    print(f"user {user.name} may {_words(user.scopes)}; a token for programs: cosmicflows tokens new --user {user.name}")
    return 0


def list_users(data: Path, as_json: bool) -> int:
    """Print the users."""
    with Accounts(data) as accounts:
        tokens = [token.user.id for token in accounts.tokens() if token.user is not None]
        listed = [{"id": u.id, "name": u.name, "scopes": _ordered(u.scopes), "rows_per_hour": u.rows_per_hour,
                   "tokens": tokens.count(u.id), "since": _stamp(u.created), "last_used": _stamp(u.last_used)}
                  for u in accounts.users()]
        return _print(listed, as_json, "no users; add one with: cosmicflows users add NAME")


def change_user(data: Path, name: str, scope: str | None, rows_per_hour: str | None) -> int:
    """Change what a user may."""
    with Accounts(data) as accounts:
        user = accounts.named(name)
        if scope is None and rows_per_hour is None:
            raise UsageError("nothing to change; give --scope WORDS or --rows-per-hour N (or default)", code="nothing_to_change")
        scopes = user.scopes if scope is None else scopes_of(scope)
        accounts.change_user(user, scopes, user.rows_per_hour if rows_per_hour is None else rows_of(rows_per_hour))
        print(f"user {user.name} may {_words(scopes)}; tokens that could do more can do that no longer")
        return 0


def set_password(data: Path, name: str, password: str) -> int:
    """Set another password."""
    with Accounts(data) as accounts:
        user = accounts.named(name)
        accounts.set_password(user, passwords.hashed(passwords.checked(password)))
        print(f"the password of {user.name} is changed, and the queue token with it; other tokens stay (tokens revoke ends "
              "them)")
        return 0


def remove_user(data: Path, name: str) -> int:
    """Remove a user with all tokens."""
    with Accounts(data) as accounts:
        user = accounts.named(name)
        tokens = accounts.remove_user(user)
        print(f"user {user.name} is removed, with {tokens} token{'s' * (tokens != 1)}; jobs stay until their time is over, and "
              "nobody sees them, not even a later user of this name")
        return 0


def new_token(data: Path, name: str | None, scope: str, expires: str, label: str, rows_per_hour: str | None) -> int:
    """Make a token; print it alone, and to the other output what it is."""
    with Accounts(data) as accounts:
        user, scopes, until = None if name is None else accounts.named(name), scopes_of(scope), moment(expires)
        if user is not None and not scopes <= user.scopes:
            raise UsageError(f"user {user.name} may {_words(user.scopes)}, not {_words(scopes - user.scopes)}; change that with: "
                             f"cosmicflows users change {user.name} --scope {','.join(_ordered(scopes | user.scopes))}",
                             code="scope_too_large", where="scope")
        if len(label) > LABEL_MAX or not label.isprintable():
            raise UsageError(f"the label has {len(label)} characters; give at most {LABEL_MAX} that can be printed",
                             code="bad_label", where="label")
        id, secret = accounts.add_token(user, scopes, label=label, expires=until, rows_per_hour=rows_of(rows_per_hour))
        print(f"token {id}{'' if user is None else f' of {user.name}'} may {_words(scopes)}, "
              f"{'and does not expire' if until is None else 'until ' + str(_stamp(until))}; it is shown this once:",
              file=sys.stderr)
        print(secret)
        return 0


def list_tokens(data: Path, name: str | None, as_json: bool) -> int:
    """Print the tokens, and those of the queue, which every user has."""
    with Accounts(data) as accounts:
        only = None if name is None else accounts.named(name)
        now = time.time()
        listed: list[dict[str, Any]] = [
            {"token": str(t.id), "user": _name(t.user), "label": t.label, "scopes": _ordered(t.scopes),
             "rows_per_hour": t.rows_per_hour, "since": _stamp(t.created), "expires": _stamp(t.expires),
             "is_expired": t.expires is not None and t.expires <= now, "last_used": _stamp(t.last_used)}
            for t in accounts.tokens()]
        listed += [{"token": QUEUE + u.name, "user": u.name, "label": "got by logging in at the queue", "scopes":
                    _ordered(u.scopes - {"admin"}), "rows_per_hour": u.rows_per_hour, "since": _stamp(u.created), "expires": None,
                    "is_expired": False, "last_used": None} for u in accounts.users()]
        if only is not None:
            listed = [t for t in listed if t["user"] == only.name]
        return _print(listed, as_json, "no tokens; make one with: cosmicflows tokens new")


def revoke_token(data: Path, token: str) -> int:
    """Take a token back."""
    with Accounts(data) as accounts:
        if token.startswith(QUEUE):
            user = accounts.named(token.removeprefix(QUEUE))
            accounts.renew_queue_token(user)
            print(f"the queue token of {user.name} is revoked; the next log-in gets another")
            return 0
        if not (token.isascii() and token.isdecimal() and len(token) <= 18):
            raise UsageError("a token is named by its number, or by queue:NAME; cosmicflows tokens list shows both",
                             code="unknown_token", where="token")
        accounts.revoke_token(int(token))
        print(f"token {token} is revoked; a running gateway refuses it from the next request on")
        return 0


def scopes_of(text: str) -> frozenset[str]:
    """Return the scopes of a list with commas.

    Raises
    ------
    UsageError
        Code ``bad_scope``.
    """
    words = frozenset(text.replace(",", " ").split())
    if not words or not words <= set(SCOPES):
        raise UsageError(f"scope {text!r:.80} is not one or more of {', '.join(SCOPES)}, with commas", code="bad_scope",
                         where="scope")
    return words


def rows_of(text: str | None) -> float | None:
    """Return a number of rows an hour; None for the server's setting.

    Raises
    ------
    UsageError
        Code ``bad_rows_per_hour``.
    """
    if text is None or text == "default":
        return None
    try:
        rows = float(text.replace(",", ""))
    except ValueError:
        rows = 0.0
    if not 1.0 <= rows <= ROWS_PER_HOUR_MAX:
        raise UsageError(f"--rows-per-hour {text:.40} is not a number from 1 to {ROWS_PER_HOUR_MAX:.0e}, nor default",
                         code="bad_rows_per_hour", where="rows-per-hour")
    return rows


def moment(text: str) -> float | None:
    """Return when something expires that is said as a span, a date or never.

    Raises
    ------
    UsageError
        Code ``bad_expiry``.
    """
    if text == "never":
        return None
    span = _SPAN.fullmatch(text)
    try:
        if span:
            until = time.time() + int(span[1]) * _UNITS_S[span[2]]
        else:
            told = datetime.fromisoformat(text)
            until = (told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp()
        _stamp(until)
    except (ValueError, OverflowError, OSError):
        raise UsageError(f"--expires {text!r:.40} is neither a span (12h, 90d, 4w), nor a date or time (2027-01-01, "
                         "2027-01-01T12:00:00Z), nor never", code="bad_expiry", where="expires") from None
    if until <= time.time():
        raise UsageError(f"--expires {text:.40} is over already; give a later time", code="bad_expiry", where="expires")
    return until


def _print(listed: Sequence[dict[str, Any]], as_json: bool, nothing: str) -> int:
    if as_json:
        print(json.dumps(listed))
    elif not listed:
        print(nothing)
    else:
        table = [[k.replace("_", " ") for k in listed[0] if k != "is_expired"],
                 *([_shown(entry, k) for k in entry if k != "is_expired"] for entry in listed)]
        widths = [max(len(line[k]) for line in table) for k in range(len(table[0]))]
        for line in table:
            print("  ".join(text.ljust(width) for text, width in zip(line, widths)).rstrip())
    return 0


def _shown(entry: dict[str, Any], key: str) -> str:
    value = entry[key]
    if isinstance(value, list):
        return ",".join(value)
    if isinstance(value, float):
        return f"{value:.0f}"
    if value is None:
        return {"rows_per_hour": "default", "expires": "never", "user": "nobody"}.get(key, "-")
    return f"{value} (over)" if key == "expires" and entry["is_expired"] else str(value)


def _name(user: User | None) -> str | None:
    return None if user is None else user.name


def _ordered(scopes: frozenset[str]) -> list[str]:
    return [scope for scope in SCOPES if scope in scopes]


def _words(scopes: frozenset[str]) -> str:
    return " and ".join(_ordered(scopes)) or "nothing"


def _stamp(seconds: float | None) -> str | None:
    return None if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
