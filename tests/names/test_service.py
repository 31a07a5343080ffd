"""The service as it runs: a real process, real sockets, names nobody should send."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from catalog_svc.app import build_app, build_runner
from catalog_svc.desk import Desk

ROOT = Path(__file__).resolve().parents[2]
Answer = tuple[int, dict[str, object]]


@contextmanager
def service(data: Path, listen: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Start the service with a parent's pipe; yield the process and the write end of the pipe."""
    read_end, write_end = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "catalog_svc", "--data", str(data), "--listen", listen,
         "--parent-fd", str(read_end)], cwd=ROOT, pass_fds=[read_end], stderr=subprocess.PIPE, text=True)
    os.close(read_end)
    try:
        yield process, write_end
    finally:
        with suppress(OSError):  # the test may have closed it
            os.close(write_end)
        process.kill()
        process.wait()
        if process.stderr:
            process.stderr.close()


def ready_line(process: subprocess.Popen[str]) -> str:
    """Return the one line the service prints."""
    assert process.stderr is not None
    line = process.stderr.readline()
    assert "ready on" in line, line
    return line


def ask(path: str, *queries: tuple[str, dict[str, str]]) -> list[Answer]:
    """Ask a service on a unix socket; return status and JSON of each answer."""
    async def run() -> list[Answer]:
        out: list[Answer] = []
        connector = aiohttp.UnixConnector(path)
        async with aiohttp.ClientSession(connector=connector, base_url="http://catalogue") as session:
            for url, params in queries:
                async with session.get(url, params=params) as response:
                    assert response.content_type == "application/json"
                    out.append((response.status, await response.json()))
        return out
    return asyncio.run(run())


