"""Columns become answers here: the words and shapes of the CosmicFlows face, in JSON, msgpack, CSV and VOTable.

Both encodings carry the same numbers: JSON the shortest text that reads back the same float64, msgpack its eight bytes.
"""

from __future__ import annotations

import csv
import io
import math
from functools import cache, lru_cache
from typing import Any

import msgpack
import numpy as np
import orjson
from aiohttp import web
from numpy.typing import NDArray

import cfcore
from cfcore import distances, frames
from cfcore.errors import BadParameter, shown
from cfcore.options import FLOW_TYPES, FlowOptions

from .batches import Answer, Asked

F64 = NDArray[np.float64]
# format -> its media type and other names of it; a browser, which asks for HTML, gets JSON
_MEDIA = {"json": ("application/json", "text/html"),
          "msgpack": ("application/msgpack", "application/x-msgpack", "application/vnd.msgpack"),
          "csv": ("text/csv",), "votable": ("application/x-votable+xml",)}


def position(lon: float, lat: float, frame: str) -> dict[str, dict[str, float]]:
    """Return a position in the three sky frames, degrees."""
    # scalar arithmetic: for one position NumPy costs fifteen times as much
    a, b = math.radians(lon), math.radians(lat)
    ux, uy, uz = math.cos(b) * math.cos(a), math.cos(b) * math.sin(a), math.sin(b)
    out = {}
    for target in frames.SKY_FRAMES:
        if target == frame:
            out[target] = {"lon": lon % 360.0, "lat": lat}
            continue
        (ax, ay, az), (bx, by, bz), (cx, cy, cz) = _turns(frame, target)
        x, y, z = ax * ux + ay * uy + az * uz, bx * ux + by * uy + bz * uz, cx * ux + cy * uy + cz * uz
        out[target] = {"lon": math.degrees(math.atan2(y, x)) % 360.0, "lat": math.degrees(math.atan2(z, math.hypot(x, y)))}
    return out


@cache
def _turns(source: str, target: str) -> list[list[float]]:
    return frames.rotation(source, target).tolist()


def provenance(record: dict[str, Any], opt: FlowOptions) -> dict[str, Any]:
    """Return what every flow answer repeats: field, frames, cosmology, scatter, prior, code."""
    return {"field": {"id": record["id"], "version": record["version"], "citation": record.get("citation", "")},
            "frame": opt.frame, "cz_frame": opt.cz_frame, "cosmology": {"H0": opt.H0, "Om": opt.Om},
            "sigma_v": record.get("sigma_v") if opt.sigma_v is None else opt.sigma_v, "prior": opt.prior,
            **({"alpha": opt.alpha} if opt.prior == "density" else {}),
            **({"use_field_sigma": True} if opt.use_field_sigma else {}),
            **({"observer": opt.observer} if opt.observer != "cmb" else {}),
            **({"composition": opt.composition} if opt.composition != "multiplicative" else {}),
            "cfcore": cfcore.__version__}


def one_object(columns: dict[str, NDArray[Any]], opt: FlowOptions) -> dict[str, Any]:
    """Return the distances of one object, from the worker's columns with one row."""
    v = dict(zip(distances.VALUES, columns["values"][0].tolist()))
    status, flags, n_roots = columns["codes"][0].tolist()
    out: dict[str, Any] = {"cz": {f: v[f"cz.{f}"] for f in frames.REPORTED_FRAMES}}
    for flow, unit in FLOW_TYPES.items():
        out[flow] = {**{s: v[f"{flow}.{s}"] for s in distances.SUMMARY}, "unit": unit}
    out["modulus"] = {s: v[f"modulus.{s}"] for s in distances.MODULUS}
    out["roots"] = distances.root_records(columns["roots"][0], n_roots, opt.H0)
    out["v_rad"], out["v_rad_std"] = v["v_rad"], v["v_rad_std"]
    out["v_pec"] = {a: v[f"v_pec.{a}"] for a in ("sgx", "sgy", "sgz")}
    for name in ("delta", "inside_fraction", "evidence"):
        out[name] = v[name]
    return {**out, "flags": distances.flag_words(flags), "status": distances.STATUS[status]}


def grid(columns: dict[str, NDArray[Any]], shared: dict[str, NDArray[Any]], flow: str) -> dict[str, Any]:
    """Return the distribution function of a single-object answer."""
    return {"flow_type": flow, "unit": FLOW_TYPES[flow], "x": shared["x"], "pdf": columns["pdf"][0]}


