"""A VOTable file: its head through astropy, the rows of large tables as BINARY2 by whole columns.

astropy converts value by value, which takes minutes for a million rows of forty columns.
"""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import IO, Any

import numpy as np

from .tables import unique

TABLEDATA_ROWS = 10_000
"""A table of more rows is written in binary: as text it would be three times as large."""
_PARAM_UNITS = {"H0": "km.s-1.Mpc-1", "sigma_v": "km.s-1", "sigma_cz": "km.s-1", "lon": "deg", "lat": "deg", "cz": "km.s-1"}
_SYSTEMS = {"icrs": "ICRS", "galactic": "galactic", "supergalactic": "supergalactic"}
# VOTable has no numbers of these kinds: the next larger ones hold them
_WIDER = {"int8": "int16", "uint16": "int32", "uint32": "int64", "uint64": "float64", "float16": "float32"}
_FIXED = {"f4": ">f4", "f8": ">f8", "i2": ">i2", "i4": ">i4", "i8": ">i8", "u1": "u1", "b1": "u1"}
_PIECE_ROWS = 8_192
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write(table: Any, stream: IO[bytes], facts: Mapping[str, object]) -> None:
    """Write an astropy table as VOTable 1.4.

    Parameters
    ----------
    table : astropy.table.Table
        Changed on the way: numbers of kinds that the format lacks become larger ones, text becomes ``str``.
    stream : binary file
    facts : mapping
        The provenance, one PARAM each.
    """
    rename(table, _clean)
    is_simple = _prepare(table)
    if len(table) <= TABLEDATA_ROWS:
        _texts(table)
        _tree(table, facts).to_xml(stream)
    elif not is_simple:
        _texts(table)
        _tree(table, facts).to_xml(stream, tabledata_format="binary2")
    else:
        head = io.BytesIO()
        # astropy would call booleans bits, of which eight are a byte
        kinds = {c.name: ("boolean", None) if c.dtype.kind == "b" else ("unicodeChar", "*") for c in table.itercols()
                 if c.dtype.kind in "bOSU"}
        _tree(table[:0], facts, kinds).to_xml(head)
        before, end, after = head.getvalue().rpartition(b"</TABLE>")
        stream.write(before + b' <DATA>\n    <BINARY2>\n     <STREAM encoding="base64">\n')
        left = b""
        for rows in _binary2(table):
            whole = left + rows
            # three bytes are four letters: what is left over goes with the next rows
            cut = len(whole) - len(whole) % 3
            left = whole[cut:]
            stream.write(base64.b64encode(memoryview(whole)[:cut]) + b"\n")
        stream.write(base64.b64encode(left) + b"\n     </STREAM>\n    </BINARY2>\n   </DATA>\n  " + end + after)


def rename(table: Any, clean: Callable[[str], str]) -> None:
    """Give the columns of an astropy table names that a format can hold, still no two alike."""
    wanted = unique([clean(name) for name in table.colnames])
    changed = [(old, new) for old, new in zip(table.colnames, wanted) if old != new]
    # in two steps: what one is to be called may be the name of another
    for i, (old, _) in enumerate(changed):
        table.rename_column(old, f"\0{i}")
    for i, (_, new) in enumerate(changed):
        table.rename_column(f"\0{i}", new)


def _prepare(table: Any) -> bool:
    """Give every column a kind the format has; tell whether all of them are plain numbers and texts."""
    is_simple = True
    for column in list(table.itercols()):
        wider = _WIDER.get(column.dtype.name)
        if wider is not None:
            about = column.unit, column.description, column.meta
            table[column.name] = column.astype(wider)
            made = table[column.name]
            made.unit, made.description, made.meta = about
        kind = table[column.name].dtype
        is_text = kind.kind in "SU" or (kind.kind == "O" and _is_text(column))
        is_simple &= column.ndim == 1 and (is_text or kind.str[1:] in _FIXED)
    return is_simple


def _texts(table: Any) -> None:
    """Make all text objects, which astropy writes as text of any length: of a fixed one, an empty text has none."""
    from astropy.table import Column as AstroColumn
    for column in list(table.itercols()):
        if column.ndim == 1 and (column.dtype.kind in "SU" or (column.dtype.kind == "O" and _is_text(column))):
            about = column.unit, column.description, column.meta
            texts = [_clean(v) for v in np.ma.filled(column, b"" if column.dtype.kind == "S" else "").tolist()]
            # without rows there is nothing to tell the kind by
            table[column.name] = AstroColumn(np.array(texts, dtype=object) if texts else np.empty(0, "U2"))
            made = table[column.name]
            made.unit, made.description, made.meta = about