@pytest.fixture(scope="module")
def socket_path(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the socket of a running service."""
    path = str(tmp_path_factory.mktemp("s") / "sock")
    with service(data, f"unix:{path}") as (process, _):
        ready_line(process)
        yield path


def test_the_four_addresses_answer(socket_path: str) -> None:
    livez, resolve, detail, hints = ask(
        socket_path, ("/livez", {}), ("/v1/resolve", {"name": "NGC 4993"}), ("/v1/detail", {"name": "M31"}),
        ("/v1/hints", {"name": "MESSIER", "limit": "2"}))

    assert livez == (200, {"ok": True})
    assert resolve[0] == 200 and resolve[1]["canonical"] == "NGC 4993"
    assert detail[0] == 200 and detail[1]["canonical"] == "NGC 224"
    assert hints == (200, {"hints": ["MESSIER 031", "MESSIER 032"], "more_results": True})


@pytest.mark.parametrize(("name", "status", "code"), [
    ("", 422, "bad_name"), ("x" * 129, 422, "bad_name"), ("NGC\x00", 422, "bad_name"),
    ("NGC 99999", 404, "unknown_name"), ("Virgo", 404, "not_a_galaxy"), ("M 1", 404, "not_a_galaxy"),
    ("Antennae", 409, "ambiguous_name")])
def test_refusals_carry_status_code_and_the_whole_error(socket_path: str, name: str, status: int, code: str) -> None:
    for url in ("/v1/resolve", "/v1/detail"):
        (got, body), = ask(socket_path, (url, {"name": name}))
        assert (got, body["code"], body["kind"], body["where"]) == (status, code, "usage", "name")
        assert set(body) == {"kind", "code", "message", "where", "hint", "extra"}


@pytest.mark.parametrize(("params", "where"), [
    ({"name": "NGC", "limit": "0"}, "limit"), ({"name": "NGC", "limit": "1001"}, "limit"),
    ({"name": "NGC", "limit": "ten"}, "limit"), ({"name": "NGC", "limit": "-5"}, "limit"),
    ({"name": "NGC", "limit": "9" * 5000}, "limit"),
    ({"name": "NGC", "require_velocity": "perhaps"}, "require_velocity"),
    ({"name": ""}, "name"), ({}, "name")])
def test_hints_refuse_what_they_cannot_use_and_name_the_parameter(socket_path: str, params: dict[str, str],
                                                                  where: str) -> None:
    (status, body), = ask(socket_path, ("/v1/hints", params))

    assert (status, body["where"]) == (422, where)


def test_an_unknown_address_is_answered_in_json_too(socket_path: str) -> None:
    (status, body), = ask(socket_path, ("/v1/nothing", {}))

    assert (status, body["code"]) == (404, "not_found")
    assert "/v1/resolve" in str(body["message"])


def hostile_names() -> list[str]:
    """Return more than 500 names that nobody should send, the same ones every time."""
    dice = random.Random(1781)
    fixed = ["", " ", "\x00", "NGC\x004993", "\r\nSet-Cookie: a=b", "../../etc/passwd", "<script>alert(1)</script>",
             "'; DROP TABLE name; --", '" OR ""="', "1 UNION SELECT * FROM meta", "%", "_", "*", "%s%n", "{0}",
             "${jndi:x}",
             "NGC " + "9" * 120, "NGC " + "0" * 120 + "1", "M" * 128, "-" * 128, " " * 128, "+" * 128, "'" * 128,
             "ESO " + "1-" * 60, "MCG " + "-" * 120, "A" + "\u0301" * 127, "\ufdfa" * 128, "\u202eCGN", "\U0001f30c",
             "NGC \u0664\u0669\u0669\u0663", "\u2460\u2461", "\uffff", "\U0010ffff", "\ue000", "\ufffd", "NaN",
             "null", "\\",
             "x" * 10_000, "NGC " * 2_500, "\u00e9" * 3_000, "ESO-LV" + "0" * 122, "NED01" * 25, "IC " + "NED1" * 30]
    pools = ["NGCIMUESO0123456789 -+ABned", "".join(map(chr, range(0, 256))), "%_*?[]'\"\\;--/()=<>&#|`$ \t\n",
             "".join(map(chr, [*range(0x300, 0x370), *range(0x2000, 0x2070), *range(0xFE00, 0xFE10)]))]
    made = ["".join(dice.choices(pools[i % 4], k=dice.choice([1, 3, 12, 60, 128, 200]))) for i in range(480)]
    return fixed + made


def test_hostile_names_get_their_status_and_never_a_server_error(socket_path: str) -> None:
    names = hostile_names()
    assert len(names) > 500

    answers = ask(socket_path, *[(("/v1/resolve", "/v1/detail", "/v1/hints")[i % 3], {"name": n})
                                 for i, n in enumerate(names)])

    for name, (status, body) in zip(names, answers, strict=True):
        assert status in (200, 404, 409, 422), (name[:60], body)
        assert status == 200 or len(str(body["message"])) < 600
        assert len(name) <= 128 or (status, body["code"]) == (422, "bad_name")
    assert ask(socket_path, ("/livez", {})) == [(200, {"ok": True})]


def test_bytes_that_are_no_utf8_are_answered(socket_path: str) -> None:
    async def raw(line: bytes) -> bytes:
        reader, writer = await asyncio.open_unix_connection(socket_path)
        writer.write(b"GET " + line + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer

    for query in (b"%ff%fe", b"%", b"%zz", b"%ED%A0%80", b"%00", b"a&name=b&name=", b"%F0%9F%8C%8C"):
        status = asyncio.run(raw(b"/v1/resolve?name=" + query)).split(b" ")[1]
        assert status in (b"404", b"422"), query


def test_an_unforeseen_failure_is_json_500_without_traceback(data: Path, tmp_path: Path,
                                                             caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk(data)
    desk.close()  # from here on every look-up fails as a broken disk would

    async def run() -> Answer:
        runner = build_runner(build_app(desk))
        await runner.setup()
        await web.UnixSite(runner, str(tmp_path / "s")).start()
        try:
            async with (aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(tmp_path / "s"))) as session,
                        session.get("http://x/v1/resolve?name=M31") as response):
                return response.status, await response.json()
        finally:
            await runner.cleanup()

    status, body = asyncio.run(run())

    assert (status, body["kind"], body["code"]) == (500, "fatal", "internal")
    assert "Traceback" not in str(body) and "sqlite" not in str(body)
    assert "Traceback" in caplog.text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_service_within_a_second_and_removes_its_socket(data: Path, tmp_path: Path,
                                                                         number: signal.Signals) -> None:
    path = tmp_path / "sock"
    with service(data, f"unix:{path}") as (process, _):
        ready_line(process)
        assert path.is_socket()

        start = time.monotonic()
        process.send_signal(number)
        code = process.wait(timeout=5)

        assert (code, path.exists()) == (0, False)
        assert time.monotonic() - start < 2.0  # the service takes 0.1 s; the rest is room for a busy machine
        assert process.stderr is not None and process.stderr.read() == ""


def test_the_service_ends_with_its_parent(data: Path, tmp_path: Path) -> None:
    path = tmp_path / "sock"
    with service(data, f"unix:{path}") as (process, write_end):
        ready_line(process)

        os.close(write_end)

        assert process.wait(timeout=5) == 0
        assert not path.exists()


def test_an_open_idle_connection_does_not_hold_up_the_end(data: Path, tmp_path: Path) -> None:
    path = tmp_path / "sock"
    with service(data, f"unix:{path}") as (process, _):
        ready_line(process)

        async def hold() -> int:
            _, writer = await asyncio.open_unix_connection(str(path))
            writer.write(b"GET /livez HTTP/1.1\r\n")  # half a request
            await writer.drain()
            process.terminate()
            code = await asyncio.to_thread(process.wait, 5)
            writer.close()
            return code

        assert asyncio.run(hold()) == 0


def test_two_starts_at_once_on_an_empty_folder_both_serve(tmp_path: Path) -> None:
    data, one, two = tmp_path / "data", tmp_path / "one", tmp_path / "two"
    with service(data, f"unix:{one}") as (first, _), service(data, f"unix:{two}") as (second, _):
        ready_line(first)
        ready_line(second)

        for path in (one, two):
            (status, body), = ask(str(path), ("/v1/resolve", {"name": "NGC 4993"}))
            assert (status, body["canonical"]) == (200, "NGC 4993")
    assert [p.name.partition("-")[0] for p in sorted((data / "catalog").iterdir())] == ["clusters", "openngc", "volumes.json",
                                                                                        "write.lock"]


def test_a_socket_left_by_a_crash_is_taken_over_but_a_served_one_is_not(data: Path, tmp_path: Path) -> None:
    path = tmp_path / "sock"
    with service(data, f"unix:{path}") as (crashed, _):
        ready_line(crashed)
        crashed.kill()
        crashed.wait()
    assert path.is_socket()

    with service(data, f"unix:{path}") as (process, _):
        ready_line(process)
        with service(data, f"unix:{path}") as (late, _):
            assert late.wait(timeout=10) == 2
            assert late.stderr is not None and "another process serves" in late.stderr.read()
        assert ask(str(path), ("/livez", {})) == [(200, {"ok": True})]


def test_tcp_is_served_too_and_the_ready_line_names_the_port(data: Path) -> None:
    async def get(url: str) -> dict[str, object]:
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return await response.json()

    with service(data, "127.0.0.1:0") as (process, _):
        address = ready_line(process).split("ready on ")[1].split(": ")[0]
        assert asyncio.run(get(f"http://{address}/livez")) == {"ok": True}


@pytest.mark.parametrize("listen", ["nowhere", "127.0.0.1:99999", "127.0.0.1:http", "unix:/nonexistent/folder/sock",
                                    "unix:/tmp/" + "a" * 200])
def test_an_address_that_cannot_be_served_is_named_with_exit_2(data: Path, listen: str) -> None:
    with service(data, listen) as (process, _):
        assert process.wait(timeout=10) == 2
        assert process.stderr is not None
        said = process.stderr.read()
        assert "listen" in said and "Traceback" not in said
