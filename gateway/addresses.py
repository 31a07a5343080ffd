"""Where a request comes from: the address of the connection, or the one that a proxy we trust tells."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Sequence
from functools import lru_cache

from aiohttp import web
from multidict import istr

from cfcore.settings import Settings

log = logging.getLogger("gateway")
FORWARDED_FOR, FORWARDED = istr("X-Forwarded-For"), istr("Forwarded")
HOPS_MAX = 32
"""Proxies on the way of one request that are looked at."""
IPV6_PREFIX = 64
"""One subscriber has at least so much of IPv6; to count single addresses of it would count nobody."""


class Addresses:
    """Tell the addresses of requests.

    Parameters
    ----------
    settings : Settings
        Its ``trusted_proxies`` and ``host``.
    """

    def __init__(self, settings: Settings) -> None:
        self._trusted = settings.proxy_networks()
        self._is_loopback = _is_loopback(settings.host)
        self._is_warned = False

    def of(self, request: web.Request) -> tuple[str, bool]:
        """Return the address of a request, and whether it comes from this machine itself, through no proxy."""
        headers, peer = request.headers, request.remote or ""
        told = headers.getall(FORWARDED_FOR, None)
        if told is None:
            return plain(peer), self._is_loopback and FORWARDED not in headers
        if self._is_trusted(peer):
            return self._client(peer, told), False
        if not self._is_warned and _is_local(peer):
            self._is_warned = True
            log.warning("a proxy at %s tells X-Forwarded-For, and is not among trusted_proxies: all its clients are one address, "
                        "with one budget and one list of jobs", peer)
        return plain(peer), False

    def _client(self, peer: str, told: Sequence[str]) -> str:
        """Return the last address that no proxy of ours has: what stands before it may be anybody's invention."""
        found = peer
        for word in reversed(",".join(told).split(",")[-HOPS_MAX:]):
            hop = _without_port(word.strip())
            if _parsed(hop) is None:
                break
            found = hop
            if not self._is_trusted(hop):
                break
        return plain(found)

    def _is_trusted(self, text: str) -> bool:
        address = _parsed(text)
        return address is not None and any(address in network for network in self._trusted)


@lru_cache(maxsize=4096)
def plain(text: str) -> str:
    """Return an address in its one spelling; IPv4 within IPv6 is IPv4."""
    address = _parsed(text)
    return text[:64] if address is None else str(address)


@lru_cache(maxsize=4096)
def counted(text: str) -> str:
    """Return under what an address is counted: itself, or of IPv6 the network of its subscriber."""
    address = _parsed(text)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((int(address), IPV6_PREFIX), strict=False))
    return text


@lru_cache(maxsize=4096)
def _parsed(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _without_port(word: str) -> str:
    """Return a hop without the port that some proxies add: ``192.0.2.1:4711``, ``[2001:db8::1]:4711``."""
    if word.startswith("["):
        return word[1:].partition("]")[0]
    return word.partition(":")[0] if word.count(":") == 1 else word


def _is_loopback(host: str) -> bool:
    address = _parsed(host)
    return host == "localhost" if address is None else address.is_loopback


def _is_local(text: str) -> bool:
    address = _parsed(text)
    return address is not None and address.is_private
