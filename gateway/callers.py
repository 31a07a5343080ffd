"""Who asks: a user, a token or an address, and what they may. The one place that reads the header Authorization.

Credentials that are sent are checked, always: wrong ones are refused, and never taken for none. What is charged to a caller
is the business of `budget`.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache

from aiohttp import web
from multidict import istr

from cfcore.errors import CosmicFlowsError, UsageError
from cfcore.settings import Settings

from . import addresses
from .accounts import SCOPES, Accounts, Token, User, digest
from .job_queries import ROWS_MAX
from .logins import Logins

log = logging.getLogger("gateway")
AUTHORIZATION = istr("Authorization")
TOKEN_SCHEMES = ("token", "bearer")
USED_EVERY_S = 60.0
_FREE = frozenset(("read", "submit"))
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Caller:
    """Hold who asks.

    Attributes
    ----------
    owner : str
        Whom jobs belong to: ``user:7``, ``token:3`` (one that is nobody's) or ``address:192.0.2.1``.
    user, name : int, str; optional
        The user's; None for an address. A token that is nobody's has no `user`, and its label for a name.
    scopes : frozenset of str
        Of ``read``, ``submit``, ``admin``.
    bucket : str
        Whose budget is used.
    rows_per_hour : float
        Its size.
    rows_of_a_job : int
        The largest job.
    address : str
        Where the request comes from.
    """

    owner: str
    user: int | None
    name: str | None
    scopes: frozenset[str]
    bucket: str
    rows_per_hour: float
    rows_of_a_job: int
    address: str

    @property
    def is_anonymous(self) -> bool:
        """Whether only an address is known."""
        return self.owner.startswith("address:")


_CALLER = web.RequestKey("caller", Caller)


class Callers:
    """Tell callers apart for one gateway.

    Parameters
    ----------
    settings : Settings
    """

    def __init__(self, settings: Settings) -> None:
        self.accounts = Accounts(settings.data)
        self.logins = Logins(self.accounts)
        self._settings = settings
        self._addresses = addresses.Addresses(settings)
        self._nobody = lru_cache(maxsize=4096)(self._anonymous)
        self._admin_sha = settings.admin_token_sha256.lower()
        self._used: dict[tuple[str, int], float] = {}
        self._writer: asyncio.Task[None] | None = None
        self._wrote = -USED_EVERY_S

    async def close(self) -> None:
        """Write when accounts were used last, and end."""
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)
        await self._write()
        self.accounts.close()

    def has_admin(self) -> bool:
        """Tell whether anybody may administer this server over HTTP."""
        return bool(self._admin_sha) or self.accounts.has_admin()

    async def identify(self, request: web.Request) -> Caller:
        """Return who asks, whatever they may.

        Raises
        ------
        UsageError
            Codes ``token_missing`` (credentials that cannot be read), ``token_wrong``, ``token_expired``, ``password_wrong``.
        TransientError
            Codes ``too_many_attempts``, ``busy``, ``accounts_unavailable``.
        """
        address, is_near = self._addresses.of(request)
        if AUTHORIZATION not in request.headers:
            return self._nobody(address, is_near)
        name, secret, is_basic = _credentials(request)
        if is_basic:
            return self._of_user(await self.logins.check(name, secret, addresses.counted(address)), address)
        return self._of_token(secret, address)

    def _anonymous(self, address: str, is_near: bool) -> Caller:
        settings = self._settings
        rows, job_rows = ((settings.rows_per_hour, ROWS_MAX) if is_near else
                          (settings.anonymous_rows_per_hour, settings.anonymous_job_rows))
        counted = addresses.counted(address)
        # one machine that is asked directly and through a proxy has two budgets, since they are of two sizes
        bucket = f"{'near' if is_near else 'address'}:{counted}"
        return Caller(f"address:{address}", None, None, _FREE, bucket, rows, job_rows, address)

    def _of_user(self, user: User, address: str) -> Caller:
        bucket = self._noted("user", user.id)
        return self._known(bucket, user, user.name, user.scopes, bucket, user.rows_per_hour, address)

    def _of_token(self, secret: str, address: str) -> Caller:
        if self._admin_sha and hmac.compare_digest(digest(secret).hex(), self._admin_sha):
            return self._known("token:0", None, "administrator", frozenset(SCOPES), "token:0", None, address)
        token = self.accounts.token(secret)
        if token is None:
            raise UsageError("this is not a token of this server, or it was revoked; who runs the server makes one with: "
                             "cosmicflows tokens new", code="token_wrong", where="Authorization")
        if token.expires is not None and token.expires <= time.time():
            when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(token.expires))
            raise UsageError(f"this token expired at {when}; who runs the server makes another with: cosmicflows tokens new",
                             code="token_expired", where="Authorization")
        return self._with_token(token, address)

    def _with_token(self, token: Token, address: str) -> Caller:
        user, rows = token.user, token.rows_per_hour
        if user is None:
            bucket = self._noted("token", token.id)
            return self._known(bucket, None, token.label or f"token {token.id}", token.scopes, bucket, rows, address)
        bucket = self._noted("token", token.id) if token.id else self._noted("user", user.id)
        return self._known(f"user:{user.id}", user, user.name, token.scopes, bucket, rows, address)

    def _known(self, owner: str, user: User | None, name: str, scopes: frozenset[str], bucket: str, rows: float | None,
               address: str) -> Caller:
        return Caller(owner, None if user is None else user.id, name, scopes, bucket,
                      self._settings.rows_per_hour if rows is None else rows, ROWS_MAX, address)

    # ---- when they were used ---------------------------------------------------------------------------------------

    def _noted(self, table: str, id: int) -> str:
        self._note(table, id)
        return f"{table}:{id}"

    def _note(self, table: str, id: int) -> None:
        self._used[table, id] = time.time()
        if self._writer is None or self._writer.done():
            self._writer = asyncio.get_running_loop().create_task(self._write_soon())

    async def _write_soon(self) -> None:
        """Write at most once a minute: requests are many, and the moment of the last is all that is kept."""
        await asyncio.sleep(max(0.0, self._wrote + USED_EVERY_S - time.monotonic()))
        self._wrote = time.monotonic()
        await self._write()

    async def _write(self) -> None:
        used, self._used = self._used, {}
        if not used:
            return
        try:
            await asyncio.to_thread(Accounts(self._settings.data).used, [(*who, when) for who, when in used.items()])
        except CosmicFlowsError as error:
            log.warning("when accounts were used cannot be noted: %s", error.message)


CALLERS = web.AppKey("callers", Callers)
NEEDED = web.AppKey("needed", dict[object, str])
"""Handler -> the scope that its route asks of whoever sends credentials."""


async def caller_of(request: web.Request, scope: str = "read") -> Caller:
    """Return who asks, when they have a scope; found once for a request.

    Raises
    ------
    UsageError
        As `Callers.identify`; code ``scope_missing``; ``token_missing`` when nobody anonymous has the scope.
    TransientError
        As `Callers.identify`.
    """
    caller: Caller | None = request.get(_CALLER)
    if caller is None:
        caller = request[_CALLER] = await request.app[CALLERS].identify(request)
    if scope not in caller.scopes:
        if caller.is_anonymous:
            raise missing(f"the scope {scope} is needed, which nobody has without credentials")
        raise UsageError(f"this needs the scope {scope}, and yours are {', '.join(sorted(caller.scopes)) or 'none'}; ask who "
                         "runs the server for a token that has it", code="scope_missing", where="Authorization")
    return caller


async def known_caller(request: web.Request, scope: str = "read") -> Caller:
    """Return who asks, when it is a user or a token.

    Raises
    ------
    UsageError
        As `caller_of`; code ``token_missing`` for an address.
    TransientError
        As `caller_of`.
    """
    caller = await caller_of(request, scope)
    if caller.is_anonymous:
        raise missing("this is answered only to those who say who they are")
    return caller


def missing(why: str) -> UsageError:
    """Return the refusal of a request without the credentials it needs."""
    return UsageError(f"{why}; send the header 'Authorization: Bearer TOKEN', or name and password with Basic",
                      code="token_missing", where="Authorization")


def queue_token(app: web.Application, user: int) -> str:
    """Return the token of a user as the queue's protocol tells it: 40 hexadecimal digits, the same until it is revoked.

    Raises
    ------
    UsageError
        Code ``token_wrong``, when the user is gone.
    """
    accounts = app[CALLERS].accounts
    found = accounts.user_by_id(user)
    if found is None:
        raise UsageError("this user is not known any more", code="token_wrong")
    return accounts.queue_token(found)


async def log_in(app: web.Application, name: str, password: str, address: str) -> int:
    """Return the number of the user of a name and a password.

    Raises
    ------
    UsageError
        Code ``password_wrong``.
    TransientError
        Codes ``too_many_attempts``, ``busy``, ``accounts_unavailable``.
    """
    user = await app[CALLERS].logins.check(name, password, addresses.counted(address))
    return user.id


def checked(handler: Handler) -> Handler:
    """Return a handler that refuses wrong credentials before it does anything, where its route asks who it is."""
    async def check(request: web.Request) -> web.StreamResponse:
        scope = request.app[NEEDED].get(request.match_info.handler, "")
        if scope:
            await caller_of(request, scope)
        return await handler(request)
    return check


def _credentials(request: web.Request) -> tuple[str, str, bool]:
    """Return (name, password or token, whether it is Basic) of a request that has the header."""
    values = request.headers.getall(AUTHORIZATION)
    if len(values) > 1:
        raise missing("the header Authorization stands in the request twice")
    scheme, _, rest = values[0].strip().partition(" ")
    rest = rest.strip()
    if scheme.lower() in TOKEN_SCHEMES and rest:
        return "", rest, False
    if scheme.lower() == "basic":
        try:
            raw = base64.b64decode(rest, validate=True)
        except (binascii.Error, ValueError):
            raw = b""
        name, colon, password = raw.decode("utf-8", "surrogateescape").partition(":")
        if colon:
            return name, password, True
    raise missing("the header Authorization cannot be read")
