"""From a file to a volume: read, refuse, count, link, publish; nothing is seen of it until all is there.

The counts always add up: ``n_read = n_new + n_updated + n_unchanged + n_rejected``. *New*, *updated* and *unchanged* speak
of the rows of this catalogue against its version that was there before.
"""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from cfcore.errors import BadParameter

from . import entries, linking, schema
from .records import About, Reject, Source
from .volumes import FIRST, Draft, Library, Volume

IMPORTER_VERSION = 1
"""Raised when the same file would be stored in another way."""
REJECTS_MAX = 100_000
"""More refused rows than this are a wrong mapping, not a bad file."""


@dataclass
class Report:
    """Say what an import did.

    Parameters
    ----------
    catalog, version : str
    is_dry : bool
        Nothing was published.
    n_read, n_new, n_updated, n_unchanged, n_rejected : int
        Rows; the first is the sum of the others.
    n_gone : int
        Rows of the version before that are not in this file any more.
    n_linked : dict
        Volume -> rows that are objects it knew, by name and by place.
    n_objects : int
        Rows that are objects nobody knew.
    n_velocities : int
        Rows with a spectroscopic velocity.
    rejects : list of Reject
    conflicts : list of linking.Conflict
        Names that belong to an object elsewhere on the sky (the first twenty); those rows are not taken for it.
    n_conflicts : int
    discords : list of linking.Discord
        Rows whose velocity is more than 500 km/s from that of the object they are (the first twenty).
    n_discords : int
    seconds : float
    notes : list of str
    """

    catalog: str
    version: str
    is_dry: bool
    n_read: int = 0
    n_new: int = 0
    n_updated: int = 0
    n_unchanged: int = 0
    n_rejected: int = 0
    n_gone: int = 0
    n_linked: dict[str, dict[str, int]] = field(default_factory=dict)
    n_objects: int = 0
    n_velocities: int = 0
    rejects: list[Reject] = field(default_factory=list)
    conflicts: list[linking.Conflict] = field(default_factory=list)
    n_conflicts: int = 0
    discords: list[linking.Discord] = field(default_factory=list)
    n_discords: int = 0
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)

    def as_dict(self, rejects: int = 1000) -> dict[str, Any]:
        """Return the report as plain data with at most so many rejects."""
        data = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {**data, "rejects": [r._asdict() for r in self.rejects[:rejects]],
                "rejects_by_reason": dict(Counter(f"{r.column}: {r.reason}" for r in self.rejects).most_common(20)),
                "conflicts": [c._asdict() for c in self.conflicts], "discords": [d._asdict() for d in self.discords]}


