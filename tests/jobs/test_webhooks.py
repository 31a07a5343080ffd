"""Calls to webhooks: signed, tried again, bounded, made to the address that was judged; receivers are real TLS servers."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import hashlib
import hmac
import itertools
import json
import os
import socket
import sqlite3
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from computing_pool import ComputingPool, Kept, draft
from tls_receiver import Authority, Call, Receiver, free_port, status

from cfcore.errors import BadParameter
from cfcore.settings import Settings
from gateway import webhook_post
from gateway.webhook_address import Lookup
from gateway.webhooks import Webhooks

Keep = Callable[..., Any]
QUICK = (0.0, 0.02, 0.02, 0.02, 0.02)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return who signs the certificates of these tests."""
    return Authority(tmp_path_factory.mktemp("authority"))


def at(*addresses: str) -> Lookup:
    """Return a name server that says these addresses of every name."""
    async def look(host: str, port: int) -> list[str]:
        return list(addresses)
    return look


@asynccontextmanager
async def calling(kept: Kept, authority: Authority, hosts: str = "127.0.0.1", **options: Any) -> AsyncIterator[Webhooks]:
    """Make the calls of jobs, soon after each other."""
    webhooks = Webhooks(kept.jobs, Settings(callback_hosts=hosts), tls=authority.client(),
                        **{"delays_s": QUICK, "lookup": at("127.0.0.1"), **options})
    webhooks.start()
    try:
        yield webhooks
    finally:
        await webhooks.close()


async def ended(kept: Kept, url: str, n: int = 1, phase: str = "COMPLETED", **options: Any) -> int:
    """Have a job done whose end is to be told; return its number."""
    job, _ = await kept.jobs.submit(dataclasses.replace(draft(n, **options), callback=url))
    await kept.until(job, phase)
    return job


async def settled(webhooks: Webhooks, job: int, timeout_s: float = 20.0) -> dict[str, Any]:
    """Wait until no further call is due; return the delivery."""
    begin = time.monotonic()
    while not (found := webhooks.deliveries(job)) or found[0]["state"] == "due":
        assert time.monotonic() - begin < timeout_s, found
        await asyncio.sleep(0.005)
    return found[0]


def is_signed(call: Call, secret: str) -> bool:
    """Check a signature by the words of the specification, with none of our code."""
    content = f"{call.headers['webhook-id']}.{call.headers['webhook-timestamp']}.".encode() + call.body
    expected = base64.b64encode(hmac.new(base64.b64decode(secret[6:]), content, hashlib.sha256).digest()).decode()
    return hmac.compare_digest(f"v1,{expected}", call.headers["webhook-signature"])


def test_signatures_are_those_of_the_reference_of_standard_webhooks() -> None:
    assert webhook_post.signature("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330,
                                  b'{"test": 2432232314}') == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_end_of_a_job_is_told_once_and_signed(tmp_path: Path, keep: Keep, authority: Authority) -> None:
    async def main() -> None:
        async with keep(tmp_path) as kept, calling(kept, authority) as webhooks:
            job = await ended(kept, receiver.url("hooks.test", "/a/b?token=1"), 5, owner="me")
            done = await settled(webhooks, job)
            [call] = receiver.calls
            assert (call.path, call.sni, call.headers["host"]) == ("/a/b?token=1", "hooks.test", f"hooks.test:{receiver.port}")
            assert is_signed(call, webhooks.secret("me")) and not is_signed(call, webhooks.secret("you"))
            assert abs(int(call.headers["webhook-timestamp"]) - time.time()) < 30
            assert call.headers["content-type"] == "application/json" and call.headers["user-agent"].startswith("cosmicflows/")
            told = json.loads(call.body)
            assert told["timestamp"].endswith("Z") and told == {"type": "job.ended", "timestamp": told["timestamp"], "data": {
                "job": job, "phase": "COMPLETED", "kind": "distance", "run_id": None, "rows_done": 5, "rows_total": 5,
                "error": None, "url": f"/v1/jobs/{job}"}}
            [entry] = done["tries"]
            assert done == {"id": call.headers["webhook-id"], "type": "job.ended", "host": "hooks.test", "state": "delivered",
                            "next_try": None, "tries": [entry]}
            assert entry["status"] == 200 and entry["error"] is None and entry["ms"] >= 0 and entry["time"].endswith("Z")
            silent, _ = await kept.jobs.submit(draft(1, seed=2))
            await kept.until(silent)
            assert webhooks.deliveries(silent) == [] and len(receiver.calls) == 1
    with Receiver(authority.server("hooks.test")) as receiver:
        asyncio.run(main())


