"""GET /metrics: what the service knows of itself, in the text form of Prometheus; read at the moment it is asked for.

Nothing is counted for this page alone. The names are those of docs/observability.md; labels are route patterns, classes,
fields and states, never the name, address or path of a client.
"""

from __future__ import annotations

import asyncio
import platform
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from functools import partial
from itertools import accumulate

from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

import cfcore
from cfcore import _kernels

from .keys import METERS, VITALS
from .meters import CLASSES, COUNTS, HTTP, TIMES, Meters, Series, Times
from .vitals import Vitals, busy

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
TICK_S = 0.1
Maker = Callable[[], Metric]
# label values -> the dispatcher's counters
_REQUEUES = {why: f"requeued_{why}" for why in ("lost", "crash", "timeout", "bounce", "missing", "unsent")}
_ENDED = {state: f"jobs_{state}" for state in ("done", "failed", "quarantined", "expired", "cancelled")}
_BAD = {"control": "bad_control", "results": "bad_results"}
_PLAIN = {"cf_quarantined": ("jobs_quarantined", "Jobs put into quarantine: they crashed or held up their compute process"),
          "cf_duplicate_results": ("results_duplicate", "Results of jobs that had ended already; dropped"),
          "cf_result_mismatch": ("results_mismatch", "Two results of one job that differ; must stay 0"),
          "cf_forged_results": ("results_forged", "Results that no lease proves; dropped"),
          "cf_workers_lost": ("workers_lost", "Workers that went silent or broke off"),
          "cf_workers_left": ("workers_left", "Workers that took their leave")}


class Reader:
    """Read dispatcher, store and meters when Prometheus asks."""

    def __init__(self, vitals: Vitals, meters: Meters) -> None:
        self._vitals, self._meters = vitals, meters

    def read(self) -> Iterator[Maker]:
        """Read every number now; yield what makes the families of them."""
        pool, workers = self._vitals.pool, self._vitals.pool.workers()
        counters = pool.counters()
        yield partial(_gauge, "cf_build_info",
                      "Version of the code, of Python, and the instruction level of the compiled core; always 1",
                      ("version", "python", "level"),
                      {(cfcore.__version__, platform.python_version(), _kernels.LEVELS[-1]): 1})
        yield partial(_gauge, "cf_uptime_seconds", "Since this gateway started", (), {(): self._vitals.uptime_s()})
        yield partial(_gauge, "cf_workers", "Connected workers", ("state",), _keyed(self._vitals.workers_by_state(workers)))
        slots = sum(w["slots"] for w in workers if w["state"] == "ready")
        yield partial(_gauge, "cf_slots", "Jobs that can be computed at once", (), {(): slots})
        yield partial(_gauge, "cf_slots_busy", "Slots at work", (), {(): busy(workers)})
        backlog = self._vitals.backlog(slots)
        yield partial(_gauge, "cf_backlog_seconds", "How long all that waits will take at the measured rate", (),
                      {(): backlog["seconds"]})
        yield partial(_gauge, "cf_backlog_jobs", "Jobs that have not ended", (), {(): backlog["jobs"]})
        yield partial(_gauge, "cf_backlog_rows", "Rows of the jobs that have not ended", (), {(): backlog["rows"]})
        yield partial(_gauge, "cf_rate_rows_per_second", "Rows a second, as measured", ("class",),
                      {(cls,): rate for cls, rate in pool.rates().items() if rate is not None})
        yield self._jobs()
        yield partial(_counter, "cf_jobs_ended", "Jobs that workers were given, by how they ended", ("state",),
                      _named(counters, _ENDED))
        yield partial(_counter, "cf_requeues", "Jobs that went back to the queue, by why", ("why",), _named(counters, _REQUEUES))
        yield partial(_counter, "cf_bad_messages", "Messages of workers that could not be read, by socket", ("socket",),
                      _named(counters, _BAD))
        for name, (key, text) in _PLAIN.items():
            yield partial(_counter, name, text, (), {(): counters.get(key, 0)})
        if self._vitals.store is not None:
            yield partial(_gauge, "cf_store_up", "Whether the job store can write", (),
                          {(): int(bool(self._vitals.store.health().get("ok")))})
        yield from self._metered()

    def _jobs(self) -> Maker:
        standing = self._vitals.pool.standing()
        values = {(state, cls): standing.get((cls, state), 0) for cls in CLASSES for state in ("queued", "leased")}
        if self._vitals.store is not None:
            values |= {(phase.lower(), "stored"): n for phase, n in self._vitals.store.counts().items()}
        return partial(_gauge, "cf_jobs",
                       "Jobs now: at the dispatcher by class, and what users submitted (class stored) by phase",
                       ("state", "class"), values)

    def _metered(self) -> Iterator[Maker]:
        yield partial(_counter, "cf_http_requests", "Requests answered, by route pattern and status", ("route", "code"),
                      {(route, str(code)): sum(series.counts) for (route, code), series in self._meters.http.items()})
        routes: dict[str, list[Series]] = {}
        for (route, _), series in self._meters.http.items():
            routes.setdefault(route, []).append(series)
        yield partial(_histogram, HTTP, {route: Series.sum(parts) for route, parts in routes.items()})
        for what, counts in COUNTS.items():
            yield partial(_counter, counts.name.removesuffix("_total"), counts.text, counts.labels,
                          dict(self._meters.counts[what]))
        for what, times in TIMES.items():
            yield partial(_histogram, times, {label: Series.sum([series]) for label, series in self._meters.times[what].items()})