def version_of(path: Path, about: About) -> str:
    """Return the version of a catalogue: the digest of the file, of how it is understood, and of the importer."""
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    meant = orjson.dumps([digest, dataclasses.asdict(about), IMPORTER_VERSION, schema.VERSION], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(meant).hexdigest()


def import_source(library: Library, source: Source, version: str, *, dry_run: bool = False, max_bad: int = REJECTS_MAX,
                  progress: Callable[[int], None] = lambda rows: None) -> Report:
    """Store a catalogue.

    Parameters
    ----------
    library : Library
    source : Source
        Closed by the caller.
    version : str
        As `version_of` returns it: a catalogue that is there in this version is left as it is.
    dry_run : bool
        Do everything, publish nothing.
    max_bad : int
        Stop when more rows are refused.
    progress : callable
        Told the number of rows read.

    Raises
    ------
    BadParameter
        Code ``too_many_rejects``, or ``reserved_id`` for a name of our own.
    """
    about, began = source.about, time.monotonic()
    if about.id in FIRST:
        raise BadParameter(f"the id {about.id!r} is that of a built-in catalogue; choose another with --id", code="reserved_id",
                           where="id")
    before = _present(library, about.id)
    if before is not None and before.version == version:
        return _as_before(before, dry_run, began)
    report = Report(about.id, version, dry_run)
    unused = about.mapping.get("unused")
    if isinstance(unused, list) and unused:
        report.notes.append(f"columns that were not used: {', '.join(map(str, unused[:40]))}")
    if not about.frame:
        report.notes.append("no column was read as a velocity")
    draft = library.draft(about.id, version)
    try:
        before = _present(library, about.id)  # another import may have ended while we waited for our turn
        if before is not None and before.version == version:
            return _as_before(before, dry_run, began)
        stored = _store(draft, source, report, max_bad, progress)
        if not stored:
            raise _nothing(report)
        draft.end_loading()
        stored -= _drop_twice(draft, report, max_bad)
        others = [v for v in library.volumes() if v.id != about.id]
        _compare(draft, before, stored, report)
        kind = schema.KINDS.index(about.kind)
        links = linking.link(draft, others, kind, about.link_arcsec / 3600.0)
        report.conflicts, report.n_conflicts = links.conflicts, links.n_conflicts
        report.discords, report.n_discords = links.discords, links.n_discords
        for id, by_name in links.by_name.items():
            if by_name or links.by_place[id]:
                report.n_linked[id] = {"by_name": by_name, "by_place": links.by_place[id]}
        report.n_objects = stored - sum(n for found in report.n_linked.values() for n in found.values())
        report.n_velocities = draft.run("SELECT COUNT(*) FROM {s}entry WHERE z IS NOT NULL AND is_photometric = 0")[0][0]
        if not dry_run:
            for sql in schema.LATE_INDEXES:
                draft.run(sql)
            draft.add("meta", [("rejects", orjson.dumps([tuple(r) for r in report.rejects]).decode())])
            draft.publish(_facts(about, report, stored))
            library.refresh()
    finally:
        draft.abandon()
    report.seconds = round(time.monotonic() - began, 3)
    return report


def _nothing(report: Report) -> BadParameter:
    why = "; ".join(f"line {r.line}, {r.column} {r.raw!r}: {r.reason}" for r in report.rejects[:3])
    return BadParameter(f"not one of the {report.n_read} rows of the file can be kept, so nothing was changed"
                        + (f"; the first: {why}" if why else "") + "; mend the file or the mapping", code="empty_table",
                        where="file")


def _present(library: Library, id: str) -> Volume | None:
    library.refresh()
    return next((v for v in library.volumes() if v.id == id), None)


def _store(draft: Draft, source: Source, report: Report, max_bad: int, progress: Callable[[int], None]) -> int:
    """Read the file into the draft; return how many rows it took."""
    stored, kind = 0, schema.KINDS.index(source.about.kind)
    for batch in source.batches():
        report.rejects += batch.rejects
        report.n_rejected = len(report.rejects)
        report.n_read += len(batch) + len(batch.rejects)
        _check_bad(report, max_bad)
        made = entries.rows(batch, source.about.id, kind)
        for table, rows in made._asdict().items():
            if rows:
                draft.add(table, rows)
        stored += len(batch)
        progress(report.n_read)
    return stored


def _drop_twice(draft: Draft, report: Report, max_bad: int) -> int:
    """Refuse rows whose key an earlier row of the file has; return how many."""
    first: dict[int, tuple[int, int]] = {}
    dropped = 0
    for id, own, line, name, digest in draft.run(
            "SELECT id, own, line, name, digest FROM {s}entry WHERE own IN (SELECT own FROM {s}entry GROUP BY own "
            "HAVING COUNT(*) > 1) ORDER BY id"):
        if own not in first:
            first[own] = line, digest
            continue
        same = "the same row" if first[own][1] == digest else "another row of the same key"
        report.rejects.append(Reject(id, line, "", name[:80], f"{same} stands in line {first[own][0]}"))
        dropped += 1
    report.n_rejected = len(report.rejects)
    _check_bad(report, max_bad)
    if dropped:  # all at once: neither name nor common has an index by entry
        draft.run("CREATE TEMP TABLE twice AS SELECT e.id AS entry FROM {s}entry e WHERE e.own IN (SELECT own FROM {s}entry "
                  "GROUP BY own HAVING COUNT(*) > 1) AND e.id > (SELECT MIN(f.id) FROM {s}entry f WHERE f.own = e.own)")
        for table, column in (("name", "entry"), ("common", "entry"), ("entry", "id")):
            draft.run(f"DELETE FROM {{s}}{table} WHERE {column} IN (SELECT entry FROM twice)")
        draft.run("DROP TABLE twice")
    return dropped


def _check_bad(report: Report, max_bad: int) -> None:
    if report.n_rejected > min(max_bad, REJECTS_MAX):
        listed = "; ".join(f"line {r.line}, {r.column} {r.raw!r}: {r.reason}" for r in report.rejects[:5])
        raise BadParameter(f"more than {min(max_bad, REJECTS_MAX)} rows were refused among the first {report.n_read}; nothing "
                           f"was stored; the first: {listed}; mend the file or the mapping, or raise --max-bad",
                           code="too_many_rejects", where="max_bad",
                           extra={"rejects": [r._asdict() for r in report.rejects[:100]]})


def _compare(draft: Draft, before: Volume | None, stored: int, report: Report) -> None:
    """Count what is new, other and the same against the version that was there."""
    report.n_new = stored
    if before is None:
        return
    draft.beside(before)
    both, same = draft.run("SELECT COUNT(*), SUM(CASE WHEN o.digest = d.digest THEN 1 ELSE 0 END) FROM {s}entry d "
                           "JOIN {k}entry o ON o.own = d.own")[0]
    report.n_unchanged = int(same or 0)
    report.n_updated = both - report.n_unchanged
    report.n_new = stored - both
    report.n_gone = before.facts["entries"] - both


def _facts(about: About, report: Report, stored: int) -> dict[str, Any]:
    return {"name": about.title, "licence": about.licence, "citation": about.citation, "kind": about.kind,
            "kinds": [schema.KINDS.index(about.kind)], "frame": about.frame, "convention": about.convention,
            "profile": about.profile, "mapping": about.mapping, "link_arcsec": about.link_arcsec, "entries": stored,
            "velocities": report.n_velocities, "imported": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "n_read": report.n_read, "n_rejected": report.n_rejected, "n_linked": report.n_linked,
            "n_objects": report.n_objects, "n_conflicts": report.n_conflicts, "n_discords": report.n_discords,
            "importer": IMPORTER_VERSION}


def _as_before(volume: Volume, dry_run: bool, began: float) -> Report:
    rejects = [Reject(*r) for r in orjson.loads(volume.rows("SELECT value FROM meta WHERE key = 'rejects'")[0][0])]
    return Report(volume.id, volume.version, dry_run, n_read=volume.facts["n_read"], n_unchanged=volume.facts["entries"],
                  n_rejected=len(rejects), n_linked=volume.facts["n_linked"], n_objects=volume.facts["n_objects"],
                  n_velocities=volume.facts["velocities"], n_conflicts=volume.facts["n_conflicts"],
                  n_discords=volume.facts["n_discords"], rejects=rejects, seconds=round(time.monotonic() - began, 3),
                  notes=["this file in this mapping is here already; nothing was changed"])
