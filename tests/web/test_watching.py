"""Looking at jobs, with real sockets: events, waits, entity tags, filters, links for others, words that change."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
from aiohttp import ClientSession, web
from computing_pool import ComputingPool, draft
from running import House, Reply

from cfcore.settings import Settings
from gateway import doorway, job_watch, keys, routes, watchers
from gateway.callers import CALLERS, NEEDED, Callers
from gateway.jobs import Jobs
from gateway.meters import Meters

BODY = {"lon": [10.0, 20.0, 30.0], "lat": [1.0, 2.0, 5.0], "cz": [3000.0, 4000.0, 5000.0], "H0": 70}


@pytest.fixture(scope="module")
def house(house_data: Path) -> Iterator[House]:
    """Return a house of its own: what is counted here are the jobs of these tests."""
    running = House(house_data, "--workers", "2")
    yield running
    running.stop()


class Stream:
    """Listen to the events of a job."""

    def __init__(self, house: House, url: str, **headers: str) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", house.port, timeout=30)
        self.connection.request("GET", f"{url}/events", headers={"Accept": "text/event-stream", **headers})
        self.answer = self.connection.getresponse()
        self.headers = {name.lower(): value for name, value in self.answer.getheaders()}
        self.retry = ""

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Give each event as it comes; its time too."""
        event: dict[str, Any] = {}
        while line := self.answer.readline().decode():
            name, _, value = line.rstrip("\n").partition(": ")
            if name == "retry":
                self.retry = value
            elif name:
                event[name] = json.loads(value) if name in ("id", "data") else value
            elif event:
                yield {**event, "at": time.monotonic()}
                event = {}

    def close(self) -> None:
        """Leave."""
        self.answer.close()
        self.connection.close()


Listen = Callable[..., Stream]


@pytest.fixture
def listen() -> Iterator[Listen]:
    """Return what opens a stream; all are closed at the end."""
    opened: list[Stream] = []

    def listening(*arguments: Any, **headers: str) -> Stream:
        opened.append(Stream(*arguments, **headers))
        return opened[-1]
    yield listening
    for stream in opened:
        stream.close()


def from_elsewhere(house: House, path: str, method: str = "GET") -> Reply:
    """Ask as somebody else."""
    connection = http.client.HTTPConnection("127.0.0.1", house.port, source_address=("127.0.0.2", 0), timeout=20)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        raw = answer.read()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return Reply(answer.status, headers.get("content-type", "").partition(";")[0], headers, raw)
    finally:
        connection.close()


def held(house: House, **more: Any) -> str:
    """Submit a job that waits for its owner's word; return its address."""
    reply = house.post("/v1/jobs", {**BODY, "hold": True, **more})
    assert reply.status == 202 and reply.json["phase"] == "PENDING", reply.body
    return str(reply.json["url"])


def done(house: House, **more: Any) -> str:
    """Return the address of a job that has completed."""
    reply = house.post("/v1/jobs", {**BODY, **more}, Prefer="wait=30")
    assert reply.json["phase"] == "COMPLETED", reply.body
    return str(reply.json["url"])


def refused(reply: Reply, status: int, code: str) -> Any:
    """Return a refusal that is what it should be."""
    assert (reply.status, reply.json["code"]) == (status, code), reply.body[:300]
    return reply.json


def run_soon(house: House, url: str, after_s: float = 0.3, method: str = "POST", what: str = "/run") -> threading.Timer:
    """Do something to a job a little later."""
    timer = threading.Timer(after_s, lambda: house.ask(url + what, method=method))
    timer.start()
    return timer


# Events

