"""The documents of IVOA UWS 1.1: jobs in the order of elements that the schema gives, times in UTC with Z.

What stands in them comes from `uws_words`; nothing here asks or decides.
"""

from __future__ import annotations

import re
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

UWS = "http://www.ivoa.net/xml/UWS/v1.0"
XLINK = "http://www.w3.org/1999/xlink"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
INFO = "urn:cosmicflows:job"
PREFIXES = {"uws": UWS, "xlink": XLINK, "xsi": XSI, "cf": INFO}
VERSION = "1.1"
# what XML 1.0 has no way to write
_UNWRITABLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Result:
    """Hold what is told of a result: its name, address and media type."""

    id: str
    href: str
    media: str


@dataclass(frozen=True, slots=True)
class Job:
    """Hold what is told of a job; times are Unix seconds, None is not known.

    Attributes
    ----------
    parameters : dict
        Name -> text, or None when the value is long and stands at an address of its own.
    error : str, optional
        Why it ended before its work was done.
    info : dict
        What UWS has no word for: name -> number.
    """

    id: str
    url: str
    phase: str
    owner: str | None
    run_id: str | None
    creation: float
    start: float | None
    end: float | None
    quote: float | None
    duration: float
    destruction: float | None
    parameters: Mapping[str, str | None] = field(default_factory=dict)
    results: tuple[Result, ...] = ()
    error: str | None = None
    info: Mapping[str, object] = field(default_factory=dict)


def clean(text: str) -> str:
    """Return a text with a question mark for each character that XML cannot hold."""
    return _UNWRITABLE.sub("?", text)


def is_clean(text: str) -> bool:
    """Tell whether XML can hold a text."""
    return not _UNWRITABLE.search(text)


def stamp(seconds: float | None) -> str:
    """Return a time as UWS writes it: UTC, whole seconds, with Z; empty when it is not known."""
    return "" if seconds is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def whole(seconds: float) -> int:
    """Return a duration in whole seconds: 0 means no limit, so a fraction of a second becomes one."""
    return 0 if seconds <= 0.0 else max(1, int(seconds))


def job(told: Job) -> bytes:
    """Return the document of one job."""
    root = ET.Element(_name("job"), {"version": VERSION})
    _add(root, "jobId", told.id)
    if told.run_id is not None:
        _add(root, "runId", told.run_id)
    _add(root, "ownerId", told.owner, is_nillable=True)
    _add(root, "phase", told.phase)
    for name, when in (("quote", told.quote), ("creationTime", told.creation), ("startTime", told.start), ("endTime", told.end)):
        _add(root, name, stamp(when) or None, is_nillable=True)
    _add(root, "executionDuration", str(whole(told.duration)))
    _add(root, "destruction", stamp(told.destruction) or None, is_nillable=True)
    root.append(_parameters(told))
    root.append(_results(told))
    if told.error is not None:
        # nothing of ours mends itself when the same job is sent again
        summary = ET.SubElement(root, _name("errorSummary"), {"type": "fatal", "hasDetail": "true"})
        _add(summary, "message", told.error)
    if told.info:
        info = ET.SubElement(root, _name("jobInfo"))
        for name, value in told.info.items():
            ET.SubElement(info, f"{{{INFO}}}{name}").text = str(value)
    return _written(root)


def jobs(listed: Iterable[Job]) -> bytes:
    """Return the document of a list of jobs."""
    root = ET.Element(_name("jobs"), {"version": VERSION})
    for told in listed:
        entry = ET.SubElement(root, _name("jobref"), {"id": told.id, f"{{{XLINK}}}type": "simple", f"{{{XLINK}}}href": told.url})
        _add(entry, "phase", told.phase)
        if told.run_id is not None:
            _add(entry, "runId", told.run_id)
        _add(entry, "ownerId", told.owner, is_nillable=True)
        _add(entry, "creationTime", stamp(told.creation))
    return _written(root)


def parameters(told: Job) -> bytes:
    """Return the document of a job's parameters."""
    return _written(_parameters(told))


def results(told: Job) -> bytes:
    """Return the document of a job's results."""
    return _written(_results(told))


def _parameters(told: Job) -> ET.Element:
    root = ET.Element(_name("parameters"))
    for name, value in told.parameters.items():
        entry = _add(root, "parameter", f"{told.url}/parameters/{name}" if value is None else value)
        if value is None:
            entry.set("byReference", "true")
        entry.set("id", name)
    return root


def _results(told: Job) -> ET.Element:
    root = ET.Element(_name("results"))
    for result in told.results:
        ET.SubElement(root, _name("result"), {"id": result.id, f"{{{XLINK}}}type": "simple", f"{{{XLINK}}}href": result.href,
                                              "mime-type": result.media})
    return root


def _add(parent: ET.Element, name: str, text: str | None, *, is_nillable: bool = False) -> ET.Element:
    made = ET.SubElement(parent, _name(name))
    if text is None and is_nillable:
        made.set(f"{{{XSI}}}nil", "true")
    else:
        made.text = clean(text or "")
    return made


def _name(name: str) -> str:
    return f"{{{UWS}}}{name}"


def _written(root: ET.Element) -> bytes:
    for prefix, space in PREFIXES.items():
        ET.register_namespace(prefix, space)
    return bytes(ET.tostring(root, encoding="UTF-8", xml_declaration=True)) + b"\n"