def test_a_job_that_fails_and_one_that_is_cancelled_are_told_too(tmp_path: Path, keep: Keep, authority: Authority) -> None:
    async def main() -> None:
        pool = ComputingPool(fault=BadParameter("the field has no density", code="no_density"))
        async with keep(tmp_path, pool) as kept, calling(kept, authority) as webhooks:
            failed = await ended(kept, receiver.url("hooks.test"), 3, "ERROR")
            pool.is_held = True
            cancelled, _ = await kept.jobs.submit(dataclasses.replace(draft(2), callback=receiver.url("hooks.test")))
            await kept.jobs.cancel(cancelled)
            for job, phase, code in ((failed, "ERROR", "no_density"), (cancelled, "ABORTED", "cancelled")):
                assert (await settled(webhooks, job))["state"] == "delivered"
                [data] = [d for call in receiver.calls if (d := json.loads(call.body)["data"])["job"] == job]
                assert (data["phase"], data["error"]["code"], data["rows_done"]) == (phase, code, 0)
    with Receiver(authority.server("hooks.test")) as receiver:
        asyncio.run(main())


def test_a_receiver_that_fails_is_called_five_times_and_no_more(tmp_path: Path, keep: Keep, authority: Authority) -> None:
    async def main() -> None:
        async with keep(tmp_path) as kept, calling(kept, authority) as webhooks:
            job = await ended(kept, receiver.url("hooks.test"))
            done = await settled(webhooks, job)
            assert (done["state"], done["next_try"]) == ("given_up", None)
            assert [entry["status"] for entry in done["tries"]] == [500, 503, 404, 302, 302]
            await asyncio.sleep(0.2)
            assert len(receiver.calls) == 5 and len({call.headers["webhook-id"] for call in receiver.calls}) == 1
            assert len({call.body for call in receiver.calls}) == 1 and len(inside.calls) == inside.connections == 0
            assert all(is_signed(call, webhooks.secret("me")) for call in receiver.calls)
            starts = [call.time for call in receiver.calls]
            assert all(b - a >= 0.016 for a, b in itertools.pairwise(starts)), starts
    with Receiver(None) as inside:
        away = {"Location": f"http://127.0.0.1:{inside.port}/latest/meta-data/"}
        with Receiver(authority.server("hooks.test"), status(500), status(503), status(404), status(302, **away)) as receiver:
            asyncio.run(main())


@pytest.mark.parametrize(("answers", "state", "statuses"), [
    ((500, 202), "delivered", [500, 202]), ((410, 200), "gone", [410]), ((307, 204), "delivered", [307, 204])])
def test_the_answer_of_the_receiver_decides(tmp_path: Path, keep: Keep, authority: Authority, answers: tuple[int, ...],
                                            state: str, statuses: list[int]) -> None:
    async def main() -> None:
        async with keep(tmp_path) as kept, calling(kept, authority) as webhooks:
            done = await settled(webhooks, await ended(kept, receiver.url("hooks.test")))
            assert (done["state"], [entry["status"] for entry in done["tries"]]) == (state, statuses)
    told = (status(code, Location="https://169.254.169.254/") for code in answers)
    with Receiver(authority.server("hooks.test"), *told) as receiver:
        asyncio.run(main())


def test_a_name_is_looked_up_once_a_try_and_only_what_was_judged_is_called(tmp_path: Path, keep: Keep,
                                                                           authority: Authority) -> None:
    asked: list[str] = []

    async def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.2"] if len(asked) % 2 else ["127.0.0.1"]

    async def main() -> None:
        async with keep(tmp_path) as kept, calling(kept, authority, "127.0.0.2", lookup=rebinding) as webhooks:
            url = f"https://rebind.test:{inside.port}/"
            done = await settled(webhooks, await ended(kept, url))
            assert asked == ["rebind.test"] * 2  # one for each try
            assert [(e["status"], e["error"]) for e in done["tries"]] == [(503, None), (None, "refused: not a public address")]
            assert done["state"] == "refused" and len(outside.calls) == 1 and inside.connections == 0
    with Receiver(authority.server("rebind.test")) as inside:
        with Receiver(authority.server("rebind.test"), status(503), address="127.0.0.2", port=inside.port) as outside:
            asyncio.run(main())


@pytest.mark.parametrize("addresses", [("127.0.0.1",), ("8.8.8.8", "10.0.0.1"), ("::ffff:127.0.0.1",), ("64:ff9b::7f00:1",),
                                       ("fe80::1%1",)])
