"""What a file of galaxies is once it has been read: batches of rows in house units, and the rows that were refused.

`reading` makes these from files of every format; `importing` stores them. Nothing here knows a format or a database.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]


class Reject(NamedTuple):
    """Say why a row was refused."""

    row: int
    """Number of the row among the data rows, from 1."""
    line: int | None
    """Line of a text file, from 1; None for binary formats."""
    column: str
    raw: str
    """The text of the field as it stood there, at most 80 characters."""
    reason: str


@dataclass(slots=True)
class Batch:
    """Hold some accepted rows, column by column, all of one length n, and the rows refused on the way.

    Parameters
    ----------
    rows, lines : list of int
        Row numbers from 1; lines of the file (the row numbers again for binary formats).
    keys : list of str
        What tells a row from every other row of its catalogue (its number, PGC number, name); stable between releases.
    shown : list of str
        The name under which the object is shown.
    names : list of tuple of str
        Every identifier of the row as it is written, `shown` among them.
    ra, dec : ndarray, shape (n,), deg
        ICRS; always finite and in range.
    z_helio, z_error : ndarray, shape (n,)
        Heliocentric redshift and its error; NaN where there is none.
    given : ndarray, shape (n,)
        The velocity or redshift as the catalogue holds it, in its own unit, frame and convention; NaN where there is none.
    is_photometric : ndarray of bool, shape (n,)
    facts : list of dict, or of bytes
        Further facts (bytes: as JSON) in the words of a detail answer: ``object_type``, ``morphology``, ``magnitudes``,
        ``size_arcmin``, ``distances``, ``notes``, ``reference`` (of the velocity), ``group``; a row leaves out what it does
        not know.
    rejects : list of Reject
        Rows of the same stretch of the file that were refused.
    """

    rows: list[int]
    lines: list[int]
    keys: list[str]
    shown: list[str]
    names: list[tuple[str, ...]]
    ra: F64
    dec: F64
    z_helio: F64
    z_error: F64
    given: F64
    is_photometric: NDArray[np.bool_]
    facts: list[dict[str, object]] | list[bytes]
    rejects: list[Reject] = field(default_factory=list)

    def __len__(self) -> int:
        """Return the number of accepted rows."""
        return len(self.rows)


@dataclass(frozen=True)
class About:
    """Say what a catalogue is and how its columns were understood.

    Parameters
    ----------
    id : str
        Short name, lower-case letters, digits, ``-``, ``_`` and ``+``.
    title, citation, licence : str
        For people; the licence note is empty when the source states none.
    kind : {"galaxy", "cluster", "group"}
        What the rows are.
    mapping : dict
        Quantity -> how it was read: column, unit, frame, convention; part of the version.
    frame, convention : str
        Rest frame and convention (``cz``, ``z``, ``optical``, ``radio``, ``relativistic``) of the velocities as given; empty
        when the catalogue has none.
    link_arcsec : float
        Rows within so many seconds of arc of a known object, alone there, are that object.
    profile : str
        Name of the profile; empty for a mapping of the user's own.
    """

    id: str
    title: str
    citation: str
    licence: str
    kind: str
    mapping: dict[str, object]
    frame: str
    convention: str
    link_arcsec: float
    profile: str = ""


class Source(Protocol):
    """A file that can be read as a catalogue."""

    about: About

    def batches(self) -> Iterator[Batch]:
        """Yield the rows in order, at most some ten thousand at a time."""

    def close(self) -> None:
        """Let go of the file."""
