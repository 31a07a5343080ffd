"""What the service says of itself: /metrics, /v1/stats, the workers, and the dashboard that is drawn from them."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from timeit import repeat

import pytest
from prometheus_client.parser import text_string_to_metric_families
from running import House, is_running

from gateway import meters
from gateway.meters import Meters

ROOT = Path(__file__).resolve().parents[2]
DASHBOARD = ROOT / "deploy" / "grafana" / "cosmicflows.json"
TOKEN = "an operator's token, 32 bytes and more"
OPERATOR = {"Authorization": f"Bearer {TOKEN}"}
BODY = {"lon": [10.0, 200.0], "lat": [1.0, -40.0], "cz": [3000.0, 4000.0]}
# DESIGN of the product: these names are a promise to those who have drawn dashboards and alerts from them
PROMISED = {"cf_http_requests_total", "cf_http_request_seconds", "cf_jobs", "cf_job_queue_seconds", "cf_job_run_seconds",
            "cf_rows_total", "cf_requeues_total", "cf_quarantined_total", "cf_duplicate_results_total",
            "cf_result_mismatch_total", "cf_workers", "cf_heartbeat_lag_seconds", "cf_commit_seconds", "cf_backlog_seconds",
            "cf_bad_messages_total", "cf_loop_lag_seconds", "cf_build_info"}
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture(scope="module")
def watched(house_data: Path) -> Iterator[House]:
    """Return a house with two workers and an operator; tests of this file may kill its workers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CF_ADMIN_TOKEN_SHA256", sha256(TOKEN.encode()).hexdigest())
        running = House(house_data, "--workers", "2")
    yield running
    running.stop()


def scrape(house: House) -> Samples:
    """Return every sample of /metrics by name and labels."""
    reply = house.ask("/metrics")
    assert reply.status == 200 and reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {(s.name, frozenset(s.labels.items())): s.value
            for family in text_string_to_metric_families(reply.body.decode()) for s in family.samples}


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples.get((name, frozenset(labels.items())), 0.0)


