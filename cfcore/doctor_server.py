"""What ails a running server, asked over HTTP: `/livez`, `/readyz`, `/v1/stats`, `/`, a real question, and every worker by itself
with the administrator's token.
"""

from __future__ import annotations

import email.utils
import time
from collections.abc import Iterator, Mapping
from typing import Any

from . import __version__
from .doctor import BROKEN, NO_PAGE, NOTE, OK, PAGE_WAY_OUT, WARNING, Finding
from .errors import CosmicFlowsError, TransientError
from .remote import Server

QUESTION = "/get_flow_by_position?ra=197.4488&dec=-23.3839&cz=2916"
SLOW_S = 1.0
BACKLOG_S = 60.0
SILENT_S = 2.5
SKEW_S = 10.0
RUNS_LONG_S = 60.0
_SAME = "bring gateway, workers and clients to one version, and start them again"
_WORDS = {"version", "uptime_s", "workers", "workers_by_state", "slots", "busy", "silent_s", "worker_versions", "worker_abis",
          "fields", "backlog_jobs", "backlog_rows", "backlog_seconds", "backlog_is_measured", "phases", "jobs_ok", "jobs_why",
          "quarantined", "workers_lost", "result_mismatches"}
Facts = dict[str, Any]


def examine(server: Server, token: str = "") -> Iterator[Finding]:
    """Yield what there is to say about a server; stops early when nothing sound answers."""
    try:
        status, headers, alive = server.look("/livez", timeout_s=5.0)
    except TransientError as exc:
        yield Finding(BROKEN, "server", exc.message, "start one with: cosmicflows serve; or check the address, the port and what "
                      "lies between")
        return
    except CosmicFlowsError as exc:
        yield Finding(BROKEN, "server", exc.message, "check the address: another service answers there")
        return
    if status != 200 or alive.get("ok") is not True:
        yield Finding(BROKEN, "server", f"{server.url} answers {status} to /livez, not as a Cosmic Flows server does",
                      "check the address: another service may answer there")
        return
    yield Finding(OK, "server", f"{server.url} answers")
    yield from _clock(headers, time.time())
    yield from _ready(server)
    yield from _numbers(server)
    yield from _page(server)
    yield from _question(server)
    if token:
        yield from _workers(server, token)
    else:
        yield Finding(NOTE, "token", "without the administrator's token workers are not looked at one by one",
                      "give it in CF_TOKEN")


def _clock(headers: Mapping[str, str], now: float) -> Iterator[Finding]:
    told = email.utils.parsedate_tz(headers.get("Date", ""))
    if told is not None and abs(skew := email.utils.mktime_tz(told) - now) > SKEW_S:
        yield Finding(WARNING, "clock", f"the server's clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} "
                      "this one",
                      "set both by NTP: deadlines and retention of jobs are told in wall time")


def _ready(server: Server) -> Iterator[Finding]:
    found = _look(server, "/readyz")
    if isinstance(found, Finding):
        yield found
        return
    status, facts = found
    if status == 200 and facts.get("ready"):
        fields = facts.get("fields") or []
        yield Finding(OK, "ready", f"{_count(facts.get('workers', 0), 'worker')} and the catalogue are there; fields: "
                      f"{', '.join(map(str, fields))}")
    else:
        yield Finding(BROKEN, "ready", f"the server is not ready: {facts.get('detail', f'it answers {status}')}",
                      "" if "start" in str(facts.get("detail")) else "see the server's log")
    if facts.get("catalog") is False:
        yield Finding(BROKEN, "catalogue", "the catalogue service does not answer: names cannot be resolved",
                      "see its log; cosmicflows serve starts it again, 'cosmicflows catalog' by itself does not")
    if facts.get("fields") and not facts.get("default_field"):
        yield Finding(WARNING, "default", "no worker says which field is the default: requests that name none are refused",
                      "start workers with --field ID, or name one of " + ", ".join(map(str, facts["fields"])))