def test_a_stream_tells_a_job_at_once_and_each_change_until_its_end(house: House, listen: Listen) -> None:
    url = held(house)
    stream = listen(house, url)
    events = iter(stream)
    first = next(events)
    assert (first["event"], first["data"]["phase"], stream.retry) == ("job", "PENDING", "2000")
    assert stream.headers["content-type"].startswith("text/event-stream") and stream.headers["cache-control"] == "no-store"
    assert stream.headers["x-request-id"] and stream.headers["x-content-type-options"] == "nosniff"
    assert house.ask(f"{url}/run", method="POST").json["phase"] in ("QUEUED", "EXECUTING", "COMPLETED")
    rest = list(events)
    assert [event["event"] for event in rest][-2:] == ["job", "end"] and rest[-1]["data"]["phase"] == "COMPLETED"
    assert rest[-1]["data"] == rest[-2]["data"] == house.ask(url).json
    assert stream.connection.sock is not None  # it ended in order: the connection may be used again
    stream.close()


def test_a_stream_shows_rows_that_are_done_and_no_more_than_five_events_a_second(house: House, listen: Listen) -> None:
    n = 150_000
    rng = np.random.default_rng(11)
    body = msgpack.packb({"lon": rng.uniform(0, 360, n).tobytes(), "lat": rng.uniform(-80, 80, n).tobytes(),
                          "cz": rng.uniform(500, 9000, n).tobytes()})
    url = house.ask("/v1/jobs", method="POST", body=body, headers={"Content-Type": "application/msgpack"}).json["url"]
    stream = listen(house, url)
    *jobs, end = list(stream)
    stream.close()
    rows = [event["data"]["rows_done"] for event in jobs]
    assert rows == sorted(rows) and rows[-1] == n and len(set(rows)) > 3 and end["event"] == "end"
    assert len({event["id"] for event in jobs}) == len(jobs)
    seconds = jobs[-1]["at"] - jobs[0]["at"]
    assert len(jobs) <= 5.0 * seconds + 2.0


def test_who_comes_back_is_told_only_what_is_new_and_after_the_end_to_stay_away(house: House, listen: Listen) -> None:
    url = held(house)
    stream = listen(house, url)
    seen = next(iter(stream))
    stream.close()
    again = listen(house, url, **{"Last-Event-ID": str(seen["id"])})
    timer = run_soon(house, url)
    events = list(again)
    timer.join()
    assert all(event["data"]["phase"] != "PENDING" for event in events)
    job, end = events[-2:]
    assert [event["event"] for event in listen(house, url)] == ["job", "end"]
    assert [event["event"] for event in listen(house, url, **{"Last-Event-ID": str(job["id"])})] == ["end"]
    over = listen(house, url, **{"Last-Event-ID": str(end["id"])})
    assert over.answer.status == 204 and over.answer.read() == b""
    assert [event["event"] for event in listen(house, url, **{"Last-Event-ID": "nonsense \u00e9"})] == ["job", "end"]


@pytest.mark.parametrize(("method", "what", "phase"), [("DELETE", "", "ARCHIVED"), ("POST", "/cancel", "ABORTED")])
def test_a_job_that_is_destroyed_or_cancelled_ends_its_streams(house: House, listen: Listen, method: str, what: str,
                                                                phase: str) -> None:
    url = held(house)
    stream = listen(house, url)
    timer = run_soon(house, url, 0.2, method, what)
    events = list(stream)
    timer.join()
    assert events[-1]["event"] == "end" and events[-1]["data"]["phase"] == phase


def test_sixteen_streams_are_enough_for_one_and_who_leaves_makes_room(house: House, listen: Listen) -> None:
    url = held(house)
    streams = [listen(house, url) for _ in range(watchers.STREAMS_OF_ONE)]
    assert {stream.answer.status for stream in streams} == {200}
    reply = house.ask(f"{url}/events")
    assert refused(reply, 429, "too_many_streams") and reply.headers["retry-after"] == "5"
    for stream in streams:
        stream.close()
    begin = time.monotonic()
    while (more := listen(house, url)).answer.status != 200:
        more.close()
        assert time.monotonic() - begin < 5.0
        time.sleep(0.1)
    more.close()
    refused(from_elsewhere(house, f"{url}/events"), 404, "unknown_job")
    refused(house.ask(f"{url}/events?format=json"), 422, "unknown_parameter")


# Waits

