"""Where webhooks may go: judged by what an address is, never by how it is spelled."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
import time
from collections.abc import Callable

import pytest

from cfcore.errors import BadParameter, CosmicFlowsError, TransientError
from cfcore.settings import Settings
from gateway import webhook_address
from gateway.webhook_address import Lookup, LookupFailed, SystemLookup, check_callback, is_public, locate, read

PRIVATE = """127.0.0.1 127.255.255.254 0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.127.255.255 100.100.100.200
169.254.169.254 169.254.0.1 172.16.0.1 172.31.255.255 192.168.0.1 192.168.255.255 192.0.0.1 192.0.0.192 192.0.2.1 192.88.99.1
198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 168.63.129.16
:: ::1 ::2 ::127.0.0.1 ::8.8.8.8 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::ffff:0:127.0.0.1 64:ff9b::7f00:1
64:ff9b::a9fe:a9fe 64:ff9b:1::808:808 100::1 2001::1 2001:0:7f00:1:: 2001:10::1 2001:db8::1 2002:7f00:1:: 2002:808:808::1 3fff::1
5f00::1 fc00::1 fd00:ec2::254 fe80::1 fe80::1%1 febf::1 fec0::1 ff02::1 ff0e::1 4000::1"""
PUBLIC = """1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.1 172.15.255.255 172.32.0.0
192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 223.255.255.255 2001:4860:4860::8888 2606:4700:4700::1111 2a00:1450::1
::ffff:8.8.8.8 64:ff9b::808:808"""


def told(*addresses: str) -> Lookup:
    """Return a name server that says these addresses of every name."""
    async def look(host: str, port: int) -> list[str]:
        return list(addresses)
    return look


def unasked(host: str, port: int) -> object:
    """Stand for a name server that nobody is to ask."""
    raise AssertionError(f"{host} was looked up")


def checked(url: str, hosts: str = "", lookup: object = unasked) -> str:
    """Check an address as a submission does."""
    return asyncio.run(check_callback(url, Settings(callback_hosts=hosts), lookup))  # type: ignore[arg-type]


def refused(run: Callable[[], object]) -> CosmicFlowsError:
    """Return a refusal that is what it should be."""
    with pytest.raises(BadParameter) as caught:
        run()
    assert (caught.value.code, caught.value.where) == ("callback_refused", "callback")
    return caught.value


@pytest.mark.parametrize("address", PRIVATE.split())
def test_an_address_that_is_not_public_is_refused_as_number_and_behind_a_name(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))
    refused(lambda: checked("https://hooks.example.org/", lookup=told(address)))
    refused(lambda: checked("https://hooks.example.org/", lookup=told("8.8.8.8", "2606:4700:4700::1111", address)))
    refused(lambda: checked(f"https://[{address}]/" if ":" in address else f"https://{address}/"))


@pytest.mark.parametrize("address", PUBLIC.split())
def test_an_address_of_the_public_internet_is_taken(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))
    assert checked("https://hooks.example.org", lookup=told(address)) == "https://hooks.example.org/"
    assert checked(f"https://[{address}]/x" if ":" in address else f"https://{address}/x").endswith("/x")


@pytest.mark.parametrize("host", [
    "2130706433", "0x7f.1", "017700000001", "0x7f000001", "127.1", "127.0.1", "0177.0.0.1", "127.0.0.01", "0", "0x",
    "1.2.3.4.5", "8.8.2056", "134744072", "[::1", "[fe80::1%25eth0]", "[::ffff:127.0.0.1%251]", "h%6fst", "%31%32%37.0.0.1",
    "a..b", ".a", "-a.b",
    "a b", "a\tb", "a\nb", "a\\b", "a\x00b", "ｌocalhost", "①②⑦.0.0.1", "bücher.example", "x" * 64 + ".org", "x." * 130 + "org",
    "user@host", "user:word@host", "@host", ":@host",
    "127.0.0.1@8.8.8.8", "8.8.8.8@127.0.0.1", "", ":443", "host:0", "host:22", "host:80", "host:1023", "host:65536",
    "host:-1", "host:+443", "host:4_43", "host:8_443", "[2606:4700:4700::1111]:+443", "[2606:4700:4700::1111]x", "host:٤٤٣"])
def test_a_host_in_a_spelling_of_its_own_is_refused_before_any_lookup(host: str) -> None:
    refused(lambda: checked(f"https://{host}/hook"))


@pytest.mark.parametrize("url", [
    "http://hooks.example.org/", "ftp://hooks.example.org/", "file:///etc/passwd", "gopher://hooks.example.org/",
    "hooks.example.org", "//hooks.example.org/", "https:hooks.example.org", "https:/hooks.example.org", "https:///hooks", "",
    " ", "https://", "javascript:alert(1)",
    " https://hooks.example.org/",
    "https://hooks.example.org/\r\nX-Evil: 1", "https://hooks.example.org/ü", "https://hooks.example.org/" + "x" * 2000,
    "unix:/run/docker.sock"])
def test_what_is_no_https_address_is_refused(url: str) -> None:
    refused(lambda: checked(url))


@pytest.mark.parametrize(("url", "kept"), [
    ("https://Hooks.Example.ORG.", "https://hooks.example.org/"), ("https://hooks.example.org:443/a?b=c#d",
    "https://hooks.example.org/a?b=c"),
    ("HTTPS://hooks.example.org:8443/%7e/..%2f/x?q=%20+&u=https://127.0.0.1/",
    "https://hooks.example.org:8443/~/..%2F/x?q=%20+&u=https://127.0.0.1/"),
    ("https://xn--bcher-kva.example/", "https://xn--bcher-kva.example/"), ("https://8.8.8.8#@127.0.0.1", "https://8.8.8.8/"),
    ("https://h_1.example:1024?x=@y", "https://h_1.example:1024/?x=@y"), ("https://[2606:4700:4700::abcd]:4430",
    "https://[2606:4700:4700::abcd]:4430/")])
def test_an_address_is_kept_in_one_spelling_that_reads_as_itself(url: str, kept: str) -> None:
    assert checked(url, lookup=told("8.8.8.8")) == kept == str(read(kept))


def test_the_name_of_this_machine_leads_inside() -> None:
    assert "not public" in refused(lambda: checked("https://localhost:5000/", lookup=None)).message


def test_a_name_inside_and_a_name_of_nobody_are_refused_in_the_same_words() -> None:
    async def nobody(host: str, port: int) -> list[str]:
        raise LookupFailed(webhook_address.NOT_FOUND)
    inside = refused(lambda: checked("https://db.internal/", lookup=told("10.0.0.7")))
    assert inside.as_dict() == refused(lambda: checked("https://db.internal/", lookup=nobody)).as_dict()
    assert inside.as_dict() == refused(lambda: checked("https://db.internal/", lookup=told())).as_dict()
    assert "10.0.0.7" not in str(inside.as_dict())


def test_a_name_that_cannot_be_looked_up_now_is_asked_for_again() -> None:
    with pytest.raises(TransientError) as caught:
        checked("https://hooks.example.org/", lookup=SystemLookup(0))
    assert caught.value.code == "callback_unresolved" and caught.value.extra["retry_after_s"] == 10


def test_hosts_that_the_administrator_names_may_be_private() -> None:
    hosts = "Hooks.lan, 10.1.2.0/24,192.168.7.7,fd00:1::/32"
    assert checked("https://HOOKS.lan./", hosts, told("10.9.9.9", "fe80::1"))
    for address in ("10.1.2.3", "192.168.7.7", "fd00:1::5", "::ffff:10.1.2.3"):
        assert checked("https://other.lan/", hosts, told(address, "8.8.8.8")), address
    for address in ("10.1.3.3", "192.168.7.8", "fd00:2::5", "127.0.0.1", "::ffff:10.1.3.3"):
        refused(lambda address=address: checked("https://other.lan/", hosts, told("10.1.2.3", address)))  # type: ignore[misc]
    for name in ("sub.hooks.lan", "hooks.lan.evil.org", "evilhooks.lan"):
        refused(lambda name=name: checked(f"https://{name}/", hosts, told("10.9.9.9")))  # type: ignore[misc]


@pytest.mark.parametrize("hosts", ["*", "*.lan", "https://hooks.lan", "hooks.lan:8443", "10.0.0.1/8", "10.0.0.256", "a b",
    "hooks.lan;b", "1.2.3"])
def test_a_misread_list_of_hosts_stops_the_start(hosts: str) -> None:
    with pytest.raises(BadParameter) as caught:
        Settings(callback_hosts=hosts)
    assert caught.value.where == "callback_hosts"


def test_an_address_is_connected_to_as_it_was_judged() -> None:
    asked = []

    async def look(host: str, port: int) -> list[str]:
        asked.append((host, port))
        return ["8.8.8.8", "2606:4700:4700::1111"]
    target = asyncio.run(locate("https://Hooks.example.org.:8443/a", Settings(), look))
    assert asked == [("hooks.example.org", 8443)] and target.host == "hooks.example.org"
    assert [str(address) for address in target.addresses] == ["8.8.8.8", "2606:4700:4700::1111"]


def test_a_name_server_that_does_not_answer_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_address, "LOOKUP_S", 0.1)
    go_on = threading.Event()
    real = socket.getaddrinfo

    def stuck(host: str, *arguments: object, **options: object) -> object:
        if host == "stuck.example":
            go_on.wait(20)
            raise socket.gaierror(socket.EAI_AGAIN, "try again")
        return real(host, *arguments, **options)  # type: ignore[arg-type]
    monkeypatch.setattr(socket, "getaddrinfo", stuck)

    async def main() -> None:
        lookup = SystemLookup(2)
        begin = time.monotonic()
        found = await asyncio.gather(*(lookup("stuck.example", 443) for _ in range(3)), return_exceptions=True)
        assert [str(error) for error in found] == [webhook_address.NOT_RESOLVED] * 3 and time.monotonic() - begin < 2
        with pytest.raises(LookupFailed):
            await lookup("localhost", 443)  # both threads are still out
        go_on.set()
        while True:
            try:
                assert "127.0.0.1" in await lookup("localhost", 443)
                break
            except LookupFailed:
                await asyncio.sleep(0.005)
    try:
        asyncio.run(main())
    finally:
        go_on.set()
