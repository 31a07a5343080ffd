"""The one table of URLs: the application is wired from it and the API document written from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web
from pydantic import BaseModel

from . import health, legacy, queries

PREFIXES: tuple[str, ...] = ("", "/flow_query")
"""The CosmicFlows face stands at the root and where the original server is mounted."""


@dataclass(frozen=True)
class Route:
    """Describe one URL: where, who answers, what goes in, what comes out."""

    path: str
    handler: Callable[[web.Request], Awaitable[web.Response]]
    answers: tuple[str, ...]
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    methods: tuple[str, ...] = ("GET",)
    formats: tuple[str, ...] = ("json", "msgpack")
    refusals: tuple[int, ...] = (400, 404, 406, 422, 503)
    is_face: bool = True
    tag: str = "CosmicFlows"


_NAME = (400, 404, 406, 409, 422, 503)
_FLOW = (400, 404, 406, 409, 422, 503, 504)
ROUTES: tuple[Route, ...] = (
    Route("/hint_byname", legacy.hint_byname, ("Hints",), queries.HintQuery),
    Route("/get_galaxy_detail", legacy.get_galaxy_detail, ("Detail",), queries.NameQuery, refusals=_NAME),
    Route("/get_coords", legacy.get_coords, ("Coords",), queries.CoordsQuery, refusals=_NAME),
    Route("/get_flow_by_position", legacy.get_flow_by_position, ("Distances", "Velocity"), queries.PositionQuery,
          refusals=_FLOW),
    Route("/get_flow_galaxy", legacy.get_flow_galaxy, ("Distances",), queries.GalaxyQuery, refusals=_FLOW),
    Route("/get_distance_table", legacy.get_distance_table, ("DistanceTable",), queries.TableQuery, refusals=_FLOW,
          formats=("json", "msgpack", "csv", "votable")),
    Route("/get_flow/{flow_type}", legacy.get_flow, ("DistanceList",), body=queries.ListBody, methods=("POST", "GET"),
          refusals=(400, 404, 406, 413, 415, 422, 503, 504)),
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
