"""What an operator asks and tells the service: its numbers for autoscalers, its workers one by one, and to drain one."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from cfcore.errors import UnknownName

from . import answers
from .keys import DISPATCHER, VITALS
from .tokens import require_operator


async def stats(request: web.Request) -> web.Response:
    """GET /v1/stats: backlog, workers and rates as numbers, for autoscalers."""
    return answers.respond(request.app[VITALS].stats(), "json")


async def workers(request: web.Request) -> web.Response:
    """GET /v1/admin/workers: every worker with its fields, its slots and what it computes now."""
    await require_operator(request)
    return answers.respond({"workers": [_shown(w) for w in request.app[DISPATCHER].workers()]}, "json")


async def drain(request: web.Request) -> web.Response:
    """POST /v1/admin/workers/{worker}/drain: let a worker finish what it has and leave."""
    await require_operator(request)
    worker = request.match_info["worker"].lower()
    if not request.app[DISPATCHER].drain_worker(worker):
        raise UnknownName(f"no worker {worker!r:.80} is connected; /v1/admin/workers lists those that are", code="unknown_worker",
                          where="worker")
    return answers.respond({"draining": worker}, "json")


def _shown(worker: dict[str, Any]) -> dict[str, Any]:
    """Return a worker in the words of the API; fields by the first eight digits of their checksum, as everywhere."""
    return {**{k: worker[k] for k in ("id", "host", "pid", "version", "abi", "state", "slots", "reserve", "jobs", "current",
                                      "rss_mb", "silent_s", "done", "crashes")}, "fields": worker["versions"]}
