"""Who may be on an encrypted bus: CURVE and the allow-list at the door, the key behind each message, and how one is put out.

The list itself is the business of `keyring.py`, sockets and messages are that of `lanes.py`.

libzmq has no call that ends one connection of a bound socket, and ZAP is asked once, when a connection begins. A message
tells, however, on which descriptor it came (ZMQ_SRCFD). So the descriptor of each key is noted, and on a revocation every
TCP connection of the bus that is not known to belong to a key still allowed is shut down (shutdown(2)): libzmq sees the
end of the stream and closes. An allowed worker that has said nothing yet on a connection loses it too, and is back after
its reconnect interval of 0.1 s. Nothing is guessed from a number alone: it is pinned by dup(2) first, and its address and
that of its peer are compared.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections import Counter
from collections.abc import Callable, Iterator

import zmq
from zmq.auth.asyncio import AsyncioAuthenticator

from .keyring import Keyring

log = logging.getLogger("cosmicflows.keys")
BUS = "bus"
# What CURVE adds to a frame (33 bytes), with room: MAXMSGSIZE counts the bytes of the wire.
OVERHEAD = 1024
_INET = (socket.AF_INET, socket.AF_INET6)
_EXHAUSTED = (errno.EMFILE, errno.ENFILE)


class _Door:
    """Answer ZAP for one domain."""

    def __init__(self, is_welcome: Callable[[bytes], bool]) -> None:
        self._is_welcome = is_welcome

    def callback(self, domain: str, key: bytes) -> bool:
        """Tell whether a key may connect, as pyzmq's authenticator asks it."""
        return self._is_welcome(key)


class Admission:
    """Guard the sockets of one context.

    Parameters
    ----------
    keys : Keyring
    pair : (bytes, bytes)
        The gateway's public and secret key.
    counts : Counter
        Takes ``handshakes_refused``, ``messages_revoked`` and ``connections_cut``.
    """

    def __init__(self, keys: Keyring, pair: tuple[bytes, bytes], counts: Counter[str]) -> None:
        self._keys, self._pair, self._counts = keys, pair, counts
        self._ports: set[int] = set()
        self._owners: dict[int, tuple[bytes, object]] = {}
        self._revoked: set[bytes] = set()
        self._is_cut_due = False
        self._authenticator: AsyncioAuthenticator | None = None

    def start(self, context: zmq.Context[zmq.Socket]) -> None:
        """Listen for libzmq's questions within the running loop; before the first socket is bound."""
        self._look()
        if not self._keys.allowed:
            log.warning("no worker host has a key of this gateway yet; make one with: cosmicflows keys new NAME")
        self._authenticator = AsyncioAuthenticator(context)
        self._authenticator.configure_curve_callback(BUS, _Door(self._is_allowed))
        self._authenticator.start()

    def stop(self) -> None:
        """End; safe to call twice."""
        if self._authenticator is not None:
            self._authenticator.stop()
            self._authenticator = None

    def secure(self, bound: zmq.Socket, domain: str) -> None:
        """Demand CURVE of a socket that is about to be bound, and a ZAP answer for its domain."""
        bound.set(zmq.CURVE_SERVER, 1)
        bound.set(zmq.CURVE_SECRETKEY, self._pair[1])
        # with a domain of its own libzmq refuses everyone while nobody answers ZAP
        bound.set(zmq.ZAP_DOMAIN, domain.encode())

    def watch_port(self, port: int) -> None:
        """Count the connections of this local port among those of the bus, which `look` cuts."""
        self._ports.add(port)

    def reserve(self, domain: str, owner: bytes) -> None:
        """Let one key alone into a domain: nobody else's worker may take jobs from its lane."""
        assert self._authenticator is not None
        self._authenticator.configure_curve_callback(
            domain, _Door(lambda key: key == owner and self._is_allowed(key)))

    def release(self, domain: str) -> None:
        """Forget a domain."""
        if self._authenticator is not None:
            self._authenticator.credentials_providers.pop(domain, None)

    def key_of(self, frame: zmq.Frame) -> bytes | None:
        """Return the key behind a message; None when it is not allowed any more."""
        try:
            # libzmq keeps it beside the message: no peer can write it
            key = str(frame.get("User-Id")).encode()
        except zmq.ZMQError:
            key = b""
        if key not in self._keys.allowed:
            self._counts["messages_revoked"] += 1
            return None
        fd = _descriptor(frame)
        if fd is not None and self._owners.get(fd, (b"",))[0] != key:
            self._owners[fd] = key, _peer(fd)
        return key

    def look(self) -> set[bytes]:
        """Look at the list; cut off whoever is not on it any more, and return those keys."""
        self._look()
        revoked, self._revoked = self._revoked, set()
        if revoked:
            log.warning("keys revoked: %d; their connections are cut", len(revoked))
            self._is_cut_due = True
        if self._is_cut_due:
            try:
                self._cut(lambda key: key not in self._keys.allowed)
                self._is_cut_due = False
            except OSError as exc:  # no descriptor free to look with: their messages are dropped, and we come back
                log.error("connections of revoked keys cannot be closed yet (%s)", exc.strerror)
        return revoked

    def put_out(self, frame: zmq.Frame, victim: bytes) -> None:
        """End the connection of an impostor's message, and those of the key whose id it used.

        The ROUTER has given the id to the impostor's connection, and the old one, though open, leads nowhere now: its owner has
        to connect anew to have the id back.
        """
        fd = _descriptor(frame)
        try:
            for found, connection, _ in self._connections([] if fd is None else [fd]):
                self._shut(found, connection)
            self._cut(lambda key: key == victim)
        except OSError as exc:
            log.error("the connection of an impostor cannot be closed now (%s)", exc.strerror)

    def _look(self) -> None:
        self._revoked |= self._keys.refresh()

    def _is_allowed(self, key: bytes) -> bool:
        if key not in self._keys.allowed:
            self._look()  # it may have been entered a moment ago
        if key in self._keys.allowed:
            return True
        self._counts["handshakes_refused"] += 1
        return False

    def _cut(self, is_bad: Callable[[bytes], bool]) -> None:
        """Shut the connections of bad keys; the key is empty where none is known."""
        for fd, connection, peer in self._connections(map(int, os.listdir("/dev/fd"))):
            key, known_peer = self._owners.get(fd, (b"", None))
            if is_bad(key if peer == known_peer else b""):
                self._shut(fd, connection)

    def _shut(self, fd: int, connection: socket.socket) -> None:
        self._owners.pop(fd, None)
        self._counts["connections_cut"] += 1
        try:
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it has ended by itself

    def _connections(self, numbers: Iterator[int] | list[int]) -> Iterator[tuple[int, socket.socket, object]]:
        """Yield those descriptors that are TCP connections of the bus, each with a pinned copy and the peer's address."""
        for fd in numbers:
            try:
                connection = socket.socket(fileno=os.dup(fd))
            except OSError as exc:
                if exc.errno in _EXHAUSTED:
                    raise
                continue  # closed by now, or no socket
            with connection:
                try:
                    is_ours = connection.family in _INET and connection.getsockname()[1] in self._ports
                    peer = connection.getpeername() if is_ours else None
                except OSError:
                    continue  # it listens, or has ended
                if is_ours:
                    yield fd, connection, peer


def _descriptor(frame: zmq.Frame) -> int | None:
    try:
        return int(frame.get(zmq.SRCFD))
    except (zmq.ZMQError, TypeError, ValueError):
        return None


def _peer(fd: int) -> object:
    try:
        with socket.socket(fileno=os.dup(fd)) as connection:
            return connection.getpeername()
    except OSError:
        return None
