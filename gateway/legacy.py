"""The CosmicFlows URLs about single galaxies and flows, by translation alone: query -> columns -> workers -> words."""

from __future__ import annotations

import math
from typing import Any

from aiohttp import web

from cfcore import frames
from cfcore.cosmology import C_KMS
from cfcore.errors import BadParameter, shown
from cfcore.options import FlowOptions
from cfcore.sightlines import COLUMNS

from . import answers, form, lists, name_queries, queries
from .flows import GRID_VALUES_MAX, ask, chosen_velocity, field_record, grid_fits, one_object
from .keys import CATALOG, DISPATCHER


async def get_galaxy_detail(request: web.Request) -> web.Response:
    """GET /get_galaxy_detail: all the catalogue knows of one galaxy."""
    q = queries.parse_query(name_queries.NameQuery, request)
    return answers.respond(await request.app[CATALOG].detail(q.name), answers.wanted(request, q.format))


async def get_coords(request: web.Request) -> web.Response:
    """GET /get_coords: one position in three sky frames; supergalactic Cartesian when a distance is known."""
    q = queries.parse_query(name_queries.CoordsQuery, request)
    found, lon, lat, frame = await _name_or_place(request, q)
    position = answers.position(lon, lat, frame)
    x, y, z = frames.rotate(frames.unit_vectors(lon, lat), frame, "supergalactic")[0].tolist()
    d = q.distance
    data = {**({} if found is None else {"name": found["name"], "catalog": found["catalog"]}), **position,
            "unit_vector": {"frame": "supergalactic", "x": x, "y": y, "z": z}, "distance": d, "unit": "Mpc",
            "sgx": None if d is None else d * x, "sgy": None if d is None else d * y,
            "sgz": None if d is None else d * z}
    return answers.respond(data, answers.wanted(request, q.format))


async def get_flow_by_position(request: web.Request) -> web.Response:
    """GET /get_flow_by_position: a velocity asks for distances, a distance asks for the velocity there."""
    q = queries.parse_query(queries.PositionQuery, request)
    lon, lat, frame, pair = queries.need_place(q)
    cz = queries.velocity_km_s(q)
    if (cz is None) == (q.distance is None):
        raise BadParameter("give cz (km/s) or z to ask for distances, or distance (Mpc) to ask for the velocity there; "
                           "one of them", code="missing_parameter" if cz is None else "two_questions", where="cz")
    opt = q.flow(frame)
    record = field_record(request.app[DISPATCHER], q.field)
    if cz is not None:
        return await _distances(request, record, opt, (lon, lat, frame), cz, q, pair, None, {})
    sent = one_object(lon=lon, lat=lat, distance=q.distance)
    answer = await ask(request, "velocity", record, opt, sent)
    answers.refuse_bad_row(answer, sent, pair)
    data = {**answers.velocity_answer(answer.columns), "distance": q.distance, "unit": "Mpc"}
    answers.explain_status(data, sent, pair)
    return answers.respond({"name": None, "position": answers.position(lon, lat, frame), **data,
                            **answers.provenance(record, opt)}, answers.wanted(request, q.format))


async def get_flow_galaxy(request: web.Request) -> web.Response:
    """GET /get_flow_galaxy: position, velocity and distances of a galaxy by name."""
    q = queries.parse_query(queries.GalaxyQuery, request)
    override = queries.velocity_km_s(q)
    if override is None and q.cz_frame is not None:
        raise BadParameter(f"cz_frame = {q.cz_frame!r:.40} says how to read cz, but no cz is given; the catalogue's "
                           "velocity is heliocentric, and the answer lists all frames", code="missing_parameter",
                           where="cz")
    if override is not None and q.velocity is not None:
        raise BadParameter(f"velocity = {q.velocity!r} chooses a velocity of the catalogues, but cz or z is given too; leave one "
                           "of them out", code="two_velocities", where="velocity")
    catalog = request.app[CATALOG]
    found = await (catalog.group(q.name) if q.velocity == "group" else catalog.resolve(q.name))
    cz, cz_frame, velocity = (override, None, {"used": "given"}) if override is not None else chosen_velocity(found, q.velocity)
    opt = q.flow("icrs", cz_frame)
    record = field_record(request.app[DISPATCHER], q.field)
    place = found["position"]["icrs"]
    facts = {k: found[k] for k in ("canonical", "object_type", "matched_as", "redirected_from", "cz_source", "catalog")}
    if override is not None:
        facts["cz_source"] = "given in the request"
    elif velocity["used"] == "group":
        facts["cz_source"] = velocity["group"]["source"]
    facts["velocity"] = velocity
    return await _distances(request, record, opt, (place["lon"], place["lat"], "icrs"), cz, q, ("lon", "lat"), found["name"],
                            facts)