def row_fault(row: int, status: str, sent: Asked, pair: tuple[str, str] = ("lon", "lat")) -> dict[str, Any]:
    """Return one row's fault in words: row, column, value, limit and way out."""
    if status == "outside_field" and "distance" in sent:
        value = float(sent["distance"][row])
        return {"row": row, "column": "distance", "value": value, "code": status, "detail":
                f"distance[{row}] = {shown(value)} Mpc lies outside the lattice of this field; ask for another field=, a "
                "smaller distance, or drop the row"}
    if status == "outside_field":
        value = float(sent["cz"][row])
        return {"row": row, "column": "cz", "value": value, "code": status, "detail":
                f"cz[{row}] = {shown(value)} km/s lies beyond the line of sight of this field; ask for another field=, a "
                "larger rmax=, or drop the row"}
    names = {"lon": pair[0], "lat": pair[1]}
    if status == "crashed":
        return {"row": row, "column": None, "value": None, "code": status,
                "detail": f"row {row} has ended its compute process again and again; it is set aside, the others were answered"}
    if status == "not_finite":
        column = next(k for k, v in sent.items() if not np.isfinite(v[row]))
        name = names.get(column, column)
        return {"row": row, "column": name, "value": None, "code": status,
                "detail": f"{name}[{row}] is not a finite number (null, NaN or text); send a number or drop the row"}
    column = status.removesuffix("_out_of_range")
    name, value = names.get(column, column), float(sent[column][row])
    least, greatest, unit = distances.ROW_LIMITS[column]
    detail = f"{name}[{row}] = {shown(value)} lies outside {least:g} ... {greatest:g} {unit}"
    if column == "lat" and abs(float(sent["lon"][row])) <= 90.0:
        detail += f"; perhaps {names['lon']} and {names['lat']} are swapped"
    return {"row": row, "column": name, "value": value, "code": status, "detail": detail}


def refuse_bad_row(answer: Answer, sent: Asked, pair: tuple[str, str]) -> str:
    """Return the status of the single object of a request: "ok" or "outside_field"; raise any other in words."""
    status = distances.STATUS[answer.block["codes"][answer.rows.start, 0]]
    if status in ("ok", "outside_field"):
        return status
    fault = row_fault(0, status, sent, pair)
    raise BadParameter(str(fault["detail"]).replace("[0]", ""), code=status, where=str(fault["column"]))


def check_single(sent: Asked, pair: tuple[str, str] = ("lon", "lat")) -> None:
    """Refuse a single position or velocity out of range, in the words of a row fault."""
    for name, values in sent.items():
        least, greatest, _ = distances.ROW_LIMITS[name]
        if not math.isnan(values[0]) and not least <= values[0] <= greatest:
            fault = row_fault(0, f"{name}_out_of_range", sent, pair)
            raise BadParameter(str(fault["detail"]).replace("[0]", ""), code=fault["code"], where=fault["column"])


def explain_status(data: dict[str, Any], sent: Asked, pair: tuple[str, str]) -> None:
    """Add to the answer for a single object why it is empty."""
    if data["status"] != "ok":
        data["detail"] = row_fault(0, data["status"], sent, pair)["detail"].replace("[0]", "")