def test_a_wait_ends_with_the_job_or_with_its_time(house: House) -> None:
    url = held(house)
    begin = time.monotonic()
    assert house.ask(url, {"wait": 0.4}).json["phase"] == "PENDING"
    assert 0.4 <= time.monotonic() - begin < 2.0
    timer = run_soon(house, url)
    begin = time.monotonic()
    reply = house.ask(url, headers={"Prefer": 'respond-async, WAIT="20"; x=1'})
    assert reply.json["phase"] == "COMPLETED" and reply.headers["preference-applied"] == "wait=20"
    assert time.monotonic() - begin < 10.0
    timer.join()
    begin = time.monotonic()
    assert house.ask(url, {"wait": 60}).json["phase"] == "COMPLETED" and time.monotonic() - begin < 2.0
    assert house.ask(url, {"wait": 1, "format": "msgpack"}).msgpack["phase"] == "COMPLETED"


def test_a_submission_may_wait_for_the_end(house: House) -> None:
    reply = house.post("/v1/jobs", BODY, Prefer="wait=30")
    assert (reply.status, reply.json["phase"], reply.headers["preference-applied"]) == (202, "COMPLETED", "wait=30")
    assert house.ask(reply.json["result_url"]).json["n"] == 3
    for unheard in ("wait=soon", "wait=-1", "wait", "return=minimal"):
        reply = house.post("/v1/jobs", {**BODY, "hold": True}, Prefer=unheard)
        assert reply.status == 202 and "preference-applied" not in reply.headers


def test_a_wait_for_a_change_ends_with_the_next_one_or_when_it_was_missed(house: House) -> None:
    url = held(house)
    known = house.ask(url).headers["etag"]
    timer = threading.Timer(0.3, lambda: house.ask(url, method="PATCH", body=b'{"run_id": "changed"}'))
    timer.start()
    begin = time.monotonic()
    reply = house.ask(url, {"wait": 30, "wait_for": "change"}, headers={"If-None-Match": known})
    assert reply.status == 200 and reply.json["run_id"] == "changed" and time.monotonic() - begin < 5.0
    timer.join()
    begin = time.monotonic()
    assert house.ask(url, {"wait": 30, "wait_for": "change"}, headers={"If-None-Match": known}).status == 200
    assert time.monotonic() - begin < 5.0
    now = house.ask(url).headers["etag"]
    assert house.ask(url, {"wait": 0.2, "wait_for": "change"}, headers={"If-None-Match": now}).status == 304


@pytest.mark.parametrize(("query", "code"), [("wait=-1", "bad_parameter"), ("wait=soon", "not_a_number"),
                                             ("wait=1&wait_for=luck", "bad_parameter"), ("wait=nan", "not_finite")])
def test_a_wait_that_is_none_is_refused(house: House, query: str, code: str) -> None:
    refused(house.ask(f"/v1/jobs/1?{query}"), 422, code)


# Entity tags

def test_who_has_seen_it_all_is_told_so(house: House) -> None:
    url = held(house, run_id="tagged")
    for path in (url, "/v1/jobs?run_id=tagged"):
        reply = house.ask(path)
        tag = reply.headers["etag"]
        assert tag.startswith('W/"') and "private" in reply.headers["cache-control"]
        for known in (tag, tag.removeprefix("W/"), f'"other", {tag}', "*"):
            same = house.ask(path, headers={"If-None-Match": known})
            assert (same.status, same.body, same.headers["etag"]) == (304, b"", tag)
        assert house.ask(path, headers={"If-None-Match": '"other"'}).status == 200
        assert house.ask(path, headers={"If-None-Match": tag, "Accept": "application/msgpack"}).status == 200
        house.ask(url, method="PATCH", body=b'{"keep_days": 1}' if path == url else b'{"keep_days": 2}')
        assert house.ask(path, headers={"If-None-Match": tag}).status == 200


# The list

