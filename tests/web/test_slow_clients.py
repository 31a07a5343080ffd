"""Clients that ask slowly, read nothing, come in crowds or talk nonsense: the door stays open for the others."""

from __future__ import annotations

import asyncio
import json
import os
import random
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from running import House

from cfcore.settings import Settings
from gateway import connections, server

ROOT = Path(__file__).resolve().parents[2]
HEAD = b"GET /livez HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Return a gateway alone."""
    data = tmp_path_factory.mktemp("door")
    running = House(data, "--bus", f"ipc://{data}/bus", command="gateway", wait=False)
    yield running
    running.stop()


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=60)


def read_all(connection: socket.socket) -> bytes:
    """Read until the other side closes, politely or not."""
    data = b""
    try:
        while piece := connection.recv(65536):
            data += piece
    except ConnectionResetError:
        pass
    return data


def status(raw: bytes) -> int:
    return int(raw.split(b" ", 2)[1]) if raw.startswith(b"HTTP/1.1 ") else 0


def problem(raw: bytes) -> dict[str, object]:
    head, _, body = raw.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head and b"Connection: close" in head
    return json.loads(body)


def when_closed(sockets: list[socket.socket], limit_s: float, drip: Callable[[], None] | None = None) -> dict[int, float]:
    """Wait until the server has closed every connection; return when it closed each, and keep what it said in `SAID`."""
    began, ended = time.monotonic(), {}
    with selectors.DefaultSelector() as selector:
        for k, connection in enumerate(sockets):
            connection.setblocking(False)
            selector.register(connection, selectors.EVENT_READ, k)
        said = SAID.setdefault(id(sockets), [b""] * len(sockets))
        while len(ended) < len(sockets) and time.monotonic() - began < limit_s:
            if drip:
                drip()
            for key, _ in selector.select(0.5):
                try:
                    piece = key.fileobj.recv(65536)
                except ConnectionResetError:
                    piece = b""
                said[key.data] += piece
                if not piece:
                    ended[key.data] = time.monotonic() - began
                    selector.unregister(key.fileobj)
    return ended


SAID: dict[int, list[bytes]] = {}


