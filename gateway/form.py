"""The JSON answer for one object as a printed form: its text is made once, its numbers are filled in.

The text is taken from what `answers.one_object` says of an object whose numbers are marks; so the two cannot differ.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
import orjson

from cfcore import distances
from cfcore.options import FlowOptions

from . import answers
from .batches import Answer, Columns

_NUMPY = orjson.OPT_SERIALIZE_NUMPY


class Form(NamedTuple):
    """Hold the text of an answer."""

    pieces: list[bytes]
    """Text, gap, text, gap ... text."""
    order: itemgetter[tuple[bytes, ...]]
    """Takes the numbers of a row of `distances.VALUES` in the order of their gaps."""
    roots: int
    flags: int
    """Which gaps are for the roots and the flags; all others are for numbers."""


@cache
def _form() -> Form:
    """Return the form of an object that has an answer."""
    count = len(distances.VALUES)
    marks = 1000.5 + np.arange(count, dtype=float)
    columns = {"values": marks[None], "codes": np.zeros((1, 3), np.int32), "roots": np.zeros((1, 0, len(distances.ROOT)))}
    text = orjson.dumps(answers.one_object(columns, FlowOptions()))[1:-1]
    pieces = re.split(rb'(\b1\d{3}\.5\b|(?<="roots":)\[\]|(?<="flags":)\[\])', text)
    gaps = pieces[1::2]
    roots, flags = (i for i, gap in enumerate(gaps) if gap == b"[]")
    places = [int(float(gap) - 1000.5) for gap in gaps if gap != b"[]"]
    if sorted(places) != list(range(count)) or roots > flags:
        raise AssertionError("the form does not hold each number once")
    return Form(pieces, itemgetter(*places), roots, flags)


def fill(head: dict[str, Any], answer: Answer, opt: FlowOptions, facts: dict[str, Any], record: dict[str, Any]) -> bytes:
    """Return the JSON of an answer whose status is "ok": head, distances, facts and provenance.

    Parameters
    ----------
    head, facts : dict
        What stands before and after the distances.
    answer : Answer
        The worker's, about one row.
    opt : FlowOptions
    record : dict
        The field's.
    """
    block = answer.block
    if not block.texts:
        block.texts = _texts(block, opt.H0)
    told = orjson.dumps(facts)[1:-1] + b"," if facts else b""
    return b"".join((orjson.dumps(head)[:-1], b",", block.texts[answer.rows.start], b",", told, provenance(record, opt)))


def _texts(columns: Columns, H0: float) -> list[bytes]:
    """Fill a form for each row."""
    pieces, order, roots, flags = _form()
    pieces = pieces.copy()
    texts = []
    rows = orjson.dumps(columns["values"], option=_NUMPY)[2:-2].split(b"],[")
    for numbers, (_, bits, count), table in zip(rows, columns["codes"].tolist(), columns["roots"], strict=True):
        gaps = [*order(numbers.split(b","))]
        gaps.insert(roots, orjson.dumps(distances.root_records(table, count, H0)) if count else b"[]")
        gaps.insert(flags, _flags(bits))
        pieces[1::2] = gaps
        texts.append(b"".join(pieces))
    return texts


@cache
def _flags(bits: int) -> bytes:
    return orjson.dumps(distances.flag_words(bits))


def provenance(record: dict[str, Any], opt: FlowOptions) -> bytes:
    """Return `answers.provenance` as the end of a JSON object."""
    return _provenance(record["id"], record["version"], record.get("citation", ""), record.get("sigma_v"), opt)


@lru_cache(maxsize=1024)
def _provenance(field: str, version: str, citation: str, sigma_v: float | None, opt: FlowOptions) -> bytes:
    record = {"id": field, "version": version, "citation": citation, "sigma_v": sigma_v}
    return orjson.dumps(answers.provenance(record, opt))[1:]
