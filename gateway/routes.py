"""The one table of URLs: the application is wired from it and the API document written from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web
from pydantic import BaseModel

from . import admin, health, job_api, job_queries, legacy, metrics, name_queries, names, queries
from .faces import sesame, vo

PREFIXES: tuple[str, ...] = ("", "/flow_query")
"""The CosmicFlows face stands at the root and where the original server is mounted."""


@dataclass(frozen=True)
class Route:
    """Describe one URL: where, who answers, what goes in, what comes out."""

    path: str
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    answers: tuple[str, ...]
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    methods: tuple[str, ...] = ("GET",)
    formats: tuple[str, ...] = ("json", "msgpack")
    refusals: tuple[int, ...] = (400, 404, 406, 422, 503)
    is_face: bool = True
    is_admin: bool = False
    uploads: bool = False
    status: int = 200
    tag: str = "CosmicFlows"


_NAME = (400, 404, 406, 409, 422, 503)
_FLOW = (400, 404, 406, 409, 422, 503, 504)
_PLACE = (400, 406, 422, 503, 504)
_BODY = (400, 406, 413, 415, 422, 503, 504)
_JOB = (400, 404, 406, 410, 422)
_ADMIN = (400, 401, 403, 404, 406, 422, 503)
ROUTES: tuple[Route, ...] = (
    Route("/hint_byname", names.hint_byname, ("Hints",), name_queries.HintQuery),
    Route("/get_galaxy_detail", legacy.get_galaxy_detail, ("Detail",), name_queries.NameQuery, refusals=_NAME),
    Route("/get_coords", legacy.get_coords, ("Coords",), name_queries.CoordsQuery, refusals=_NAME),
    Route("/get_flow_by_position", legacy.get_flow_by_position, ("Distances", "Velocity"), queries.PositionQuery,
          refusals=_FLOW),
    Route("/get_flow_galaxy", legacy.get_flow_galaxy, ("Distances",), queries.GalaxyQuery, refusals=_FLOW),
    Route("/get_distance_table", legacy.get_distance_table, ("DistanceTable",), queries.TableQuery, refusals=_FLOW,
          formats=("json", "msgpack", "csv", "votable")),
    Route("/get_flow/{flow_type}", legacy.get_flow, ("DistanceList",), body=queries.ListBody, methods=("POST", "GET"),
          refusals=(400, 404, 406, 413, 415, 422, 503, 504)),
    Route("/v1/resolve", names.resolve_many, ("Resolved",), body=name_queries.ResolveBody, methods=("POST",), refusals=_BODY,
          is_face=False, tag="Names and places"),
    Route("/v1/cone", names.cone, ("Objects",), name_queries.ConeQuery, refusals=_PLACE, is_face=False, tag="Names and places",
          formats=name_queries.TABLE_FORMATS),
    Route("/v1/box", names.box, ("Objects",), name_queries.BoxQuery, refusals=_PLACE, is_face=False, tag="Names and places",
          formats=name_queries.TABLE_FORMATS),
    Route("/v1/crossmatch", names.crossmatch, ("Matches",), body=name_queries.MatchBody, methods=("POST",), refusals=_BODY,
          is_face=False, tag="Names and places"),
    Route("/v1/catalogs", names.catalogs, ("Catalogs",), name_queries.AnswerQuery, refusals=_PLACE, is_face=False,
          tag="Catalogues"),
    Route("/v1/catalogs", names.import_catalog, ("ImportReport",), name_queries.ImportQuery, methods=("POST",), uploads=True,
          refusals=(400, 401, 403, 404, 406, 413, 422, 503, 504), is_face=False, is_admin=True, tag="Catalogues"),
    Route("/v1/catalogs/{id}", names.drop_catalog, ("Dropped",), name_queries.AnswerQuery, methods=("DELETE",),
          refusals=(400, 401, 403, 404, 406, 422, 503, 504), is_face=False, is_admin=True, tag="Catalogues"),
    Route("/v1/jobs", job_api.submit, ("Job",), body=job_queries.JobBody, methods=("POST",), status=202,
          refusals=(400, 404, 406, 409, 413, 415, 422, 429, 503), is_face=False, tag="Jobs"),
    Route("/v1/jobs", job_api.list_jobs, ("JobList",), job_queries.JobsQuery, refusals=(400, 406, 422), is_face=False,
          tag="Jobs"),
    Route("/v1/jobs/{job}", job_api.get_job, ("Job",), name_queries.AnswerQuery, refusals=_JOB, is_face=False, tag="Jobs"),
    Route("/v1/jobs/{job}", job_api.delete_job, ("Deleted",), name_queries.AnswerQuery, methods=("DELETE",),
          refusals=(*_JOB, 503), is_face=False, tag="Jobs"),
    Route("/v1/jobs/{job}/result", job_api.get_job_result, ("JobResult",), job_queries.ResultQuery, refusals=(*_JOB, 409),
          is_face=False, tag="Jobs", formats=("json", "msgpack", "csv")),
    Route("/v1/jobs/{job}/cancel", job_api.cancel_job, ("Job",), name_queries.AnswerQuery, methods=("POST",),
          refusals=(*_JOB, 503), is_face=False, tag="Jobs"),
    Route("/v1/admin/quarantine", job_api.list_quarantine, ("Quarantine",), name_queries.AnswerQuery, refusals=_ADMIN,
          is_face=False, is_admin=True, tag="Administration"),
    Route("/v1/admin/quarantine/{record}", job_api.get_quarantined, ("Quarantined",), name_queries.AnswerQuery, refusals=_ADMIN,
          is_face=False, is_admin=True, tag="Administration"),
    Route("/v1/admin/quarantine/{record}", job_api.drop_quarantined, ("Settled",), name_queries.AnswerQuery, methods=("DELETE",),
          refusals=_ADMIN, is_face=False, is_admin=True, tag="Administration"),
    Route("/v1/admin/quarantine/{record}/release", job_api.release_quarantined, ("Settled",), name_queries.AnswerQuery,
          methods=("POST",), refusals=(*_ADMIN, 409), is_face=False, is_admin=True, tag="Administration"),
    Route("/vo/conesearch", vo.conesearch, ("VOTable",), vo.ConeSearchQuery, refusals=(), is_face=False, formats=("votable",),
          tag="Virtual Observatory"),
    Route("/vo/availability", vo.availability, ("XML",), refusals=(), is_face=False, formats=("xml",), tag="Virtual Observatory"),
    Route("/vo/capabilities", vo.capabilities, ("XML",), refusals=(400,), is_face=False, formats=("xml",),
          tag="Virtual Observatory"),
    *(Route(f"{base}/{rest}", sesame.sesame, ("Lines",), refusals=(), is_face=False, formats=("text",), tag="Sesame")
      for base in ("/sesame", "/cgi-bin/nph-sesame") for rest in ("{database}", "{options}/{database}")),
    Route("/v1/stats", admin.stats, ("Stats",), is_face=False, formats=("json",), refusals=(), tag="Operation"),
    Route("/v1/admin/workers", admin.workers, ("Workers",), is_face=False, formats=("json",), refusals=(401, 403), is_admin=True,
          tag="Operation"),
    Route("/v1/admin/workers/{worker}/drain", admin.drain, ("Draining",), methods=("POST",), is_face=False, formats=("json",),
          refusals=(401, 403, 404), is_admin=True, tag="Operation"),
    Route("/metrics", metrics.metrics, ("Metrics",), is_face=False, formats=("text",), refusals=(), tag="Operation"),
    Route("/livez", health.livez, ("Alive",), is_face=False, formats=("json",), refusals=(), tag="Service"),
    Route("/readyz", health.readyz, ("Ready",), is_face=False, formats=("json",), refusals=(503,), tag="Service"),
    Route("/openapi.json", health.openapi, ("OpenAPI",), is_face=False, formats=("json",), refusals=(), tag="Service"),
    Route("/", health.index, ("Index",), is_face=False, formats=("json",), refusals=(), tag="Service"),
)


def register(app: web.Application) -> None:
    """Add every route of the table to an application; HEAD is answered wherever GET is, without the body."""
    for route in ROUTES:
        for prefix in (PREFIXES if route.is_face else ("",)):
            for method in (*route.methods, *(("HEAD",) if "GET" in route.methods else ())):
                app.router.add_route(method, prefix + route.path, route.handler)
