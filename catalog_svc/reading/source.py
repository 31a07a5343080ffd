"""Open a file of galaxies as a source of batches: by a profile, or by its own columns and what the user says of them.

Whatever is not certain stops here, before the first row: a frame, two candidates, hours taken for degrees, redshifts taken for
velocities. The question names the option that answers it.
"""

from __future__ import annotations

import contextlib
import gc
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from cfcore import frames
from cfcore.columns import LOOKS_LIKE_CZ, LOOKS_LIKE_Z
from cfcore.errors import Ambiguous, BadParameter, UnknownName, UsageError
from cfcore.tables import SEXAGESIMAL, SUFFIXES

from ..records import About, Batch
from . import forms
from . import mapping as maps
from .forms import Table
from .plan import Places, Plan
from .profiles import PROFILES, Profile
from .rows import RowReader

KINDS: tuple[str, ...] = ("galaxy", "cluster", "group")
FORMATS: tuple[str, ...] = ("csv", "tsv", "text", "ecsv", "fits", "votable", "parquet")
LINK_ARCSEC, LARGEST_LINK_ARCSEC = 5.0, 600.0
_ID = re.compile(r"[a-z0-9][a-z0-9_+-]{0,63}")
# Unless an option says so, a longitude of 24 and less may be hours; degrees beyond it settle the question.
_HOURS = 24.0
_TELLING = 6
"""So many columns of the very same names are no coincidence."""


class FileSource:
    """Read one file; `batches` may be called again and begins anew.

    Parameters
    ----------
    about : About
    opened : callable
        Opens the table.
    plan : Plan
    """

    def __init__(self, about: About, opened: Callable[[], Table], plan: Plan) -> None:
        self.about = about
        self._opened, self._plan = opened, plan
        self._tables: list[Table] = []

    def batches(self) -> Iterator[Batch]:
        """Yield the rows in order, at most `forms.CHUNK_ROWS` at a time; what was refused is in the batch where it stood."""
        table = self._opened()
        self._tables.append(table)
        reader, stretches = RowReader(self._plan, table.columns, self.about.id.upper()), table.cells()
        try:
            while True:
                with _no_collection():
                    cells = next(stretches, None)
                    batch = None if cells is None else reader.read(cells)
                if batch is None:
                    return
                # an empty stretch, of comments only, is nothing to tell
                if not cells:
                    continue
                # kept until the next stretch, the text of this one would double the memory
                del cells
                yield batch
        finally:
            table.close()
            if table in self._tables:
                self._tables.remove(table)

    def close(self) -> None:
        """Close the file."""
        while self._tables:
            self._tables.pop().close()


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Pause the search for cycles: there are none, and tens of thousands of new small objects set it off again and again.

    It would take a third of the time.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def open_source(path: Path, *, profile: str | None = None, id: str | None = None, mapping: Mapping[str, str] | None = None,
                frame: str | None = None, convention: str | None = None, fmt: str | None = None, delimiter: str | None = None,
                title: str | None = None, citation: str | None = None, licence: str | None = None, kind: str | None = None,
                link_arcsec: float | None = None) -> FileSource:
    """Open a file of galaxies, groups or clusters.

    Parameters
    ----------
    path : Path
    profile : str, optional
        One of `profiles.PROFILES`; it says all about the columns, so `mapping`, `frame` and `convention` are not taken beside it.
    id : str, optional
        Short name of the catalogue; else that of the profile, or the name of the file.
    mapping : mapping, optional
        Quantity -> column, such as ``{"ra": "RAJ2000", "velocity": "cz"}``.
    frame, convention : str, optional
        Rest frame and convention of the velocities.
    fmt : str, optional
        One of `FORMATS`; else the first bytes and the suffix tell.
    delimiter : str, optional
        Of text.
    title, citation, licence, kind, link_arcsec : optional
        As in `records.About`; else those of the profile.

    Returns
    -------
    FileSource

    Raises
    ------
    BadParameter
        When the file cannot be read, or something must be said first.
    UnknownName
        When a profile, frame or column is not known.
    Ambiguous
        When more than one column fits; `extra` lists the options that choose.
    """
    said = dict(mapping or {})
    maps.check_keys(said)
    proof = forms.detected(path)
    known = None if profile is None else _profile(profile)
    if known is not None:
        _only_about(known, said, frame, convention)
    opened = _opener(path, known, fmt or proof, said.get("table"), delimiter)
    table = opened()
    try:
        if known is not None:
            plan = known.plan
            _check_columns(known, table, path)
        else:
            if not any(k != "table" for k in said):
                _question_profile(table)
            plan = maps.planned(table.columns, said, frame=frame, convention=convention)
        about = _about(path, known, plan, table, id=id, title=title, citation=citation, licence=licence, kind=kind,
                       link_arcsec=link_arcsec)
        if known is None:
            _question_values(plan, table, said)
    finally:
        table.close()
    return FileSource(about, opened, plan)


