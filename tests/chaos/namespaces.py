"""Three network namespaces on one bridge: a gateway's and two workers', with cables that can be pulled."""

from __future__ import annotations

import os
import shutil
import subprocess
from types import TracebackType

PLACES = ("gw", "w1", "w2")


def missing() -> str:
    """Say what this machine lacks for namespaces of its own; empty when nothing."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "network namespaces take root"
    if shutil.which("ip") is None:
        return "network namespaces take the command ip (apt: iproute2)"
    name = f"cfx{os.getpid()}"
    done = _ip("netns", "add", name, check=False)
    if done.returncode:
        return f"network namespaces are not allowed here: {done.stderr.strip()}"
    try:
        done = _ip("-n", name, "link", "add", "cfbr", "type", "bridge", check=False)
        return f"no bridge can be made here: {done.stderr.strip()}" if done.returncode else ""
    finally:
        _ip("netns", "del", name)


class Network:
    """A switch (a namespace with a bridge) and hosts on it: 10.199.0.1 is the gateway, .2 and .3 the workers'."""

    def __init__(self) -> None:
        self._stem = f"cf{os.getpid() % 100_000}"
        self.addresses = {place: f"10.199.0.{k + 1}" for k, place in enumerate(PLACES)}

    def __enter__(self) -> Network:
        switch = self._name("sw")
        try:
            _ip("netns", "add", switch)
            _ip("-n", switch, "link", "add", "cfbr", "type", "bridge")
            _ip("-n", switch, "link", "set", "cfbr", "up")
            for place, address in self.addresses.items():
                host = self._name(place)
                _ip("netns", "add", host)
                _ip("-n", switch, "link", "add", place, "type", "veth", "peer", "name", "eth0", "netns", host)
                _ip("-n", switch, "link", "set", place, "master", "cfbr", "up")
                _ip("-n", host, "address", "add", f"{address}/24", "dev", "eth0")
                _ip("-n", host, "link", "set", "eth0", "up")
                _ip("-n", host, "link", "set", "lo", "up")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for place in ("sw", *PLACES):
            _ip("netns", "del", self._name(place), check=False)

    def inside(self, place: str) -> list[str]:
        """Return what a command begins with to run on that host."""
        return ["ip", "netns", "exec", self._name(place)]

    def unplug(self, place: str) -> None:
        """Take its port from the bridge: packets vanish, both ends see a healthy link."""
        _ip("-n", self._name("sw"), "link", "set", place, "nomaster")

    def plug(self, place: str) -> None:
        """Put the port back."""
        _ip("-n", self._name("sw"), "link", "set", place, "master", "cfbr")

    def down(self, place: str) -> None:
        """Switch the host's own end off: it sees at once that it has no network."""
        _ip("-n", self._name(place), "link", "set", "eth0", "down")

    def up(self, place: str) -> None:
        """Switch it on again."""
        _ip("-n", self._name(place), "link", "set", "eth0", "up")

    def _name(self, place: str) -> str:
        return f"{self._stem}{place}"


def _ip(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["ip", *arguments], check=check, capture_output=True, text=True, timeout=10)
