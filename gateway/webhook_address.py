"""Where a webhook may go: to https addresses of the public internet, and to hosts that the administrator has named.

An address is judged twice. At the submission, so that whoever asks learns at once what is wrong with it; and at every try,
when the name is looked up once, each of its addresses must be a public one, and the connection is made to these addresses
and no others: a name that leads elsewhere the next time it is looked up leads nowhere. How a call is made is told in
`webhook_post`, when in `webhooks`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from yarl import URL

from cfcore.errors import BadParameter, TransientError
from cfcore.settings import Settings

URL_MAX = 2000
PORT_LEAST = 1024
"""Least port beside 443: below it listen services that speak no HTTP, and some that take a handshake for a command."""
LOOKUP_S = 5.0
LOOKUPS_MAX = 16
ADDRESSES_MAX = 8
NOT_PUBLIC = "refused: not a public address"
NOT_FOUND = "the name has no address"
NOT_RESOLVED = "the name could not be looked up"

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Lookup = Callable[[str, int], Awaitable[list[str]]]
"""From a name and a port to all its addresses; raises `LookupFailed`."""

# The registries of special-purpose addresses of the IANA (RFC 6890 and what has been entered since), kept here because what
# `ipaddress` calls global differs between versions of Python: NAT64, 6to4 and deprecated ranges lead into private networks.
_CLOSED_4 = [ipaddress.IPv4Network(text) for text in (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
    "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
    "168.63.129.16/32")]  # the last one is the host's own service in Azure, on an address that looks public
_GLOBAL_6 = ipaddress.IPv6Network("2000::/3")
_CLOSED_6 = [ipaddress.IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")]
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_PLACE = re.compile(r"https://([^/?#]+)", re.IGNORECASE)
# the library would also read ports such as +443 and 4_43
_HOST_PORT = re.compile(r"(?:\[[^\[\]]+\]|[^:\[\]]+)(?::[0-9]{0,5})?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


class LookupFailed(Exception):
    """Say that a name led to no address; `word` says why, and `is_final` whether it is to be tried again."""

    def __init__(self, word: str, *, is_final: bool = False) -> None:
        super().__init__(word)
        self.word, self.is_final = word, is_final


@dataclass(frozen=True)
class Target:
    """Hold where one call goes: the address as it was given, its host, and the addresses to connect to."""

    url: URL
    host: str
    port: int
    addresses: tuple[Address, ...]


def is_public(address: Address) -> bool:
    """Tell whether an address belongs to the public internet; one that carries an IPv4 address is judged by that."""
    plain = _inner(address)
    if isinstance(plain, ipaddress.IPv4Address):
        return not any(plain in network for network in _CLOSED_4)
    return plain in _GLOBAL_6 and not any(plain in network for network in _CLOSED_6)


def read(text: str) -> URL:
    """Return the address of a webhook in one spelling, without a look at where its name leads.

    Raises
    ------
    BadParameter
        Code ``callback_refused``: it is not https, holds a user or a password, or spells its host or port in a way that is
        not taken.
    """
    if len(text) > URL_MAX:
        raise _refused(f"the address has {len(text)} characters, of at most {URL_MAX}; shorten it")
    if not text.isascii() or not text.isprintable() or set(text) & set(' \\"<>^`{|}'):
        raise _refused("it holds characters that no address has; percent-encode them, and write the host in ASCII (xn--...)")
    place = _PLACE.match(text)
    if place is None:
        raise _refused("only https is called; write https://HOST/PATH")
    if "@" in place[1]:
        raise _refused("it holds a user or a password, which would stand in logs; leave it out: calls are signed")
    try:
        url = URL(text if _HOST_PORT.fullmatch(place[1]) else "")
        port = url.port
    except ValueError:
        port = None
    if port is None:
        raise _refused("it cannot be read as an address; write https://HOST/PATH")
    host = (url.raw_host or "").removesuffix(".")
    if port != 443 and port < PORT_LEAST:
        raise _refused(f"port {port} is not called; take 443, or one of {PORT_LEAST} and above")
    literal = _literal(host)
    if literal is None and (len(host) > 253 or not _NAME.fullmatch(host) or _NUMBER.fullmatch(host.rpartition(".")[2])):
        raise _refused("its host is neither a name nor an address in its plain spelling; write the name")
    shown = f"[{host}]" if literal is not None and literal.version == 6 else host
    return URL(f"https://{shown}{'' if port == 443 else f':{port}'}{url.raw_path_qs}", encoded=True)


async def locate(text: str, settings: Settings, lookup: Lookup) -> Target:
    """Return where a call goes, after one look at where its name leads now.

    Raises
    ------
    BadParameter
        As `read` does.
    LookupFailed
        When the name leads to no address, or to one that is not public.
    """
    url = read(text)
    host, port = url.raw_host or "", url.port or 443
    literal = _literal(host)
    found = [str(literal)] if literal is not None else await lookup(host, port)
    addresses = [ipaddress.ip_address(address) for address in found]
    if not addresses:
        raise LookupFailed(NOT_FOUND)
    names, networks = settings.callback_rules()
    if host not in names:
        for address in addresses:
            forms = {address, _inner(address)}
            if not is_public(address) and not any(form in network for form in forms for network in networks):
                raise LookupFailed(NOT_PUBLIC, is_final=True)
    return Target(url, host, port, tuple(addresses[:ADDRESSES_MAX]))


async def check_callback(url: str, settings: Settings, lookup: Lookup | None = None) -> str:
    """Return the address of a webhook as it is to be kept, when it may be called.

    Raises
    ------
    BadParameter
        Code ``callback_refused``. A name without any address and one that leads into a private network are refused in the
        same words: what is inside is nobody's business.
    TransientError
        Code ``callback_unresolved``: the name could not be looked up now.
    """
    try:
        target = await locate(url, settings, lookup or _at_the_door)
    except LookupFailed as failed:
        if failed.word == NOT_RESOLVED:
            raise TransientError("the host of the callback could not be looked up now; try again in 10 seconds, or leave the "
                                 "callback out", code="callback_unresolved", where="callback",
                                 extra={"retry_after_s": 10}) from None
        raise _refused("its host has no address, or one that is not public; name a host of the public internet, or ask the "
                       "administrator to enter it in callback_hosts") from None
    return str(target.url)


class SystemLookup:
    """Look names up as the system does, each in a thread of its own.

    The threads are not those of the loop's pool, nor waited for at the end: a name server that does not answer must hold up
    neither the answers to others nor the end of the gateway.

    Parameters
    ----------
    most : int
        Lookups at a time; those beyond fail at once.
    """

    def __init__(self, most: int = LOOKUPS_MAX) -> None:
        self._free = threading.BoundedSemaphore(most)

    async def __call__(self, host: str, port: int) -> list[str]:
        """Return the addresses of a name; raises `LookupFailed`."""
        if not self._free.acquire(blocking=False):
            raise LookupFailed(NOT_RESOLVED)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[str]] = loop.create_future()

        def tell(found: list[str] | None, word: str) -> None:
            if not future.done():
                future.set_exception(LookupFailed(word)) if found is None else future.set_result(found)

        def look() -> None:
            found, word = None, NOT_RESOLVED
            try:
                found = list(dict.fromkeys(str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
            except socket.gaierror as error:
                word = NOT_FOUND if error.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", None)) else NOT_RESOLVED
            except (OSError, UnicodeError):
                pass
            finally:
                self._free.release()
            try:
                loop.call_soon_threadsafe(tell, found, word)
            except RuntimeError:
                pass  # the loop has ended meanwhile
        threading.Thread(target=look, name="lookup", daemon=True).start()
        try:
            async with asyncio.timeout(LOOKUP_S):
                return await future
        except TimeoutError:
            raise LookupFailed(NOT_RESOLVED) from None


# one bound for all submissions; deliveries have their own, so that a crowd at the door does not stop them
_at_the_door = SystemLookup()


def _inner(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 one stands for (mapped, NAT64), else the address itself."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _literal(host: str) -> Address | None:
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return None
    return None if getattr(found, "scope_id", None) else found


def _refused(why: str) -> BadParameter:
    return BadParameter(f"the callback is refused: {why}", code="callback_refused", where="callback")