def _numbers(server: Server) -> Iterator[Finding]:
    found = _look(server, "/v1/stats")
    if isinstance(found, Finding):
        yield found
        return
    status, stats = found
    if status != 200 or not stats.keys() >= _WORDS:
        yield Finding(WARNING, "version", f"the server answers {status} to /v1/stats: it is of another version than this client "
                      f"({__version__})", _SAME)
        return
    yield from _versions(stats)
    yield from _pool(stats)
    yield from _same_fields(stats)
    yield from _load(stats)
    yield from _store(stats)


def _versions(stats: Facts) -> Iterator[Finding]:
    gateway, workers = str(stats["version"]), dict(stats["worker_versions"])
    # a worker that is not installed, but run from its source, says 0+source
    others = {v: n for v, n in workers.items() if v.partition("+")[0] not in (gateway, "0")}
    if gateway != __version__:
        yield Finding(WARNING, "version", f"the server is version {gateway}, this client {__version__}", _SAME)
    if others:
        yield Finding(WARNING, "version", f"the gateway is version {gateway}, but " + ", ".join(
            f"{_count(n, 'worker')} {'is' if n == 1 else 'are'} {v}" for v, n in others.items()), _SAME)
    if gateway == __version__ and not others:
        yield Finding(OK, "version", f"server, workers and this client are version {gateway}")
    if len(abis := stats["worker_abis"]) > 1:
        yield Finding(WARNING, "version", "the workers have different compiled cores (" + ", ".join(
            f"{a}: {n}" for a, n in abis.items()) + "): answers may differ in the last digits", _SAME)


def _pool(stats: Facts) -> Iterator[Finding]:
    states = stats["workers_by_state"]
    if not stats["workers"]:
        yield Finding(BROKEN, "workers", "no worker is connected", "start one: cosmicflows worker --connect tcp://HOST:5573")
        return
    if states.get("unreachable"):
        yield Finding(WARNING, "workers", f"{_count(states['unreachable'], 'worker')} cannot be reached now",
                      "look at the hosts and the network; their jobs run elsewhere after a few seconds")
    if states.get("draining"):
        yield Finding(WARNING, "workers", f"{_count(states['draining'], 'worker')} will leave when done and takes no new job" if
                      states["draining"] == 1 else f"{states['draining']} workers will leave when done and take no new job",
                      "nothing to do if you asked for it; it takes up to 30 s")
    if (stats.get("silent_s") or 0.0) > SILENT_S:
        yield Finding(WARNING, "workers", f"a worker has been silent for {stats['silent_s']:.1f} s; after 4 s it counts as lost",
                      "look at the load and the memory of its host")
    if not set(states) - {"ready"} or states["ready"] == stats["workers"]:
        yield Finding(OK, "workers", f"{_count(stats['workers'], 'worker')} with {_count(stats['slots'], 'slot')}, "
                      f"{stats['busy']} busy")
    if stats.get("workers_lost"):
        yield Finding(NOTE, "workers", f"workers lost since the gateway started {stats['uptime_s'] / 3600:.1f} h ago: "
                      f"{stats['workers_lost']}")


def _same_fields(stats: Facts) -> Iterator[Finding]:
    workers = stats["workers"]
    for name, versions in stats["fields"].items():
        if len(versions) > 1:
            yield Finding(WARNING, "fields", f"the workers have different versions of {name}: " + ", ".join(
                f"{sha} on {n}" for sha, n in versions.items()),
                "install the same files on every host; cosmicflows fields list shows which are there")
        elif sum(versions.values()) < workers:
            yield Finding(WARNING, "fields", f"only {sum(versions.values())} of {workers} workers have the field {name}",
                          "install it on the other hosts, or its questions wait for these few")


def _load(stats: Facts) -> Iterator[Finding]:
    seconds, jobs = stats["backlog_seconds"], stats["backlog_jobs"]
    if seconds > BACKLOG_S:
        yield Finding(WARNING, "backlog", f"{_count(jobs, 'job')} with {stats['backlog_rows']} rows wait, about "
                      f"{seconds:.0f} s of work{'' if stats['backlog_is_measured'] else ' (no rate has been measured yet)'}",
                      "start more workers")
    else:
        yield Finding(OK, "backlog", f"{_count(jobs, 'job')} under way or waiting, about {seconds:.0f} s of work")
    if stats.get("result_mismatches"):
        yield Finding(BROKEN, "results", f"{stats['result_mismatches']} times two workers gave different answers to one job",
                      "compare versions and fields of the workers; suspect the memory of a host")


