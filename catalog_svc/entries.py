"""Rows of a file become rows of a volume: numbers, digests, and every identifier as a designation or a common name."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import orjson

from cfcore.errors import BadParameter

from . import names, schema
from .families import BY_KEY, NO_RANK, Designation
from .records import Batch
from .volumes import Row


class Rows(NamedTuple):
    """Hold what a batch adds to each table of a volume."""

    entry: list[Row]
    name: list[Row]
    common: list[Row]


def rows(batch: Batch, catalog: str, kind: int) -> Rows:
    """Return the table rows of a batch.

    Parameters
    ----------
    batch : Batch
    catalog : str
        Id of the catalogue: with the key of a row it makes the row's number, the same at every import.
    kind : int
        Place in `schema.KINDS`.
    """
    out = Rows([], [], [])
    zones = np.minimum((batch.dec + 90.0) * schema.ZONES_A_DEGREE, 180 * schema.ZONES_A_DEGREE - 1).astype(int).tolist()
    ra, dec = batch.ra.tolist(), batch.dec.tolist()
    # one representation for what is missing: NULL in the file
    z, z_error, given = (_nullable(a) for a in (batch.z_helio, batch.z_error, batch.given))
    photometric = batch.is_photometric.astype(int).tolist()
    packed = [row.tobytes() for row in np.stack([batch.ra, batch.dec, batch.z_helio, batch.z_error, batch.given,
                                                 batch.is_photometric], axis=1).astype("<f8")]
    for i in range(len(batch)):
        id, own = batch.rows[i], schema.uid(catalog, batch.keys[i])
        known = batch.facts[i]
        facts = known if isinstance(known, bytes) else orjson.dumps(known)
        digest = _digest(batch.names[i], packed[i], facts)
        out.entry.append((id, own, own, digest, batch.lines[i], batch.shown[i], kind, ra[i], dec[i], zones[i], z[i],
                          z_error[i], given[i], photometric[i], facts.decode()))
        flags = schema.HAS_VELOCITY if z[i] is not None and not photometric[i] else 0
        _named(batch.names[i], id, flags, out)
    return out


def keyed(text: str) -> tuple[int, str] | None:
    """Return where an identifier is stored: its number (`schema.FAMILY_STEP`) and its tail; None when it has no digit.

    Parameters
    ----------
    text : str
        As `names.clean` returns it.
    """
    spelled = names.read(text)
    return place(spelled) if spelled is not None else plain_place(text)


def place(spelled: Designation) -> tuple[int, str]:
    """Return where a designation is stored; one that its catalogue cannot have is plain text."""
    rank = spelled.rank
    if rank == NO_RANK:
        return 0, str(names.plain_key(spelled.key))
    return BY_KEY[spelled.family].code * schema.FAMILY_STEP + rank, spelled.tail


def plain_place(text: str) -> tuple[int, str] | None:
    """Return where an identifier of no known catalogue is stored; None for text without a digit."""
    plain = names.plain_key(text)
    return None if plain is None else (0, plain)


def _named(identifiers: Sequence[str], id: int, flags: int, out: Rows) -> None:
    keys: set[tuple[int, str]] = set()
    common: dict[tuple[str, str], Row] = {}  # a row may give one name twice
    for text in identifiers:
        try:
            clean = names.clean(text)
        except BadParameter:
            continue  # a name that nobody could ask for; the row keeps its others and its place on the sky
        key = keyed(clean)
        if key is not None:
            keys.add(key)
        elif (folded := names.fold(clean)).short:
            common[folded.short, clean] = (folded.short, folded.full, clean, id, flags)
    out.common.extend(common.values())
    out.name.extend((*key, id, flags) for key in keys)


def _nullable(values: np.ndarray) -> list[float | None]:
    numbers = values.tolist()
    for i in np.flatnonzero(np.isnan(values)).tolist():
        numbers[i] = None
    return numbers


def _digest(identifiers: Sequence[str], numbers: bytes, facts: bytes) -> int:
    text = "\x1f".join(identifiers).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(b"\0".join((numbers, text, facts)), digest_size=8).digest(), "little") >> 1
