"""Rows an hour: whose they are, how they are counted and told, and what stands before a proxy."""

from __future__ import annotations

import json
import os
import random
import re
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from aiohttp.test_utils import make_mocked_request
from running import House, Reply

from cfcore.errors import BadParameter
from cfcore.settings import Settings, load
from gateway.accounts import Accounts
from gateway.addresses import Addresses, counted, plain
from gateway.buckets import Buckets, whole_seconds

QUESTION = "/get_flow_by_position?lon=10&lat=20&cz=3000"
HOUR, ANONYMOUS, JOB = 3_600_000, 36_000, 500
LIMITS = {"CF_ROWS_PER_HOUR": str(HOUR), "CF_ANONYMOUS_ROWS_PER_HOUR": str(ANONYMOUS), "CF_ANONYMOUS_JOB_ROWS": str(JOB),
          "CF_TRUSTED_PROXIES": "127.0.0.0/8, 10.1.0.0/16"}
TOLD = re.compile(r'"rows";r=(\d+);t=(\d+)')


class Left(NamedTuple):
    """What an answer tells of a budget."""

    rows: int
    seconds: int


def left(reply: Reply, size: int = ANONYMOUS) -> Left:
    """Return what is left, as the headers tell it."""
    assert reply.headers["ratelimit-policy"] == f'"rows";q={size};w=3600'
    found = TOLD.fullmatch(reply.headers["ratelimit"])
    assert found is not None
    return Left(int(found[1]), int(found[2]))


