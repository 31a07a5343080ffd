"""OpenAPI 3.1 from the route table: what is documented answers, what answers is documented."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import cfcore
from cfcore import frames
from cfcore.distances import FLAGS, MODULUS, ROOT, STATUS, SUMMARY
from cfcore.options import FLOW_TYPES
from cfcore.sightlines import COLUMNS

from .faces.queue_schemas import QUEUE_SCHEMAS
from .field_schemas import FIELD_SCHEMAS, IN_PATH
from .meters import CLASSES
from .pages import KINDS
from .renders import FORMATS
from .routes import Route

_PROBLEM = {
    "type": "object", "required": ["type", "title", "status", "detail", "code"],
    "properties": {"type": {"type": "string"}, "title": {"type": "string"}, "status": {"type": "integer"},
                   "detail": {"type": "string"}, "code": {"type": "string"}, "where": {"type": "string"},
                   "hint": {"type": "string"}, "request_id": {"type": "string"}}}


def _num(text: str = "") -> dict[str, Any]:
    return {"type": ["number", "null"], **({"description": text} if text else {})}


def _obj(properties: dict[str, Any], required: bool = True) -> dict[str, Any]:
    return {"type": "object", "properties": properties, **({"required": sorted(properties)} if required else {})}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


_TEXT = {"type": "string"}
_LON_LAT = _obj({"lon": {"type": "number", "description": "deg"}, "lat": {"type": "number", "description": "deg"}})
_POSITION = {f: _LON_LAT for f in frames.SKY_FRAMES}
_SUMMARY = _obj({**{s: _num() for s in SUMMARY}, "unit": _TEXT})
_CZ = _obj({f: _num("c z, km/s") for f in frames.REPORTED_FRAMES})
_V = _obj({a: _num("km/s") for a in ("sgx", "sgy", "sgz")})
_FLAG_LIST = _list({"type": "string", "enum": list(FLAGS)})
_ROOTS = _list(_obj({**{r: {"type": "number"} for r in ROOT}, "d_mpc": {"type": "number"}}))
_PROVENANCE = {
    "field": _obj({"id": _TEXT, "version": _TEXT, "citation": _TEXT}), "frame": _TEXT, "cz_frame": _TEXT,
    "cosmology": _obj({"H0": {"type": "number"}, "Om": {"type": "number"}}),
    "sigma_v": {"type": "number", "description": "km/s"}, "prior": _TEXT, "cfcore": _TEXT}
_CATALOG = _obj({"name": _TEXT, "version": _TEXT, "licence": _TEXT})

_WHEN = {"type": ["string", "null"], "format": "date-time"}
_COUNT = {"type": "integer"}
_JOB = _obj({
    "id": _COUNT,
    "phase": {"type": "string", "enum": ["PENDING", "QUEUED", "EXECUTING", "COMPLETED", "ERROR", "ABORTED"]},
    "kind": {"type": "string", "enum": ["distance", "velocity", "sightline"]},
    "face": {"type": "string", "enum": ["v1", "queue", "uws"], "description": "The door it came through"},
    "run_id": {"type": ["string", "null"]},
    "field": _obj({"id": _TEXT, "version": _TEXT}), "rows_total": _COUNT, "rows_done": _COUNT, "quarantined": _COUNT,
    "queuepos": {"type": ["integer", "null"], "description": "Chunks that start before it"},
    "eta_seconds": _num("Seconds until it ends, at the measured rate"), "creation": _WHEN, "start": _WHEN, "end": _WHEN,
    "destruction": _WHEN, "callback": {"type": ["string", "null"], "description": "What is called at its end"},
    "execution_duration": {"type": "number"},
    "shared": {"type": "boolean", "description": "Whether there is a link to it"}, "options": {"type": "object"},
    "error": {"type": ["object", "null"]}, "url": _TEXT, "result_url": _TEXT,
    "results_url": _TEXT})
_NOT_SHARED = ("run_id", "face", "execution_duration", "shared", "callback")

SCHEMAS: dict[str, Any] = {
    "Problem": _PROBLEM,
    "Position": _obj(_POSITION),
    **FIELD_SCHEMAS,
    "Hints": _obj({"hints": _list(_TEXT), "more_results": {"type": "boolean"}}),
    "Coords": {"type": "object", "required": [*_POSITION, "unit_vector", "sgx", "sgy", "sgz"],
               "properties": {**_POSITION, "name": _TEXT, "catalog": _CATALOG,
                              "unit_vector": _obj({"frame": _TEXT, **{a: {"type": "number"} for a in "xyz"}}),
                              "distance": _num("Mpc"), "unit": _TEXT,
                              **{a: _num("Mpc") for a in ("sgx", "sgy", "sgz")}}},
    "Detail": {"type": "object", "required": ["name", "canonical", "object_type", "position", "velocities"],
               "properties": {"name": _TEXT, "canonical": _TEXT, "object_type": _TEXT, "position": _ref("Position"),
                              "z_helio": _num(), "cz_helio": _num("km/s"), "velocities": _list({"type": "object"}),
                              "catalog": _CATALOG}},
    "Distances": {
        "type": "object",
        "required": ["position", "cz", *FLOW_TYPES, "modulus", "roots", "v_rad", "v_rad_std", "v_pec", "delta", "inside_fraction",
                     "evidence", "flags", "status", *_PROVENANCE],
        "properties": {
            "name": {"type": ["string", "null"]}, "position": _ref("Position"), "cz": _CZ,
            **{t: _SUMMARY for t in FLOW_TYPES}, "modulus": _obj({s: _num("mag") for s in MODULUS}), "roots": _ROOTS,
            "v_rad": _num("km/s, positive = receding"), "v_rad_std": _num("km/s"), "v_pec": _V,
            "delta": _num(), "inside_fraction": _num(),
            "evidence": _num("(km/s)^-1"), "flags": _FLAG_LIST, "status": {"type": "string", "enum": list(STATUS)},
            "velocity": _obj({"used": {"type": "string", "enum": ["own", "group", "given"]}}),
            "grid": {"type": "object"}, **_PROVENANCE}},
    "Velocity": {
        "type": "object",
        "required": ["position", "xyz_hmpc", "inside", "v_pec", "v_rad", "delta", "sigma", "cz_hubble", "cz",
                     "status", *_PROVENANCE],
        "properties": {
            "name": {"type": ["string", "null"]}, "position": _ref("Position"),
            "xyz_hmpc": {"type": "array", "items": {"type": "number"}, "minItems": 3, "maxItems": 3},
            "inside": {"type": "boolean"}, "status": {"type": "string", "enum": ["ok", "outside_field"]}, "v_pec": _V,
            "v_rad": _num("km/s"), "delta": _num(), "sigma": _num("km/s"),
            "cz_hubble": _num("km/s"), "cz": _CZ, **_PROVENANCE}},
    "DistanceList": {
        "type": "object", "required": ["flow_type", "unit", "n", "columns", "roots", "flags", "status", *_PROVENANCE],
        "properties": {
            "flow_type": {"type": "string", "enum": list(FLOW_TYPES)}, "unit": _TEXT, "n": {"type": "integer"},
            "columns": {"type": "object", "additionalProperties": _list(_num())}, "roots": _list(_ROOTS),
            "flags": _list(_FLAG_LIST), "status": _list({"type": "string", "enum": list(STATUS)}),
            "errors": _list(_obj({"row": {"type": "integer"}, "column": _TEXT, "value": _num(), "code": _TEXT,
                                  "detail": _TEXT})),
            "grid": _obj({"x": _list({"type": "number"}), "pdf": _list(_list(_num()))}), **_PROVENANCE}},
    "DistanceTable": {
        "type": "object", "required": ["position", "n", "unit", "columns", *_PROVENANCE],
        "properties": {
            "name": {"type": ["string", "null"]}, "position": _ref("Position"), "n": {"type": "integer"},
            "cz_observed": _num("km/s"), "unit": {"type": "object", "additionalProperties": _TEXT},
            "columns": _obj({c: _list(_num()) for c in COLUMNS}, required=False), "catalog": _CATALOG, **_PROVENANCE}},
    "Resolved": _obj({"n": {"type": "integer"}, "n_ok": {"type": "integer"},
                      "results": _list({"type": "object", "required": ["status", "name"]})}),
    "Object": {"type": "object", "required": ["name", "object_type", "z_helio", "cz_helio", "position", "catalog"],
               "properties": {"name": _TEXT, "object_type": _TEXT, "z_helio": _num(), "cz_helio": _num("km/s"),
                              "cz_error": _num("km/s"), "cz_source": {"type": ["string", "null"]},
                              "separation_deg": {"type": "number"}, "position": _obj({"icrs": _LON_LAT}), "catalog": _CATALOG,
                              "distances": _list(_ref("KnownDistance"))}},
    "KnownDistance": {"type": "object", "required": ["method", "d_mpc", "source"],
                      "description": "Measured otherwise than by the redshift; in a cone with distances=true",
                      "properties": {"method": _TEXT, "d_mpc": {"type": "number", "description": "Luminosity distance, Mpc"},
                                     "error_mpc": {"type": "number"}, "modulus": {"type": "number"},
                                     "modulus_error": {"type": "number"}, "source": _TEXT}},
    "Objects": {"type": "object", "required": ["n", "more_results", "objects", "frame"],
                "properties": {"n": {"type": "integer", "description": "All that lie inside, listed or not"},
                               "more_results": {"type": "boolean"}, "objects": _list(_ref("Object")), "frame": _TEXT,
                               "distance_catalogs": {**_list(_TEXT), "description": "With distances=true: the catalogues that "
                                                     "hold measured distances anywhere on the sky"}}},
    "Matches": {"type": "object", "required": ["n", "n_matched", "matches", "frame", "radius", "which"],
                "properties": {"n": {"type": "integer"}, "n_matched": {"type": "integer"}, "frame": _TEXT,
                               "matches": _list(_obj({"status": _TEXT, "objects": _list(_ref("Object"))}))}},
    "Catalogs": _obj({"catalogs": _list({"type": "object", "required": ["id", "version", "name", "licence", "citation"]})}),
    "ImportReport": {"type": "object", "required": ["catalog", "version", "n_read", "n_new", "n_updated", "n_unchanged",
                                                    "n_rejected", "rejects"]},
    "Table": _obj({
        "table": {"type": "string", "description": "Its id, for POST /v1/jobs"}, "url": _TEXT, "name": _TEXT, "expires": _WHEN,
        "bytes": _COUNT, "sha256": _TEXT, "format": _TEXT, "delimiter": {"type": ["string", "null"]},
        "rows": {"type": ["integer", "null"], "description": "Where it can be told without reading all"},
        "columns": _list(_obj({"name": _TEXT, "unit": _TEXT, "ucd": _TEXT, "description": _TEXT, "kind": {"enum": [
            "number", "text", "other"]}, "role": {"enum": ["lon", "lat", "cz", "z", "sigma_cz", "distance", None]}})),
        "choice": {"type": ["object", "null"], "description": "Which column is read as what"},
        "why": {"type": ["string", "null"], "description": "Why nothing could be chosen"}, "code": {"type": ["string", "null"]},
        "candidates": _list(_obj({"column": _TEXT, "kind": _TEXT, "frame": {"type": ["string", "null"]}, "way": _TEXT})),
        "head": _list(_list(_TEXT)), "notes": _list(_TEXT)}),
    "Dropped": _obj({"dropped": _TEXT}),
    "Job": _JOB,
    "Accepted": {"allOf": [_ref("Job")], "properties": {
        "webhook_secret": {"type": "string", "description": "Of a job with a callback: what its calls are signed with"}}},
    "JobList": _obj({"jobs": _list(_ref("Job")),
                     "after": {"type": ["integer", "null"], "description": "Cursor of the next page"},
                     "next": {"type": ["string", "null"], "description": "Address of the next page"}}),
    "Deliveries": _obj({"job": _COUNT, "deliveries": _list(_obj({
        "id": {"type": "string", "description": "The header webhook-id of its calls"}, "type": _TEXT, "host": _TEXT,
        "state": {"type": "string", "enum": ["due", "delivered", "gone", "refused", "given_up"]}, "next_try": _WHEN,
        "tries": _list(_obj({"time": _WHEN, "status": {"type": ["integer", "null"]}, "error": {"type": ["string", "null"]},
                             "ms": _COUNT}))}))}),
    "WebhookSecret": _obj({"webhook_secret": {"type": "string", "description": "As Standard Webhooks writes it: whsec_..."}}),
    "SharedJob": _obj({name: schema for name, schema in _JOB["properties"].items() if name not in _NOT_SHARED}),
    "Share": _obj({"id": _COUNT, "url": {"type": "string", "description": "Whoever has it sees the job"}, "result_url": _TEXT,
                   "results_url": _TEXT,
                   "destruction": _WHEN}),
    "Unshared": _obj({"id": _COUNT, "shared": {"type": "boolean"}}),
    "Events": {"type": "string", "description": "Server-Sent Events: `job` with a Job as data, at last `end` with the same"},
    "Deleted": _obj({"id": {"type": "integer"}, "phase": _TEXT}),
    "JobResult": {
        "type": "object", "required": ["job", "kind", "phase", "n", "rows", "rows_total", "columns", "status", *_PROVENANCE],
        "properties": {
            "job": _COUNT, "kind": _TEXT, "phase": _TEXT, "n": _COUNT, "rows_total": _COUNT,
            "rows": {**_list(_list({"type": "integer"})), "description": "Which rows these are: [first, after the last]"},
            "columns": {"type": "object", "additionalProperties": _list(_num())}, "roots": _list(_ROOTS),
            "flags": _list(_FLAG_LIST), "status": _list({"type": "string", "enum": list(STATUS)}),
            "errors": _list({"type": "object"}), **_PROVENANCE}},
    "JobFiles": _obj({"job": _COUNT, "phase": _TEXT, "rows_done": _COUNT, "rows_total": _COUNT, "results": _list(_obj({
        "name": _TEXT, "media_type": _TEXT, "url": _TEXT, "size": {"type": ["integer", "null"]},
        "sha256": {"type": ["string", "null"], "description": "Of a file that was made already"}}))}),
    "File": {},
    "Quarantine": _obj({"quarantine": _list(_ref("Quarantined"))}),
    "Quarantined": _obj({"id": {"type": "integer"}, "job": {"type": "integer"}, "chunk": {"type": "integer"},
                         "row": {"type": "integer"}, "input": {"type": "object"}, "code": _TEXT, "why": _TEXT, "stderr": _TEXT,
                         "time": _TEXT}),
    "Settled": _obj({"id": {"type": "integer"}, "state": _TEXT}),
    "Alive": _obj({"ok": {"type": "boolean"}}),
    "Ready": _obj({"ready": {"type": "boolean"}, "workers": {"type": "integer"}, "catalog": {"type": "boolean"},
                   "fields": _list(_TEXT), "default_field": {"type": ["string", "null"]}}),
    "Stats": {"type": "object", "required": ["version", "uptime_s", "epoch", "workers", "slots", "busy", "backlog_jobs",
                                             "backlog_rows", "backlog_seconds", "backlog_is_measured", "rates", "phases"],
              "properties": {"version": _TEXT, "uptime_s": {"type": "number"}, "epoch": {"type": "integer"},
                             **{k: {"type": "integer"} for k in ("workers", "slots", "busy", "backlog_jobs", "backlog_rows",
                                                                "quarantined", "requests", "workers_lost",
                                                                "result_mismatches")},
                             "backlog_seconds": {"type": "number", "description": "All that waits, at the measured rate"},
                             "backlog_is_measured": {"type": "boolean"}, "rates": _obj({c: _num("rows/s") for c in CLASSES}),
                             "silent_s": _num("The longest silence of a worker"),
                             "phases": {"type": "object", "additionalProperties": {"type": "integer"}},
                             "jobs_ok": {"type": ["boolean", "null"]}, "jobs_why": _TEXT}},
    "Workers": _obj({"workers": _list({"type": "object", "required": [
        "id", "host", "pid", "version", "abi", "state", "slots", "reserve", "jobs", "rss_mb", "silent_s", "done", "crashes",
        "fields", "current"]})}),
    "Draining": _obj({"draining": _TEXT}),
    "Metrics": {"type": "string"},
    "VOTable": {"type": "string"},
    "XML": {"type": "string"},
    "Lines": {"type": "string"},
    "Text": {"type": "string"},
    "Index": {"type": "object"},
    "OpenAPI": {"type": "object"},
    **QUEUE_SCHEMAS,
}
_KNOWN: list[dict[str, list[str]]] = [{"bearer": []}, {"token": []}, {"basic": []}]
_MEDIA = {"json": "application/json", "msgpack": "application/msgpack", "csv": "text/csv",
          "tsv": "text/tab-separated-values", "ecsv": "application/x-ecsv", "fits": "application/fits",
          "parquet": "application/vnd.apache.parquet",
          "votable": "application/x-votable+xml", "xml": "text/xml", "text": "text/plain",
          "binary": "application/octet-stream", "events": "text/event-stream",
          "html": "text/html", **{kind: KINDS[kind] for kind in ("js", "css", "svg", "png", "woff2")}}
_EMPTY = {204: "It is done, or all was told before: there is nothing to say", 206: "The part that was asked for",
          304: "Nothing is new since the answer with this ETag"}
_IN_PATH = {**IN_PATH, "flow_type": {"type": "string", "enum": list(FLOW_TYPES)},
            "table": {"type": "string", "description": "Id of a table, as POST /v1/tables tells it"},
            "job": {"type": "integer", "description": "Number of a job"},
            "token": {"type": "string", "description": "Of a link to a job"},
            "name": {"type": "string", "enum": [f"result.{suffix}" for suffix, _ in FORMATS.values()]},
            "asset": {"type": "string", "description": "A file of the page, as its HTML names it"},
            "record": {"type": "integer", "description": "Number of an entry of the quarantine"},
            "id": {"type": "string", "description": "Id of a catalogue, as GET /v1/catalogs lists it"},
            "task": {"type": "integer", "description": "Number of a task of the queue"},
            "worker": {"type": "string", "description": "Id of a worker, as GET /v1/admin/workers lists it"},
            "parameter": {"type": "string", "description": "Name of a parameter of the job"},
            "result": {"type": "string", "enum": ["result"], "description": "Name of a result of the job"},
            "database": {"type": "string", "description": "A, S, N, V or any mixture: the same catalogues answer"},
            "options": {"type": "string", "description": "-o and I, F as Sesame takes them; answers are text"}}


def document(routes: Sequence[Route], prefixes: Sequence[str]) -> dict[str, Any]:
    """Return the OpenAPI document of a route table served under some prefixes."""
    schemas = dict(SCHEMAS)
    paths: dict[str, Any] = {}
    for route in routes:
        for prefix in (prefixes if route.is_face else ("",)):
            for method in route.methods:
                operation = _operation(route, method, prefix, schemas)
                paths.setdefault(prefix + route.path, {})[method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "Cosmic Flows", "version": cfcore.__version__, "license": {"name": "BSD-3-Clause",
                                                                                     "identifier": "BSD-3-Clause"},
                 "description": "Distances and peculiar velocities of galaxies from reconstructed velocity fields. "
                                "Angles in decimal degrees, velocities c z in km/s, lengths in Mpc through H0 or "
                                "comoving h^-1 Mpc where named so."},
        # nobody needs credentials but for what says so itself; wrong ones are refused everywhere
        "security": [{}, *_KNOWN],
        "paths": paths, "components": {"schemas": schemas, "securitySchemes": {
            "bearer": {"type": "http", "scheme": "bearer", "description": "A token with the scope that is needed"},
            "token": {"type": "apiKey", "in": "header", "name": "Authorization",
                      "description": "The same as 'Token TOKEN' or 'token TOKEN', as clients of other services send it"},
            "basic": {"type": "http", "scheme": "basic", "description": "User name and password"}}}}


_BODIES = {"json": ("application/json",), "msgpack": ("application/msgpack",),
           "form": ("application/x-www-form-urlencoded", "multipart/form-data")}
_REFUSED_IN = {"Problem": "application/problem+json", "QueueRefusal": "application/json", "Text": "text/plain"}
"""Schema of a refusal -> its media type."""


def _operation(route: Route, method: str, prefix: str, schemas: dict[str, Any]) -> dict[str, Any]:
    summary = (route.handler.__doc__ or "").partition(": ")[2].strip()
    operation: dict[str, Any] = {
        "operationId": "_".join(filter(None, (prefix.strip("/"), *_spelled(route),
                                              method.lower() if len(route.methods) > 1 else ""))),
        "summary": summary, "tags": [route.tag],
        "responses": {str(route.status): {"description": "The answer", "content": {
            _MEDIA[f]: {"schema": _answer(route, f)} for f in route.formats}}}}
    if route.status == 303:
        operation["responses"]["303"] = {"description": "Done; the address is that of what was changed", "headers": {
            "Location": {"required": True, "schema": _TEXT}}}
    for status in route.empty:
        operation["responses"][str(status)] = {"description": _EMPTY[status]}
    for status in route.statuses:
        operation["responses"][str(status)] = {
            "description": "Refused, or not possible now",
            "content": {_REFUSED_IN[route.refusal]: {"schema": _ref(route.refusal)}}}
    if route.is_admin:
        operation["security"] = _KNOWN
    parameters: list[dict[str, Any]] = [{"name": name, "in": "path", "required": True, "schema": _IN_PATH[name]}
                                        for name in re.findall(r"{(\w+)}", route.path)]
    if route.query is not None:
        schema = route.query.model_json_schema(ref_template="#/components/schemas/{model}")
        for name, entry in schema["properties"].items():
            text = entry.pop("description", "")
            entry.pop("title", None)
            parameters.append({"name": name, "in": "query", "required": name in schema.get("required", ()),
                               "schema": entry, **({"description": text} if text else {})})
    if parameters:
        operation["parameters"] = parameters
    for status in _EMPTY:
        if str(status) in operation["responses"]:
            operation["responses"][str(status)] = {"description": _EMPTY[status]}
    if route.body is not None:
        name = route.body.__name__
        schemas[name] = route.body.model_json_schema(ref_template="#/components/schemas/{model}")
        operation["requestBody"] = {"required": True, "content": {
            media: {"schema": {} if kind == "msgpack" else _ref(name)} for kind in route.body_media for media in _BODIES[kind]}}
    if route.uploads:
        content = operation.setdefault("requestBody", {"required": True, "content": {}})["content"]
        content["application/octet-stream"] = {"schema": {}}
        if route.tag == "Jobs":
            content |= {"text/csv": {"schema": {}}, "multipart/form-data": {"schema": {"type": "object"}}}
    return operation


def _spelled(route: Route) -> list[str]:
    """Return the words of an operation's id: the handler, and what tells its addresses apart when it has several."""
    if route.tag == "Queue":
        return ["forcedphot"] * route.path.startswith("/forcedphot/") + ["queue", route.handler.__name__]
    if route.tag != "Sesame":
        return ["uws"] * (route.tag == "UWS") + [route.handler.__name__]
    return ["cgi"] * route.path.startswith("/cgi-bin") + [route.handler.__name__] + ["options"] * ("{options}" in route.path)


def _answer(route: Route, fmt: str) -> dict[str, Any]:
    if fmt != "json":
        return {} if fmt in ("msgpack", "binary") else {"type": "string"}
    if len(route.answers) == 1:
        return _ref(route.answers[0])
    return {"anyOf": [_ref(a) for a in route.answers]}