def _profile(name: str) -> Profile:
    found = PROFILES.get(name.strip().lower())
    if found is None:
        raise UnknownName(f"profile {name!r:.80} is not known; use one of {', '.join(PROFILES)}, or --map for your own table",
                          code="unknown_profile", where="profile", extra={"known": list(PROFILES)})
    return found


def _question_profile(table: Table) -> None:
    """Stop before a well-known table, which its profile reads better than the names of its columns alone would."""
    here = {c.name for c in table.columns}
    for known in PROFILES.values():
        own = {c.partition("|")[0] for c in (*known.plan.needed(), *(c for f in known.plan.facts for c in f.columns()))}
        if known.form == "table" and len(own) >= _TELLING and own <= here:
            raise Ambiguous(f"the columns are those of {known.title}; add --profile {known.id}, or say with --map which column "
                            "is what", code="profile_missing", where="profile", extra={"candidates": [f"--profile {known.id}"]})


def _only_about(known: Profile, said: Mapping[str, str], frame: str | None, convention: str | None) -> None:
    own = known.plan.velocity
    extra = [k for k in said if k != "table"]
    if extra:
        raise BadParameter(f"the profile {known.id} says which column is what and does not take --map {extra[0]}=…; leave one "
                           "of the two out", code="profile_decides", where="map")
    if frame is not None and (own is None or frames.velocity_frame(frame).key != own.frame):
        held = f"has its velocities in the frame {own.frame}" if own else "has no velocities"
        raise BadParameter(f"the profile {known.id} {held}, --frame says {frame}; leave --frame out", code="profile_decides",
                           where="frame")
    if convention is not None and (own is None or convention != own.convention):
        held = f"holds {own.convention}" if own else "has no velocities"
        raise BadParameter(f"the profile {known.id} {held}, --convention says {convention}; leave --convention out",
                           code="profile_decides", where="convention")


def _opener(path: Path, known: Profile | None, fmt: str | None, extension: str | None,
            delimiter: str | None) -> Callable[[], Table]:
    """Return a function that opens the table from its beginning."""
    if known is not None and known.form == "fixed":
        return lambda: forms.FixedTable(path, known.layout, _needed(known))
    if known is not None and known.form == "headerless":
        return lambda: forms.BlankTable(path, known.names)
    fmt = fmt or SUFFIXES.get(path.suffix.lower())
    if fmt is None and (delimiter or (known is not None and known.delimiter)):
        fmt = "text"
    if fmt not in FORMATS:
        raise BadParameter(f"{str(path)!r:.200}: " + (f"the format {fmt!r:.40} is not known" if fmt else
                           f"the suffix {path.suffix or 'that is missing'} tells no format") +
                           f"; add --format with one of {', '.join(FORMATS)}", code="unknown_format", where="format")
    cut = delimiter or (known.delimiter if known is not None and fmt == "text" else None)

    def opened() -> Table:
        try:
            return forms.tabular(path, fmt, extension=extension, delimiter=cut)
        except UsageError as exc:
            # the reader speaks of the options of another command
            message = exc.message.replace("--extension", "--map table=…").replace("--input-format", "--format")
            raise type(exc)(message, code=exc.code, where=exc.where, hint=exc.hint, extra=exc.extra) from exc

    return opened


def _needed(known: Profile) -> int:
    """Return the length of the shortest whole line: as far as the last column that a row must have."""
    needed = known.plan.needed()
    return max(last for name, _, last, _ in known.layout if name in needed)


def _check_columns(known: Profile, table: Table, path: Path) -> None:
    at = Places(table.columns)
    missing = [c.partition("|")[0] for c in known.plan.needed() if at(c) is None]
    if missing:
        raise BadParameter(f"{str(path)!r:.200} has no column {', '.join(missing)}, so it is no table of the profile {known.id}; "
                           f"it has {maps.listed(table.columns)}; name another profile, or use --map instead",
                           code="not_this_profile", where="profile")


