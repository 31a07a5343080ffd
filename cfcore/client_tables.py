"""Tables of a program on their way to a server and back: what is sent, and how a result becomes a QTable.

Both ways are FITS: it keeps units, holds what is unknown (NaN; null in whole numbers) and is read and written some fifty times as
fast as VOTable and ECSV. Only text beyond ASCII, which FITS cannot hold, goes as ECSV. Few numbers that are called by the
server's own words go as lists. astropy is imported when it is used.
"""

from __future__ import annotations

import io
import json
import math
import os
import re
import sys
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .client_calls import Call, Server, Steps, answer
from .errors import BadParameter, UsageError
from .tables import SUFFIXES

if TYPE_CHECKING:
    from astropy.table import QTable, Table

MEDIA: dict[str, str] = {
    "csv": "text/csv", "tsv": "text/tab-separated-values", "text": "text/plain", "ecsv": "text/csv",
    "fits": "application/fits", "votable": "application/x-votable+xml", "parquet": "application/vnd.apache.parquet"}
LIST_ROWS = 100_000
"""Columns of more rows go as a table: as text they would be twice as long."""
UNITS: dict[str, str] = {
    **dict.fromkeys(("lon", "lat", "ra", "dec", "glon", "glat", "sgl", "sgb"), "deg"), "cz": "km/s", "z": "", "sigma_cz": "km/s",
    "distance": "Mpc", "H0": "km/(s Mpc)", "sigma_v": "km/s"}
_COLUMNS = frozenset(UNITS) - {"H0", "sigma_v"}
ROLES: tuple[str, ...] = ("ra", "dec", "lon", "lat", "cz", "z", "sigma_cz", "distance")
"""What a column can be said to be; the sky frame of lon and lat is the option ``frame``."""
Prepared = tuple[bytes | Path, dict[str, str], dict[str, object]]


def prepared(table: object, kind: str, columns: Mapping[str, str] | None, options: Mapping[str, object]) -> Prepared:
    """Return body, headers and query of a submission.

    Parameters
    ----------
    table : Table, path or mapping
    kind : str
    columns : mapping, optional
        Word of the server -> name of the table's column.
    options : mapping

    Raises
    ------
    BadParameter
        When it is none of these, the file is not there, or no format can hold the table.
    """
    words = {"kind": kind, **plain(options)}
    if isinstance(table, (str, os.PathLike)):
        path = Path(table)
        return path, _of_file(path), {**words, **_named(columns), "filename": path.name}
    if isinstance(table, Mapping):
        lists = {str(name): _values(str(name), values) for name, values in table.items()}
        if not columns and lists.keys() <= _COLUMNS and max(map(np.size, lists.values()), default=0) <= LIST_ROWS:
            body = json.dumps({**words, **{k: _numbers(k, v) for k, v in lists.items()}}, allow_nan=False).encode()
            return body, {"Content-Type": "application/json"}, {}
    return *_packed(_as_table(table)), {**words, **_named(columns)}


def preparation(table: object, kind: str, field: str | None, columns: Mapping[str, str] | None,
                options: Mapping[str, object]) -> Callable[[], Prepared]:
    """Return what will prepare a submission, in its own time."""
    return partial(prepared, table, kind, columns, {"field": field, **options})


def flow_of(server: Server, name: str | None, words: Mapping[str, object]) -> Steps[dict[str, Any]]:
    """Ask for the flow of one object."""
    path, query = ("/get_flow_by_position", {}) if name is None else ("/get_flow_galaxy", {"name": name})
    return answer(server, Call("GET", path, {**query, **plain(words)}))


def plain(words: Mapping[str, object]) -> dict[str, object]:
    """Return options without units, in those of the house; entries that are None are left out."""
    return {k: _in_house_unit(k, v) for k, v in words.items() if v is not None}


def read_result(path: Path) -> QTable:
    """Read the FITS file of a result.

    Returns
    -------
    QTable
        Units attached; unknown numbers are NaN, unknown whole numbers masked. Where the answers come from stands in ``meta``.
    """
    _need_astropy()
    from astropy.io import fits
    from astropy.table import QTable, Table
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an input column with a unit of its own making is no reason not to answer
        with fits.open(path, memmap=False) as hdus:
            hdu = next(h for h in hdus if isinstance(h, fits.BinTableHDU))
            # what is NaN stays NaN: masked quantities are refused by much that takes quantities
            table = Table.read(hdu, mask_invalid=False)
        for i, name in enumerate(table.colnames, 1):
            described, ucd = table.meta.pop(f"TCOMM{i}", None), table.meta.pop(f"TUCD{i}", None)
            column = table[name]
            if column.dtype.kind in "SU":
                table[name] = _text(column)
            elif column.dtype.byteorder == ">":
                table[name] = column.astype(column.dtype.newbyteorder("="))
            table[name].description = column.description or described
            if ucd:
                table[name].meta["ucd"] = ucd
        return QTable(table)


def _named(columns: Mapping[str, str] | None) -> dict[str, object]:
    for word in columns or {}:
        if word not in ROLES:
            raise BadParameter(f"columns names {word!r:.80}, which no column can be; there are {', '.join(ROLES)}",
                               code="unknown_parameter", where="columns", extra={"known": list(ROLES)})
    return {f"{word}_column": name for word, name in (columns or {}).items()}


