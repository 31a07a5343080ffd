"""The Python client against a real house: lists, refusals, patience, restarts; the bar; and who is told the token."""

from __future__ import annotations

import asyncio
import email.utils
import json
import os
import pty
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
import pytest
from cutting_proxy import CuttingProxy, saying
from running import House

from cfcore import client_calls
from cfcore.client import AsyncClient, Client
from cfcore.client_calls import Reply, pause_of, retry_after
from cfcore.errors import (
    Ambiguous,
    BadParameter,
    CosmicFlowsError,
    DeadlineExceeded,
    TransientError,
    UnknownName,
    UsageError,
)

LISTS = {"ra": [10.0, 20.0, 30.0, 40.0], "dec": [1.0, 100.0, 5.0, -20.0], "cz": [3000.0, 4000.0, float("nan"), 5000.0]}
MANY = 60_000
SLOWLY = {"dr": 0.01}


@pytest.fixture(scope="module")
def desk(house_data: Path) -> Iterator[House]:
    """Return a house whose jobs are these tests' own."""
    running = House(house_data, "--workers", "2")
    yield running
    running.stop()


@pytest.fixture
def client(desk: House, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """Return a client of the house."""
    for name in ("CF_SERVER", "CF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with Client(url(desk)) as made:
        yield made


def url(house: House | CuttingProxy) -> str:
    """Return the address of a house."""
    return f"http://127.0.0.1:{house.port}"


def many(n: int = MANY) -> dict[str, np.ndarray]:
    """Return n galaxies of the nearby sky."""
    rng = np.random.default_rng(8)
    return {"ra": rng.uniform(0, 360, n), "dec": rng.uniform(-80, 80, n), "cz": rng.uniform(500, 8000, n)}


def test_a_mapping_with_units_becomes_a_job_with_the_answers_of_the_list(client: Client, desk: House) -> None:
    seen = []
    job = client.submit({"ra": np.radians(LISTS["ra"]) * u.rad, "dec": LISTS["dec"] * u.deg, "cz": np.divide(LISTS["cz"], 1e3) *
                         u.Mm / u.s}, H0=70 * u.km / u.s / u.Mpc, run_id="with units").wait(progress=seen.append)
    whole = desk.post("/get_flow/distance", {**LISTS, "cz": [3000.0, 4000.0, None, 5000.0], "H0": 70}).json
    got = desk.ask(f"/v1/jobs/{job.id}/result").json
    assert got["status"] == whole["status"] == ["ok", "lat_out_of_range", "not_finite", "ok"]
    for mean, expected in zip(got["columns"]["mean"], whole["columns"]["mean"]):
        assert mean == expected or abs(mean - expected) < 1e-9 * expected
    assert (job.phase, job.info["rows_done"], job.info["run_id"]) == ("COMPLETED", 4, "with units")
    assert seen[-1] == job.info and repr(job) == f"<job {job.id}: COMPLETED, 4 of 4 rows>"


def test_progress_only_rises_and_is_told_while_the_job_runs(client: Client, desk: House) -> None:
    seen = []
    job = client.submit(many(), hold=True)

    def look(info: dict[str, Any]) -> None:
        seen.append(info["rows_done"])
        if info["phase"] == "PENDING":
            desk.ask(f"/v1/jobs/{job.id}/run", method="POST")
    job.wait(progress=look)
    assert seen == sorted(seen) and seen[0] == 0 and seen[-1] == MANY
    job.delete()


def test_the_asynchronous_client_is_the_same_client(client: Client, desk: House) -> None:
    async def all_of_it() -> tuple[dict, dict, list[int]]:
        async with AsyncClient(url(desk)) as other:
            jobs = await asyncio.gather(*(other.submit(LISTS, H0=71) for _ in range(5)))
            await asyncio.gather(*(job.wait(progress=False) for job in jobs))
            one = await other.flow("NGC 4993")
            ids = [job.id for job in await other.jobs(limit=5)]
            with pytest.raises(UnknownName, match="NGC 99993"):
                await other.flow("NGC 99993")
            found = await (await other.job(jobs[0].id)).status()
            await jobs[1].cancel()
            for job in jobs:
                await job.delete()
            return found, one, sorted(ids) if sorted(ids) == sorted(job.id for job in jobs) else []
    found, one, ids = asyncio.run(all_of_it())
    assert found["phase"] == "COMPLETED" and found["options"]["H0"] == 71.0 and len(ids) == 5
    assert one == client.flow(name="NGC 4993")


def test_one_question_takes_quantities_and_says_what_the_server_says(client: Client, desk: House) -> None:
    got = client.flow(ra=197.4488 * u.deg, dec=-23.3839, cz=2.916 * u.Mm / u.s, grid=True)
    assert got == desk.ask("/get_flow_by_position?ra=197.4488&dec=-23.3839&cz=2916&grid=true").json


def test_refusals_are_errors_of_ours_with_code_place_and_suggestions(client: Client) -> None:
    with pytest.raises(BadParameter, match="one length") as unequal:
        client.submit({"ra": [1, 2], "dec": [1, 2, 3], "cz": [3000, 3000]})
    assert (unequal.value.code, unequal.value.where) == ("unequal_lengths", "dec")
    with pytest.raises(UnknownName) as name:
        client.flow("Sombrro Galaxy")
    assert name.value.code == "unknown_name" and name.value.extra["suggestions"] and name.value.extra["status"] == 404
    with pytest.raises(BadParameter, match="not known here") as word:
        client.flow(ra=1, dec=2, cz=3000, colour="red")
    assert "sigma_v" in word.value.extra["known"]
    with pytest.raises(UnknownName) as job:
        client.job(999_999)
    assert job.value.code == "unknown_job"


@pytest.mark.parametrize(("table", "options", "code"), [
    ("no/such/table.csv", {}, "no_file"), (__file__, {}, "unknown_format"), (7, {}, "not_a_table"),
    ({"ra": [1] * u.m, "dec": [2], "cz": [3000]}, {}, "bad_unit"), ({"ra": ["x"], "dec": [2], "cz": [3000]}, {}, "not_a_number"),
    ({"name": [1]}, {"columns": {"colour": "name"}}, "unknown_parameter"), (LISTS, {"prior": 3 * u.km}, "bad_unit")])
def test_what_cannot_be_sent_is_refused_before_it_is_sent(client: Client, table: object, options: dict, code: str) -> None:
    with pytest.raises(UsageError) as refused:
        client.submit(table, **options)
    assert refused.value.code == code


def test_waiting_has_an_end_that_is_not_the_end_of_the_job(client: Client) -> None:
    job = client.submit(many())
    begin = time.monotonic()
    with pytest.raises(DeadlineExceeded, match="it goes on") as late:
        job.wait(timeout=0.05)
    assert late.value.code == "wait_timeout" and time.monotonic() - begin < 2.0
    assert job.wait(progress=False, timeout=60).phase == "COMPLETED"


def test_a_cancelled_job_ends_the_waiting_and_is_not_taken_for_whole(client: Client) -> None:
    job = client.submit(many(), **SLOWLY)
    later = threading.Timer(0.2, job.cancel)
    later.start()
    assert job.wait(progress=False).phase == "ABORTED" and job.info["rows_done"] < MANY
    later.join()


def test_a_job_that_failed_raises_its_own_error(client: Client) -> None:
    with pytest.raises(DeadlineExceeded) as late:
        client.submit(many(), execution_duration=0.05, **SLOWLY).wait(progress=False)
    assert late.value.code == "deadline" and late.value.extra["job"]


def test_jobs_are_listed_over_pages_and_deleted_ones_are_gone(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = [client.submit(LISTS) for _ in range(5)]
    monkeypatch.setattr(client_calls, "PAGE", 2)
    assert [job.id for job in client.jobs(limit=5)] == [job.id for job in reversed(mine)]
    assert [job.id for job in client.jobs()][:5] == [job.id for job in reversed(mine)]
    mine[0].delete()
    mine[0].delete()
    with pytest.raises(UsageError) as gone:
        mine[0].status()
    assert gone.value.code == "job_gone"


def test_a_submission_whose_answer_is_lost_is_one_job(client: Client, desk: House) -> None:
    before = len(client.jobs())
    proxy = CuttingProxy(desk.port)
    try:
        with Client(url(proxy)) as cut:
            cut.flow("M 87")
            proxy.budgets.extend((0, 40))
            cut._http.close()
            cut._http = cut._httpx.Client(**cut._settings)
            job = cut.submit(LISTS)
        assert not proxy.budgets and len(proxy.answered) == 4
    finally:
        proxy.close()
    assert len(client.jobs()) == before + 1 and client.jobs(limit=1)[0].id == job.id


def test_waiting_goes_on_over_the_death_of_the_gateway(house_data: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    house = House(house_data, "--workers", "1", "--port", str(port), jobs=tmp_path / "kept")
    seen: list[dict] = []
    ends: list[object] = []
    with Client(url(house)) as client:
        job = client.submit(many(), hold=True)

        def wait() -> None:
            try:
                ends.append(job.wait(progress=seen.append).phase)
            except CosmicFlowsError as exc:
                ends.append(exc)
        waiting = threading.Thread(target=wait)
        waiting.start()
        while not seen:
            time.sleep(0.01)
        assert house.ask(f"/v1/jobs/{job.id}/run", method="POST").json["phase"] in ("QUEUED", "EXECUTING")
        house.process.send_signal(signal.SIGKILL)
        house.process.wait(10)
        assert seen[-1]["rows_done"] < MANY
        time.sleep(1.0)
        again = House(house_data, "--workers", "2", "--port", str(port), jobs=tmp_path / "kept")
        try:
            waiting.join(60)
            assert ends == ["COMPLETED"] and job.info["rows_done"] == MANY
        finally:
            again.stop()
        hurried = Client(url(house), patience=0.5)
        hurried._server.has_answered = True
        begin = time.monotonic()
        with hurried, pytest.raises(TransientError) as away:
            hurried.job(job.id)
        assert away.value.code == "server_unreachable" and time.monotonic() - begin < 2.0


def test_an_address_that_never_answered_is_given_up_soon() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    begin = time.monotonic()
    with Client(f"http://127.0.0.1:{port}") as client, pytest.raises(TransientError) as away:
        client.flow("M 87")
    assert away.value.code == "server_unreachable" and str(port) in str(away.value) and time.monotonic() - begin < 3.0


def test_retry_after_is_respected_and_not_waited_for_in_vain() -> None:
    wait = b'{"detail": "too many requests; available in 1 seconds", "code": "too_many_requests", "status": 429}'
    problem = {"Content-Type": "application/problem+json", "Retry-After": "1"}
    with saying((429, problem, wait), (503, {}, b"<html>"), (200, {}, b'{"median": 3}')) as server:
        begin = time.monotonic()
        with Client(server.url) as client:
            assert client.flow("M 87") == {"median": 3}
        assert time.monotonic() - begin >= 1.0 and len(server.heard) == 3
    with saying((429, {**problem, "Retry-After": "3600"}, wait)) as server, Client(server.url) as client:
        begin = time.monotonic()
        with pytest.raises(TransientError) as refused:
            client.flow("M 87")
        assert time.monotonic() - begin < 1.0 and len(server.heard) == 1
        assert refused.value.code == "too_many_requests" and refused.value.extra["retry_after_s"] == 3600.0


def test_pauses_grow_are_bounded_and_are_not_the_same_for_all() -> None:
    assert [pause_of(Reply(0), n, lambda: 1.0) for n in (1, 2, 3, 30)] == [0.25, 0.5, 1.0, 8.0]
    assert pause_of(Reply(0), 3, lambda: 0.0) == 0.5
    assert 7.0 <= pause_of(Reply(503, {"retry-after": "7"}), 1) <= 8.0
    soon = email.utils.formatdate(time.time() + 30, usegmt=True)
    assert 28.0 < (retry_after(soon) or 0) < 31.0 and retry_after("soon") is None and retry_after("-1") is None


@pytest.mark.parametrize(("answer", "word"), [
    ((200, {"Content-Type": "text/html"}, b"<html>"), "not as a Cosmic Flows server"), ((404, {}, b"<html>"), "answers 404"),
    ((301, {"Location": "https://other.example/"}, b""), "https://other.example/")])
def test_what_is_no_server_of_ours_is_named(answer: tuple[int, dict[str, str], bytes], word: str) -> None:
    with saying(answer) as server, Client(server.url, token="cf_secret") as client:
        with pytest.raises(UsageError, match=word) as refused:
            client.flow("M 87")
        assert refused.value.code == "not_our_server" and len(server.heard) == 1


def test_statuses_become_the_classes_of_the_error_tree() -> None:
    expected = {400: BadParameter, 401: UsageError, 404: UnknownName, 409: UsageError, 422: BadParameter, 429: TransientError,
                503: TransientError, 504: DeadlineExceeded}
    for status, kind in expected.items():
        body = json.dumps({"detail": "d", "code": "c", "hint": "h", "where": "w", "candidates": [1]}).encode()
        error = client_calls.refusal("u", Reply(status, {}, body))
        assert type(error) is kind and (error.code, error.hint, error.where) == ("c", "h", "w")
        assert error.extra == {"candidates": [1], "status": status} and not isinstance(error, Ambiguous)


def test_the_token_goes_to_its_own_server_only(monkeypatch: pytest.MonkeyPatch) -> None:
    with saying((200, {}, b'{"jobs": [], "after": null}')) as server:
        def shown(url: str | None = None, **who: str) -> str | None:
            with Client(url, **who) as client:
                assert client.jobs() == [] and "secret" not in repr(client)
            return server.heard[-1][2].get("authorization")
        monkeypatch.setenv("CF_TOKEN", "cf_secret")
        monkeypatch.delenv("CF_SERVER", raising=False)
        assert shown(server.url) == "Bearer cf_secret"
        monkeypatch.setenv("CF_SERVER", server.url + "/")
        assert shown() == "Bearer cf_secret"
        assert shown(token="cf_secret2") == "Bearer cf_secret2"
        assert shown(user="ann", password="secret") == "Basic YW5uOnNlY3JldA=="
        monkeypatch.setenv("CF_SERVER", "https://flows.example.org")
        assert shown(server.url) is None


@pytest.mark.parametrize(("url", "who"), [
    ("ftp://x", {}), ("127.0.0.1:5000", {}), ("http://ann:secret@h", {}), ("http://h?x=1", {}), ("http://h:0", {}),
    ("http://h", {"token": "cf_secret", "user": "ann"}), ("http://h", {"password": "secret"}),
    ("http://h", {"token": "cf_secret\n"})])
def test_a_wrong_address_or_login_is_refused_without_its_secret(url: str, who: dict[str, str]) -> None:
    with pytest.raises(BadParameter) as refused:
        Client(url, **who)
    assert "secret" not in str(refused.value)


def test_a_terminal_shows_a_bar_and_a_log_does_not(desk: House) -> None:
    code = (f"from cfcore.client import Client\nwith Client({url(desk)!r}) as c:\n    c.submit({LISTS!r}).wait()\n"
            .replace("nan", "None"))
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, 100))
    bare = {k: v for k, v in os.environ.items() if not k.startswith("CF_")}
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], stderr=slave, timeout=60, env=bare)
    os.close(slave)
    shown = os.read(master, 1 << 16).decode()
    os.close(master)
    assert done.returncode == 0 and "rows" in shown and "completed" in shown, shown
    quiet = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, timeout=60, env=bare)
    assert quiet.returncode == 0 and quiet.stderr == b""