async def get_distance_table(request: web.Request) -> web.Response:
    """GET /get_distance_table: the line of sight as columns, and p(d) when a velocity is known."""
    q = queries.parse_query(queries.TableQuery, request)
    cz = queries.velocity_km_s(q)
    found, lon, lat, frame = await _name_or_place(request, q)
    opt = q.model_copy(update={"rmax": None}).flow(frame)
    if cz is None and found is not None and found["cz_helio"] is not None:
        n_gal = frames.rotate(frames.unit_vectors(lon, lat), frame, "galactic")
        cz = C_KMS * float(frames.convert_z(found["cz_helio"] / C_KMS, n_gal, "hel", opt.cz_frame, opt.composition)[0])
    FlowOptions(rmax=q.rmax)
    record = field_record(request.app[DISPATCHER], q.field)
    sent = one_object(lon=lon, lat=lat, cz=math.nan if cz is None else cz, sigma_cz=q.sigma_cz or 0.0)
    answers.check_single(sent)
    answer = await ask(request, "sightline", record, opt, sent, is_alone=True, n=q.n, table_rmax=q.rmax)
    units = {k: u for k, u in COLUMNS.items() if k != "p" or cz is not None}
    data = {"name": None if found is None else found["name"], "position": answers.position(lon, lat, frame),
            "cz_observed": cz, "n": q.n, "unit": units, "columns": {k: answer.columns[k][0] for k in units},
            **({} if found is None else {"catalog": found["catalog"]}), **answers.provenance(record, opt)}
    fmt = answers.wanted(request, q.format, ("json", "msgpack", "csv", "votable"))
    return answers.respond_table(data, units, fmt) if fmt in ("csv", "votable") else answers.respond(data, fmt)


async def get_flow(request: web.Request) -> web.Response:
    """POST /get_flow/<type>: distances of a list of objects in one variable; GET with a body does the same."""
    flow = queries.flow_type(request.match_info["flow_type"])
    body = await queries.parse_body(queries.ListBody, request)
    sent, frame, pair = queries.list_columns(body)
    n = len(sent["lon"])
    opt = body.flow(frame)
    record = field_record(request.app[DISPATCHER], body.field)
    grid = n <= queries.GRID_ROWS_DEFAULT and grid_fits(record, opt, n) if body.grid is None else body.grid
    if grid and not grid_fits(record, opt, n):
        raise BadParameter(f"{n} distribution functions with dr = {shown(opt.dr)} are more than the {GRID_VALUES_MAX} numbers "
                           "of one answer; leave grid out, ask for fewer objects, or take a larger dr",
                           code="too_many_rows", where="grid", extra={"limit": GRID_VALUES_MAX})
    fmt = answers.wanted(request, body.format)
    # alone: the workers write the answer, and what two clients asked cannot be told apart in one text
    answer = await ask(request, "posterior", record, opt, sent, is_alone=True, pdf=flow if grid else None, list=flow,
                       encoding=fmt)
    return lists.respond(flow, answer, sent, pair, opt, record, fmt)


async def _distances(request: web.Request, record: dict[str, Any], opt: FlowOptions, place: tuple[float, float, str], cz: float,
                     q: queries.PositionQuery | queries.GalaxyQuery, pair: tuple[str, str], name: str | None,
                     facts: dict[str, Any]) -> web.Response:
    """Answer for one object; `facts` stand behind the distances."""
    lon, lat, frame = place
    sent = one_object(lon=lon, lat=lat, cz=cz, sigma_cz=q.sigma_cz or 0.0)
    answer = await ask(request, "posterior", record, opt, sent, is_alone=q.grid is not None, pdf=q.grid)
    status = answers.refuse_bad_row(answer, sent, pair)
    head = {"name": name, "position": answers.position(lon, lat, frame)}
    fmt = answers.wanted(request, q.format)
    if fmt == "json" and status == "ok" and q.grid is None:
        return answers.json(form.fill(head, answer, opt, facts, record))
    data = answers.one_object(answer.columns, opt)
    answers.explain_status(data, sent, pair)
    if q.grid is not None:
        data["grid"] = answers.grid(answer.columns, answer.shared, q.grid)
    return answers.respond({**head, **data, **facts, **answers.provenance(record, opt)}, fmt)


async def _name_or_place(request: web.Request, q: name_queries.CoordsQuery | queries.TableQuery
                         ) -> tuple[dict[str, Any] | None, float, float, str]:
    """Return (resolved object or None, lon, lat, sky frame) of a query that takes a name or a position."""
    given = queries.place(q)
    if (q.name is None) == (given is None):
        raise BadParameter("give a name, or a position (lon and lat, ra and dec ...); one of them",
                           code="missing_parameter" if given is None else "two_positions", where="name")
    if given is not None:
        lon, lat, frame, pair = given
        answers.check_single(one_object(lon=lon, lat=lat), pair)
        return None, lon, lat, frame
    found = await request.app[CATALOG].resolve(str(q.name))
    place = found["position"]["icrs"]
    return found, place["lon"], place["lat"], "icrs"
