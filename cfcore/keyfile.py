"""The key file of a worker host: who it is, its two keys, and the public key of its gateway.

Owns the format and the rule of who may read such a file; keys are made, entered and revoked by the gateway
(`cosmicflows keys`). ZeroMQ is not needed here. The file is JSON, keys are Z85 text of 40 characters:

    {"cosmicflows_key": 1, "name": "node7", "public": "…", "secret": "…", "gateway": "…"}
"""

from __future__ import annotations

import json
import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import UsageError

__all__ = ["WorkerKey", "check_name", "dump", "load", "read_guarded", "z85_key"]
FORMAT = 1
KEY_CHARACTERS = 40
FILE_MAX = 4096
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_Z85 = {c: k for k, c in enumerate("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#")}


@dataclass(frozen=True)
class WorkerKey:
    """Hold what a worker host needs to join a gateway.

    Parameters
    ----------
    name : str
        Of the host, as in the gateway's allow-list.
    public, secret : bytes
        Its CURVE key pair, Z85, 40 bytes each.
    gateway : bytes
        The gateway's public key; a gateway that cannot prove it is not spoken to.
    """

    name: str
    public: bytes
    secret: bytes = field(repr=False)
    gateway: bytes


def load(path: Path) -> WorkerKey:
    """Read a worker's key file.

    Parameters
    ----------
    path : Path
        Written by ``cosmicflows keys new``.

    Raises
    ------
    UsageError
        Codes ``key_unreadable`` (not there, no right), ``key_exposed`` (others may read it), ``key_foreign`` (it is something
        else, or damaged).
    """
    data = read_guarded(path)
    if not isinstance(data, dict) or "cosmicflows_key" not in data:
        raise _foreign(path, "it is no key file of a worker")
    if data["cosmicflows_key"] != FORMAT:
        raise _foreign(path, f"its format is {data['cosmicflows_key']!r:.40}, this version reads {FORMAT}")
    try:
        key = WorkerKey(check_name(data["name"]), *(z85_key(data[part]) for part in ("public", "secret", "gateway")))
    except (KeyError, ValueError) as exc:
        raise _foreign(path, f"{exc} is missing" if isinstance(exc, KeyError) else str(exc)) from None
    return key


def dump(key: WorkerKey) -> bytes:
    """Return the bytes of a key file, which `load` reads."""
    facts = {"cosmicflows_key": FORMAT, "name": key.name, "public": key.public.decode(), "secret": key.secret.decode(),
             "gateway": key.gateway.decode()}
    return json.dumps(facts, indent=1).encode() + b"\n"


def check_name(name: object) -> str:
    """Return the name of a worker host if it is one.

    Raises
    ------
    UsageError
        Code ``bad_key_name``.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UsageError(f"{name!r:.80} cannot name a key; use 1 to 63 of a-z, 0-9, '.', '_' and '-', beginning with a letter or "
                         "a digit, such as the name of the host", code="bad_key_name", where="name")
    return name


def z85_key(text: object) -> bytes:
    """Return a key as the bytes ZeroMQ takes; raises ValueError when it is none."""
    if not isinstance(text, str) or len(text) != KEY_CHARACTERS:
        raise ValueError(f"a key has {KEY_CHARACTERS} characters")
    for k in range(0, KEY_CHARACTERS, 5):
        number = 0
        for character in text[k:k + 5]:
            if character not in _Z85:
                raise ValueError("a key holds a character that is not Z85")
            number = 85 * number + _Z85[character]
        if number >= 1 << 32:
            raise ValueError("a key is not Z85")
    return text.encode("ascii")


def read_guarded(path: Path) -> Any:
    """Read a JSON file that holds a secret, and refuse one that others can read.

    Others are everyone on the machine, and the group too when the file is ours. Two things pass all the same, because an
    administrator has placed them so and we could not mend them: a file of another owner that we read as its group (secrets of
    Kubernetes with fsGroup), and any file on a mount that is read-only (secrets of Kubernetes and of Docker have mode 0644
    unless told otherwise; there the container is the wall). Where the system knows no such modes, nothing is checked.

    Raises
    ------
    UsageError
        Codes ``key_unreadable``, ``key_exposed``, ``key_foreign``.
    """
    try:
        fd = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError as exc:
        raise UsageError(f"the key file {path} cannot be read ({exc.strerror}); copy the one that 'cosmicflows keys new NAME' "
                         "wrote on the gateway's host", code="key_unreadable", where="key") from None
    try:
        # what is checked is what is read: a link may point elsewhere a moment later, a descriptor cannot
        facts = os.fstat(fd)
        if not stat.S_ISREG(facts.st_mode):
            raise _foreign(path, "it is no file")
        if is_exposed(facts, is_read_only=_is_read_only(fd)):
            raise UsageError(f"the key file {path} has mode {stat.S_IMODE(facts.st_mode):04o}: others on this machine can read "
                             f"the secret key; run chmod 600 {path}, or better revoke it and make another", code="key_exposed",
                             where="key")
        with os.fdopen(os.dup(fd), "rb") as file:
            text = file.read(FILE_MAX + 1)
    except OSError as exc:
        raise UsageError(f"the key file {path} cannot be read ({exc.strerror})", code="key_unreadable", where="key") from None
    finally:
        os.close(fd)
    if len(text) > FILE_MAX:
        raise _foreign(path, f"it has more than {FILE_MAX} bytes")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise _foreign(path, "it is not JSON") from None


def is_exposed(facts: os.stat_result, *, is_read_only: bool) -> bool:
    """Tell whether more people than meant can read a file with a secret; the rule stands in `read_guarded`."""
    if os.name != "posix" or is_read_only:
        return False
    is_ours = facts.st_uid == os.geteuid()
    return bool(facts.st_mode & (0o077 if is_ours else 0o007))


def _is_read_only(fd: int) -> bool:
    return hasattr(os, "fstatvfs") and bool(os.fstatvfs(fd).f_flag & os.ST_RDONLY)


def _foreign(path: Path, why: str) -> UsageError:
    return UsageError(f"{path} cannot serve as a key file: {why}; copy the one that 'cosmicflows keys new NAME' wrote on the "
                      "gateway's host", code="key_foreign", where="key")
