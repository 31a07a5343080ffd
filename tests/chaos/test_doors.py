"""A million rows through the door of tables, and fifty users at all doors while the gateway is killed."""

from __future__ import annotations

import asyncio
import base64
import csv
import http.client
import io
import os
import re
import struct
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import numpy as np
import orjson
import pytest
from astropy.io import fits
from chaos.processes import Ward, wait_for
from chaos.town import Town
from tls_receiver import Authority, Receiver

from cfcore import distances
from cfcore.client import AsyncClient
from cfcore.registry import Registry
from gateway import passwords
from gateway.accounts import Accounts

FIELD = "ongc-linear"
SCOPES = frozenset(("read", "submit"))
ENDED = ("COMPLETED", "ERROR", "ABORTED")
PASSWORD = "a galaxy far away"


class Galaxies:
    """Numbered galaxies, no two alike, and what `cfcore` says of them."""

    def __init__(self, n: int, rng: Random, data: Path) -> None:
        lots = np.random.default_rng(rng.randrange(2**32))
        self.n = n
        self.ra = lots.uniform(0, 360, n).round(5)
        self.dec = np.degrees(np.arcsin(lots.uniform(-1, 1, n))).round(5)
        self.cz, self.e_cz = lots.uniform(300, 9000, n).round(1), lots.uniform(5, 120, n).round(1)
        self._field = Registry(data).open(FIELD)

    def csv(self, start: int = 0, stop: int | None = None) -> bytes:
        """Return some of them as a table."""
        some = range(self.n)[start:stop]
        at = slice(some.start, some.stop)
        rows = zip(some, *(a[at].tolist() for a in (self.ra, self.dec, self.cz, self.e_cz)))
        return ("name,ra,dec,cz,e_cz\n" + "".join(f"G{i},{a},{d},{v},{e}\n" for i, a, d, v, e in rows)).encode()

    def lists(self, start: int, stop: int) -> dict[str, Any]:
        """Return some of them as the body of a job."""
        return {"ra": self.ra[start:stop].tolist(), "dec": self.dec[start:stop].tolist(), "cz": self.cz[start:stop].tolist(),
                "sigma_cz": self.e_cz[start:stop].tolist(), "field": FIELD, "cz_frame": "hel"}

    def mean(self, at: Sequence[int] | slice) -> np.ndarray:
        """Return the mean distances of some of them, Mpc; NaN where there is none."""
        found = distances.solve(self._field, self.ra[at], self.dec[at], self.cz[at], sigma_cz=self.e_cz[at], frame="icrs",
                                cz_frame="hel")
        return found.column("distance.mean")

    def are(self, names: Sequence[str], means: Sequence[float] | np.ndarray, start: int = 0) -> bool:
        """Tell whether rows are these galaxies in order, every one of them, and one in 500 has the right distance."""
        some = slice(start, start + len(names), 500)
        return list(names) == [f"G{i}" for i in range(start, start + len(names))] and np.allclose(
            np.asarray(means, float)[::500], self.mean(some), rtol=0, atol=1e-4, equal_nan=True)


class Users:
    """Accounts of a data folder, with a token each."""

    def __init__(self, data: Path, n: int, run: str) -> None:
        kept = passwords.hashed(PASSWORD)
        with Accounts(data) as accounts:
            self.names = [f"{run}-{k}" for k in range(n)]
            self.tokens = [accounts.add_token(accounts.add_user(name, kept, SCOPES), SCOPES)[1] for name in self.names]

    def header(self, k: int) -> dict[str, str]:
        """Return what the requests of a user carry."""
        return {"Authorization": f"Bearer {self.tokens[k]}"}


def peak_mb(pid: int) -> float:
    """Return the largest memory a process ever had."""
    return int(re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[0]) / 1024


def cpu_s(pid: int) -> float:
    """Return the processor seconds of a process and of its children that have ended."""
    return sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15])) / os.sysconf("SC_CLK_TCK")


def uploaded(town: Town, path: Path, header: dict[str, str]) -> dict[str, Any]:
    """Send a file as a job; return it."""
    connection = http.client.HTTPConnection("127.0.0.1", town.port, timeout=60, blocksize=1 << 17)
    with path.open("rb") as body:
        connection.request("POST", f"/v1/jobs?field={FIELD}&cz_frame=hel", body,
                           {"Content-Type": "text/csv", "Content-Length": str(path.stat().st_size), **header})
        answer = connection.getresponse()
        made: dict[str, Any] = orjson.loads(answer.read())
    connection.close()
    assert answer.status == 202 and made["rows_total"] > 0, made
    return made