def test_a_name_that_leads_inside_by_now_is_never_called(tmp_path: Path, keep: Keep, authority: Authority,
                                                         addresses: tuple[str, ...]) -> None:
    async def main() -> None:
        async with keep(tmp_path) as kept, calling(kept, authority, "", lookup=at(*addresses)) as webhooks:
            done = await settled(webhooks, await ended(kept, receiver.url("hooks.test")))
            assert done["state"] == "refused" and [e["error"] for e in done["tries"]] == ["refused: not a public address"]
            assert not any(address in json.dumps(done) for address in addresses)
            numbers = await settled(webhooks, await ended(kept, receiver.url("127.0.0.1"), seed=2))
            assert [e["error"] for e in numbers["tries"]] == ["refused: not a public address"]
            assert receiver.connections == 0
    with Receiver(authority.server("hooks.test")) as receiver:
        asyncio.run(main())


def test_only_pinned_addresses_get_a_socket(authority: Authority) -> None:
    async def main() -> None:
        target = webhook_post.Target(webhook_post.URL(receiver.url("localhost")), "localhost", receiver.port,
                                     (webhook_post.ipaddress.ip_address("127.0.0.9"),))
        make = webhook_post._only_to(target, [])
        with pytest.raises(OSError, match="not a public address"):
            make((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", receiver.port)))
        with pytest.raises(OSError, match="not a public address"):
            make((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.9", receiver.port + 1)))
        make((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.9", receiver.port))).close()
        with pytest.raises(OSError):
            by_number = dataclasses.replace(target, url=webhook_post.URL(receiver.url("127.0.0.1")))
            await webhook_post._posted(by_number, b"", {}, authority.client())
        assert receiver.connections == 0
    with Receiver(authority.server("localhost")) as receiver:
        asyncio.run(main())


def drip(handler: BaseHTTPRequestHandler) -> None:
    """Send a head that does not end, byte by byte."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    for _ in range(400):
        handler.wfile.write(b"x")
        time.sleep(0.01)


def flood(handler: BaseHTTPRequestHandler) -> None:
    """Send a body that does not end, compressed as it says."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 10000000000\r\n\r\n")
    for _ in range(100_000):
        handler.wfile.write(bytes(1 << 16))


def headers_without_end(handler: BaseHTTPRequestHandler) -> None:
    """Send headers that do not end."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    for i in range(100_000):
        handler.wfile.write(b"X-%d: %s\r\n" % (i, b"y" * 4000))


def silent_body(handler: BaseHTTPRequestHandler) -> None:
    """Send a status and nothing of the body."""
    handler.wfile.write(b"HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\n")
    time.sleep(3)


def babble(handler: BaseHTTPRequestHandler) -> None:
    """Answer in another language."""
    handler.wfile.write(b"220 mail.example.org ESMTP\r\n")


@pytest.mark.parametrize(("answer", "expected"), [
    (drip, "no answer within 1.5 s"), (status(200, seconds=3.0), "no answer within 1.5 s"), (flood, 200), (silent_body, 201),
    (headers_without_end, "the answer is not HTTP"), (babble, "the answer is not HTTP"),
    (lambda handler: None, "the connection broke")])
def test_slow_huge_and_broken_answers_cost_one_try(tmp_path: Path, keep: Keep, authority: Authority, answer: Any, expected: Any,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_post, "ANSWER_S", 0.1)

    async def main() -> None:
        async with keep(tmp_path) as kept, calling(kept, authority, timeout_s=1.5, delays_s=(0.0, 0.0)) as webhooks:
            done = await settled(webhooks, await ended(kept, receiver.url("hooks.test")))
            first = done["tries"][0]
            assert (first["status"] if isinstance(expected, int) else first["error"]) == expected, first
            assert done["state"] == "delivered" and len(done["tries"]) == (1 if isinstance(expected, int) else 2)
            assert first["ms"] < 3000
    with Receiver(authority.server("hooks.test"), answer, status(200)) as receiver:
        asyncio.run(main())


def test_only_a_certificate_of_the_name_by_a_known_authority_is_spoken_to(tmp_path: Path, keep: Keep,
                                                                          authority: Authority) -> None:
    stranger = Authority(tmp_path, "stranger")

    async def main() -> None:
        async with keep(tmp_path / "jobs") as kept, calling(kept, authority, delays_s=(0.0,)) as webhooks:
            for receiver, word in ((wrong, "its certificate is not accepted"), (foreign, "its certificate is not accepted"),
                                   (plain, "no TLS connection")):
                done = await settled(webhooks, await ended(kept, receiver.url("hooks.test"), seed=receiver.port))
                assert [entry["error"] for entry in done["tries"]] == [word]
                assert receiver.connections == 1 and receiver.calls == []
            nobody = await settled(webhooks, await ended(kept, f"https://hooks.test:{free_port()}/"))
            assert [entry["error"] for entry in nobody["tries"]] == ["no connection"]
    with (Receiver(authority.server("other.test")) as wrong, Receiver(stranger.server("hooks.test")) as foreign,
          Receiver(None) as plain):
        asyncio.run(main())


def test_proxies_passwords_and_cookies_of_the_surroundings_are_not_used(tmp_path: Path, keep: Keep, authority: Authority,
                                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("default login me password secret\n")
    (tmp_path / "netrc").chmod(0o600)
    for name, value in (("HTTPS_PROXY", f"http://127.0.0.1:{free_port()}"), ("ALL_PROXY", f"http://127.0.0.1:{free_port()}"),
                        ("NETRC", str(tmp_path / "netrc"))):
        monkeypatch.setenv(name, value)
        monkeypatch.setenv(name.lower(), value)

    async def main() -> None:
        async with keep(tmp_path / "jobs") as kept, calling(kept, authority) as webhooks:
            done = await settled(webhooks, await ended(kept, receiver.url("hooks.test")))
            assert [entry["status"] for entry in done["tries"]] == [503, 200]
            assert not any({"authorization", "cookie"} & call.headers.keys() for call in receiver.calls)
    with Receiver(authority.server("hooks.test"), status(503, **{"Set-Cookie": "a=b"}), status(200)) as receiver:
        asyncio.run(main())


def test_calls_at_a_time_are_bounded_for_all_an_owner_and_a_host(tmp_path: Path, keep: Keep, authority: Authority) -> None:
    async def main() -> None:
        async with keep(tmp_path) as kept:
            for n in range(24):  # those of one client to one slow host come first
                await ended(kept, slow.url("slow.test"), seed=n, owner="greedy")
            for n in range(12):
                await ended(kept, other.url(f"h{n}.test"), seed=n, owner="greedy")
            last = [await ended(kept, other.url(f"p{n}.test"), seed=n, owner="patient") for n in range(3)]
            async with calling(kept, authority) as webhooks:
                for job in last:
                    assert (await settled(webhooks, job))["state"] == "delivered"
                assert len(slow.calls) < 24
                while len(slow.calls) < 24 or len(other.calls) < 15:
                    await asyncio.sleep(0.01)
            assert slow.most_under_way == 2 and other.most_under_way <= 8
    with (Receiver(authority.server("slow.test"), status(200, seconds=0.1)) as slow,
          Receiver(authority.server("x", *(f"{c}{n}.test" for c in "hp" for n in range(12))), status(200)) as other):
        asyncio.run(main())


def test_a_client_with_dead_receivers_does_not_keep_others_waiting(tmp_path: Path, keep: Keep, authority: Authority) -> None:
    async def main() -> None:
        async with keep(tmp_path) as kept:
            for n in range(12):
                for who in ("first", "second"):
                    await ended(kept, receiver.url(f"{who}{n}.test"), seed=n, owner=who)
            job = await ended(kept, receiver.url("patient.test"), owner="patient")
            async with calling(kept, authority, delays_s=(0.0,)) as webhooks:
                await settled(webhooks, job)
            before = [call.headers["host"].partition(":")[0] for call in receiver.calls].index("patient.test")
            assert before < 20, [call.sni for call in receiver.calls]
    names = [f"{who}{n}.test" for who in ("first", "second") for n in range(12)]
    with Receiver(authority.server("patient.test", *names), status(503, seconds=0.1)) as receiver:
        asyncio.run(main())


def test_what_is_due_outlives_the_gateway_and_no_end_is_forgotten(tmp_path: Path, keep: Keep, authority: Authority) -> None:
    async def first() -> tuple[int, int, str]:
        async with keep(tmp_path) as kept:
            before = await ended(kept, url)  # nobody makes calls: what is due is on disk with the end of the job
            assert not receiver.calls
            async with calling(kept, authority, delays_s=(0.0, 1.0)) as webhooks:
                while not webhooks.deliveries(before)[0]["tries"]:
                    await asyncio.sleep(0.005)
                again = webhooks.deliveries(before)[0]
                assert again["state"] == "due" and again["next_try"] > again["tries"][0]["time"]
                lost = await ended(kept, url, seed=2)
                secret = webhooks.secret("me")
        return before, lost, secret

    async def second(before: int, lost: int, secret: str) -> None:
        async with keep(tmp_path) as kept, calling(kept, authority) as webhooks:
            assert webhooks.secret("me") == secret
            done = [await settled(webhooks, job) for job in (before, lost)]
            assert [d["state"] for d in done] == ["delivered"] * 2 and [e["status"] for e in done[0]["tries"]] == [503, 200]
            ids = [call.headers["webhook-id"] for call in receiver.calls]
            assert ids.count(done[0]["id"]) == 2 and done[0]["id"] != done[1]["id"]
            assert all(is_signed(call, secret) for call in receiver.calls)
            n = len(receiver.calls)
        async with keep(tmp_path) as kept, calling(kept, authority):
            await asyncio.sleep(0.1)
            assert len(receiver.calls) == n  # what is done is done
    with Receiver(authority.server("hooks.test"), status(503), status(200)) as receiver:
        url = receiver.url("hooks.test")
        found = asyncio.run(first())
        with sqlite3.connect(tmp_path / "jobs.db") as db:
            # as after an older version, which kept no such rows
            db.execute("DELETE FROM delivery WHERE job = ?", (found[1],))
            db.execute("DROP TRIGGER delivery_new")
        db.close()
        asyncio.run(second(*found))


def test_a_call_that_was_cut_short_by_the_end_of_the_gateway_is_made_again(tmp_path: Path, keep: Keep,
                                                                           authority: Authority) -> None:
    async def first() -> int:
        async with keep(tmp_path) as kept, calling(kept, authority):
            job = await ended(kept, receiver.url("hooks.test"))
            while not receiver.calls:
                await asyncio.sleep(0.005)
        return job

    async def second(job: int) -> None:
        async with keep(tmp_path) as kept, calling(kept, authority) as webhooks:
            assert (await settled(webhooks, job))["state"] == "delivered"
    with Receiver(authority.server("hooks.test"), status(200, seconds=10.0), status(200)) as receiver:
        begin = time.monotonic()
        job = asyncio.run(first())
        assert time.monotonic() - begin < 8  # the end waits for no receiver
        asyncio.run(second(job))
        assert len(receiver.calls) == 2 and receiver.calls[0].headers["webhook-id"] == receiver.calls[1].headers["webhook-id"]


def test_a_destroyed_job_is_told_no_more(tmp_path: Path, keep: Keep, authority: Authority) -> None:
    async def main() -> None:
        pool = ComputingPool()
        async with keep(tmp_path, pool) as kept, calling(kept, authority, delays_s=(0.0, 0.2)) as webhooks:
            job = await ended(kept, receiver.url("hooks.test"))
            while not (found := webhooks.deliveries(job)) or not found[0]["tries"]:
                await asyncio.sleep(0.005)
            await kept.jobs.delete(job)
            assert webhooks.deliveries(job) == []
            pool.is_held = True
            never_begun, _ = await kept.jobs.submit(dataclasses.replace(draft(1, seed=3), callback=receiver.url("hooks.test")))
            await kept.jobs.delete(never_begun)
            await asyncio.sleep(0.4)
            assert len(receiver.calls) == 1
    with Receiver(authority.server("hooks.test"), status(503)) as receiver:
        asyncio.run(main())


def test_a_listener_is_told_of_every_end_once(tmp_path: Path, keep: Keep) -> None:
    async def main() -> None:
        heard: list[int] = []
        async with keep(tmp_path) as kept:
            kept.jobs.news.on_end.append(lambda job: heard.append(job) if kept[job]["phase"] == "COMPLETED" else None)
            jobs = [(await kept.jobs.submit(draft(3, seed=n)))[0] for n in range(3)]
            for job in jobs:
                await kept.until(job)
            await kept.jobs.cancel(jobs[0])
            assert sorted(heard) == jobs
    asyncio.run(main())


def test_certificates_are_looked_at_with_the_authorities_of_the_system(tmp_path: Path, keep: Keep, authority: Authority,
                                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(word: str | None) -> None:
        async with keep(tmp_path / str(word)) as kept:
            webhooks = Webhooks(kept.jobs, Settings(callback_hosts="127.0.0.1"), lookup=at("127.0.0.1"), delays_s=(0.0,))
            webhooks.start()
            done = await settled(webhooks, await ended(kept, receiver.url("hooks.test")))
            await webhooks.close()
            assert [entry["error"] for entry in done["tries"]] == [word]
    with Receiver(authority.server("hooks.test")) as receiver:
        asyncio.run(main("its certificate is not accepted"))
        monkeypatch.setenv(ssl.get_default_verify_paths().openssl_cafile_env, os.fspath(authority.file))
        asyncio.run(main(None))