def until(condition: Callable[[], object], timeout_s: float = 15.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def test_every_promised_name_is_there_with_help_and_type(watched: House) -> None:
    text = watched.ask("/metrics").body.decode()
    for name in PROMISED:
        assert f"# HELP {name} " in text and f"# TYPE {name} " in text, name


def test_requests_and_rows_are_counted_once_by_pattern_and_status(watched: House) -> None:
    before = scrape(watched)
    assert watched.post("/get_flow/hubble", BODY).status == 200
    assert [watched.ask(f"/get_flow_by_position?ra=10&dec={dec}&cz=3000").status for dec in (1, 2, 100)] == [200, 200, 422]
    assert watched.ask("/nowhere/at/all").status == 404 and watched.ask("/livez", method="DELETE").status == 405
    after = scrape(watched)

    def grown(name: str, **labels: str) -> float:
        return value(after, name, **labels) - value(before, name, **labels)
    assert grown("cf_http_requests_total", route="/get_flow/{flow_type}", code="200") == 1
    assert grown("cf_http_requests_total", route="/get_flow_by_position", code="200") == 2
    assert grown("cf_http_requests_total", route="/get_flow_by_position", code="422") == 1
    assert grown("cf_http_request_seconds_count", route="/get_flow_by_position") == 3
    assert grown("cf_http_requests_total", route="other", code="404") == 1
    assert grown("cf_http_requests_total", route="other", code="405") == 1
    # that the declination of 100 is none is found by the worker: it, too, is a row and a job
    assert grown("cf_rows_total", product="posterior", field="ongc-linear") == 5
    assert grown("cf_jobs_ended_total", state="done") == grown("cf_job_run_seconds_count", **{"class": "interactive"}) == 4
    assert 0 < grown("cf_http_request_seconds_sum", route="/get_flow_by_position") < 60


def test_histograms_hold_together(watched: House) -> None:
    samples = scrape(watched)
    buckets: dict[tuple[str, frozenset], list[tuple[float, float]]] = {}
    for (name, labels), count in samples.items():
        if name.endswith("_bucket"):
            end = dict(labels)["le"]
            buckets.setdefault((name, labels - {("le", end)}), []).append((float(end), count))
    assert len(buckets) >= 6
    for (name, labels), found in buckets.items():
        counts = [count for _, count in sorted(found)]
        assert counts == sorted(counts) and counts[-1] == samples[name.replace("_bucket", "_count"), labels], (name, labels)
    assert value(samples, "cf_loop_lag_seconds_count") > 0


def test_nothing_that_a_client_wrote_is_in_the_metrics(watched: House) -> None:
    watched.ask("/hint_byname?name=Zwicklwicht")
    watched.ask("/zwicklpath/secret")
    watched.ask("/livez", method="ZWICKL")
    watched.post("/get_flow/zwickl", BODY)
    text = watched.ask("/metrics", headers={"X-Request-Id": "zwickl"}).body.decode().lower()
    assert "zwickl" not in text and "127.0.0.1" not in text and str(ROOT) not in text and "/tmp" not in text


def test_stats_and_metrics_tell_the_same(watched: House) -> None:
    until(lambda: watched.ask("/v1/stats").json["workers_by_state"]["ready"] == 2)
    time.sleep(0.3)
    stats, samples = watched.ask("/v1/stats").json, scrape(watched)
    assert stats["workers"] == value(samples, "cf_workers", state="ready") == 2
    assert stats["slots"] == value(samples, "cf_slots") >= 2 and stats["busy"] == value(samples, "cf_slots_busy") == 0
    assert stats["backlog_seconds"] == value(samples, "cf_backlog_seconds") == 0.0 and stats["backlog_is_measured"] is True
    assert stats["quarantined"] == value(samples, "cf_quarantined_total") == 0
    assert stats["version"] and set(stats["worker_versions"].values()) == {2}
    assert set(stats["fields"]["ongc-linear"].values()) == {2}


def test_stats_name_nobody_and_stay_cheap(watched: House) -> None:
    text = watched.ask("/v1/stats").body.decode()
    worker = watched.ask("/v1/admin/workers", headers=OPERATOR).json["workers"][0]
    assert worker["host"] not in text and worker["id"] not in text and "tmp" not in text
    first = watched.ask("/v1/stats").json["uptime_s"]
    assert any(watched.ask("/v1/stats").json["uptime_s"] == first for _ in range(3))
    until(lambda: watched.ask("/v1/stats").json["uptime_s"] > first, 2.0)


def test_workers_are_shown_one_by_one_to_the_operator_alone(watched: House) -> None:
    assert watched.ask("/v1/admin/workers").status == 401
    assert watched.ask("/v1/admin/workers", headers={"Authorization": "Bearer guess"}).json["code"] == "token_wrong"
    workers = watched.ask("/v1/admin/workers", headers=OPERATOR).json["workers"]
    assert sorted(w["pid"] for w in workers) == sorted(watched.children("flow_worker"))
    for worker in workers:
        assert re.fullmatch("[0-9a-f]{16}", worker["id"]) and worker["state"] == "ready" and worker["silent_s"] < 4
        assert re.fullmatch("[0-9a-f]{8}", worker["fields"]["ongc-linear"])
        assert worker["slots"] >= 1 and worker["crashes"] == 0
    # an answer is sent before its worker is known to be idle again
    until(lambda: all(w["current"] == [] for w in watched.ask("/v1/admin/workers", headers=OPERATOR).json["workers"]))


def test_a_worker_that_is_drained_leaves_and_another_is_refused_by_name(watched: House) -> None:
    worker = watched.ask("/v1/admin/workers", headers=OPERATOR).json["workers"][0]
    path = f"/v1/admin/workers/{worker['id']}/drain"
    assert watched.ask(path, method="POST").status == 401 and is_running(worker["pid"])
    unknown = watched.ask(f"/v1/admin/workers/{'0' * 32}/drain", method="POST", headers=OPERATOR)
    assert (unknown.status, unknown.json["code"]) == (404, "unknown_worker")
    lost = value(scrape(watched), "cf_workers_lost_total")
    reply = watched.ask(path, method="POST", headers=OPERATOR)
    assert reply.status == 200 and reply.json == {"draining": worker["id"]}
    until(lambda: not is_running(worker["pid"]))
    until(lambda: value(scrape(watched), "cf_workers", state="ready") == 2)
    assert value(scrape(watched), "cf_workers_lost_total") == lost


def test_a_killed_worker_is_counted_as_lost(watched: House) -> None:
    before = value(scrape(watched), "cf_workers_lost_total")
    os.kill(watched.children("flow_worker")[0], signal.SIGKILL)
    until(lambda: value(scrape(watched), "cf_workers_lost_total") == before + 1)
    until(lambda: value(scrape(watched), "cf_workers", state="ready") == 2)


def test_the_dashboard_draws_only_what_the_service_measures(watched: House) -> None:
    families = {f.name: f for f in text_string_to_metric_families(watched.ask("/metrics").body.decode())}
    known: dict[str, set[str]] = {}
    for family in families.values():
        suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(family.type, ("",))
        for suffix in suffixes:
            labels = {label for s in family.samples for label in s.labels}
            known[family.name + suffix] = labels | {"instance"}
    dashboard = json.loads(DASHBOARD.read_text("utf-8"))
    expressions = [t["expr"] for panel in dashboard["panels"] for t in panel["targets"]]
    used: set[str] = set()
    for expression in expressions:
        names = re.findall(r"\b(?:cf|process)_[a-z_]+\b", expression)
        assert names and set(names) <= known.keys(), expression
        used |= set(names)
        labels = {word.strip() for group in re.findall(r"(?:by|on|group_left) \(([^)]*)\)", expression)
                  for word in group.split(",")} | set(re.findall(r"[{,](\w+)=~?\"", expression))
        # only what has no sample yet cannot be checked for its labels
        allowed = set.union(*(known[name] for name in names))
        if any(families[n.removesuffix("_total").removesuffix("_bucket")].samples for n in names):
            assert labels <= allowed, (expression, labels - allowed)
    for panel in dashboard["panels"]:
        assert all(panel["gridPos"][k] >= 0 for k in "xywh") and panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
    assert len({p["id"] for p in dashboard["panels"]}) == len(dashboard["panels"])
    missing = {name for name in PROMISED if not any(u.startswith(name.removesuffix("_total")) for u in used)}
    assert not missing, missing


def test_labels_stay_bounded_and_nothing_is_lost_to_the_bound() -> None:
    kept = Meters()
    for i in range(10_000):
        kept.answered(f"/{i}", 200 + i % 7, 0.01)
        kept.count("rows", ("posterior", f"field{i}"), 2)
        kept.observe("job_run", 0.01, f"class{i}")
    assert len(kept.http) <= meters.LABELS_MAX + 1 and sum(sum(s.counts) for s in kept.http.values()) == 10_000
    assert len(kept.counts["rows"]) <= meters.LABELS_MAX + 1 and sum(kept.counts["rows"].values()) == 20_000
    assert set(kept.times["job_run"]) == {"interactive", "bulk", "other"} and sum(kept.times["job_run"]["other"].counts) == 10_000


@pytest.mark.parametrize(("seconds", "bucket"), [(0.0, 0), (0.001, 0), (0.0011, 1), (30.0, 13), (31.0, 14)])
def test_a_duration_falls_into_the_bucket_whose_end_it_does_not_pass(seconds: float, bucket: int) -> None:
    kept = Meters()
    kept.observe("commit", seconds)
    series = kept.times["commit"][""]
    assert [i for i, n in enumerate(series.counts) if n] == [bucket] and series.total == seconds


def test_an_observation_costs_next_to_nothing() -> None:
    kept = Meters()
    best = min(repeat(lambda: kept.observe("job_run", 0.0034, "bulk"), number=20_000, repeat=5)) / 20_000
    assert best < 3e-6  # 0.3 microseconds on a free machine