def _about(path: Path, known: Profile | None, plan: Plan, table: Table, *, id: str | None, title: str | None,
           citation: str | None, licence: str | None, kind: str | None, link_arcsec: float | None) -> About:
    name = id if id is not None else known.id if known else re.sub(r"[^a-z0-9_+-]+", "-", path.stem.lower()).strip("-_+")[:64]
    if not _ID.fullmatch(name):
        raise BadParameter(f"the id {name!r:.80} of the catalogue must be 1-64 of a-z 0-9 - _ + and begin with a letter or "
                           "digit; add --id NAME", code="bad_id", where="id")
    kind = kind or (known.kind if known else "galaxy")
    if kind not in KINDS:
        raise BadParameter(f"--kind {kind!r:.40} is not known; use one of {', '.join(KINDS)}", code="unknown_kind_of_object",
                           where="kind")
    link = link_arcsec if link_arcsec is not None else known.link_arcsec if known else LINK_ARCSEC if kind == "galaxy" else 0.0
    if not 0.0 <= link <= LARGEST_LINK_ARCSEC:
        raise BadParameter(f"--link {link:g} arcsec must lie between 0 (link by name only) and {LARGEST_LINK_ARCSEC:g}",
                           code="bad_link", where="link_arcsec")
    v = plan.velocity
    return About(name, title or (known.title if known else path.name), citation or (known.citation if known else ""),
                 licence or (known.licence if known else ""), kind, plan.described(table.columns), v.frame if v else "",
                 v.convention if v else "", link, known.id if known else "")


def _question_values(plan: Plan, table: Table, said: Mapping[str, str]) -> None:
    """Stop when the values contradict how the columns are understood, or leave it open."""
    at, a, v = Places(table.columns), plan.angles, plan.velocity
    lon, lat = at(a.lon), at(a.lat)
    assert lon is not None and lat is not None
    ask_hours = a.sky_frame == "icrs" and not maps.says_unit(table.columns, said, a.lon)
    first, largest = True, -np.inf
    for cells in table.cells():
        if first:
            if a.unit != "sexagesimal":
                _question_sexagesimal(cells.texts(lon), table.columns[lon].name)
            if v is not None:
                index = at(v.column)
                assert index is not None
                _question_velocity(cells.numbers(index)[0] * v.factor, v.column, v.convention, said)
            first = False
        if not ask_hours:
            return
        values = cells.numbers(lon)[0]
        largest = max(largest, float(np.nanmax(values, initial=-np.inf)))
        # as a rule the first rows do; only a table that leaves the question open is read to its end
        if largest > _HOURS:
            return
    if largest > -np.inf:
        raise Ambiguous(f"every right ascension in column {a.lon} is {largest:g} or less: degrees of a small piece of sky, or "
                        "hours? Add --map ra_unit=deg or --map ra_unit=hour", code="ra_in_hours", where="map.ra_unit")


def _question_sexagesimal(texts: list[str], name: str) -> None:
    shown = [t for t in texts[:200] if t]
    count = sum(SEXAGESIMAL.fullmatch(t) is not None for t in shown)
    if shown and 2 * count > len(shown):
        raise Ambiguous(f"column {name} holds sexagesimal text such as {shown[0]!r:.40}; add --map ra_unit=sexagesimal if it is "
                        "hours, minutes and seconds with a declination in degrees, minutes and seconds", code="ra_sexagesimal",
                        where="map.ra_unit")


def _question_velocity(values: np.ndarray, name: str, convention: str, said: Mapping[str, str]) -> None:
    size = np.abs(values[np.isfinite(values) & (values != 0.0)])
    if not size.size or "velocity_unit" in said:
        return
    middle = float(np.median(size))
    if convention != "z" and middle < LOOKS_LIKE_Z:
        raise BadParameter(f"column {name} has values about {middle:.3g} km/s, which look like redshifts; rename the column and "
                           "add --map redshift=… if they are, or add --map velocity_unit=km/s if they are velocities",
                           code="cz_looks_like_z", where="map.velocity")
    if convention == "z" and middle > LOOKS_LIKE_CZ:
        raise BadParameter(f"column {name} has values about {middle:.4g}, which are no redshifts; rename the column and add "
                           "--map velocity=… if they are velocities", code="z_looks_like_cz", where="map.redshift")