def _store(stats: Facts) -> Iterator[Finding]:
    if stats["jobs_ok"] is False:
        yield Finding(BROKEN, "jobs", f"the job store cannot write: {stats['jobs_why'] or 'see the log of the gateway'}",
                      "no job is accepted until it can; free space on its disk, and look at its rights and its mount")
    elif stats["jobs_ok"]:
        phases = {k: n for k, n in stats["phases"].items() if n}
        yield Finding(OK, "jobs", "the job store works: " + (", ".join(f"{n} {k}" for k, n in phases.items()) or "no jobs yet"))
    if stats["quarantined"]:
        yield Finding(WARNING, "quarantine", f"{_count(stats['quarantined'], 'job')} crashed or held up their compute process "
                      "and stay aside", "look at them: GET /v1/admin/quarantine with the administrator's token")


def _page(server: Server) -> Iterator[Finding]:
    found = _look(server, "/")
    if isinstance(found, Finding):
        yield found
    elif found[1].get("page"):
        yield Finding(OK, "page", f"the page for browsers is at {server.url}{found[1]['page']}")
    else:
        yield Finding(NOTE, "page", NO_PAGE, PAGE_WAY_OUT)


def _question(server: Server) -> Iterator[Finding]:
    took = []
    for _ in range(3):
        begin = time.monotonic()
        found = _look(server, QUESTION)
        took.append(time.monotonic() - begin)
        if isinstance(found, Finding):
            yield found
            return
        status, answer = found
        if status != 200:
            yield Finding(BROKEN, "question", f"a simple question is answered with {status}: {answer.get('detail', 'no reason')}",
                          "see the findings above, and the server's log")
            return
    middle = sorted(took)[1]
    if middle > SLOW_S:
        yield Finding(WARNING, "question", f"one distance took {middle:.1f} s from question to answer", "look at the load of the "
                      "workers' hosts, and at the network")
    else:
        yield Finding(OK, "question", f"one distance took {1000 * middle:.1f} ms from question to answer, through a worker")


def _workers(server: Server, token: str) -> Iterator[Finding]:
    found = _look(server, "/v1/admin/workers", token)
    if isinstance(found, Finding):
        yield found
        return
    status, facts = found
    if status != 200 or not isinstance(facts.get("workers"), list):
        yield Finding(WARNING, "token", f"the server does not show its workers: {facts.get('detail', status)}",
                      "give the administrator's token in CF_TOKEN")
        return
    for worker in facts["workers"]:
        about = f"{worker['id'][:8]} on {worker['host']}, process {worker['pid']}"
        slow = [j for j in worker["current"] if j["ms"] > 1000 * RUNS_LONG_S]
        if worker["silent_s"] > SILENT_S:
            yield Finding(WARNING, "worker", f"{about}: silent for {worker['silent_s']:.1f} s", "look at the load of its host")
        for job in slow:
            yield Finding(WARNING, "worker", f"{about}: job {job['job']} has run for {job['ms'] / 1000:.0f} s",
                          "it is stopped at its limit; drain the worker if it is not")
        if worker["crashes"]:
            yield Finding(WARNING, "worker", f"{about}: {worker['crashes']} of its compute processes crashed",
                          "GET /v1/admin/quarantine holds the jobs with what was said last; see the worker's log")
        if worker["silent_s"] <= SILENT_S and not slow and not worker["crashes"]:
            yield Finding(OK, "worker", f"{about}: {worker['state']}, heard {worker['silent_s']:.1f} s ago, "
                          f"{worker['jobs']} jobs for {_count(worker['slots'], 'slot')}, {worker['rss_mb']} MiB, "
                          f"{_count(worker['done'], 'job')} done")


def _look(server: Server, path: str, token: str = "") -> tuple[int, Facts] | Finding:
    try:
        status, _, facts = server.look(path, token=token, timeout_s=40.0 if path == QUESTION else 10.0)
    except CosmicFlowsError as exc:
        return Finding(BROKEN, "server", f"{path.partition('?')[0]}: {exc.message}", "see the server's log")
    return status, facts


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
