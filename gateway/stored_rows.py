"""A finished job as `cfcore.tablerun` wants it: a reader of what was asked, and an asker that answers from the store.

So a table of results is made by the code of the command line, from what the workers have sent instead of a field.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from sqlite3 import Row
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

import cfcore
from cfcore import distances, sightlines, tables
from cfcore.asking import Answers, Facts, Rows, Sight, line_of_sight, stored_answers
from cfcore.columns import Choice, Chosen, Column
from cfcore.errors import InternalError
from cfcore.options import FlowOptions
from cfcore.tables import Faults, NewColumn, Ranges

from .job_shelf import Shelf
from .job_view import stamp

F64 = NDArray[np.float64]
CRASHED = distances.STATUS.index("crashed")
CHUNK_ROWS = 20_000
_PLACE_UCDS = {"icrs": ("pos.eq.ra", "pos.eq.dec"), "galactic": ("pos.galactic.lon", "pos.galactic.lat"),
               "supergalactic": ("pos.supergalactic.lon", "pos.supergalactic.lat")}
# quantity -> unit, UCD, description
_ABOUT = {"cz": ("km/s", "spect.dopplerVeloc.opt", "observed c z, as it was sent"),
          "sigma_cz": ("km/s", "stat.error;spect.dopplerVeloc.opt", "error of the observed c z"),
          "distance": ("Mpc", "pos.distance", "comoving distance at which the flow was asked")}
# of `sightlines.COLUMNS`: digits, UCD, description
_ALONG: dict[str, tuple[int | None, str, str]] = {
    "r_hmpc": (4, "pos.distance", "comoving distance"), "d_mpc": (4, "pos.distance", "comoving distance"),
    "cz_hubble": (2, "spect.dopplerVeloc.opt;meta.modelled", "c zbar, no peculiar velocity"),
    "cz": (2, "spect.dopplerVeloc.opt;meta.modelled", "predicted c z in cz_frame"),
    "v_rad": (2, "phys.veloc", "radial peculiar velocity, CMB frame, positive = receding"),
    "v_rad_std": (2, "stat.stdev;phys.veloc", "spread of v_rad over the realisations of the field"),
    "delta": (4, "phys.density;arith.ratio", "density contrast"),
    "sigma": (2, "stat.error;phys.veloc", "error of the field's velocity"),
    "inside": (0, "meta.code", "1 inside the field, 0 outside"),
    "p": (None, "stat.probability;pos.distance", "posterior density of the comoving distance d_mpc")}


class Stored:
    """Answer the rows of a job from its stored result.

    Parameters
    ----------
    shelf : Shelf
    row : Row
        Of the job; its kind is distance or velocity.
    flow : str

    Attributes
    ----------
    kept : list of (int, int)
        The rows that have an answer, or a reason why there is none: all, or of a cancelled job those that were ready.
    """

    rows, jobs = CHUNK_ROWS, 1

    def __init__(self, shelf: Shelf, row: Row, flow: str) -> None:
        self._shelf, self._job, self.question, self.flow = shelf, row, str(row["kind"]), flow
        self.options = FlowOptions(**orjson.loads(row["params"])["options"])
        self._parts = finished(shelf, row["id"])
        self.kept = ranges_of(self._parts)
        self._ends = np.cumsum([part["stop"] - part["start"] for part in self._parts])
        self._last: tuple[int, tuple[F64, NDArray[np.int32]]] | None = None

    def ask(self, rows: Rows) -> Answers:
        """Return the answers of some of the rows, counted among those that are kept."""
        values, codes, at = [], [], rows.first
        end = at + len(rows.lon)
        while at < end:
            k = int(np.searchsorted(self._ends, at, side="right"))
            if k == len(self._ends):
                raise InternalError("the table has more rows than the job", code="input_damaged")
            begin = int(self._ends[k - 1]) if k else 0
            some = slice(at - begin, min(end, int(self._ends[k])) - begin)
            part = self._part(k)
            values.append(part[0][some])
            codes.append(part[1][some])
            at = begin + some.stop
        return stored_answers(self.question, self.flow, np.concatenate(values), np.concatenate(codes), self.options.H0,
                              self.options.Om)

    def facts(self) -> Facts:
        """Return where the answers come from."""
        opt = self.options
        more: Facts = {} if self.question == "velocity" else {
            "cz_frame": opt.cz_frame, "sigma_v": sigma_v(self._job, opt), "prior": opt.prior, "alpha": opt.alpha,
            "use_field_sigma": opt.use_field_sigma, "observer": opt.observer, "rmax": opt.rmax, "dr": opt.dr}
        return provenance(self._job, opt, more, self.kept)

    def sight(self) -> Sight | None:
        """Return where the lines of sight were ended, when somebody did that."""
        opt = self.options
        return None if opt.rmax is None else line_of_sight(opt.rmax, opt.rmax, opt.Om)._replace(shortened=True)

    def _part(self, k: int) -> tuple[F64, NDArray[np.int32]]:
        if self._last is None or self._last[0] != k:
            part = self._parts[k]
            if part["state"] == "done":
                found = self._shelf.part(self._job["id"], part)
                self._last = k, (found["values"], found["codes"])
            else:
                width = len(distances.VALUES if self.question == "distance" else distances.VELOCITY_VALUES)
                n = part["stop"] - part["start"]
                self._last = k, (np.full((n, width), np.nan), np.tile(np.array([[CRASHED, 0, 0]], np.int32), (n, 1)))
        return self._last[1]


class ListReader:
    """Read what a list of objects was asked about, as a table with the names that the client used."""

    def __init__(self, shelf: Shelf, row: Row, options: FlowOptions) -> None:
        self._shelf, self._job, self._n = shelf, row["id"], row["rows_total"]
        pair = orjson.loads(row["params"])["pair"]
        self.name, self.notes, self.rows = f"job {row['id']}", [], row["rows_total"]
        self._kept: Ranges | None = None
        keys = list(shelf.input(row["id"], 0, 0))
        places = dict(zip(("lon", "lat"), zip(pair, _PLACE_UCDS[options.frame])))
        self.columns: tuple[Column, ...] = tuple(
            Column(places[key][0], "deg", f"position in the frame {options.frame}", f"{places[key][1]};meta.main")
            if key in places else Column(key, _ABOUT[key][0], _ABOUT[key][2], _ABOUT[key][1]) for key in keys)
        chosen = {key: Chosen(i, column.name) for i, (key, column) in enumerate(zip(keys, self.columns))}
        self.choice = Choice(chosen["lon"], chosen["lat"], chosen.get("cz") or chosen["distance"], chosen.get("sigma_cz"),
                             options.frame, options.cz_frame, True)

    def chunks(self, rows: int) -> Iterator[ListChunk]:
        """Yield the rows in pieces."""
        for first in range(0, self._n, rows):
            for a, b in tables.within(self._kept, first, min(first + rows, self._n)):
                yield ListChunk(first + a, list(self._shelf.input(self._job, first + a, first + b).values()))

    def keep(self, ranges: Ranges) -> None:
        """Read only some of the rows."""
        self._kept = ranges

    def fraction(self) -> None:
        """Tell nobody how far it is."""

    def close(self) -> None:
        """Leave the shelf open: it is not ours."""


class ListChunk:
    """Hold some rows of a list, or, without columns, so many rows."""

    def __init__(self, first: int, columns: list[F64], n: int = 0) -> None:
        self._columns = columns
        self.numbers: Sequence[int] = range(first, first + (len(columns[0]) if columns else n))
        self.faults: Faults = {}

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.numbers)

    def column(self, index: int) -> tuple[F64, Faults]:
        """Return a column; what is no number was found by those who computed."""
        return np.array(self._columns[index]), {}

    def text(self, delimiter: str) -> list[str]:
        """Return the rows as delimited lines, each number in the shortest form that reads back the same."""
        table = orjson.dumps(np.stack(self._columns, axis=1), option=orjson.OPT_SERIALIZE_NUMPY)
        lines = table[2:-2].replace(b"null", b"").decode()
        return lines.replace(",", delimiter).split(f"]{delimiter}[") if lines else []

    def arrays(self) -> list[np.ndarray]:
        """Return every column."""
        return [np.array(column) for column in self._columns]


class BareReader:
    """Read rows without columns: the table of a sightline has none that were asked."""

    columns: tuple[Column, ...] = ()

    def __init__(self, name: str, n: int) -> None:
        self.name, self.rows, self.notes = name, n, []

    def chunks(self, rows: int) -> Iterator[ListChunk]:
        """Yield all of them."""
        yield ListChunk(0, [], self.rows)

    def keep(self, ranges: Ranges) -> None:
        """Keep all of them."""

    def fraction(self) -> None:
        """Tell nobody how far it is."""

    def close(self) -> None:
        """Hold nothing."""


def table_reader(path: Path, about: dict[str, Any]) -> tuple[tables.Reader, Choice]:
    """Open the table that a job was sent as; return it with the columns that were read, units and UCDs where it had none."""
    reader = tables.open_reader(str(path), about["format"], stated=True, extension=about.get("extension"),
                                delimiter=about.get("delimiter"), name=about["name"])
    told = about["choice"]
    choice = Choice(**{**told, **{k: None if told[k] is None else Chosen(**told[k]) for k in ("lon", "lat", "value", "sigma")}})
    value = "distance" if choice.value.kind == "distance" else "cz"
    place = _PLACE_UCDS[choice.frame]
    meant = [(choice.lon, "deg", f"{place[0]};meta.main"), (choice.lat, "deg", f"{place[1]};meta.main"),
             (choice.value, *_ABOUT[value][:2]), (choice.sigma, *_ABOUT["sigma_cz"][:2])]
    columns = list(reader.columns)
    for chosen, unit, ucd in meant:
        if chosen is not None:
            column = columns[chosen.index]
            # a factor means that the values are not in this unit: then the table has said so itself, or the name has
            columns[chosen.index] = column._replace(
                unit=column.unit or (unit if chosen.factor == 1.0 else ""),
                ucd=column.ucd or (ucd if chosen.kind != "z" else "src.redshift"))
    reader.columns = tuple(columns)
    return reader, choice


def sightline_columns(shelf: Shelf, row: Row) -> list[NewColumn]:
    """Return the table of a sightline; no rows when its computation ends every process."""
    parts = finished(shelf, row["id"])
    found = shelf.part(row["id"], parts[0]) if parts and parts[0]["state"] == "done" else {}
    names = sightlines.columns_of(found)
    columns = []
    for name in names:
        decimals, ucd, description = _ALONG[name]
        columns.append(NewColumn(name, found[name][0] if name in found else np.empty(0), sightlines.COLUMNS[name], description,
                                 decimals, ucd))
    return columns


def sightline_facts(shelf: Shelf, row: Row) -> Facts:
    """Return where the table of a sightline comes from, and whither it looks."""
    params = orjson.loads(row["params"])
    opt = FlowOptions(**params["options"])
    sent = {name: float(values[0]) for name, values in shelf.input(row["id"], 0, 1).items()}
    more: Facts = {"lon": sent["lon"], "lat": sent["lat"], "cz_frame": opt.cz_frame, "observer": opt.observer}
    if not np.isnan(sent.get("cz", np.nan)):
        more |= {"cz": sent["cz"], "sigma_cz": sent.get("sigma_cz", 0.0), "sigma_v": sigma_v(row, opt), "prior": opt.prior,
                 "alpha": opt.alpha, "use_field_sigma": opt.use_field_sigma}
    return provenance(row, opt, more, ranges_of(finished(shelf, row["id"])))


def provenance(row: Row, opt: FlowOptions, more: Facts, kept: Ranges) -> Facts:
    """Return what every table of a job says of its origin."""
    record = orjson.loads(row["field_record"])
    return {"field": {"id": record["id"], "version": record["version"], "sha256": row["field_sha"],
                      "citation": record.get("citation") or ""},
            "frame": opt.frame, "cosmology": {"H0": opt.H0, "Om": opt.Om}, "composition": opt.composition, **more,
            "cfcore": cfcore.__version__, "job": row["id"], "phase": row["phase"], "submitted": stamp(row["creation"]),
            "rows": ",".join(f"{a}-{b - 1}" for a, b in kept), "rows_total": row["rows_total"]}


def sigma_v(row: Row, opt: FlowOptions) -> float | None:
    """Return the scatter that was used, km/s."""
    return orjson.loads(row["field_record"]).get("sigma_v") if opt.sigma_v is None else opt.sigma_v


def finished(shelf: Shelf, job: int) -> list[Row]:
    """Return the parts of a result that are there, and those that were given up, in the order of the rows."""
    return [part for part in shelf.parts(job) if part["state"] in ("done", "quarantined")]


def ranges_of(parts: Sequence[Row]) -> list[tuple[int, int]]:
    """Return the rows of some parts, as few ranges (first, after the last)."""
    out: list[tuple[int, int]] = []
    for part in parts:
        if out and out[-1][1] == part["start"]:
            out[-1] = out[-1][0], part["stop"]
        else:
            out.append((part["start"], part["stop"]))
    return out