def _is_text(column: Any) -> bool:
    return all(isinstance(v, (str, bytes)) for v in column.tolist())


def _clean(value: object) -> str:
    """Return a text as XML may hold it."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return text if text.isprintable() else _NO_XML.sub("\ufffd", text)


def _tree(table: Any, facts: Mapping[str, object], kinds: Mapping[str, tuple[str, str | None]] | None = None) -> Any:
    """Return the document of a table; of the columns in `kinds`, which must have no rows, it tells these datatypes and sizes."""
    from astropy.io import votable
    kinds = kinds or {}
    for name in kinds:
        about = table[name].unit, table[name].description, table[name].meta
        table[name] = np.empty(0, "U2")
        table[name].unit, table[name].description, table[name].meta = about
    for column in table.itercols():
        column.description = _clean(column.description) if column.description else None
    document = votable.from_table(table)
    resource = document.resources[0]
    resource.type = "results"
    fields = resource.tables[0].fields
    taken = {field.ID for field in fields}

    def free(name: str) -> str:
        # the names of a document are one space: a column may be called as we call a parameter
        while name in taken:
            name += "_"
        taken.add(name)
        return name
    resource.infos.append(votable.tree.Info(ID=free("QUERY_STATUS"), name="QUERY_STATUS", value="OK"))
    for key, value in facts.items():
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            about = {"datatype": "long" if isinstance(value, int) else "double", "unit": _PARAM_UNITS.get(key), "value": value}
        else:
            about = {"datatype": "unicodeChar", "arraysize": "*",
                     "value": _clean(value) if isinstance(value, str) else json.dumps(value)}
        resource.params.append(votable.tree.Param(document, ID=free(key), name=key, **about))
    for field in fields:
        if field.name in kinds:
            field.datatype, field.arraysize = kinds[field.name]
    system = _SYSTEMS.get(str(facts.get("frame")))
    # the provenance names the columns that were read, the position first
    place = [f for name in str(facts.get("columns", "")).split(", ")[:2] for f in fields if f.name == name][:2]
    if system is not None and len(place) == 2:
        resource.coordinate_systems.append(votable.tree.CooSys(ID=free("position_frame"), system=system))
        for field in place:
            field.ref = resource.coordinate_systems[0].ID
    return document


def _binary2(table: Any) -> Iterator[bytes]:
    """Yield the rows of a table piece by piece: flags of what is unknown, then big-endian values."""
    columns = [(np.ma.getdata(c), np.ma.getmask(c)) for c in table.itercols()]
    flags = -(-len(columns) // 8)
    groups: list[list[int]] = [[]]
    for i, (data, _) in enumerate(columns):
        if data.dtype.kind in "OSU":
            groups += [[i], []]
        else:
            groups[-1].append(i)
    known: dict[object, bytes] = {}
    for start in range(0, len(table), _PIECE_ROWS):
        piece = slice(start, min(start + _PIECE_ROWS, len(table)))
        unknown = np.zeros((piece.stop - start, 8 * flags), bool)
        for i, (_, mask) in enumerate(columns):
            unknown[:, i] = mask[piece] if mask is not np.ma.nomask else False
        parts: list[list[bytes]] = []
        for k, group in enumerate(groups):
            if group and columns[group[0]][0].dtype.kind in "OSU":
                parts.append(_strings(columns[group[0]][0][piece].tolist(), known))
            elif group or k == 0:
                lead = [("flags", "u1", (flags,))] if k == 0 else []
                rows = np.empty(piece.stop - start, [*lead, *((str(i), _FIXED[columns[i][0].dtype.str[1:]]) for i in group)])
                if lead:
                    rows["flags"] = np.packbits(unknown, axis=1)
                for i in group:
                    data = columns[i][0][piece]
                    rows[str(i)] = np.where(data, ord("T"), ord("F")) if data.dtype.kind == "b" else data
                parts.append(rows.view(f"V{rows.dtype.itemsize}").tolist())
        yield b"".join(chain.from_iterable(zip(*parts)))
        if len(known) > 100_000:
            known.clear()


def _strings(values: list[Any], known: dict[object, bytes]) -> list[bytes]:
    """Return texts with their lengths before them; most columns of text repeat a few words."""
    out = []
    for value in values:
        made = known.get(value)
        if made is None:
            text = _clean(value)
            # two bytes a letter: what lies beyond the first plane has no place in the format
            coded = text.encode("utf-16-be", "replace") if text.isascii() or max(text) <= "\uffff" else "".join(
                c if c <= "\uffff" else "\ufffd" for c in text).encode("utf-16-be", "replace")
            made = known[value] = (len(coded) // 2).to_bytes(4, "big") + coded
        out.append(made)
    return out
