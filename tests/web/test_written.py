"""Answers that are written by other means than the plain way say the same, letter by letter: forms, pieces, known words."""

from __future__ import annotations

import json
from typing import Any

import msgpack
import numpy as np
import orjson
import pytest
from aiohttp.test_utils import make_mocked_request
from hypothesis import given, settings
from hypothesis import strategies as st

from cfcore import distances, frames, open_field
from cfcore.errors import UsageError
from cfcore.options import FLOW_TYPES, FlowOptions
from flow_worker import lists as written
from gateway import answers, form, lists, queries
from gateway.batches import Answer, Block
from gateway.known_words import KEPT, KnownWords

RECORD = {"id": "ongc-linear", "version": "1-abc", "citation": "It \"is\" 100 % made", "sigma_v": 150.0}
OPT = FlowOptions(prior="flat", H0=70.0)


@pytest.fixture(scope="module")
def solved(tmp_path_factory: pytest.TempPathFactory) -> distances.Distances:
    """Rows of every kind: none, one, three and eight roots, all flags, bad ones, numbers great and small."""
    field = open_field("ongc-linear", tmp_path_factory.mktemp("data"))
    rng = np.random.default_rng(7)
    n = 60
    cz = rng.uniform(-300, 9000, n)
    cz[[3, 40]], cz[5] = 80_000.0, np.nan
    d = field.distance(rng.uniform(0, 360, n), rng.uniform(-90, 90, n), cz, options=OPT, pdf="hubble")
    d.n_roots[:4] = 8, 3, 2, 0
    d.root_table[:2] = rng.normal(size=(2, 8, 5)) * 10.0 ** rng.integers(-12, 20, (2, 8, 5))
    d.values[6, :5] = 1e-7, 1e16, 5e-324, -0.0, 123456789.0
    d.flag_bits[7:15] = 1 << np.arange(8)
    return d


def columns_of(d: distances.Distances, rows: slice) -> dict[str, np.ndarray]:
    codes = np.stack([d.status, d.flag_bits, d.n_roots], axis=1)
    return {"values": d.values[rows], "codes": codes[rows], "roots": d.root_table[rows]}


def test_a_form_filled_in_is_the_answer_the_plain_way_writes(solved: distances.Distances) -> None:
    head = {"name": "M 81", "position": answers.position(10.0, -0.0, "galactic")}
    facts = {"canonical": "NGC 3031", "velocity": {"used": "own"}}
    block = Block(columns_of(solved, slice(None)))
    for row in np.flatnonzero(solved.status == 0).tolist():
        rows = slice(row, row + 1)
        columns = columns_of(solved, rows)
        for some in ({}, facts):
            plain = {**head, **answers.one_object(columns, OPT), **some, **answers.provenance(RECORD, OPT)}
            written = orjson.dumps(plain, option=orjson.OPT_SERIALIZE_NUMPY)
            # among others that travelled with it, and alone
            for answer in (Answer(block, {}, {}, 1, rows=rows), Answer(columns, {}, {}, 1)):
                assert form.fill(head, answer, OPT, some, RECORD) == written


@pytest.mark.parametrize("flow", FLOW_TYPES)
@pytest.mark.parametrize("has_grid", [False, True])
@pytest.mark.parametrize("cuts", [(), (17,), (1, 2, 30)])
def test_pieces_of_workers_join_to_the_list_the_plain_way_writes(solved: distances.Distances, flow: str, has_grid: bool,
                                                                 cuts: tuple[int, ...]) -> None:
    n = len(solved)
    sent = {"lon": np.zeros(n), "lat": np.zeros(n), "cz": np.where(solved.status == 1, np.nan, 80_000.0), "sigma_cz": np.zeros(n)}
    expected = plain_list(solved, flow, sent, has_grid)
    for encoding in ("json", "msgpack"):
        parts = [part(solved, slice(a, b), flow, encoding, has_grid) for a, b in zip((0, *cuts), (*cuts, n))]
        response = lists.respond(flow, joined(parts), sent, ("ra", "dec"), OPT, RECORD, encoding)
        assert response.body == answers.respond(expected, encoding).body


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
def test_rows_that_crash_every_process_leave_a_gap_in_the_list(solved: distances.Distances, encoding: str) -> None:
    n, bad = 10, [0, 4, 5, 9]
    sent = {name: np.full(n, 3000.0) for name in ("lon", "lat", "cz", "sigma_cz")}
    good = [slice(21, 24), slice(26, 29)]
    answer = joined([part(solved, rows, "distance", encoding, True) for rows in good], bad)
    body = lists.respond("distance", answer, sent, ("lon", "lat"), OPT, RECORD, encoding).body
    told: dict[str, Any] = json.loads(body) if encoding == "json" else msgpack.unpackb(body)
    mean = told["columns"]["mean"]
    mean = np.array(mean, float) if encoding == "json" else np.frombuffer(mean)
    assert len(mean) == n and np.flatnonzero(np.isnan(mean)).tolist() == bad
    assert [row for row, word in enumerate(told["status"]) if word == "crashed"] == bad
    assert [fault["row"] for fault in told["errors"]] == bad and {fault["code"] for fault in told["errors"]} == {"crashed"}
    assert len(told["roots"]) == len(told["flags"]) == len(told["grid"]["pdf"]) == n
    np.testing.assert_array_equal(mean[[1, 2, 3, 6, 7, 8]], solved.column("distance.mean")[np.r_[21:24, 26:29]])