def test_the_list_is_filtered_and_its_pages_follow_one_another(house: House) -> None:
    before = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    ended = [done(house, run_id="filtered") for _ in range(3)]
    waiting = [held(house, run_id="filtered") for _ in range(2)]
    moving = done(house, kind="velocity", cz=None, distance=[10, 20, 30])

    def listed(**query: Any) -> list[str]:
        reply = house.ask("/v1/jobs", query)
        assert reply.status == 200, reply.body
        return [job["url"] for job in reply.json["jobs"]]
    assert listed(run_id="filtered") == [*waiting[::-1], *ended[::-1]]
    assert listed(run_id="filtered", phase="COMPLETED") == ended[::-1]
    assert listed(run_id="filtered", phase="pending,ABORTED") == waiting[::-1]
    assert listed(kind="velocity", since=before) == [moving] and listed(face="queue") == []
    assert listed(since="2199-01-01") == [] == listed(until="1999-01-01T00:00:00Z")
    creation = house.ask(ended[1]).json["creation"]
    assert ended[0] in listed(until=creation) and ended[2] in listed(since=creation)
    assert not set(listed(until=creation)) & set(listed(since=creation))
    path, seen = "/v1/jobs?run_id=filtered&limit=2", []
    while path:
        reply = house.ask(path)
        seen += [job["url"] for job in reply.json["jobs"]]
        path = reply.json["next"]
        assert reply.headers.get("link") == (f'<{path}>; rel="next"' if path else None)
    assert seen == [*waiting[::-1], *ended[::-1]]


@pytest.mark.parametrize(("query", "code"), [
    ("phase=DONE", "bad_parameter"), ("phase=", "bad_parameter"), ("kind=x", "bad_parameter"), ("face=ftp", "bad_parameter"),
    ("since=yesterday", "bad_time"), ("until=2026-13-01", "bad_time")])
def test_a_filter_that_is_none_is_refused(house: House, query: str, code: str) -> None:
    refused(house.ask(f"/v1/jobs?{query}"), 422, code)


@pytest.mark.parametrize("target", [b"/v1/jobs?run_id=\xff", b"/v1/jobs?run_id=%ff%00", b"/v1/jobs?since=\xff",
                                    b"/v1/shared/\xed\xa0\x80", b"/v1/shared/%ff"])