def test_four_hundred_half_sent_requests_are_closed_after_ten_seconds_and_nobody_else_waits(door):
    half = [b"", b"G", HEAD, HEAD + b"Accept: *", b"POST /get_flow/hubble HTTP/1.1\r\nContent-Length: 9\r\n"]
    sockets = [connect(door.port) for _ in range(400)]
    idle = connect(door.port)
    try:
        idle.sendall(HEAD + b"\r\n")
        assert status(idle.recv(65536)) == 200
        for k, connection in enumerate(sockets):
            connection.sendall(half[k % 5])
        times = []

        def drip() -> None:
            # a byte now and then does not win time
            for connection in sockets[2::50]:
                try:
                    connection.send(b"a")
                except OSError:
                    pass
            began = time.monotonic()
            assert door.ask("/livez").status == 200
            times.append(time.monotonic() - began)
        ended = when_closed(sockets, 14.0, drip)
        assert len(ended) == 400
        assert min(ended.values()) > 9.0 and max(ended.values()) < 13.0
        assert sorted(times)[len(times) // 2] < 0.1
        said = SAID.pop(id(sockets))
        assert all(status(raw) == 408 for raw in said), {status(raw) for raw in said}
        assert problem(said[0])["code"] == "request_timeout"
        idle.sendall(HEAD + b"\r\n")
        assert status(idle.recv(65536)) == 200, "an idle connection is no slow one"
    finally:
        for connection in [idle, *sockets]:
            connection.close()


def test_body_that_does_not_come_ends_after_thirty_seconds_with_408(door):
    post = b"POST /get_flow/hubble HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n"
    sockets = [connect(door.port) for _ in range(40)]
    try:
        for connection in sockets:
            connection.sendall(post + b'{"lon": [')

        def drip() -> None:
            for connection in sockets[::8]:
                try:
                    connection.send(b"1, ")
                except OSError:
                    pass
        ended = when_closed(sockets, 36.0, drip)
        assert len(ended) == 40 and min(ended.values()) > 29.0 and max(ended.values()) < 34.0
        said = SAID.pop(id(sockets))
        assert {status(raw) for raw in said} == {408}
        assert problem(said[1])["code"] == "request_timeout" and "9 bytes did" in str(problem(said[1])["detail"])
    finally:
        for connection in sockets:
            connection.close()
    assert "Traceback" not in door.log.read_text()


async def in_process(tmp_path: Path, scenario: Callable[[int], object]) -> None:
    """Run a gateway in this process, so that its limits of time can be made short."""
    runner = await server.start(Settings(data=tmp_path, port=0, bus=f"ipc://{tmp_path}/bus"))
    try:
        await asyncio.to_thread(scenario, runner.addresses[0][1])
    finally:
        await runner.cleanup()


def test_body_on_a_slow_line_that_keeps_coming_is_read_to_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(connections, "BODY_S", 1.0)
    monkeypatch.setattr(connections, "SWEEP_S", 0.1)

    def scenario(port: int) -> None:
        body = b'{"lon": [' + b" " * 400_000 + b"]}"
        with connect(port) as connection:
            connection.sendall(b"POST /get_flow/hubble HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                               b"Content-Length: %d\r\n\r\n" % len(body))
            for k in range(0, len(body), 20_000):
                connection.sendall(body[k:k + 20_000])
                time.sleep(0.15)
            assert status(connection.recv(65536)) == 422, "three seconds are fine at 133 KB/s: read, then refused for itself"
        with connect(port) as connection:
            connection.sendall(b"POST /get_flow/hubble HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                               b"Content-Length: %d\r\n\r\n" % len(body))
            began = time.monotonic()
            for k in range(0, len(body), 2_000):
                try:
                    connection.sendall(body[k:k + 2_000])
                except OSError:
                    break
                time.sleep(0.15)
            assert time.monotonic() - began < 4.0, "13 KB/s were not"
    asyncio.run(in_process(tmp_path, scenario))


def test_client_that_never_reads_its_answers_is_dropped(tmp_path, monkeypatch):
    monkeypatch.setattr(connections, "ANSWER_S", 1.5)
    monkeypatch.setattr(connections, "SWEEP_S", 0.1)

    def scenario(port: int) -> None:
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.settimeout(20)
            connection.connect(("127.0.0.1", port))
            began = time.monotonic()
            with pytest.raises((ConnectionResetError, BrokenPipeError)):
                while time.monotonic() - began < 15:
                    connection.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 50)
            assert time.monotonic() - began > 1.0
        with connect(port) as connection:
            connection.sendall(HEAD + b"Connection: close\r\n\r\n")
            assert status(read_all(connection)) == 200
    asyncio.run(in_process(tmp_path, scenario))


def test_client_that_reads_slowly_but_steadily_gets_its_answers(tmp_path, monkeypatch):
    monkeypatch.setattr(connections, "ANSWER_S", 3.0)
    monkeypatch.setattr(connections, "SWEEP_S", 0.1)

    def scenario(port: int) -> None:
        with socket.socket() as connection:
            connection.settimeout(5)
            connection.connect(("127.0.0.1", port))
            connection.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 1000)
            began = time.monotonic()
            while time.monotonic() - began < 12.0:
                assert connection.recv(5000), "it was closed, though it took something all the time"
                time.sleep(0.1)
    asyncio.run(in_process(tmp_path, scenario))


def test_gateway_that_is_told_to_end_answers_who_has_begun_to_ask(tmp_path):
    house = House(tmp_path, "--bus", f"ipc://{tmp_path}/bus", command="gateway", wait=False)
    body = b'{"lon": [' + b" " * 1000 + b"]}"
    try:
        with connect(house.port) as connection:
            connection.sendall(b"POST /get_flow/hubble HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                               b"Content-Length: %d\r\n\r\n" % len(body) + body[:500])
            time.sleep(0.3)
            house.process.send_signal(signal.SIGTERM)
            time.sleep(3.0)
            connection.sendall(body[500:])
            assert status(read_all(connection)) == 422
        assert house.process.wait(5) == 0
    finally:
        house.stop()


def test_sixty_four_descriptors_and_four_hundred_connections_end_nobody(house_data, tmp_path):
    log = tmp_path / "serve.log"
    with open(log, "wb") as out:
        process = subprocess.Popen(
            ["sh", "-c", 'ulimit -n 64; exec "$0" -m cfcore.cli serve --port 0 --workers 1 --data "$1"', sys.executable,
             str(house_data)], stdout=out, stderr=subprocess.STDOUT, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)})
    sockets: list[socket.socket] = []
    try:
        began = time.monotonic()
        while "ready in" not in log.read_text():
            assert process.poll() is None and time.monotonic() - began < 60, log.read_text()
            time.sleep(0.05)
        port = int(log.read_text().partition("http://127.0.0.1:")[2].split()[0])

        def ask() -> int:
            try:
                with connect(port) as connection:
                    connection.sendall(b"GET /get_flow_by_position?ra=197.4488&dec=-23.3839&cz=2916 HTTP/1.1\r\nHost: x\r\n"
                                       b"Connection: close\r\n\r\n")
                    return status(read_all(connection))
            except OSError:
                return 0
        assert ask() == 200
        for _ in range(400):
            sockets.append(connect(port))
            sockets[-1].sendall(HEAD)
        answers = []
        began = time.monotonic()
        while time.monotonic() - began < 5.0:
            answers.append(ask())
            time.sleep(0.1)
        assert answers.count(200) >= 3, answers
        assert set(answers) <= {200, 503, 0} and 503 in answers, answers
        for connection in sockets:
            connection.close()
        began = time.monotonic()
        while ask() != 200:
            assert time.monotonic() - began < 3.0
        assert [ask() for _ in range(50)] == [200] * 50
        assert process.poll() is None and "worker 1 ended" not in log.read_text()
        # idle connections give way, too, instead of keeping everybody out for their 75 seconds
        sockets = []
        for _ in range(60):
            sockets.append(connect(port))
            sockets[-1].sendall(HEAD + b"\r\n")
        time.sleep(1.5)
        assert ask() == 200
    finally:
        for connection in sockets:
            connection.close()
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0, log.read_text()


def test_four_hundred_connections_of_garbage_change_nothing(door):
    seed = 4711
    print(f"seed {seed}")
    noise = random.Random(seed)
    begins = (b"", b"GET ", b"GET / HTTP/1.1\r\n", b"POST /get_flow/hubble HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
              b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
              b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
              b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n")
    seen = set()
    for k in range(400):
        with connect(door.port) as connection:
            connection.sendall(begins[k % len(begins)] + noise.randbytes(noise.randrange(1, 2000)) + b"\r\n\r\n")
            connection.shutdown(socket.SHUT_WR)
            raw = read_all(connection)
            seen.add(status(raw))
            assert b"Traceback" not in raw and b"/site-packages/" not in raw
    assert seen <= {0, 200, 400, 405, 408, 413, 415, 422, 431, 501}, seen
    assert door.ask("/livez").status == 200 and "Traceback" not in door.log.read_text()