def test_only_the_two_encodings_are_written(solved: distances.Distances) -> None:
    with pytest.raises(UsageError):
        written.encode(solved, "distance", "pickle")


NUMBERS = st.one_of(st.decimals(-400, 90_000, places=3).map(str), st.floats().map(repr), st.sampled_from([
    "10", "-0", "007", "1e3", "+5", " 5", "5 ", "1_0", "", "nan", "-", ".5", "5.", "12:30", "0x10", "%31%30", "\u0663",
    "1" * 40]))
WORDS = st.sampled_from(["H0=70", "H0=7e1", "prior=flat", "prior=x", "frame=galactic", "grid=true", "cz=1", "z=0.01",
                         "sigma_cz=20", "cz_frame=cmb", "lon=5", "what=1", "format=json", "%6Con=3", "rmax=60", "", "&",
                         "distance"])


@settings(max_examples=300, deadline=None)
@given(st.tuples(NUMBERS, NUMBERS, NUMBERS), st.lists(WORDS, max_size=3))
def test_known_words_are_read_as_the_long_way_reads_them(numbers: tuple[str, str, str], words: list[str]) -> None:
    def read(lon: str, lat: str, cz: str) -> object:
        asked = "&".join([f"lon={lon}", f"lat={lat}", f"cz={cz}", *words])
        try:
            request = make_mocked_request("GET", f"/get_flow_by_position?{asked.replace(' ', '%20')}")
            return queries.parse_query(queries.PositionQuery, request)
        except UsageError as refusal:
            return refusal.code, refusal.message
    read("1", "2.5", "3000")  # by now the words are known, when they are any good
    quick = read(*numbers)
    queries._KNOWN._models.clear()
    assert quick == read(*numbers)


def test_what_is_remembered_of_words_is_bounded_and_never_a_long_text() -> None:
    known = KnownWords()
    assert known.find(queries.PositionQuery, "lon=1&" + "x" * 600) == (None, None)
    for i in range(3 * KEPT):
        _, key = known.find(queries.PositionQuery, f"lon=1&lat=2&cz=3&H0={i}")
        assert key is not None
        known.keep(key, queries.PositionQuery(lon=1, lat=2, cz=3))
    assert len(known._models) <= KEPT
    found, _ = known.find(queries.PositionQuery, f"lon=8.5&lat=-2&cz=3&H0={3 * KEPT - 1}")
    assert found == queries.PositionQuery(lon=8.5, lat=-2, cz=3) and found.model_copy(update={"rmax": None}) == found


def part(d: distances.Distances, rows: slice, flow: str, encoding: str, has_grid: bool) -> Answer:
    some = distances.Distances(d.values[rows], d.status[rows], d.flag_bits[rows], d.n_roots[rows], d.root_table[rows], d.field,
                               d.options, "hubble", d.x if has_grid else None, d.pdf[rows] if has_grid else None)
    return Answer(*written.encode(some, flow, encoding), 1)


def joined(parts: list[Answer], bad: list[int] | None = None) -> Answer:
    status = np.concatenate([part.columns["status"] for part in parts])
    if bad:
        whole = np.zeros(len(status) + len(bad), np.int32)
        whole[np.delete(np.arange(len(whole)), bad)] = status
        status = whole
    return Answer({"status": status}, parts[0].shared, {}, 1, bad or [], parts if len(parts) > 1 else [])


def plain_list(d: distances.Distances, flow: str, sent: dict[str, np.ndarray], has_grid: bool) -> dict[str, Any]:
    """Write the list object by object."""
    table = {**{s: d.column(f"{flow}.{s}") for s in distances.SUMMARY},
             **{f"cz_{f}": d.column(f"cz.{f}") for f in frames.REPORTED_FRAMES},
             "v_rad": d.column("v_rad"), "v_rad_std": d.column("v_rad_std"),
             **{f"v_{a}": d.column(f"v_pec.{a}") for a in ("sgx", "sgy", "sgz")},
             **{name: d.column(name) for name in ("delta", "inside_fraction", "evidence")}}
    each = range(len(d))
    faults = [answers.row_fault(i, distances.STATUS[d.status[i]], sent, ("ra", "dec")) for i in each if d.status[i]]
    return {"flow_type": flow, "unit": FLOW_TYPES[flow], "n": len(d), "columns": {k: v.copy() for k, v in table.items()},
            "roots": [d.roots(i) for i in each], "flags": [d.flags(i) for i in each],
            "status": [distances.STATUS[s] for s in d.status], "errors": faults,
            **({"grid": {"x": d.x, "pdf": list(d.pdf)}} if has_grid else {}), **answers.provenance(RECORD, OPT)}