def downloaded(town: Town, job: int, name: str, header: dict[str, str], place: Path) -> float:
    """Save a result; return the seconds it took."""
    began = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", town.port, timeout=110)
    connection.request("GET", f"/v1/jobs/{job}/results/{name}", headers=header)
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    with place.open("wb") as out:
        while piece := answer.read(1 << 20):
            out.write(piece)
    connection.close()
    return time.monotonic() - began


def csv_rows(path: Path) -> tuple[list[str], list[float]]:
    """Return names and mean distances of a CSV."""
    with path.open(newline="") as text:
        rows = csv.reader(line for line in text if not line.startswith("#"))
        head = next(rows)
        name, mean = head.index("name"), head.index("distance_mean")
        picked = [(row[name], float(row[mean] or "nan")) for row in rows]
    return [p[0] for p in picked], [p[1] for p in picked]


def votable_rows(path: Path) -> tuple[list[str], list[float]]:
    """Return names and mean distances of a VOTable in BINARY2, read by hand: the usual reader takes a minute for them."""
    head, _, rest = path.read_bytes().partition(b'<STREAM encoding="base64">')
    kinds = re.findall(rb'<FIELD [^>]*datatype="(\w+)"', head)
    called = [text.decode() for text in re.findall(rb'<FIELD [^>]* name="(\w+)"', head)]
    raw = base64.b64decode(rest[:rest.index(b"</STREAM>")])
    flags, mean = -(-len(kinds) // 8), called.index("distance_mean")
    assert called[0] == "name" and set(kinds[1:mean + 1]) == {b"double"}
    after = sum({b"double": 8, b"int": 4, b"unicodeChar": 0}[kind] for kind in kinds)
    texts = kinds[1:].count(b"unicodeChar")
    assert texts == sum(kind == b"unicodeChar" for kind in kinds[-texts:]), "the texts stand at the end"
    names, means, at = [], [], 0
    while at < len(raw):
        at += flags
        n, = struct.unpack_from(">I", raw, at)
        names.append(raw[at + 4:at + 4 + 2 * n].decode("utf-16-be"))
        at += 4 + 2 * n
        means.append(struct.unpack_from(">d", raw, at + 8 * (mean - 1))[0])
        at += after
        for _ in range(texts):
            at += 4 + 2 * struct.unpack_from(">I", raw, at)[0]
    return names, means


@pytest.mark.timeout(240)
def test_a_million_rows_come_in_quickly_and_go_out_in_order(ward: Ward, rng: Random, chaos_data: Path,
                                                            say: Callable[[str], None]) -> None:
    town = Town(ward, rng, chaos_data, with_catalog=False)
    town.crew.hire(2)
    users = Users(chaos_data, 2, "million")
    million, n = Galaxies(10**6, rng, chaos_data), 10**6
    table = ward.folder / "million.csv"
    table.write_bytes(million.csv())
    town.until_working()
    mine, other = users.header(0), users.header(1)
    pid = town.gateway.pid

    def accepted() -> tuple[int, float, float]:
        began, spent = time.monotonic(), cpu_s(pid)
        job = uploaded(town, table, mine)
        return job["id"], time.monotonic() - began, cpu_s(pid) - spent

    first, wall_s, spent_s = accepted()
    # the reader is ours alone, the processors are not: what it spends is what it takes where nobody else is
    assert spent_s < 3.0 and wall_s < 12.0, (wall_s, spent_s)
    began = time.monotonic()
    few = town.ask("/v1/jobs", million.lists(0, 10), **other).json["id"]
    while town.ask(f"/v1/jobs/{few}", **other).json["phase"] != "COMPLETED":
        time.sleep(0.01)
    few_s = time.monotonic() - began
    before = town.ask(f"/v1/jobs/{first}", **mine).json
    assert few_s < 2.0 and before["phase"] == "EXECUTING", (few_s, before)
    seen = watched(town, first, mine, lambda job: job["phase"] in ENDED)
    run_s = time.monotonic() - began
    assert seen[-1]["phase"] == "COMPLETED" and seen[-1]["rows_done"] == n
    done = [job["rows_done"] for job in seen]
    assert done == sorted(done) and len(set(done)) >= 10, done
    half = accepted()[0]
    watched(town, half, mine, lambda job: job["rows_done"] >= n // 2)
    kept = town.ask(f"/v1/jobs/{half}/cancel", method="POST", **mine).json
    assert kept["phase"] == "ABORTED" and n // 2 <= kept["rows_done"] < n
    with ThreadPoolExecutor(3) as pool:
        fetched = {name: pool.submit(downloaded, town, job, name, mine, ward.folder / name)
                   for job, name in ((first, "result.csv"), (half, "result.fits"), (half, "result.vot"))}
        took = {name: future.result() for name, future in fetched.items()}
    names, means = csv_rows(ward.folder / "result.csv")
    assert len(names) == n and million.are(names, means)
    parts = town.ask(f"/v1/jobs/{half}/result", **mine, Accept="application/msgpack").msgpack["rows"]
    rows = [k for a, b in parts for k in range(a, b)]
    assert len(rows) == kept["rows_done"] and rows == sorted(rows)
    want = [f"G{k}" for k in rows]
    with fits.open(ward.folder / "result.fits", memmap=True) as hdus:
        assert hdus[1].data["name"].tolist() == want
        means = hdus[1].data["distance_mean"][::500]
        assert np.allclose(means, million.mean(rows[::500]), rtol=0, atol=1e-4, equal_nan=True)
    names, means = votable_rows(ward.folder / "result.vot")
    assert names == want and np.allclose(means[::500], million.mean(rows[::500]), rtol=0, atol=1e-4, equal_nan=True)
    peak = peak_mb(pid)
    assert peak < 300, peak
    sizes = ", ".join(f"{name} {(ward.folder / name).stat().st_size / 1e6:.0f} MB in {s:.1f} s" for name, s in took.items())
    say(f"{table.stat().st_size / 1e6:.0f} MB accepted in {wall_s:.2f} s ({spent_s:.2f} s of a processor), done in {run_s:.1f} "
        f"s, {len(set(done))} counts seen; 10 rows of another user behind them {few_s:.2f} s; cancelled at {kept['rows_done']}; "
        f"{sizes}; gateway at most {peak:.0f} MB")


def watched(town: Town, job: int, header: dict[str, str], until: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
    """Look at a job until something is true of it; return what was seen."""
    seen: list[dict[str, Any]] = []

    def is_so() -> bool:
        seen.append(town.ask(f"/v1/jobs/{job}", **header).json)
        return until(seen[-1])
    wait_for(is_so, 90, f"job {job}", 0.05)
    return seen


class Crowd:
    """Clients of all doors at once, each of which goes on when its connection is cut or it is told to come again.

    Attributes
    ----------
    accepted : dict
        User -> the ids of its jobs, as they were answered.
    back : list
        Queue positions that rose: (job, before, after).
    """

    def __init__(self, town: Town, users: Users, galaxies: Galaxies) -> None:
        self.town, self.users, self.galaxies = town, users, galaxies
        self.url = f"http://127.0.0.1:{town.port}"
        self.accepted: dict[int, list[int]] = {}
        self.back: list[tuple[int, int, int]] = []
        self.told: dict[int, int] = {}
        self.again: Counter[str] = Counter()
        self.done: Counter[str] = Counter()
        self.session: aiohttp.ClientSession

    async def ask(self, k: int, method: str, path: str, *expected: int, **how: Any) -> tuple[Any, bytes]:
        """Send a request of user k until it is answered as expected."""
        headers = {name: value for name, value in {**self.users.header(k), **how.pop("headers", {})}.items() if value}
        file = how.pop("file", None)
        while True:
            try:
                if file is not None:
                    how["data"] = file.open("rb")
                async with self.session.request(method, self.url + path, headers=headers, allow_redirects=False, **how) as reply:
                    raw = await reply.read()
                    if reply.status in expected:
                        return reply, raw
                    assert reply.status in (429, 503) and "Retry-After" in reply.headers, (path, reply.status, raw[:300])
                    self.again[str(reply.status)] += 1
            except (aiohttp.ClientError, TimeoutError) as error:
                self.again[type(error).__name__] += 1
            await asyncio.sleep(0.25)

    async def submitted(self, k: int, key: str, path: str = "/v1/jobs", *, media: str = "application/json",
                        data: bytes | Path) -> int:
        """Submit a job under a key of its own; return its id."""
        body = {"file": data} if isinstance(data, Path) else {"data": data}
        _, raw = await self.ask(k, "POST", path, 202, **body, headers={"Content-Type": media, "Idempotency-Key": key})
        job = int(orjson.loads(raw)["id"])
        self.accepted.setdefault(k, []).append(job)
        return job

    async def look(self, k: int, job: int) -> dict[str, Any]:
        """Look at a job; note when it was moved back."""
        seen: dict[str, Any] = orjson.loads((await self.ask(k, "GET", f"/v1/jobs/{job}", 200))[1])
        place, before = seen["queuepos"], self.told.get(job)
        if place is not None:
            if before is not None and place > before:
                self.back.append((job, before, place))
            self.told[job] = place
        return seen

    async def ended(self, k: int, job: int) -> None:
        """Poll until a job has ended, as it should."""
        while (seen := await self.look(k, job))["phase"] not in ENDED:
            await asyncio.sleep(0.05)
        assert seen["phase"] == "COMPLETED" and seen["rows_done"] == seen["rows_total"], seen

    async def right(self, k: int, job: int, start: int, stop: int) -> None:
        """Compare a result with what `cfcore` says."""
        raw = (await self.ask(k, "GET", f"/v1/jobs/{job}/result", 200))[1]
        found = np.array(orjson.loads(raw)["columns"]["mean"], float)
        assert np.array_equal(found, self.galaxies.mean(slice(start, stop)), equal_nan=True)

    # The doors

    async def lists(self, k: int, rows: int, start: int) -> None:
        """Three jobs at once: a list, one that is held until its owner has it run, and a third or, now and then, a table."""
        ways = [start + i * rows for i in range(3)]
        # a table is read by a process of its own, which takes most of a second to begin
        some = self.submitted(k, f"{k}-list-2", data=orjson.dumps(self.galaxies.lists(ways[1], ways[1] + rows))) if k % 5 else \
            self.submitted(k, f"{k}-table", f"/v1/jobs?field={FIELD}&cz_frame=hel", media="text/csv",
                           data=self.galaxies.csv(ways[1], ways[1] + rows))
        jobs = await asyncio.gather(
            self.submitted(k, f"{k}-list", data=orjson.dumps(self.galaxies.lists(ways[0], ways[0] + rows))), some,
            self.submitted(k, f"{k}-held", data=orjson.dumps({**self.galaxies.lists(ways[2], ways[2] + rows), "hold": True})))
        await asyncio.sleep(0.5)
        assert (await self.look(k, jobs[2]))["phase"] == "PENDING"
        await self.ask(k, "POST", f"/v1/jobs/{jobs[2]}/run", 200)
        await asyncio.gather(*(self.ended(k, job) for job in jobs))
        for job, first in zip(jobs, ways):
            await self.right(k, job, first, first + rows)
        self.done["jobs"] += 3

    async def events(self, k: int, rows: int, start: int) -> None:
        """A client of Server-Sent Events, which comes back with the number of the last one."""
        job = await self.submitted(k, f"{k}-events", data=orjson.dumps(self.galaxies.lists(start, start + rows)))
        last, counts, name = "", [0], ""
        while name != "end":
            try:
                async with self.session.get(f"{self.url}/v1/jobs/{job}/events", headers={
                        **self.users.header(k), **({"Last-Event-ID": last} if last else {})}) as stream:
                    assert stream.status in (200, 503), stream.status
                    async for line in stream.content:
                        word, _, value = line.decode().rstrip("\n").partition(": ")
                        if word == "event":
                            name = value
                        elif word == "id":
                            last = value
                        elif word == "data" and name == "job":
                            counts.append(orjson.loads(value)["rows_done"])
            except (aiohttp.ClientError, TimeoutError) as error:
                self.again[type(error).__name__] += 1
            if name != "end":
                await asyncio.sleep(0.1)
        assert counts == sorted(counts) and counts[-1] == rows, counts
        await self.right(k, job, start, start + rows)
        self.done["events"] += 1

    async def python(self, k: int, rows: int, start: int, client: AsyncClient) -> None:
        """The Python client, which has spoken with the gateway before: a table in, a table out."""
        some = slice(start, start + rows)
        g = self.galaxies
        columns = {"ra": g.ra[some], "dec": g.dec[some], "cz": g.cz[some], "e_cz": g.e_cz[some]}
        job = await client.submit(columns, field=FIELD, cz_frame="hel")
        self.accepted.setdefault(k, []).append(job.id)
        table = await (await job.wait(False)).result()
        assert np.allclose(table["distance_mean"].to_value("Mpc"), g.mean(some), rtol=0, atol=1e-4, equal_nan=True)
        self.done["client"] += 1

    async def queue(self, k: int) -> None:
        """A script of the ATLAS shape: token, a list of 100 lines, poll, table, delete."""
        login = {"username": self.users.names[k], "password": PASSWORD}
        token = orjson.loads((await self.ask(k, "POST", "/api-token-auth/", 200, data=login, headers={"Authorization": ""}))[1])
        header = {"Authorization": f"Token {token['token']}"}
        lines = "\n".join(f"{a},{d},{v}" for a, d, v in zip(*(c[:100].tolist() for c in (
            self.galaxies.ra, self.galaxies.dec, self.galaxies.cz))))
        tasks = orjson.loads((await self.ask(k, "POST", "/queue/", 201, data={"radeclist": lines, "n": "20"}, headers=header))[1])
        places: dict[str, int] = {}
        for task in tasks:
            while not task["finishtimestamp"]:
                task = orjson.loads((await self.ask(k, "GET", urlsplit(task["url"]).path, 200, headers=header))[1])
                place, before = task["queuepos"], places.get(task["url"])
                if place is not None:
                    if before is not None and place > before:
                        self.back.append((task["id"], before, place))
                    places[task["url"]] = place
            text = (await self.ask(k, "GET", urlsplit(task["result_url"]).path, 200, headers=header))[1].decode()
            head, *rows = [line.split() for line in text.removeprefix("###").splitlines()]
            assert task["error_msg"] is None and len(rows) == 20 and {len(row) for row in rows} == {len(head)}
        # the first may have been deleted by a request whose answer was cut off
        for task in tasks[:10]:
            await self.ask(k, "DELETE", urlsplit(task["url"]).path, 204, 404, headers=header)
        self.done["queue"] += 1

    async def uws(self, k: int, rows: int, start: int) -> None:
        """A client of UWS that waits for the phases one after the other."""
        body = self.galaxies.lists(start, start + rows)
        form = {"RA": body["ra"], "DEC": body["dec"], "CZ": body["cz"], "SIGMA_CZ": body["sigma_cz"]}
        words = {name: " ".join(map(str, values)) for name, values in form.items()}
        made, _ = await self.ask(k, "POST", "/uws/flow", 303, data={**words, "FIELD": FIELD, "CZ_FRAME": "hel", "PHASE": "RUN",
                                                                    "RESPONSEFORMAT": "csv"})
        path = urlsplit(made.headers["Location"]).path
        job = int(path.rpartition("/")[2])
        phase = "QUEUED"
        while phase in ("QUEUED", "EXECUTING"):
            text = (await self.ask(k, "GET", f"{path}?WAIT=30&PHASE={phase}", 200))[1].decode()
            phase = re.findall(r"<(?:\w+:)?phase>(\w+)<", text)[0]
        assert phase == "COMPLETED"
        raw = (await self.ask(k, "GET", f"{path}/results/result", 200))[1].decode()
        table = list(csv.DictReader(line for line in io.StringIO(raw) if not line.startswith("#")))
        assert np.allclose([float(row["distance_mean"] or "nan") for row in table], self.galaxies.mean(
            slice(start, start + rows)), rtol=0, atol=1e-4, equal_nan=True)
        self.accepted.setdefault(k, []).append(job)
        self.done["uws"] += 1

    async def kept(self, k: int, rows: int, start: int, is_killed: asyncio.Event) -> None:
        """A table that was sent to be looked at before the kill, and is asked after it."""
        table = self.galaxies.csv(start, start + rows)
        _, raw = await self.ask(k, "POST", "/v1/tables", 200, data=table,
                                headers={"Content-Type": "text/csv"})
        upload = orjson.loads(raw)["table"]
        await is_killed.wait()
        job = await self.submitted(k, f"{k}-kept", data=orjson.dumps({"table": upload, "field": FIELD, "cz_frame": "hel"}))
        await self.ended(k, job)
        await self.right(k, job, start, start + rows)
        self.done["kept tables"] += 1

    async def called(self, k: int, rows: int, start: int, receiver: Receiver) -> None:
        """Two jobs whose ends are told to a webhook."""
        body = {**self.galaxies.lists(start, start + rows), "callback": receiver.url("localhost")}
        jobs = [await self.submitted(k, f"{k}-call-{i}", data=orjson.dumps({**body, "run_id": str(i)})) for i in range(2)]
        told: set[int] = set()
        while told != set(jobs):
            told = {orjson.loads(call.body)["data"]["job"] for call in receiver.calls}
            assert told <= set(jobs)
            await asyncio.sleep(0.05)
        # nothing is told before it is on disk
        assert {(await self.look(k, job))["phase"] for job in jobs} == {"COMPLETED"}
        self.done["calls"] += 2


@pytest.mark.timeout(150)
def test_fifty_users_at_all_doors_go_on_when_the_gateway_is_killed(ward: Ward, rng: Random, chaos_data: Path,
                                                                   say: Callable[[str], None]) -> None:
    authority = Authority(ward.folder)
    town = Town(ward, rng, chaos_data, with_catalog=False, CF_CALLBACK_HOSTS="localhost", SSL_CERT_FILE=str(authority.file))
    town.crew.hire(2)
    users, rows, heavy = Users(chaos_data, 50, "crowd"), 1000, 100_000
    plain = range(7, 50)
    galaxies, table = Galaxies(heavy + 3 * rows * 50, rng, chaos_data), ward.folder / "heavy.csv"
    table.write_bytes(galaxies.csv(0, heavy))
    town.until_working()
    crowd, back = Crowd(town, users, galaxies), []

    async def killed(begun: asyncio.Task[Any]) -> None:
        """Kill the gateway while some still submit, and again while all work is under way."""
        for share in (0.5, 1.0):
            while sum(map(len, crowd.accepted.values())) < share * 3 * len(plain) and not begun.done():
                await asyncio.sleep(0.01)
            await asyncio.to_thread(town.kill)
            await asyncio.to_thread(wait_for, lambda: town.status("/v1/jobs?limit=1") == 200, 30, "the gateway is back")
            back.append(time.monotonic() - town.deaths[-1])

    async def all_of_them(receiver: Receiver) -> float:
        is_killed, doors = asyncio.Event(), [heavy + 3 * rows * k for k in range(50)]
        async with aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=60), connector=aiohttp.TCPConnector(limit=0)) as crowd.session, AsyncClient(
                crowd.url, token=users.tokens[2]) as client:
            assert await client.jobs() == []
            first = asyncio.create_task(crowd.ended(0, await crowd.submitted(
                0, "heavy", f"/v1/jobs?field={FIELD}&cz_frame=hel", media="text/csv", data=table)))
            works: list[Coroutine[Any, Any, None]] = [
                crowd.events(1, rows, doors[1]), crowd.python(2, rows, doors[2], client), crowd.queue(3),
                crowd.uws(4, rows, doors[4]),
                crowd.kept(5, rows, doors[5], is_killed), crowd.called(6, rows, doors[6], receiver),
                *(crowd.lists(k, rows, doors[k]) for k in plain)]
            began = time.monotonic()
            everybody = asyncio.gather(first, *works)
            await killed(asyncio.ensure_future(everybody))
            is_killed.set()
            await everybody
            took = time.monotonic() - began
            for k, jobs in crowd.accepted.items():
                listed = orjson.loads((await crowd.ask(k, "GET", "/v1/jobs?limit=1000", 200))[1])["jobs"]
                assert sorted(job["id"] for job in listed) == sorted(jobs), k
                assert {job["phase"] for job in listed} == {"COMPLETED"}
            return took

    with Receiver(authority.server("localhost")) as receiver:
        took = asyncio.run(all_of_them(receiver))
    assert not crowd.back, crowd.back[:10]
    assert len(town.deaths) == 2
    assert crowd.done == {"jobs": 3 * len(plain), "events": 1, "client": 1, "queue": 1, "uws": 1, "kept tables": 1, "calls": 2}
    say(f"50 users, {sum(map(len, crowd.accepted.values()))} jobs and 100 tasks, gateway killed twice (back after "
        f"{', '.join(f'{s:.2f}' for s in back)} s), 0 lost, 0 of {len(crowd.told)} positions moved back, all in {took:.1f} "
        f"s; tried again {dict(crowd.again)}")