def test_bytes_that_are_no_text_are_never_our_fault(house: House, target: bytes) -> None:
    with socket.create_connection(("127.0.0.1", house.port), timeout=20) as connection:
        connection.sendall(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert connection.recv(100).split()[1] in (b"200", b"400", b"404", b"422")


# Links for others

def test_a_link_shows_a_job_and_its_result_to_whoever_has_it_and_nothing_of_its_owner(house: House) -> None:
    url = done(house, run_id="my secret name")
    refused(from_elsewhere(house, f"{url}/share", "POST"), 404, "unknown_job")
    made = house.ask(f"{url}/share", method="POST")
    link = made.json["url"]
    assert len(link.rpartition("/")[2]) == 43 and made.headers["cache-control"] == "no-store" and house.ask(url).json["shared"]
    seen = from_elsewhere(house, link)
    mine = house.ask(url).json
    hidden = ("run_id", "face", "execution_duration", "shared", "callback")
    assert seen.json == {k: v for k, v in mine.items() if k not in hidden} | {
        "url": link, "result_url": f"{link}/result", "results_url": f"{link}/results"}
    assert b"secret" not in seen.body and url.encode() + b'"' not in seen.body
    result = from_elsewhere(house, seen.json["result_url"])
    assert result.json == house.ask(mine["result_url"]).json
    for reply in (seen, result):
        assert (reply.headers["referrer-policy"], reply.headers["cache-control"]) == ("no-referrer", "private, no-cache")
    for path, method in ((link, "DELETE"), (link, "PATCH"), (f"{link}/cancel", "POST"), (f"{link}/share", "POST")):
        assert from_elsewhere(house, path, method).status in (404, 405)
    refused(from_elsewhere(house, url), 404, "unknown_job")


def test_a_link_ends_when_it_is_replaced_or_revoked_or_its_job_destroyed(house: House) -> None:
    url = done(house)
    first = house.ask(f"{url}/share", method="POST").json["url"]
    second = house.ask(f"{url}/share", method="POST").json["url"]
    refused(from_elsewhere(house, first), 404, "unknown_share")
    assert from_elsewhere(house, second).status == 200
    assert house.ask(f"{url}/share", method="DELETE").json["shared"] is False
    refused(from_elsewhere(house, second), 404, "unknown_share")
    third = house.ask(f"{url}/share", method="POST").json["url"]
    house.ask(url, method="DELETE")
    for path in (third, f"{third}/result", "/v1/shared/x", f"/v1/shared/{'A' * 43}"):
        refused(from_elsewhere(house, path), 404, "unknown_share")
    refused(house.ask(f"{url}/share", method="POST"), 410, "job_gone")


def test_a_shared_job_can_be_waited_for_too(house: House) -> None:
    url = held(house)
    link = house.ask(f"{url}/share", method="POST").json["url"]
    refused(from_elsewhere(house, f"{link}/result"), 409, "not_finished")
    timer = run_soon(house, url)
    assert from_elsewhere(house, f"{link}?wait=30").json["phase"] == "COMPLETED"
    timer.join()


# Words that change, jobs that wait

def test_words_about_a_job_can_be_changed_within_limits(house: House) -> None:
    url = held(house, run_id="old")

    def changed(**what: Any) -> Reply:
        return house.ask(url, method="PATCH", body=json.dumps(what).encode(), headers={"Content-Type": "application/json"})
    until = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() + 3 * 86_400))
    job = changed(destruction=f"{until}Z", run_id="new", execution_duration=60).json
    assert (job["destruction"], job["run_id"], job["execution_duration"]) == (f"{until}.000Z", "new", 60.0)
    assert changed(run_id=None).json["run_id"] is None
    house.ask(f"{url}/run", method="POST")
    ended = house.ask(url, {"wait": 30}).json
    assert ended["phase"] == "COMPLETED" and ended["destruction"] == f"{until}.000Z"
    refused(changed(execution_duration=5), 409, "already_ended")
    assert "14 days" in refused(changed(destruction="2199-01-01T00:00:00Z"), 422, "out_of_range")["detail"]
    for what, code in (({"destruction": "1999-01-01T00:00:00Z"}, "out_of_range"), ({"keep_days": 14.1}, "out_of_range"),
                       ({"keep_days": -1}, "out_of_range"), ({"destruction": "soon"}, "bad_time"), ({}, "missing_parameter"),
                       ({"destruction": f"{until}Z", "keep_days": 1}, "bad_parameter"), ({"phase": "RUN"}, "unknown_parameter"),
                       ({"run_id": "x" * 65}, "bad_parameter"), ({"execution_duration": -1}, "bad_parameter")):
        refused(changed(**what), 422, code)
    assert changed(keep_days=0).status in (200, 410)
    begin = time.monotonic()
    while house.ask(url).status != 410:
        assert time.monotonic() - begin < 10.0
        time.sleep(0.05)
    refused(changed(run_id="late"), 410, "job_gone")


def test_a_held_job_runs_at_its_owners_word_once(house: House) -> None:
    url = held(house)
    refused(from_elsewhere(house, f"{url}/run", "POST"), 404, "unknown_job")
    refused(house.ask(f"{url}/result"), 409, "not_finished")
    assert house.ask(f"{url}/run", method="POST").status == 200
    job = house.ask(url, {"wait": 30}).json
    assert (job["phase"], job["rows_done"]) == ("COMPLETED", 3)
    assert house.ask(f"{url}/run", method="POST").json == job


def test_a_gateway_that_ends_lets_go_of_all_who_listen_or_wait(house: House, listen: Listen) -> None:
    # the last one that needs the house, since it ends it
    url = held(house)
    stream = listen(house, url)
    events = iter(stream)
    assert next(events)["data"]["phase"] == "PENDING"
    replies: list[Reply] = []
    waiting = [threading.Thread(target=lambda: replies.append(house.ask(url, {"wait": 50}))) for _ in range(3)]
    for thread in waiting:
        thread.start()
    time.sleep(0.3)
    seconds = house.stop()
    assert list(events) == []  # and no half of a chunk: that would raise
    for thread in waiting:
        thread.join(10)
    assert [(reply.status, reply.json["phase"]) for reply in replies] == [(200, "PENDING")] * 3
    assert seconds < 4.0
    log = house.log.read_text()
    assert "Traceback" not in log and "was slow" not in log


