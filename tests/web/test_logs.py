"""Logs and the thread through them: one JSON object a line, the id of the request on every answer, nothing secret anywhere."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime
from hashlib import sha256
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from running import House

from cfcore import logs
from gateway import doorway, tracing
from gateway.meters import Meters

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
BODY = {"lon": [10.0], "lat": [1.0], "cz": [3141.59]}


def written(form: str, say: Callable[[logging.Logger], None]) -> str:
    """Return what a logger with our handler writes."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.JsonFormatter() if form == "json" else logs.TextFormatter())
    logger = logging.Logger("made", logging.DEBUG)
    logger.addHandler(handler)
    say(logger)
    return stream.getvalue()


def test_a_line_holds_the_facts_it_was_given_and_no_others() -> None:
    line = json.loads(written("json", lambda log: log.warning("job %d\nfailed", 7, extra={
        "job": 7, "attempt": 2, "worker": "01ab", "field": "cf4", "rows": 10, "ms": 3.5, "class": "bulk", "why": "crash",
        "payload": [1, 2, 3], "columns": {"cz": 2916.0}, "req_id": b"bytes"})))
    assert line.pop("ts").endswith("Z") and line == {
        "level": "warning", "logger": "made", "msg": "job 7\nfailed", "job": 7, "attempt": 2, "class": "bulk", "worker": "01ab",
        "field": "cf4", "rows": 10, "ms": 3.5, "why": "crash"}
    text = written("text", lambda log: log.warning("job failed", extra={"job": 7, "ms": 3.5, "payload": "x"}))
    assert text.endswith("WARNING made: job failed [job=7 ms=3.5]\n")


@pytest.mark.parametrize("form", ["json", "text"])
@pytest.mark.parametrize("text", [
    "header Authorization: Bearer s3cretT0ken here", "{'Authorization': 'Token s3cretT0ken'}", "sent bearer s3cretT0ken",
    "at postgresql://user:s3cretT0ken@host:5432/db", "GET /x?a=1&token=s3cretT0ken&b=2", "password=s3cretT0ken"])
def test_what_looks_like_a_secret_is_masked(form: str, text: str) -> None:
    assert "s3cretT0ken" not in written(form, lambda log: log.info("%s", text))
    assert "s3cretT0ken" not in written(form, lambda log: log.info("said", extra={"why": text}))

    def fail(log: logging.Logger) -> None:
        try:
            raise ValueError(text)
        except ValueError:
            log.exception("failed")
    shown = written(form, fail)
    assert "s3cretT0ken" not in shown and "ValueError" in shown and "***" in shown


def test_a_traceback_is_one_line_of_json_without_locals() -> None:
    def fail(log: logging.Logger) -> None:
        password_of_the_user = "hunter" + "2222"
        try:
            raise ZeroDivisionError(len(password_of_the_user))
        except ZeroDivisionError:
            log.exception("failed")
    shown = written("json", fail)
    assert shown.count("\n") == 1 and "hunter2222" not in shown and "ZeroDivisionError" in json.loads(shown)["exc"]


@pytest.mark.parametrize(("sent", "kept"), [
    (TRACE, TRACE), (f" {TRACE} ", TRACE), ("cc" + TRACE[2:] + "-more", TRACE), ("cc" + TRACE[2:], TRACE),
    (TRACE + "-more", ""), ("ff" + TRACE[2:], ""), (TRACE.upper(), ""),
    (TRACE.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32), ""), (TRACE.replace("00f067aa0ba902b7", "0" * 16), ""),
    (TRACE[:-1], ""), ("", ""), ("x" * 4000, "")])
def test_a_traceparent_is_kept_only_in_its_w3c_form(sent: str, kept: str) -> None:
    assert tracing.traceparent(sent) == kept
    tracing.enter({"traceparent": sent})
    assert tracing.current() == kept


def test_the_dispatcher_can_read_the_trace_of_the_request_it_serves_and_failures_are_logged(
        caplog: pytest.LogCaptureFixture) -> None:
    kept, seen = Meters(), []

    async def handler(request: web.Request) -> web.Response:
        await asyncio.sleep(0)
        seen.append(tracing.current())
        if request.match_info["what"] == "slow":
            await asyncio.sleep(doorway.SLOW_S + 0.05)
        if request.match_info["what"] == "fault":
            raise ZeroDivisionError("a fault of ours")
        return web.Response(text="well")

    async def ask() -> None:
        app = web.Application(middlewares=[doorway.middleware(kept)])
        app.router.add_get("/do/{what}", handler)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        try:
            async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
                for what, headers in (("well", {"traceparent": TRACE}), ("well", {}), ("slow", {"X-Request-Id": "mine.1"})):
                    async with client.get(f"/do/{what}", headers=headers) as answer:
                        assert answer.status == 200
                async with client.get("/do/fault", headers={"traceparent": TRACE}) as answer:
                    body = await answer.json()
                    assert answer.status == 500 and body["request_id"] == answer.headers["X-Request-Id"]
                    assert body["request_id"] in body["detail"] and "ZeroDivision" not in str(body)
        finally:
            await runner.cleanup()

    with caplog.at_level(logging.INFO):
        asyncio.run(ask())
    assert seen == [TRACE, "", "", TRACE]
    slow, fault = [r.__dict__ for r in caplog.records if r.name == "gateway.access"]
    assert (slow["req_id"], slow["route"], slow["code"]) == ("mine.1", "/do/{what}", 200) and slow["ms"] > 1000
    assert (fault["route"], fault["code"], fault["trace"]) == ("/do/{what}", 500, TRACE.split("-")[1])
    error, = (r for r in caplog.records if r.name == "gateway" and r.levelno == logging.ERROR)
    assert error.__dict__["req_id"] == fault["req_id"] and error.exc_info
    assert {key: sum(s.counts) for key, s in kept.http.items()} == {("/do/{what}", 200): 3, ("/do/{what}", 500): 1}


