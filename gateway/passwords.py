"""Passwords at rest: scrypt, a salt of its own for each, the parameters beside the digest; who may try is told in `logins`."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os

from cfcore.errors import UsageError

N, R, P = 2**15, 8, 1
"""Cost of scrypt (RFC 7914): 32 MiB and some 60 ms a guess."""
SALT_BYTES, DIGEST_BYTES = 16, 32
LEAST, MOST = 8, 1024
"""Characters and bytes: shorter ones are guessed, longer ones are no passwords."""
# twice what the parameters need: OpenSSL counts some blocks more than 128 * N * R
_ROOM = 2 * 128


def checked(password: str) -> str:
    """Return a password that may be set.

    Raises
    ------
    UsageError
        Code ``bad_password``.
    """
    if len(password) < LEAST:
        raise UsageError(f"the password has {len(password)} characters; at least {LEAST} are needed", code="bad_password")
    if not fits(password):
        raise UsageError(f"the password has more than the {MOST} bytes a password may have", code="bad_password")
    return password


def fits(password: str) -> bool:
    """Tell whether a text could be a password at all."""
    return len(_raw(password)) <= MOST


def hashed(password: str) -> str:
    """Return what is kept of a password: ``scrypt$N$R$P$SALT$DIGEST``."""
    salt = os.urandom(SALT_BYTES)
    return "$".join(("scrypt", str(N), str(R), str(P), _text(salt), _text(_digest(password, salt, N, R, P))))


def is_right(password: str, kept: str) -> bool:
    """Tell whether a password is the one that was hashed; both digests have one length and are compared in constant time."""
    _, n, r, p, salt, digest = kept.split("$")
    found = _digest(password, base64.b64decode(salt), int(n), int(r), int(p))
    return hmac.compare_digest(found, base64.b64decode(digest))


def _digest(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(_raw(password), salt=salt, n=n, r=r, p=p, maxmem=_ROOM * n * r, dklen=DIGEST_BYTES)


def _raw(password: str) -> bytes:
    return password.encode("utf-8", "surrogateescape")


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")