def _of_file(path: Path) -> dict[str, str]:
    if not path.is_file():
        raise BadParameter(f"there is no file {str(path)!r:.200}", code="no_file", where="table")
    suffixes = [s.lower() for s in path.suffixes]
    # a gzip-ed file goes as it is: the server knows it by its first bytes
    suffix = (suffixes[:-1] if suffixes[-1:] == [".gz"] else suffixes or [""])[-1:]
    fmt = SUFFIXES.get("".join(suffix))
    if fmt is None:
        raise BadParameter(f"{path.name!r:.200}: the suffix {''.join(suffix) or 'that is missing'} tells no format; name the "
                           f"file with one of {', '.join(SUFFIXES)}", code="unknown_format", where="table")
    return {"Content-Type": MEDIA[fmt], "Content-Length": str(path.stat().st_size)}


def _values(name: str, values: Any) -> Any:
    return values if name not in UNITS else _in_house_unit(name, values)


def _in_house_unit(name: str, value: Any) -> Any:
    if not hasattr(value, "to_value"):
        return value
    try:
        return value.to_value(UNITS[name])
    except KeyError:
        raise BadParameter(f"{name} = {value!r:.80} has a unit, which {name} does not take; give a plain value",
                           code="bad_unit", where=name) from None
    except Exception as exc:
        # astropy's UnitConversionError, which is not imported here for its name alone
        raise BadParameter(f"{name}: {str(exc)[:160]}; it is in {UNITS[name] or 'no unit'}", code="bad_unit",
                           where=name) from None


def _numbers(name: str, values: Any) -> Any:
    if np.ma.isMaskedArray(values):
        values = values.astype(float).filled(np.nan)
    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise BadParameter(f"{name} holds what is no number", code="not_a_number", where=name) from None
    return [v if math.isfinite(v) else None for v in array.tolist()] if array.ndim else array.item()


def _as_table(table: Any) -> Table:
    """Return a copy as a plain Table: quantities as columns with units, coordinates as ra and dec."""
    _need_astropy()
    from astropy.coordinates import SkyCoord
    from astropy.table import QTable, Table
    if not isinstance(table, (Table, Mapping)):
        raise BadParameter(f"table is a {type(table).__name__}; give an astropy Table or QTable, the path of a file, or a "
                           "mapping of columns", code="not_a_table", where="table")
    try:
        source = QTable(dict(table) if isinstance(table, Mapping) else table, copy=True)
    except Exception as exc:
        # astropy raises many unrelated classes on what makes no table
        raise BadParameter(f"the columns make no table: {str(exc)[:160]}", code="not_a_table", where="table") from None
    for name in [n for n in source.colnames if isinstance(source[n], SkyCoord)]:
        sky, prefix = source[name].icrs, "" if not {"ra", "dec"} & set(source.colnames) else f"{name}_"
        source.remove_column(name)
        source[f"{prefix}ra"], source[f"{prefix}dec"] = sky.ra, sky.dec
    source.meta.clear()
    return Table(source)


def _packed(table: Table) -> tuple[bytes, dict[str, str]]:
    stream: Any = io.BytesIO()
    fmt = "fits" if all(_is_ascii(table[name]) for name in table.colnames) else "ecsv"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            if fmt == "fits":
                _write_fits(table, stream)
            else:
                text = io.StringIO()
                table.write(text, format="ascii.ecsv")
                stream.write(text.getvalue().encode())
        except Exception as exc:
            raise BadParameter(f"the table cannot be sent: {str(exc)[:160]}; leave that column out, or give the path of a file",
                               code="not_a_table", where="table") from None
    return stream.getvalue(), {"Content-Type": MEDIA[fmt]}


def _is_ascii(column: Any) -> bool:
    values = column.dtype.kind == "U" and np.ma.getdata(column).tolist()
    return not values or "".join(map(str, np.ravel(values))).isascii()


def _write_fits(table: Table, stream: Any) -> None:
    from astropy.io import fits
    cards: dict[str, str] = {}
    for i, column in enumerate(table.itercols(), 1):
        cards |= {f"TCOMM{i}": str(column.description or ""), f"TUCD{i}": str(column.meta.get("ucd") or "")}
        column.description = None
        if column.unit is not None:
            try:
                column.unit.to_string("fits")
            except ValueError:
                cards[f"TUNIT{i}"], column.unit = str(column.unit), None
        column.meta.clear()
    hdu = fits.table_to_hdu(table)
    for key, text in cards.items():
        if text:
            hdu.header[key] = text.encode("ascii", "xmlcharrefreplace").decode()
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(stream)


def _text(column: Any) -> Any:
    """Return what a column says; a server writes what is not ASCII as a character reference."""
    words = [v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in np.ma.getdata(column).tolist()]
    words = [re.sub(r"&#(\d{1,7});", _character, v) if "&#" in v else v for v in words]
    values = np.array(words, dtype=str) if words else np.empty(0, dtype="U1")
    made = column.__class__(values, name=column.name, unit=column.unit)
    if np.ma.isMaskedArray(column):
        made.mask = np.ma.getmaskarray(column)
    return made


def _character(found: re.Match[str]) -> str:
    number = int(found[1])
    return chr(number) if number <= sys.maxunicode else found[0]


def _need_astropy() -> None:
    try:
        import astropy.table  # noqa: F401
    except ModuleNotFoundError:
        raise UsageError("tables need astropy, which is not installed; pip install 'cosmicflows[client]' brings it",
                         code="missing_library") from None
