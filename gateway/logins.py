"""Names and passwords, checked slowly on purpose: beside the event loop, one at a time, and not too often for one guesser.

scrypt costs a client nothing and us a core for 60 ms. So a success is remembered for a minute, under a key that only this
process has; an address has ten failures at once and then one each ten seconds; a name has a hundred, from wherever they come,
so that a crowd of addresses cannot guess one password. Who has a token is not touched by any of this.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import os
import time
from collections import OrderedDict

from cfcore.errors import TransientError, UsageError

from . import passwords
from .accounts import Accounts, User
from .buckets import Buckets, whole_seconds

REMEMBERED_S = 60.0
REMEMBERED = 1024
FAILURES_OF_AN_ADDRESS = 10.0
FAILURES_OF_A_NAME = 100.0
FAILURE_S = 10.0
WAITING_MAX = 32
"""Checks that may wait for their turn: two seconds of work."""
NAME_MAX = 64


class Logins:
    """Check names and passwords for one gateway.

    Parameters
    ----------
    accounts : Accounts
    """

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._key = os.urandom(32)
        self._remembered: OrderedDict[bytes, tuple[str, float]] = OrderedDict()
        self._failures = Buckets(10_000)
        self._turn = asyncio.Semaphore(1)
        self._waiting = 0
        # what nobody's password hashes to: an unknown name costs as much time as a wrong password
        nobody = (base64.b64encode(os.urandom(n)).decode() for n in (passwords.SALT_BYTES, passwords.DIGEST_BYTES))
        self._nobody = "$".join(("scrypt", str(passwords.N), str(passwords.R), str(passwords.P), *nobody))

    async def check(self, name: str, password: str, address: str) -> User:
        """Return the user of a name and a password.

        Parameters
        ----------
        name, password : str
        address : str
            Where they come from: its failures are counted together.

        Raises
        ------
        UsageError
            Code ``password_wrong``; it does not tell whether there is such a user.
        TransientError
            Codes ``too_many_attempts``, ``busy``, ``accounts_unavailable``.
        """
        user = self._accounts.user(name) if len(name) <= NAME_MAX else None
        key = hmac.new(self._key, f"{name.lower()}\0{password}".encode("utf-8", "surrogateescape"), hashlib.sha256).digest()
        kept = self._nobody if user is None else user.password
        found = self._remembered.get(key)
        if found is not None and user is not None and found[1] > time.monotonic() and found[0] == kept:
            return user
        held = self._begin(name, address)
        is_right = passwords.fits(password) and await self._verify(password, kept)
        if user is None or not is_right:
            raise UsageError("user name or password is wrong; both are told by who runs this server, and cosmicflows users "
                             "password NAME sets a new one there", code="password_wrong", where="Authorization")
        for bucket in held:
            self._failures.give_back(bucket, 1.0)
        self._remembered[key] = kept, time.monotonic() + REMEMBERED_S
        self._remembered.move_to_end(key)
        if len(self._remembered) > REMEMBERED:
            self._remembered.popitem(last=False)
        return user

    def _begin(self, name: str, address: str) -> list[str]:
        """Count an attempt as failed until it has succeeded: many at once are no way around."""
        held: list[str] = []
        for bucket, most in ((f"address {address}", FAILURES_OF_AN_ADDRESS), (f"name {name[:NAME_MAX].lower()}",
                                                                             FAILURES_OF_A_NAME)):
            _, wait = self._failures.take(bucket, 1.0, most, most * FAILURE_S)
            if wait:
                for taken in held:
                    self._failures.give_back(taken, 1.0)
                seconds = whole_seconds(wait)
                raise TransientError("there were too many attempts with a wrong name or password; the next is available in "
                                     f"{seconds} seconds. A token works meanwhile", code="too_many_attempts",
                                     where="Authorization", extra={"retry_after_s": seconds})
            held.append(bucket)
        if self._waiting >= WAITING_MAX:
            for taken in held:
                self._failures.give_back(taken, 1.0)
            raise TransientError("too many passwords wait to be checked; try again in a few seconds, or use a token", code="busy")
        return held

    async def _verify(self, password: str, kept: str) -> bool:
        self._waiting += 1
        try:
            async with self._turn:
                return await asyncio.to_thread(passwords.is_right, password, kept)
        finally:
            self._waiting -= 1
