"""The one table of URLs: the application is wired from it and the API document written from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from pydantic import BaseModel

from . import (
    admin,
    field_list,
    galaxies,
    health,
    job_api,
    job_queries,
    job_share,
    job_watch,
    legacy,
    looks,
    metrics,
    name_queries,
    names,
    pages,
    quarantine_api,
    queries,
    result_api,
    table_api,
    table_queries,
    webhook_api,
)
from .faces import queue, queue_forms, queue_pages, queue_refusals, queue_tasks, sesame, uws, uws_asked, vo

PREFIXES: tuple[str, ...] = ("", "/flow_query")
"""The CosmicFlows face stands at the root and where the original server is mounted."""


@dataclass(frozen=True)
class Route:
    """Describe one URL: where, who answers, what goes in and as what (`body_media`), what comes out, and who may ask.

    `scope` is what credentials must have, when some are sent; wrong ones are refused before the handler is called. Empty: the
    handler checks them itself, or nobody is asked who they are (`is_open`). Those of `is_admin` check for themselves.
    `empty` are further statuses that are no refusals, `refusal` the schema of those that are.
    """

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
    scope: str = "read"
    uploads: bool = False
    body_media: tuple[str, ...] = ("json", "msgpack")
    status: int = 200
    empty: tuple[int, ...] = ()
    refusal: str = "Problem"
    tag: str = "CosmicFlows"
    is_open: bool = False

    @property
    def statuses(self) -> tuple[int, ...]:
        """Every status of a refusal, those of credentials with them."""
        is_checked = not self.is_open and (self.scope or self.is_admin)
        return tuple(sorted({*self.refusals, 401, 403, 429, 503})) if is_checked else self.refusals


_NAME = (400, 404, 406, 409, 422, 503)
_FLOW = (400, 404, 406, 409, 422, 503, 504)
_PLACE = (400, 406, 422, 503, 504)
_BODY = (400, 406, 413, 415, 422, 503, 504)
_JOB = (400, 404, 406, 410, 422)
_SHARED = (400, 404, 406, 422)
_FILES = ("csv", "tsv", "ecsv", "fits", "votable", "parquet", "json", "msgpack")
_ADMIN = (400, 401, 403, 404, 406, 422, 503)


def _uws(path: str, handler: Callable[[web.Request], Awaitable[web.StreamResponse]], answer: str, fmt: str,
         query: type[BaseModel] | None = None) -> Route:
    """Return a resource of UWS."""
    return Route(uws.PATH + path, handler, (answer,), query, refusals=(400, 401, 403, 404, 429, 503), is_face=False,
                 formats=(fmt,), scope="", refusal="Text", tag="UWS")


def _uws_change(path: str, handler: Callable[[web.Request], Awaitable[web.StreamResponse]], form: type[BaseModel] | None,
                method: str = "POST") -> Route:
    """Return a change of a UWS job, which answers with the way to it."""
    return Route(uws.PATH + path, handler, (), body=form, body_media=("form",), methods=(method,), status=303, is_face=False,
                 formats=(), refusals=(400, 401, 403, 404, *((413, 415) if form else ()), 429, 503), scope="", refusal="Text",
                 tag="UWS")


# its refusals have a shape of their own, and so it finds out itself who asks
_QUEUE: dict[str, Any] = {"is_face": False, "refusal": "QueueRefusal", "formats": ("json",), "tag": "Queue", "scope": ""}
_TASK = (401, 403, 404, 429, 503)
QUEUE: tuple[Route, ...] = tuple(route for base in (queue_tasks.PREFIX, "") for route in (
    Route(f"{base}/api-token-auth/", queue.log_in, ("QueueToken",), body=queue_forms.QueueLogin, methods=("POST",),
          body_media=("json", "form"), refusals=(400, 401, 403, 413, 415, 429, 503), **_QUEUE),
    Route(f"{base}/queue/", queue.submit, ("QueueTask", "QueueTaskList"), body=queue_forms.QueueTaskBody, methods=("POST",),
          body_media=("json", "form"), status=201, refusals=(400, 401, 403, 413, 415, 429, 503, 504), **_QUEUE),
    Route(f"{base}/queue/", queue.list_tasks, ("QueueTasks",), queue_pages.TasksQuery,
          empty=(304,), refusals=(400, 401, 403, 404, 429, 503), **_QUEUE),
    Route(f"{base}/queue/{{task}}/", queue.get_task, ("QueueTask",), refusals=_TASK, empty=(304,), **_QUEUE),
    Route(f"{base}/queue/{{task}}/", queue.change_task, ("QueueTask",), body=queue_forms.Remarks, methods=("PATCH", "PUT"),
          body_media=("json", "form"), refusals=(400, 401, 403, 404, 413, 415, 429, 503), **_QUEUE),
    Route(f"{base}/queue/{{task}}/", queue.delete_task, (), methods=("DELETE",), status=204,
          refusals=(401, 403, 404, 429, 503), **_QUEUE),
    Route(f"{base}/queue/{{task}}/result.txt", queue.get_result, ("Lines",), refusals=(401, 403, 404, 429, 503),
          **{**_QUEUE, "formats": ("text",)}),
    Route(f"{base}/queuepositions.json", queue.get_positions, ("QueuePositions",), refusals=(401, 403, 429, 503), **_QUEUE),
    Route(f"{base}/taskrunnerstatus.json", queue.get_status, ("QueueRunner",), refusals=(401, 403, 429, 503), **_QUEUE)))
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
    Route("/v1/hints", names.told_hints, ("ToldHints",), name_queries.ToldHintQuery, is_face=False, tag="Names and places"),
    Route("/v1/galaxies", galaxies.list_galaxies, ("Galaxies",), name_queries.GalaxiesQuery, refusals=_PLACE, empty=(304,),
          is_face=False, tag="Names and places"),
    Route("/v1/fields", field_list.list_fields, ("Fields",), name_queries.AnswerQuery, refusals=(400, 406, 422, 503),
          is_face=False, tag="Fields"),
    Route("/v1/fields/{field}/{version}/preview-{n}.bin", field_list.get_preview, ("File",), field_list.PreviewQuery,
          refusals=(400, 404, 413, 422, 500, 503, 504), empty=(304,), is_face=False, formats=("binary",), tag="Fields"),
    Route("/v1/catalogs", names.catalogs, ("Catalogs",), name_queries.AnswerQuery, refusals=_PLACE, is_face=False,
          tag="Catalogues"),
    Route("/v1/catalogs", names.import_catalog, ("ImportReport",), name_queries.ImportQuery, methods=("POST",), uploads=True,
          refusals=(400, 401, 403, 404, 406, 413, 422, 503, 504), is_face=False, is_admin=True, tag="Catalogues"),
    Route("/v1/catalogs/{id}", names.drop_catalog, ("Dropped",), name_queries.AnswerQuery, methods=("DELETE",),
          refusals=(400, 401, 403, 404, 406, 422, 503, 504), is_face=False, is_admin=True, tag="Catalogues"),
    Route("/v1/tables", table_api.preview, ("Table",), table_queries.PreviewQuery, methods=("POST",), uploads=True,
          scope="submit", refusals=(400, 406, 408, 413, 415, 422, 429, 503), is_face=False, tag="Jobs"),
    Route("/v1/tables/{table}", table_api.drop_table, ("Dropped",), name_queries.AnswerQuery, methods=("DELETE",),
          scope="submit", refusals=(400, 404, 406, 422), is_face=False, tag="Jobs"),
    Route("/v1/jobs", job_api.submit, ("Accepted",), table_queries.TableJob, body=job_queries.JobBody, methods=("POST",),
          status=202, uploads=True, scope="submit", refusals=(400, 404, 406, 408, 409, 413, 415, 422, 429, 503), is_face=False,
          tag="Jobs"),
    Route("/v1/jobs", job_watch.list_jobs, ("JobList",), looks.JobsQuery, refusals=(400, 406, 422), is_face=False, empty=(304,),
          tag="Jobs"),
    Route("/v1/jobs/{job}", job_watch.get_job, ("Job",), looks.JobQuery, refusals=_JOB, is_face=False, empty=(304,), tag="Jobs"),
    Route("/v1/jobs/{job}", job_api.change_job, ("Job",), body=looks.ChangesBody, methods=("PATCH",),
          refusals=(*_JOB, 409, 413, 415, 503), is_face=False, scope="submit", tag="Jobs"),
    Route("/v1/jobs/{job}", job_api.delete_job, ("Deleted",), name_queries.AnswerQuery, methods=("DELETE",),
          refusals=(*_JOB, 503), is_face=False, scope="submit", tag="Jobs"),
    Route("/v1/jobs/{job}/result", job_api.get_job_result, ("JobResult",), job_queries.ResultQuery, refusals=(*_JOB, 409),
          is_face=False, tag="Jobs", formats=("json", "msgpack", "csv")),
    Route("/v1/jobs/{job}/events", job_watch.job_events, ("Events",), looks.StreamQuery, refusals=(400, 404, 410, 422, 429, 503),
          is_face=False, formats=("events",), empty=(204,), tag="Jobs"),
    Route("/v1/jobs/{job}/run", job_api.run_job, ("Job",), name_queries.AnswerQuery, methods=("POST",),
          refusals=(*_JOB, 429, 503), is_face=False, scope="submit", tag="Jobs"),
    Route("/v1/jobs/{job}/share", job_share.share_job, ("Share",), name_queries.AnswerQuery, methods=("POST",),
          refusals=(*_JOB, 503), is_face=False, scope="submit", tag="Jobs"),
    Route("/v1/jobs/{job}/share", job_share.unshare_job, ("Unshared",), name_queries.AnswerQuery, methods=("DELETE",),
          refusals=(*_JOB, 503), is_face=False, scope="submit", tag="Jobs"),
    Route("/v1/shared/{token}", job_share.get_shared, ("SharedJob",), looks.JobQuery, refusals=_SHARED, is_face=False,
          empty=(304,), tag="Jobs"),
    Route("/v1/shared/{token}/result", job_share.get_shared_result, ("JobResult",), job_queries.ResultQuery,
          refusals=(*_SHARED, 409, 503), is_face=False, tag="Jobs", formats=("json", "msgpack", "csv")),
    Route("/v1/jobs/{job}/results", result_api.list_results, ("JobFiles",), result_api.ResultsQuery, refusals=(*_JOB, 409),
          is_face=False, tag="Jobs"),
    Route("/v1/jobs/{job}/results/{name}", result_api.get_result_file, ("File",), result_api.ResultFileQuery,
          refusals=(*_JOB, 409, 412, 416, 503), empty=(206, 304), is_face=False, tag="Jobs",
          formats=_FILES),
    Route("/v1/shared/{token}/results", job_share.list_shared_results, ("JobFiles",), result_api.ResultsQuery,
          refusals=(*_SHARED, 409), is_face=False, tag="Jobs"),
    Route("/v1/shared/{token}/results/{name}", job_share.get_shared_file, ("File",), result_api.ResultFileQuery,
          refusals=(*_SHARED, 409, 412, 416, 503), empty=(206, 304), is_face=False, tag="Jobs", formats=_FILES),
    Route("/v1/jobs/{job}/cancel", job_api.cancel_job, ("Job",), name_queries.AnswerQuery, methods=("POST",),
          refusals=(*_JOB, 503), is_face=False, scope="submit", tag="Jobs"),
    Route("/v1/jobs/{job}/deliveries", webhook_api.list_deliveries, ("Deliveries",), name_queries.AnswerQuery, refusals=_JOB,
          is_face=False, tag="Jobs"),
    Route("/v1/webhook-secret", webhook_api.get_secret, ("WebhookSecret",), name_queries.AnswerQuery, refusals=(400, 406, 422),
          is_face=False, tag="Jobs"),
    Route("/v1/admin/quarantine", quarantine_api.list_quarantine, ("Quarantine",), name_queries.AnswerQuery, refusals=_ADMIN,
          is_face=False, is_admin=True, tag="Administration"),
    Route("/v1/admin/quarantine/{record}", quarantine_api.get_quarantined, ("Quarantined",), name_queries.AnswerQuery,
          refusals=_ADMIN, is_face=False, is_admin=True, tag="Administration"),
    Route("/v1/admin/quarantine/{record}", quarantine_api.drop_quarantined, ("Settled",), name_queries.AnswerQuery,
          methods=("DELETE",), refusals=_ADMIN, is_face=False, is_admin=True, tag="Administration"),
    Route("/v1/admin/quarantine/{record}/release", quarantine_api.release_quarantined, ("Settled",), name_queries.AnswerQuery,
          methods=("POST",), refusals=(*_ADMIN, 409), is_face=False, is_admin=True, tag="Administration"),
    *QUEUE,
    Route("/vo/conesearch", vo.conesearch, ("VOTable",), vo.ConeSearchQuery, refusals=(), is_face=False, formats=("votable",),
          tag="Virtual Observatory"),
    Route("/vo/availability", vo.availability, ("XML",), refusals=(), is_face=False, formats=("xml",), tag="Virtual Observatory"),
    Route("/vo/capabilities", vo.capabilities, ("XML",), refusals=(400,), is_face=False, formats=("xml",),
          tag="Virtual Observatory"),
    _uws("", uws.list_jobs, "XML", "xml", uws_asked.ListQuery),
    _uws_change("", uws.create_job, uws_asked.JobForm),
    _uws("/availability", uws.availability, "XML", "xml"),
    _uws("/capabilities", uws.capabilities, "XML", "xml"),
    _uws("/{job}", uws.get_job, "XML", "xml", uws_asked.JobQuery),
    _uws_change("/{job}", uws.act_on_job, uws_asked.ChangeForm),
    _uws_change("/{job}", uws.delete_job, None, method="DELETE"),
    _uws("/{job}/phase", uws.get_phase, "Text", "text"),
    _uws_change("/{job}/phase", uws.set_phase, uws_asked.PhaseForm),
    _uws("/{job}/executionduration", uws.get_duration, "Text", "text"),
    _uws_change("/{job}/executionduration", uws.set_duration, uws_asked.DurationForm),
    _uws("/{job}/destruction", uws.get_destruction, "Text", "text"),
    _uws_change("/{job}/destruction", uws.set_destruction, uws_asked.DestructionForm),
    _uws("/{job}/error", uws.get_error, "VOTable", "votable"),
    _uws("/{job}/quote", uws.get_quote, "Text", "text"),
    _uws("/{job}/owner", uws.get_owner, "Text", "text"),
    _uws("/{job}/parameters", uws.get_parameters, "XML", "xml"),
    _uws_change("/{job}/parameters", uws.set_parameters, uws_asked.ChangeForm),
    _uws("/{job}/parameters/{parameter}", uws.get_parameter, "Text", "text"),
    _uws("/{job}/results", uws.get_results, "XML", "xml"),
    Route(uws.PATH + "/{job}/results/{result}", uws.get_result, ("File",), refusals=(400, 401, 403, 404, 412, 416, 429, 503),
          is_face=False, formats=_FILES, empty=(206, 304), scope="", refusal="Text", tag="UWS"),
    *(Route(f"{base}/{rest}", sesame.sesame, ("Lines",), refusals=(), is_face=False, formats=("text",), tag="Sesame")
      for base in ("/sesame", "/cgi-bin/nph-sesame") for rest in ("{database}", "{options}/{database}")),
    Route("/v1/stats", admin.stats, ("Stats",), is_face=False, formats=("json",), refusals=(), is_open=True, tag="Operation"),
    Route("/v1/admin/workers", admin.workers, ("Workers",), is_face=False, formats=("json",), refusals=(401, 403), is_admin=True,
          tag="Operation"),
    Route("/v1/admin/workers/{worker}/drain", admin.drain, ("Draining",), methods=("POST",), is_face=False, formats=("json",),
          refusals=(401, 403, 404), is_admin=True, tag="Operation"),
    Route("/metrics", metrics.metrics, ("Metrics",), is_face=False, formats=("text",), refusals=(), is_open=True,
          tag="Operation"),
    Route("/livez", health.livez, ("Alive",), is_face=False, formats=("json",), refusals=(), is_open=True, tag="Service"),
    Route("/readyz", health.readyz, ("Ready",), is_face=False, formats=("json",), refusals=(503,), is_open=True, tag="Service"),
    Route("/openapi.json", health.openapi, ("OpenAPI",), is_face=False, formats=("json",), refusals=(), is_open=True,
          tag="Service"),
    Route("/", pages.index, ("Index",), is_face=False, formats=("json", "html"), refusals=(), is_open=True, tag="Page",
          empty=(304,)),
    Route("/docs", pages.docs, ("Text",), is_face=False, formats=("html",), refusals=(404,), is_open=True, tag="Page",
          empty=(304,)),
    Route("/assets/{asset}", pages.asset, ("File",), is_face=False, formats=("js", "css", "svg", "png", "woff2"),
          refusals=(404,), is_open=True, tag="Page", empty=(304,)),
    Route("/favicon.ico", pages.favicon, ("File",), is_face=False, formats=("svg",), refusals=(), is_open=True, tag="Page",
          empty=(204, 304)),
)


def needed() -> dict[object, str]:
    """Return the scope that each handler's route asks of credentials; handlers that look for themselves are left out."""
    return {route.handler: route.scope for route in ROUTES if route.scope and not (route.is_admin or route.is_open)}


def register(app: web.Application) -> None:
    """Add every route of the table to an application; HEAD is answered wherever GET is, without the body.

    Other methods are refused in the words of the face, and the queue's addresses are known without their last slash, too.
    """
    for route in ROUTES:
        for prefix in (PREFIXES if route.is_face else ("",)):
            for method in (*route.methods, *(("HEAD",) if "GET" in route.methods else ())):
                app.router.add_route(method, prefix + route.path, route.handler)
    for path in dict.fromkeys(route.path for route in QUEUE):
        methods = {method for route in QUEUE if route.path == path for method in route.methods}
        app.router.add_route("*", path, queue_refusals.not_allowed(methods | ({"HEAD"} if "GET" in methods else set())))
        if path.endswith("/"):
            app.router.add_route("*", path.rstrip("/"), queue_refusals.with_slash)