def written(read: list[Maker]) -> bytes:
    """Return the text of what was read, and of what the kernel knows of this process; from a registry of its own."""
    made = CollectorRegistry()
    made.register(_Families(read))
    ProcessCollector(registry=made)
    return generate_latest(made)


class _Families:
    """Hand out families of numbers that have been read before."""

    def __init__(self, read: list[Maker]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """Make them."""
        return (make() for make in self._read)


async def metrics(request: web.Request) -> web.Response:
    """GET /metrics: counters, gauges and histograms for Prometheus."""
    # read here, where nothing changes meanwhile; to write it down takes twenty times as long and is done aside
    read = list(Reader(request.app[VITALS], request.app[METERS]).read())
    return web.Response(body=await asyncio.to_thread(written, read), headers={"Content-Type": CONTENT_TYPE})


async def keep_time(app: web.Application) -> AsyncIterator[None]:
    """Measure how late the event loop runs its timers, while the application lives."""
    loop, meters = asyncio.get_running_loop(), app[METERS]

    def tick(due: float) -> None:
        nonlocal timer
        now = time.monotonic()
        meters.observe("loop_lag", max(0.0, now - due))
        timer = loop.call_later(TICK_S, tick, now + TICK_S)

    timer = loop.call_later(TICK_S, tick, time.monotonic() + TICK_S)
    yield
    timer.cancel()


def _gauge(name: str, text: str, labels: tuple[str, ...], values: Mapping[tuple[str, ...], float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def _counter(name: str, text: str, labels: tuple[str, ...], values: Mapping[tuple[str, ...], float]) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def _histogram(times: Times, values: Mapping[str, Series]) -> Metric:
    family = HistogramMetricFamily(times.name, times.text, labels=(times.label,) if times.label else ())
    ends = [*map(repr, times.bounds), "+Inf"]
    for label, series in values.items():
        family.add_metric((label,) if times.label else (), list(zip(ends, accumulate(series.counts))), series.total)
    return family


def _keyed(values: Mapping[str, float]) -> dict[tuple[str, ...], float]:
    return {(key,): value for key, value in values.items()}


def _named(counters: Mapping[str, int], names: Mapping[str, str]) -> dict[tuple[str, ...], float]:
    return {(label,): counters.get(key, 0) for label, key in names.items()}