@pytest.fixture(scope="module")
def toll(house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Return a house with small limits that believes a proxy on this machine."""
    data = tmp_path_factory.mktemp("toll")
    for name in ("fields", "catalog"):
        (data / name).symlink_to(house.data / name)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in LIMITS.items():
            patch.setenv(name, value)
        running = House(data, "--workers", "1")
    yield running
    running.stop()


def ask(toll: House, client: str, path: str = QUESTION, body: object = None, **headers: str) -> Reply:
    """Ask as a client behind the proxy."""
    raw = None if body is None else json.dumps(body).encode()
    return toll.ask(path, method="GET" if raw is None else "POST", body=raw,
                    headers={"X-Forwarded-For": client, "Content-Type": "application/json", **headers})


def columns(n: int, **more: Any) -> dict[str, Any]:
    """Return a list of places."""
    return {"lon": [10.0] * n, "lat": [20.0] * n, "cz": [3000.0] * n, **more}


# ---- what is charged ---------------------------------------------------------------------------------------------

def test_a_question_costs_a_row_a_list_and_a_job_their_rows_and_a_name_nothing(toll: House) -> None:
    client, spent, begin = "203.0.113.1", 0, time.monotonic()

    def charged(reply: Reply, n: int) -> None:
        nonlocal spent
        spent += n
        told, filled = left(reply), (time.monotonic() - begin) * ANONYMOUS / 3600
        assert ANONYMOUS - spent <= told.rows <= min(ANONYMOUS, ANONYMOUS - spent + filled + 1), (n, told)
        assert told.seconds == pytest.approx((ANONYMOUS - told.rows) / 10, abs=1)
    charged(ask(toll, client, "/get_flow/hubble", columns(3000, grid=False)), 3000)
    charged(ask(toll, client), 1)
    charged(ask(toll, client, "/get_flow_galaxy?name=M%2081"), 1)
    charged(ask(toll, client, "/flow_query/get_distance_table?name=M%2081&n=5000"), 1)
    job = ask(toll, client, "/v1/jobs", columns(500))
    charged(job, 500)
    for path in ("/hint_byname?name=M", "/get_galaxy_detail?name=M81", "/get_coords?name=M81", job.json["url"], "/v1/jobs"):
        assert "ratelimit" not in ask(toll, client, path).headers
    charged(ask(toll, client), 1)


def test_a_preview_and_the_list_of_galaxies_cost_a_row_until_they_are_kept(toll: House) -> None:
    client = "203.0.113.11"
    field = next(f for f in ask(toll, client, "/v1/fields").json["fields"] if f["previews"])
    for path in ("/v1/galaxies?limit=4321", field["previews"]["64"]):
        first, again = ask(toll, client, path), ask(toll, client, path)
        assert (first.status, again.status) == (200, 200) and first.body == again.body
        assert "ratelimit" in first.headers and "ratelimit" not in again.headers


def test_what_is_refused_or_repeated_costs_nothing(toll: House) -> None:
    client = "203.0.113.2"
    for path in (QUESTION + "&nonsense=1", QUESTION + "&field=nowhere"):
        assert "ratelimit" not in ask(toll, client, path).headers
    body = columns(400)
    first = ask(toll, client, "/v1/jobs", body, **{"Idempotency-Key": "once"})
    again = ask(toll, client, "/v1/jobs", body, **{"Idempotency-Key": "once"})
    other = ask(toll, client, "/v1/jobs", columns(399), **{"Idempotency-Key": "once"})
    assert (first.status, again.status, other.status) == (202, 202, 409) and first.json["id"] == again.json["id"]
    assert left(ask(toll, client)).rows > ANONYMOUS - 402


def test_an_empty_budget_is_a_429_that_says_how_long_and_then_it_works(toll: House) -> None:
    client, n = "203.0.113.3", 10_000
    while (reply := ask(toll, client, "/get_flow/distance", columns(n, grid=False))).status == 200:
        n = max(20, min(10_000, left(reply).rows))
    seconds = int(reply.headers["retry-after"])
    assert (reply.status, reply.json["code"]) == (429, "too_many_requests") and 1 <= seconds <= 2
    assert f"available in {seconds} seconds" in reply.json["detail"] and "token" in reply.json["detail"]
    assert left(reply).rows < 20 and left(reply).seconds == pytest.approx(3600, abs=3)
    time.sleep(seconds)
    assert ask(toll, client, "/get_flow/distance", columns(n, grid=False)).status == 200


def test_one_client_s_empty_budget_is_nobody_else_s(toll: House) -> None:
    rng = random.Random(5)
    clients = [f"198.51.100.{k}" for k in range(1, 6)]
    spent = dict.fromkeys(clients, 0)
    for _ in range(40):
        client, n = rng.choice(clients), rng.randint(1, 30)
        spent[client] += n
        told = left(ask(toll, client, "/get_flow/distance", columns(n, grid=False))).rows
        assert ANONYMOUS - spent[client] <= told <= ANONYMOUS - n


def test_who_has_a_token_has_a_budget_of_its_own_and_larger_jobs(toll: House) -> None:
    scopes = frozenset({"read", "submit"})
    with Accounts(toll.data) as accounts:
        token, small = accounts.add_token(None, scopes)[1], accounts.add_token(None, scopes, rows_per_hour=100.0)[1]
    client, header = "203.0.113.4", {"Authorization": f"Bearer {token}"}
    refused = ask(toll, client, "/v1/jobs", columns(JOB + 1))
    assert (refused.status, refused.json["code"], refused.json["limit"]) == (413, "too_many_rows", JOB)
    assert "without a token" in refused.json["detail"] and "ratelimit" not in refused.headers
    table = ("ra,dec,cz\n" + "10,20,3000\n" * (JOB + 1)).encode()
    as_table = toll.ask("/v1/jobs", method="POST", body=table, headers={"Content-Type": "text/csv", "X-Forwarded-For": client})
    assert (as_table.status, as_table.json["limit"]) == (413, JOB) and "send a token" in as_table.json["detail"]
    assert ask(toll, client, "/v1/jobs", columns(JOB)).status == 202
    large = ask(toll, client, "/v1/jobs", columns(JOB + 1), **header)
    assert large.status == 202 and left(large, HOUR).rows == HOUR - JOB - 1
    assert left(ask(toll, "203.0.113.5", **header), HOUR).rows in range(HOUR - JOB - 2, HOUR)
    too_many = ask(toll, client, "/get_flow/distance", columns(101), Authorization=f"Token {small}")
    assert (too_many.status, too_many.json["code"]) == (413, "over_budget") and "100 rows an hour" in too_many.json["detail"]
    assert ask(toll, client, "/get_flow/distance", columns(100), Authorization=f"Token {small}").status == 200
    assert ask(toll, client, Authorization=f"Token {small}").json["code"] == "too_many_requests"


def test_this_machine_itself_has_the_limits_of_a_user_until_a_proxy_speaks(toll: House) -> None:
    assert left(toll.ask(QUESTION), HOUR).rows >= HOUR - 2 - JOB
    assert toll.post("/v1/jobs", columns(JOB + 1)).status == 202
    assert left(toll.ask(QUESTION, headers={"Forwarded": "for=192.0.2.60"})).rows == ANONYMOUS - 1
    assert toll.post("/v1/jobs", columns(JOB + 1), Forwarded="for=192.0.2.60").json["code"] == "too_many_rows"


# ---- whose it is -------------------------------------------------------------------------------------------------

def test_jobs_belong_to_the_client_before_the_proxy(toll: House) -> None:
    url = ask(toll, "203.0.113.6", "/v1/jobs", columns(2)).json["url"]
    assert ask(toll, "203.0.113.6", url).status == 200 == ask(toll, "8.8.8.8, 203.0.113.6, 10.1.2.3", url).status
    for other in ("203.0.113.7", "203.0.113.6, 203.0.113.7", "203.0.113.6, nonsense"):
        assert ask(toll, other, url).status == 404
    assert toll.ask(url).status == 404


@pytest.mark.parametrize(("peer", "told", "address"), [
    ("10.1.0.1", ["192.0.2.1"], "192.0.2.1"), ("10.1.0.1", ["192.0.2.9, 192.0.2.1"], "192.0.2.1"),
    ("10.1.0.1", ["192.0.2.9", "192.0.2.1"], "192.0.2.1"), ("10.1.0.1", ["192.0.2.1, 10.1.7.7"], "192.0.2.1"),
    ("10.1.0.1", ["10.1.7.8, 10.1.7.7"], "10.1.7.8"), ("10.1.0.1", [""], "10.1.0.1"), ("10.1.0.1", ["unknown"], "10.1.0.1"),
    ("10.1.0.1", ["192.0.2.1, "], "10.1.0.1"), ("10.1.0.1", ["192.0.2.1:4711"], "192.0.2.1"),
    ("10.1.0.1", ["[2001:DB8::1]:4711"], "2001:db8::1"), ("10.1.0.1", ["2001:db8:0::1"], "2001:db8::1"),
    ("10.1.0.1", ["::ffff:192.0.2.1"], "192.0.2.1"), ("::ffff:10.1.0.1", ["192.0.2.1"], "192.0.2.1"),
    ("10.2.0.1", ["192.0.2.1"], "10.2.0.1"), ("192.0.2.7", ["127.0.0.1"], "192.0.2.7"),
    ("10.1.0.1", [",".join(["10.1.0.2"] * 1000)], "10.1.0.2"), ("fe80::1%eth0", ["192.0.2.1"], "fe80::1")])
def test_of_what_proxies_tell_only_the_part_of_trusted_ones_is_believed(peer: str, told: list[str], address: str) -> None:
    addresses = Addresses(Settings(trusted_proxies="10.1.0.0/16", host="0.0.0.0"))
    request = make_mocked_request("GET", "/", headers=[("X-Forwarded-For", value) for value in told]).clone(remote=peer)
    assert addresses.of(request) == (address, False)


def test_a_subscriber_of_ipv6_is_one_however_many_addresses_there_are() -> None:
    assert counted("2001:db8:1:2::1") == counted("2001:db8:1:2:ffff::9") == "2001:db8:1:2::/64" != counted("2001:db8:1:3::1")
    assert counted("192.0.2.1") == "192.0.2.1" != counted("192.0.2.2")
    assert plain("2001:0DB8:0:0::0001") == "2001:db8::1" and plain("x" * 999) == "x" * 64


@pytest.mark.parametrize(("host", "is_near"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False),
                                               ("", False), ("192.0.2.1", False)])
def test_only_a_gateway_that_nobody_else_can_reach_trusts_its_machine(host: str, is_near: bool) -> None:
    request = make_mocked_request("GET", "/").clone(remote="127.0.0.1")
    assert Addresses(Settings(host=host)).of(request) == ("127.0.0.1", is_near)


@pytest.mark.parametrize(("key", "value"), [
    ("trusted_proxies", "10.0.0.0/33"), ("trusted_proxies", "proxy.example.org"), ("rows_per_hour", "0"),
    ("rows_per_hour", "nan"), ("anonymous_rows_per_hour", "-1"), ("anonymous_rows_per_hour", "many"), ("anonymous_job_rows", "0"),
    ("anonymous_job_rows", "1e3")])
def test_a_limit_that_is_none_stops_the_start(key: str, value: str) -> None:
    with pytest.raises(BadParameter, match=key):
        load(environ={f"CF_{key.upper()}": value})


# ---- the bucket --------------------------------------------------------------------------------------------------

def test_however_it_is_taken_no_more_leaves_a_bucket_than_it_held_and_got() -> None:
    rng, now, taken, waits = random.Random(17), 0.0, 0.0, 0
    buckets = Buckets(clock=lambda: now)
    for _ in range(5000):
        now += rng.expovariate(2.0)
        amount = rng.uniform(0.1, 60.0)
        level, wait = buckets.take("one", amount, 100.0, 50.0)
        assert -1e-9 <= level <= 100.0
        if wait:
            # so long it has to wait, and not much less
            assert wait == pytest.approx((amount - level) / 2.0)
            waits += 1
            now += wait - min(wait, 1e-3)
            assert buckets.take("one", amount, 100.0, 50.0)[1] > 0.0 or wait <= 1e-3
            now += 2e-3
            assert buckets.take("one", amount, 100.0, 50.0)[1] == 0.0 or wait <= 1e-3
        taken += amount
        assert taken <= 100.0 + 2.0 * now + 0.1
    assert waits > 500


def test_buckets_are_bounded_in_number_and_a_new_size_keeps_what_was_used() -> None:
    now = 0.0
    buckets = Buckets(10, clock=lambda: now)
    for k in range(1000):
        buckets.take(str(k), 1.0, 10.0, 1.0)
    assert len(buckets) == 10
    assert buckets.take("a", 8.0, 10.0, 1.0) == (2.0, 0.0) and buckets.take("a", 0.0, 30.0, 1.0) == (22.0, 0.0)
    assert buckets.take("a", 0.0, 5.0, 1.0) == (0.0, 0.0)
    buckets.give_back("a", 99.0)
    assert buckets.take("a", 0.0, 5.0, 1.0) == (5.0, 0.0)
    buckets.give_back("unknown", 99.0)
    assert [whole_seconds(w) for w in (1e-9, 1.0, 1.2)] == [1, 1, 2]


def test_the_fast_path_of_an_anonymous_question_stays_cheap() -> None:
    buckets, keys = Buckets(), [f"address:{k}" for k in range(1000)]
    n, best = 20_000, 1.0
    for _ in range(5):
        begin = time.perf_counter()
        for k in range(n):
            buckets.take(keys[k % 1000], 1.0, 2e5, 3600.0)
        best = min(best, (time.perf_counter() - begin) / n)
    print(f"{best * 1e6:.2f} us a charge")
    # a request has some 300 us of a core: a hundredth of it, with room for a slow machine
    assert best < 20e-6 or os.environ.get("CF_SANITIZE")