def velocity_answer(columns: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """Return the flow at one point of known distance; outside the field the flow is null and inside is false."""
    v = dict(zip(distances.VELOCITY_VALUES, columns["values"][0].tolist()))
    return {"xyz_hmpc": [v["sgx"], v["sgy"], v["sgz"]], "inside": bool(columns["codes"][0, 1]),
            "v_pec": {a: v[f"v_pec.{a}"] for a in ("sgx", "sgy", "sgz")}, "v_rad": v["v_rad"], "delta": v["delta"],
            "sigma": v["sigma"], "cz_hubble": v["cz_hubble"], "cz": {f: v[f"cz.{f}"] for f in frames.REPORTED_FRAMES},
            "status": distances.STATUS[int(columns["codes"][0, 0])]}


# ---- encodings ---------------------------------------------------------------------------------------------------

def wanted(request: web.Request, asked: str | None, offered: tuple[str, ...] = ("json", "msgpack")) -> str:
    """Return the format of an answer: the `format` parameter, else the one the Accept header likes best, else JSON.

    Raises
    ------
    BadParameter
        Code ``not_acceptable``, when the header leaves none.
    """
    if asked:
        return asked
    return _best(",".join(request.headers.getall("Accept", ())), offered)


@lru_cache(maxsize=256)
def prefers_html(accept: str) -> bool:
    """Tell whether an Accept header asks for HTML rather than for JSON, as browsers do and programs do not."""
    ranges = _accepted(accept)
    return _liking(("text/html",), ranges) > _liking(("application/json",), ranges)


@lru_cache(maxsize=256)
def _best(accept: str, offered: tuple[str, ...]) -> str:
    ranges = _accepted(accept)
    likings = {fmt: _liking(_MEDIA[fmt], ranges) for fmt in offered}
    best = max(offered, key=lambda fmt: likings[fmt])
    if likings[best][0] <= 0.0:
        raise BadParameter("the header Accept leaves none of the formats of this answer; accept one of "
                           + ", ".join(_MEDIA[fmt][0] for fmt in offered), code="not_acceptable", where="Accept")
    return best


def _accepted(header: str) -> dict[str, tuple[float, int]]:
    """Return for each media range of an Accept header its weight q and minus its place (RFC 9110, section 12.5.1)."""
    ranges: dict[str, tuple[float, int]] = {}
    for place, entry in enumerate(filter(None, map(str.strip, header.lower().split(",")))):
        media, *rest = (part.strip() for part in entry.split(";"))
        weights = [part[2:].strip() for part in rest if part.startswith("q=")]
        try:
            q = min(max(float(weights[0]), 0.0), 1.0) if weights else 1.0
        except ValueError:
            q = 1.0
        ranges.setdefault(media, (q, -place))
    if not any(q > 0.0 for q, _ in ranges.values()):
        # it only says what it does not want: everything else will do
        ranges.setdefault("*/*", (1.0, -len(ranges)))
    return ranges


def _liking(media: tuple[str, ...], ranges: dict[str, tuple[float, int]]) -> tuple[float, int]:
    """Return how much a format is liked: by the narrowest range that holds its media type, or by another name of it."""
    narrowest = [ranges[r] for r in (media[0], media[0].partition("/")[0] + "/*", "*/*") if r in ranges][:1]
    return max(narrowest + [ranges[r] for r in media[1:] if r in ranges], default=(0.0, 0))


def respond(data: dict[str, Any], fmt: str) -> web.Response:
    """Return an answer as JSON (NaN is null) or msgpack (lists of numbers are raw little-endian float64)."""
    if fmt == "msgpack":
        body = msgpack.packb({**nil(data), "dtype": "<f8"}, default=_raw)
        return web.Response(body=body, content_type="application/msgpack")
    return json(orjson.dumps(data, default=_plain, option=orjson.OPT_SERIALIZE_NUMPY))


def json(body: bytes) -> web.Response:
    """Return an answer that is JSON already."""
    return web.Response(body=body, headers={"Content-Type": "application/json; charset=utf-8"})


def encoded(body: bytes, fmt: str) -> tuple[str, bytes]:
    """Return media type and bytes of an answer that is JSON already; it is only read again for msgpack."""
    if fmt == "msgpack":
        return _MEDIA[fmt][0], msgpack.packb({**nil(orjson.loads(body)), "dtype": "<f8"})
    return f"{_MEDIA[fmt][0]}; charset=utf-8", body


def nil(value: Any) -> Any:
    """Replace NaN by nil as orjson does by null; inside raw columns it stays NaN."""
    if isinstance(value, dict):
        return {k: nil(v) for k, v in value.items()}
    return None if isinstance(value, float) and value != value else value


def _raw(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return np.ascontiguousarray(value, dtype="<f8").tobytes()
    raise TypeError(type(value).__name__)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(type(value).__name__)


def respond_table(data: dict[str, Any], units: dict[str, str], fmt: str) -> web.Response:
    """Return a table answer as CSV or VOTable; the provenance stands in comments or PARAMs, a unit "" is none."""
    columns: dict[str, NDArray[Any]] = data["columns"]
    notes = {k: v for k, v in data.items() if k not in ("columns", "unit")}
    if fmt == "csv":
        text = io.StringIO()
        for key, value in notes.items():
            text.write(f"# {key}: {orjson.dumps(value, default=_plain).decode()}\n")
        text.write("# units: " + ", ".join(f"{k} [{units[k]}]" for k, c in columns.items() if c.dtype.kind != "U") + "\n")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*(_written(c) for c in columns.values())))
        return web.Response(text=text.getvalue(), content_type="text/csv", charset="utf-8")
    from astropy.io import votable
    from astropy.table import Table
    table = Table({k: np.asarray(v) for k, v in columns.items()})
    for k in columns:
        if units[k] in _VO_UNITS:
            table[k].unit = units[k] or None
        else:
            # h^-1 Mpc is no VOUnit: a wrong unit would be worse than a described one
            table[k].description = f"in {units[k]}"
    tree = votable.from_table(table)
    for key, value in notes.items():
        text_value = orjson.dumps(value, default=_plain).decode()
        tree.resources[0].params.append(votable.tree.Param(
            tree, name=key, datatype="char", arraysize="*", value=text_value))
    out = io.BytesIO()
    tree.to_xml(out)
    return web.Response(body=out.getvalue(), content_type="application/x-votable+xml")


def _written(column: NDArray[Any]) -> list[str]:
    if column.dtype.kind == "U":
        return list(column.tolist())
    return ["" if x != x else repr(x) for x in column.tolist()]


_VO_UNITS = ("", "Mpc", "km/s", "deg", "1/Mpc")
