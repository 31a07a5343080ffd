"""One try to call a webhook: signed, to the addresses that were judged and no others, with bounds on everything.

Signatures follow Standard Webhooks 1.0: HMAC-SHA256 over id, time and body. No redirect is followed, no proxy or password
of the environment is used, no cookie is kept, no compressed answer is unpacked; of the answer only its status counts.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import ipaddress
import socket
import ssl
import time
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

import cfcore
from cfcore.errors import BadParameter
from cfcore.settings import Settings

from .webhook_address import NOT_PUBLIC, Address, Lookup, LookupFailed, Target, locate

TIMEOUT_S = 10.0
ANSWER_MAX = 4096
ANSWER_S = 1.0
"""How long what follows the status of an answer is read, so that whoever sends it is not cut off in the middle."""
PREFIX = "whsec_"


@dataclass(frozen=True)
class Outcome:
    """Say what a try came to: a status or a word, how long it took, and whether another one makes sense."""

    status: int | None
    error: str | None
    ms: int
    is_final: bool = False

    @property
    def is_delivered(self) -> bool:
        """Whether the receiver has taken it."""
        return self.status is not None and 200 <= self.status < 300


def secret(key: bytes, owner: str) -> str:
    """Return the secret of an owner, as Standard Webhooks writes it."""
    return PREFIX + base64.b64encode(hmac.digest(key, b"webhook secret of " + owner.encode(), "sha256")).decode()


def message_id(key: bytes, job: int) -> str:
    """Return the id of the call that tells of the end of a job: the same in every try, another one in every store."""
    return "msg_" + hmac.digest(key, b"webhook message of %d" % job, "sha256").hex()[:32]


def signature(shared: str, message: str, timestamp: int, body: bytes) -> str:
    """Return the header webhook-signature."""
    key = base64.b64decode(shared.removeprefix(PREFIX))
    return "v1," + base64.b64encode(hmac.digest(key, b"%s.%d.%s" % (message.encode(), timestamp, body), hashlib.sha256)).decode()


async def post(url: str, body: bytes, headers: dict[str, str], *, settings: Settings, lookup: Lookup,
               tls: ssl.SSLContext, timeout_s: float = TIMEOUT_S) -> Outcome:
    """Try once; every failure is an outcome.

    Parameters
    ----------
    url : str
        As it was kept; judged anew.
    body, headers : bytes, dict
        What is sent.
    settings : Settings
        For `callback_hosts`.
    lookup : Lookup
        Asked once.
    tls : ssl.SSLContext
        Whom to believe.
    timeout_s : float
        For the lookup, the connection and the answer together.
    """
    began = time.monotonic()
    status: int | None = None
    error: str | None = None
    is_final = False
    try:
        async with asyncio.timeout(timeout_s):
            target = await locate(url, settings, lookup)
            status = await _posted(target, body, headers, tls)
        is_final = status == 410
    except LookupFailed as failed:
        error, is_final = failed.word, failed.is_final
    except BadParameter:
        error, is_final = "refused: not an address that is called", True
    except TimeoutError:
        error = f"no answer within {timeout_s:g} s"
    except (aiohttp.ClientError, OSError, ValueError) as fault:
        error = _word(fault)
        is_final = error == NOT_PUBLIC
    return Outcome(status, error, round(1000 * (time.monotonic() - began)), is_final)


async def _posted(target: Target, body: bytes, headers: dict[str, str], tls: ssl.SSLContext) -> int:
    made: list[socket.socket] = []
    connector = aiohttp.TCPConnector(ssl=tls, resolver=_Pinned(target), use_dns_cache=False, force_close=True, limit=1,
                                     socket_factory=_only_to(target, made))
    sent = {"Content-Type": "application/json", "User-Agent": f"cosmicflows/{cfcore.__version__}", "Accept-Encoding": "identity",
            **headers}
    try:
        async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False,
                                         auto_decompress=False, read_bufsize=ANSWER_MAX) as session:
            async with session.post(target.url, data=body, headers=sent, allow_redirects=False) as answer:
                await _read_a_little(answer)
                answer.close()
                return answer.status
    finally:
        # a TLS connection is closed with a farewell, for which the loop would wait half a minute; ours are over now
        for sock in made:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


async def _read_a_little(answer: aiohttp.ClientResponse) -> None:
    left = ANSWER_MAX
    try:
        async with asyncio.timeout(ANSWER_S):
            while left > 0 and (piece := await answer.content.read(left)):
                left -= len(piece)
    except (TimeoutError, aiohttp.ClientError, OSError):
        pass  # the status has come, and nothing else was wanted


class _Pinned(AbstractResolver):
    """Answer with the addresses that were judged."""

    def __init__(self, target: Target) -> None:
        self._target = target

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[ResolveResult]:
        """Return them, for the host they were judged for."""
        if host.rstrip(".") != self._target.host:
            raise OSError(NOT_PUBLIC)
        return [ResolveResult(hostname=host, host=str(address), port=port, proto=socket.IPPROTO_TCP, flags=socket.AI_NUMERICHOST,
                              family=socket.AF_INET if address.version == 4 else socket.AF_INET6)
                for address in self._target.addresses]

    async def close(self) -> None:
        """Hold nothing."""


def _only_to(target: Target, kept: list[socket.socket]) -> Any:
    """Return what makes the sockets, and keeps them: the last wall, whatever way an address came here."""
    def make(info: tuple[Any, ...]) -> socket.socket:
        family, kind, proto, _, place = info
        address: Address = ipaddress.ip_address(place[0])
        if address not in target.addresses or place[1] != target.port:
            raise OSError(NOT_PUBLIC)
        made = socket.socket(family, kind, proto)
        made.setblocking(False)
        kept.append(made)
        return made
    return make


def _word(fault: BaseException) -> str:
    """Return a few words for a failure, without an address or a text of the other side."""
    if isinstance(fault, (aiohttp.ClientConnectorCertificateError, ssl.SSLCertVerificationError)):
        return "its certificate is not accepted"
    if isinstance(fault, (aiohttp.ClientSSLError, ssl.SSLError)):
        return "no TLS connection"
    if NOT_PUBLIC in str(fault):
        return NOT_PUBLIC
    if isinstance(fault, aiohttp.ClientConnectorError):
        return "no connection"
    if isinstance(fault, aiohttp.ClientResponseError):
        return "the answer is not HTTP"
    return "the connection broke"


def origin(url: str) -> str:
    """Return an address without its path and query, which may hold what only its owner knows."""
    return str(URL(url, encoded=True).origin())