def test_a_client_that_leaves_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    kept = Meters()

    async def ask(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> None:
        app = web.Application(middlewares=[doorway.middleware(kept)])
        app.router.add_get("/", handler)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        _, writer = await asyncio.open_connection("127.0.0.1", runner.addresses[0][1])
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.sleep(0.1)
        writer.close()
        for _ in range(100):
            if kept.http:
                break
            await asyncio.sleep(0.05)
        await runner.cleanup()

    async def slow(request: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()
    asyncio.run(ask(slow))
    assert list(kept.http) == [("/", doorway.GONE)]


@pytest.fixture(scope="module")
def without_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Return a house that fails every flow question, and writes JSON."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CF_LOG_FORMAT", "json")
        patch.setenv("CF_ADMIN_TOKEN_SHA256", sha256(b"s3cretT0ken").hexdigest())
        running = House(tmp_path_factory.mktemp("json"), "--workers", "0")
    yield running
    running.stop()


@pytest.mark.parametrize(("sent", "is_kept"), [
    ("abc-1.2_Z", True), ("a" * 64, True), ("a" * 65, False), ("", False), ("a b", False), ("<script>", False), (None, False)])
def test_every_answer_names_its_request(house: House, sent: str | None, is_kept: bool) -> None:
    for path in ("/livez", "/nowhere", "/get_flow_galaxy?name=NGC%2099999", "/metrics"):
        told = house.ask(path, headers={} if sent is None else {"X-Request-Id": sent}).headers["x-request-id"]
        assert told == sent if is_kept else re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]+", told)
    assert house.ask("/livez").headers["x-request-id"] != house.ask("/livez").headers["x-request-id"]


def test_what_is_no_request_gets_an_id_too(house: House) -> None:
    reply = house.ask("/livez", headers={"Content-Length": "some"})
    assert reply.status == 400 and re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]+", reply.headers["x-request-id"])
    refused = house.ask("/livez", headers={"Expect": "money", "X-Request-Id": "mine"})
    assert (refused.status, refused.headers["x-request-id"]) == (417, "mine")


def test_the_services_write_one_json_object_a_line(without_workers: House) -> None:
    reply = without_workers.ask("/get_flow/hubble", method="POST", body=json.dumps(BODY).encode(), headers={
        "Content-Type": "application/json", "X-Request-Id": "mine-7", "traceparent": TRACE,
        "Authorization": "Bearer s3cretT0ken"})
    assert reply.status == 503
    assert without_workers.ask("/livez", headers={"X-Request-Id": "quiet"}).status == 200
    text = without_workers.log.read_text()
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    for line in lines:
        assert {"ts", "level", "logger", "msg"} <= line.keys()
        assert datetime.fromisoformat(line["ts"]).tzinfo is not None
    assert {"catalog_svc"} <= {line["logger"] for line in lines}  # the children, too
    access, = (line for line in lines if line.get("req_id") == "mine-7")
    assert (access["route"], access["code"], access["trace"]) == ("/get_flow/{flow_type}", 503, TRACE.split("-")[1])
    assert access["ms"] >= 0 and "quiet" not in text and "s3cretT0ken" not in text and "3141" not in text


def test_a_flood_of_failures_does_not_flood_the_log(without_workers: House) -> None:
    def lines() -> list[dict]:
        return [json.loads(line) for line in without_workers.log.read_text().splitlines() if "gateway.access" in line]
    before, began, n = len(lines()), time.monotonic(), 200
    for i in range(n):
        if i == n - 1:
            time.sleep(1.1)  # a new second: its first line tells how many were left out
        assert without_workers.ask("/get_flow_by_position?ra=1&dec=2&cz=3000").status == 503
    seconds, told = time.monotonic() - began, lines()[before:]
    assert len(told) <= doorway.LINES_A_S * (seconds + 2)
    assert len(told) + sum(line.get("left_out", 0) for line in told) == n


def test_a_format_of_logs_that_is_not_known_stops_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cfcore.errors import BadParameter
    from cfcore.settings import load
    with pytest.raises(BadParameter, match="log_format = 'xml' is not one of text, json"):
        load({}, {"CF_LOG_FORMAT": "xml"})
    assert load({}, {"CF_LOG_FORMAT": "json"}).log_format == "json"