# What a house of its own shows only after many clients or a long time

@asynccontextmanager
async def gateway_with(folder: Path) -> AsyncIterator[tuple[Jobs, str]]:
    """Serve the routes over jobs that are computed in this process; return them, and the address."""
    pool = ComputingPool()
    jobs = Jobs(folder, pool)
    jobs.open()
    jobs.start()
    app = web.Application(middlewares=[doorway.middleware(Meters())])
    app[keys.JOBS], app[keys.SETTINGS], app[keys.WATCHERS] = jobs, Settings(), watchers.Watchers(jobs)
    app[CALLERS], app[NEEDED] = Callers(Settings(data=folder)), routes.needed()
    routes.register(app)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield jobs, f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        app[keys.WATCHERS].end()
        await runner.cleanup()
        await app[CALLERS].close()
        await jobs.close()


def test_a_silent_stream_shows_that_it_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_watch, "HEARTBEAT_S", 0.2)

    async def main() -> None:
        async with gateway_with(tmp_path) as (jobs, base), ClientSession() as client:
            jobs._pool.is_held = True  # type: ignore[attr-defined]
            job, _ = await jobs.submit(draft(3, owner="address:127.0.0.1"))
            async with client.get(f"{base}/v1/jobs/{job}/events") as answer:
                got = b""
                while got.count(b"\n:\n\n") < 3:
                    assert (more := await asyncio.wait_for(answer.content.readany(), 5.0)), got
                    got += more
                assert got.count(b"event: job") == 1
    asyncio.run(main())


def test_there_are_only_so_many_streams_and_waits_in_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchers, "STREAMS", 2)
    monkeypatch.setattr(watchers, "WAITS", 1)

    async def main() -> None:
        async with gateway_with(tmp_path) as (jobs, base), ClientSession() as client:
            jobs._pool.is_held = True  # type: ignore[attr-defined]
            job, _ = await jobs.submit(draft(3, owner="address:127.0.0.1"))
            url = f"{base}/v1/jobs/{job}"
            streams = [await client.get(f"{url}/events") for _ in range(2)]
            async with client.get(f"{url}/events") as answer:
                assert answer.status == 503 and (await answer.json())["code"] == "busy" and answer.headers["Retry-After"] == "5"
            first = asyncio.create_task(client.get(url, params={"wait": "20"}))
            await asyncio.sleep(0.2)
            async with client.get(url, headers={"Prefer": "wait=20"}) as answer:
                # who cannot wait is answered all the same, and told to take its time
                assert answer.status == 200 and answer.headers["Retry-After"] == "1"
                assert "Preference-Applied" not in answer.headers
            jobs._pool.release()  # type: ignore[attr-defined]
            answer = await asyncio.wait_for(first, 10.0)
            assert (await answer.json())["phase"] == "COMPLETED"
            for stream in streams:
                assert b"event: end" in await asyncio.wait_for(stream.read(), 10.0)
    asyncio.run(main())


def test_the_list_is_found_by_an_index_alone_whatever_is_asked(tmp_path: Path) -> None:
    async def main() -> None:
        async with gateway_with(tmp_path) as (jobs, base):
            asked: list[str] = []
            db = jobs.shelf._db
            db.set_trace_callback(asked.append)
            jobs.shelf.rows("me", None, 5)
            jobs.shelf.rows("me", 10, 5, {"kind": "distance", "face": "v1", "run_id": "x", "phase": ("QUEUED", "PENDING"),
                                          "since": 1.0, "until": 2.0})
            db.set_trace_callback(None)
            assert len(asked) == 2
            for statement in asked:
                plan = [row["detail"] for row in db.execute(f"EXPLAIN QUERY PLAN {statement}")]
                assert any("COVERING INDEX job_looks (owner=? AND id<?)" in line for line in plan), plan
                assert not any("SCAN job" in line for line in plan), plan
    asyncio.run(main())
