"""Names and places over HTTP: lists, cones, boxes, cross-matches, groups, and catalogues that are taken in and dropped."""

from __future__ import annotations

import csv
import http.client
import io
import json
import random
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

import msgpack
import numpy as np
import pytest
from running import House, Reply

from catalog_svc import build
from catalog_svc.importing import import_source
from catalog_svc.records import About, Batch
from catalog_svc.sqlite import SqliteLibrary
from cfcore import frames
from cfcore.cosmology import C_KMS
from cfcore.registry import Registry
from gateway import names

TOKEN = "a token of the tests, 32 bytes and more"
ADMIN = {"Authorization": f"Bearer {TOKEN}"}


def good(reply: Reply) -> dict:
    assert reply.status == 200, reply.body[:500]
    return reply.json


def refused(reply: Reply, status: int, code: str, *words: str) -> dict:
    assert (reply.status, reply.media) == (status, "application/problem+json"), reply.body[:300]
    assert reply.json["code"] == code and all(word in reply.json["detail"] for word in words), reply.json["detail"]
    return reply.json


def put(data: Path, kind: str, rows: list[dict]) -> None:
    """Import rows of one kind as a catalogue of their own."""
    n = len(rows)
    z = np.array([row["cz"] / C_KMS for row in rows])
    batch = Batch(rows=list(range(1, n + 1)), lines=list(range(2, n + 2)), keys=[r["name"] for r in rows],
                  shown=[r["name"] for r in rows], names=[(r["name"],) for r in rows], ra=np.array([r["ra"] for r in rows]),
                  dec=np.array([r["dec"] for r in rows]), z_helio=z, z_error=np.full(n, np.nan), given=z * C_KMS,
                  is_photometric=np.zeros(n, bool), facts=[r.get("facts", {}) for r in rows])
    about = About(f"test-{kind}s", f"{kind.capitalize()}s of the tests", "nobody", "", kind, {}, "hel", "cz", 1.0)
    with closing(SqliteLibrary(data)) as library:
        build.ensure(library)
        import_source(library, SimpleNamespace(about=about, batches=lambda: iter([batch])), "1")


@pytest.fixture(scope="module")
def open_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Return a house with a cluster, a group of galaxies, and a token that may import."""
    data = tmp_path_factory.mktemp("open")
    Registry(data).ensure_ongc_linear()
    put(data, "cluster", [{"name": "Test Cluster", "ra": 150.0, "dec": 2.0, "cz": 6925.0}])
    put(data, "group", [{"name": "Nest of M 87", "ra": 187.706, "dec": 12.391, "cz": 1079.0, "facts": {"group": {
        "is_group": True, "n_members": 197, "sigma_p_km_s": 670.0, "r2t_mpc": 1.6, "distance_mpc": 15.0}}}])
    put(data, "galaxy", [
        {"name": f"Candle {i}", "ra": 60.0 + 0.5 * i, "dec": -60.0, "cz": 1000.0 + i,
         "facts": {"distances": [{"method": "TRGB", "d_mpc": 14.0 + i, "error_mpc": 0.7}]} if i % 2 else {}} for i in range(6)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CF_ADMIN_TOKEN_SHA256", sha256(TOKEN.encode()).hexdigest())
        running = House(data, "--workers", "1")
    yield running
    running.stop()


# ---- lists of names ----------------------------------------------------------------------------------------------

def test_a_list_of_names_is_answered_in_order_each_with_its_status(house: House) -> None:
    names = ["NGC 4993", "M 31", "Andromdea Galaxy", "M 13", "", None, 7, "x" * 200, "NGC 99999", "ngc4993"]
    a = good(house.post("/v1/resolve", {"names": names}))
    assert [r["status"] for r in a["results"]] == ["ok", "ok", "unknown_name", "not_a_galaxy", "bad_name", "bad_name", "bad_name",
                                                   "bad_name", "unknown_name", "ok"]
    assert (a["n"], a["n_ok"]) == (10, 3) and a["results"][2]["suggestions"] and "names[5] is null" in a["results"][5]["detail"]
    single = good(house.ask("/get_flow_galaxy?name=NGC%204993"))
    first = a["results"][0]
    assert first["position"]["icrs"] == single["position"]["icrs"] and first["cz_helio"] == single["cz"]["hel"]
    packed = house.post("/v1/resolve", {"names": names}, Accept="application/msgpack").msgpack
    assert packed["results"] == a["results"]


def test_ten_thousand_names_at_once(house: House) -> None:
    names = [f"NGC {i}" for i in range(1, 7841)] + [f"IC {i}" for i in range(1, 2161)]
    began = time.monotonic()
    a = good(house.post("/v1/resolve", {"names": names}))
    assert a["n"] == 10_000 and a["n_ok"] > 7_000 and time.monotonic() - began < 20
    assert all(r["name"] for r in a["results"])


@pytest.mark.parametrize(("body", "status", "code", "word"), [
    ({}, 422, "missing_parameter", "names"), ({"names": "M 31"}, 422, "not_a_list", "got text"),
    ({"names": None}, 422, "not_a_list", "null"), ({"names": []}, 422, "empty_lists", "names"),
    ({"names": ["M 31"] * 10_001}, 413, "too_many_rows", "10001"),
    ({"names": [], "colour": 1}, 422, "unknown_parameter", "names"),
    ([1], 400, "bad_request", "the list names")])
def test_bad_lists_of_names(house: House, body: object, status: int, code: str, word: str) -> None:
    refused(house.post("/v1/resolve", body), status, code, word)


def test_half_a_surrogate_pair_is_a_fault_of_its_row(house: House) -> None:
    reply = house.ask("/v1/resolve", method="POST", body=b'{"names": ["\\ud800", "M 31"]}',
                      headers={"Content-Type": "application/json"})
    assert [r["status"] for r in good(reply)["results"]] == ["bad_name", "ok"]


# ---- cones and boxes ---------------------------------------------------------------------------------------------

def sky(house: House) -> tuple[list[str], np.ndarray]:
    """Return every object of the house with its direction, for brute force."""
    found = []
    for low in range(-90, 90, 20):
        for ra in range(0, 360, 40):
            reply = good(house.ask(f"/v1/box?ra_min={ra}&ra_max={ra + 40}&dec_min={low}&dec_max={low + 20}&limit=10000"))
            assert not reply["more_results"]
            found += [(o["name"], o["position"]["icrs"]["lon"], o["position"]["icrs"]["lat"]) for o in reply["objects"]]
    unique = dict((name, (lon, lat)) for name, lon, lat in found)
    lon, lat = np.array(list(unique.values())).T
    return list(unique), frames.unit_vectors(lon, lat)


def test_cones_and_boxes_find_what_brute_force_finds(house: House) -> None:
    names, n = sky(house)
    assert len(names) > 10_000
    rng = random.Random(7)
    for ra, dec, radius in [(rng.uniform(0, 360), rng.uniform(-90, 90), rng.choice([0.1, 1, 5])) for _ in range(20)] + [
            (0.0, 0.0, 4.0), (359.99, -30.0, 3.0), (12.0, 90.0, 5.0), (200.0, -89.5, 6.0)]:
        a = good(house.ask("/v1/cone", {"ra": ra, "dec": dec, "radius": radius, "limit": 10_000}))
        apart = np.rad2deg(2 * np.arcsin(np.linalg.norm(n - frames.unit_vectors(ra, dec), axis=1) / 2))
        assert {o["name"] for o in a["objects"]} == {names[i] for i in np.flatnonzero(apart <= radius)}
        assert a["n"] == len(a["objects"]) and not a["more_results"]
        told = [o["separation_deg"] for o in a["objects"]]
        assert told == sorted(told)
        np.testing.assert_allclose(told, [apart[names.index(o["name"])] for o in a["objects"]], atol=1e-6)


def test_a_cone_is_the_same_in_every_sky_frame(house: House) -> None:
    place = good(house.ask("/get_coords?name=M87"))
    first = good(house.ask("/v1/cone", {**{k: place["icrs"][v] for k, v in (("ra", "lon"), ("dec", "lat"))}, "radius": 1.0}))
    assert first["n"] > 5 and first["objects"][0]["name"] == "NGC 4486"
    for pair, frame in ((("glon", "glat"), "galactic"), (("sgl", "sgb"), "supergalactic")):
        a = good(house.ask("/v1/cone", {**dict(zip(pair, place[frame].values())), "radius": 1.0}))
        assert [o["name"] for o in a["objects"]] == [o["name"] for o in first["objects"]] and a["frame"] == frame
        b = good(house.ask("/v1/cone", {**dict(zip(("lon", "lat"), place[frame].values())), "frame": frame, "radius": 1.0}))
        assert b == a


def test_a_limit_cuts_the_list_and_says_how_many_there_are(house: House) -> None:
    whole = good(house.ask("/v1/cone?ra=187.7&dec=12.4&radius=5"))
    cut = good(house.ask("/v1/cone?ra=187.7&dec=12.4&radius=5&limit=3"))
    assert cut["n"] == whole["n"] > 3 and cut["more_results"] is True and cut["objects"] == whole["objects"][:3]


def test_a_box_across_the_meridian_is_its_two_halves(house: House) -> None:
    def inside(low: float, high: float) -> list[str]:
        return [o["name"] for o in good(house.ask(f"/v1/box?ra_min={low}&ra_max={high}&dec_min=-9&dec_max=9"))["objects"]]
    assert sorted(inside(355, 5)) == sorted(inside(355, 360) + inside(0, 5)) != []


def test_tables_of_objects_hold_the_same_numbers(house: House) -> None:
    from astropy.io import votable
    path = "/v1/cone?ra=187.7&dec=12.4&radius=2&limit=40"
    a = good(house.ask(path))["objects"]
    text = house.ask(f"{path}&format=csv").body.decode()
    rows = list(csv.DictReader(io.StringIO("".join(line for line in text.splitlines(True) if not line.startswith("#")))))
    table = votable.parse_single_table(io.BytesIO(house.ask(path, headers={"Accept": "application/x-votable+xml"}).body),
                                       verify="exception").to_table()
    assert table.colnames == list(rows[0]) == list(names.COLUMNS) and len(rows) == len(table) == len(a)
    for one, row, cells in zip(a, rows, table):
        assert row["name"] == cells["name"] == one["name"] and row["catalog"] == cells["catalog"] == one["catalog"]["name"]
        assert float(row["ra"]) == cells["ra"] == one["position"]["icrs"]["lon"] and str(table["ra"].unit) == "deg"
        assert row["cz_helio"] == ("" if one["cz_helio"] is None else repr(one["cz_helio"]))
    box = house.ask("/v1/box?ra_min=1&ra_max=2&dec_min=1&dec_max=3&format=csv").body.decode()
    assert "separation_deg" not in box and "# frame" in box


@pytest.mark.parametrize(("path", "code", "word"), [
    ("cone?ra=1&dec=2", "missing_parameter", "radius"), ("cone?radius=1", "missing_parameter", "lon"),
    ("cone?ra=1&dec=2&radius=31", "bad_parameter", "30"), ("cone?ra=1&dec=2&radius=-1", "bad_parameter", "0"),
    ("cone?ra=1&dec=95&radius=1", "lat_out_of_range", "dec = 95"), ("cone?ra=1&radius=1", "missing_parameter", "dec"),
    ("cone?ra=1&dec=2&radius=1&limit=10001", "bad_parameter", "10000"), ("cone?ra=nan&dec=2&radius=1", "not_finite", "ra"),
    ("cone?ra=12:30&dec=2&radius=1", "sexagesimal", "decimal"), ("cone?ra=1&dec=2&sr=1", "unknown_parameter", "radius"),
    ("cone?ra=1&dec=2&radius=1&frame=galactic", "frame_contradicts", "galactic"),
    ("box?ra_min=1&ra_max=2&dec_min=3&dec_max=2", "bad_parameter", "swap"),
    ("box?ra_min=1&ra_max=2&dec_min=3", "missing_parameter", "dec_max"),
    ("box?ra_min=-1&ra_max=2&dec_min=3&dec_max=4", "bad_parameter", "ra_min"),
    ("catalogs?name=x", "unknown_parameter", "name")])
def test_bad_places(house: House, path: str, code: str, word: str) -> None:
    refused(house.ask(f"/v1/{path}"), 422, code, word)


# ---- cross-match -------------------------------------------------------------------------------------------------

def test_a_crossmatch_finds_each_object_at_its_own_place_in_every_frame(house: House) -> None:
    asked = [f"NGC {i}" for i in range(4000, 4400)]
    found = [r for r in good(house.post("/v1/resolve", {"names": asked}))["results"] if r["status"] == "ok"]
    lon, lat = (np.array([r["position"]["icrs"][k] for r in found]) for k in ("lon", "lat"))
    for frame in frames.SKY_FRAMES:
        a, b = frames.lon_lat(frames.rotate(frames.unit_vectors(lon, lat), "icrs", frame))
        body = {"lon": a.tolist(), "lat": b.tolist(), "frame": frame, "radius": 0.01}
        answer = good(house.post("/v1/crossmatch", body))
        assert answer["n"] == answer["n_matched"] == len(found) and answer["frame"] == frame
        same = [m["objects"][0]["name"] == r["canonical"] for m, r in zip(answer["matches"], found)]
        assert np.mean(same) > 0.99 and all(m["objects"][0]["separation_deg"] < 1e-3 for m in answer["matches"])
        packed = house.ask("/v1/crossmatch", method="POST", headers={"Content-Type": "application/msgpack"}, body=msgpack.packb(
            {**body, "lon": a.astype("<f8").tobytes(), "lat": b.astype("<f8").tobytes()}))
        assert good(packed) == answer


def test_all_matches_are_the_galaxies_of_the_cone_and_faulty_rows_are_data(house: House) -> None:
    body = {"ra": [187.7, 1.0, None, 500.0, 5.0], "dec": [12.4, 120.0, 1.0, 1.0, 89.0], "radius": 1.0, "which": "all"}
    a = good(house.post("/v1/crossmatch", body))
    assert [m["status"] for m in a["matches"]] == ["ok", "lat_out_of_range", "not_finite", "lon_out_of_range", "no_match"]
    around = good(house.ask("/v1/cone?ra=187.7&dec=12.4&radius=1"))["objects"]
    assert a["matches"][0]["objects"] == [o for o in around if o["object_type"] != "Cluster of galaxies"]
    assert len(a["matches"][0]["objects"]) == len(around) - 1  # the Virgo cluster itself
    assert [e["row"] for e in a["errors"]] == [1, 2, 3] and "dec[1] = 120" in a["errors"][0]["detail"]
    turned = {"glon": [10.0], "glat": [120.0], "radius": 1.0}
    assert good(house.post("/v1/crossmatch", turned))["matches"][0]["status"] == "lat_out_of_range"


@pytest.mark.parametrize(("body", "status", "code", "word"), [
    ({"ra": [1], "dec": [1, 2], "radius": 1}, 422, "unequal_lengths", "dec has 2"),
    ({"ra": [1], "dec": [1]}, 422, "missing_parameter", "radius"), ({"radius": 1}, 422, "missing_parameter", "lon"),
    ({"ra": [1], "dec": [1], "radius": 2}, 422, "bad_parameter", "1"),
    ({"ra": [1], "dec": [1], "radius": 0}, 422, "bad_parameter", "0"),
    ({"ra": [], "dec": [], "radius": 1}, 422, "empty_lists", "ra"),
    ({"ra": 1, "dec": 2, "radius": 1}, 422, "not_a_list", "ra"),
    ({"ra": [1] * 10_001, "dec": [1] * 10_001, "radius": 1}, 413, "too_many_rows", "10001"),
    ({"ra": [1], "dec": [1], "radius": 1, "which": "best"}, 422, "bad_parameter", "nearest")])
def test_bad_crossmatches(house: House, body: dict, status: int, code: str, word: str) -> None:
    refused(house.post("/v1/crossmatch", body), status, code, word)


# ---- measured distances ------------------------------------------------------------------------------------------

def test_a_cone_of_measured_distances_tells_them_with_each_galaxy(house: House, open_house: House) -> None:
    path = "/v1/cone?ra=60&dec=-60&radius=5&distances=true"
    a = good(open_house.ask(path))
    assert [(o["name"], o["distances"]) for o in a["objects"]] == [
        (f"Candle {i}", [{"method": "TRGB", "d_mpc": 14.0 + i, "error_mpc": 0.7, "source": "Galaxys of the tests"}])
        for i in (1, 3, 5)]
    assert (a["n"], a["more_results"], a["distance_catalogs"], a["frame"]) == (3, False, ["Galaxys of the tests"], "icrs")
    assert a["objects"] == sorted(a["objects"], key=lambda o: o["separation_deg"])
    packed = open_house.ask(path, headers={"Accept": "application/msgpack"}).msgpack
    assert packed["objects"] == a["objects"] and packed["distance_catalogs"] == a["distance_catalogs"]
    cut = good(open_house.ask(f"{path}&limit=2"))
    assert (cut["n"], cut["more_results"], cut["objects"]) == (3, True, a["objects"][:2])
    plain = good(open_house.ask("/v1/cone?ra=60&dec=-60&radius=5"))
    assert plain == good(open_house.ask("/v1/cone?ra=60&dec=-60&radius=5&distances=false")) and plain["n"] > 5
    assert "distances" not in plain["objects"][0] and "distance_catalogs" not in plain
    none = good(house.ask(path))
    assert (none["n"], none["objects"], none["distance_catalogs"]) == (0, [], [])
    for fmt in ("csv", "votable"):
        refused(open_house.ask(f"{path}&format={fmt}"), 422, "bad_parameter", fmt, "json or msgpack")
    refused(open_house.ask("/v1/cone?ra=60&dec=-60&radius=5&distances=perhaps"), 422, "bad_parameter", "distances")


# ---- groups and clusters -----------------------------------------------------------------------------------------

def test_the_velocity_of_the_group_is_asked_at_the_place_of_the_galaxy(open_house: House) -> None:
    own = good(open_house.ask("/get_flow_galaxy?name=M87"))
    assert own["velocity"] == {"used": "own"} == good(open_house.ask("/get_flow_galaxy?name=M87&velocity=own"))["velocity"]
    a = good(open_house.ask("/get_flow_galaxy?name=M87&velocity=group"))
    group = a["velocity"]["group"]
    assert a["velocity"]["used"] == "group" and group["name"] == "Nest of M 87" and group["n_members"] == 197
    assert a["cz"]["cmb"] == pytest.approx(group["cz"]["cmb"]) and a["cz_frame"] == "cmb" and own["cz_frame"] == "hel"
    assert group["cz"]["hel"] == pytest.approx(1079.0) and "Nest of M 87" in a["cz_source"] and a["position"] == own["position"]
    place = own["position"]["icrs"]
    same = good(open_house.ask("/get_flow_by_position", {"ra": place["lon"], "dec": place["lat"], "cz": group["cz"]["cmb"],
                                                         "cz_frame": "cmb"}))
    assert a["distance"] == same["distance"] and a["distance"]["mean"] < own["distance"]["mean"]


def test_a_galaxy_of_no_group_keeps_its_own_velocity_and_the_answer_says_why(open_house: House) -> None:
    a = good(open_house.ask("/get_flow_galaxy?name=NGC%204993&velocity=group"))
    assert a["velocity"]["used"] == "own" and "NGC 4993" in a["velocity"]["why"] and a["cz_frame"] == "hel"
    assert a["distance"] == good(open_house.ask("/get_flow_galaxy?name=NGC%204993"))["distance"]


def test_a_group_without_catalogue_of_groups_or_beside_a_velocity_is_refused(house: House, open_house: House) -> None:
    refused(house.ask("/get_flow_galaxy?name=M87&velocity=group"), 422, "no_groups", "cosmicflows catalog import")
    for word in ("group", "own"):
        refused(open_house.ask(f"/get_flow_galaxy?name=M87&velocity={word}&cz=1079"), 422, "two_velocities", "velocity")
    refused(open_house.ask("/get_flow_galaxy?name=M87&velocity=mean"), 422, "bad_parameter", "'own' or 'group'")
    refused(open_house.ask("/get_flow_galaxy?name=M87&velocity=group&cz_frame=cmb"), 422, "missing_parameter", "cz")
    assert good(open_house.ask("/get_flow_galaxy?name=M87&cz=1079"))["velocity"] == {"used": "given"}


def test_a_cluster_is_an_object_as_any_other(open_house: House) -> None:
    a = good(open_house.ask("/get_flow_galaxy?name=Test%20Cluster"))
    assert a["cz"]["hel"] == pytest.approx(6925.0) and 80 < a["distance"]["mean"] < 110 and "luster" in a["object_type"]
    assert good(open_house.ask("/get_flow_galaxy?name=Test%20Cluster&velocity=group"))["velocity"]["used"] == "own"
    assert good(open_house.ask("/v1/cone?ra=150&dec=2&radius=0.1"))["objects"][0]["name"] == "Test Cluster"


# ---- catalogues --------------------------------------------------------------------------------------------------

def test_catalogues_are_listed_with_whom_to_cite(open_house: House) -> None:
    listed = good(open_house.ask("/v1/catalogs"))["catalogs"]
    ids = [c["id"] for c in listed]
    assert ids[:2] == ["openngc", "clusters"] and {"test-clusters", "test-groups"} <= set(ids)
    assert all(c["version"] and c["name"] and "licence" in c and c["citation"] for c in listed)


@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/catalogs"), ("DELETE", "/v1/catalogs/test-groups")])
def test_only_the_administrator_changes_catalogues(house: House, open_house: House, method: str, path: str) -> None:
    refused(house.ask(path, method=method, headers=ADMIN), 403, "imports_closed", "CF_ADMIN_TOKEN_SHA256=", "catalog import")
    for header in ({}, {"Authorization": ""}, {"Authorization": TOKEN}, {"Authorization": f"Basic {TOKEN}"},
                   {"Authorization": "Bearer "}):
        missing = open_house.ask(path, method=method, headers=header)
        refused(missing, 401, "token_missing", "Authorization: Bearer")
        assert missing.headers["www-authenticate"].startswith("Bearer")
    for header in (f"Bearer {TOKEN}x", f"token {TOKEN[:-1]}", "Token \xff", f"Bearer {sha256(TOKEN.encode()).hexdigest()}"):
        refused(open_house.ask(path, method=method, headers={"Authorization": header}), 401, "token_wrong")
    assert TOKEN not in open_house.log.read_text()


def test_a_table_that_was_sent_is_found_by_name_until_it_is_dropped(open_house: House) -> None:
    pytest.importorskip("catalog_svc.reading")
    text = b"name,ra,dec,cz\nKitchen Galaxy 17,33.25,-71.5,4321\nKitchen Galaxy 18,33.75,-71.5,4400\nspoilt,400,0,1\n"
    options = "filename=kitchen.csv&id=kitchen&frame=hel&convention=cz&map=name=name&map=ra=ra&map=dec=dec&map=velocity=cz"
    for spelled in ("Token", "token", "bearer"):
        reply = open_house.ask(f"/v1/catalogs?{options}&dry_run=true", method="POST", body=text,
                               headers={"Authorization": f"{spelled} {TOKEN}"})
        assert reply.status == 200, reply.body
    assert open_house.ask("/hint_byname?name=Kitchen").json["hints"] == []
    report = good(open_house.ask(f"/v1/catalogs?{options}", method="POST", body=text, headers=ADMIN))
    assert (report["n_read"], report["n_new"], report["n_rejected"]) == (3, 2, 1) and report["rejects"][0]["raw"]
    assert good(open_house.ask("/v1/cone?ra=33.25&dec=-71.5&radius=0.01"))["objects"][0]["name"] == "Kitchen Galaxy 17"
    assert good(open_house.ask("/get_flow_galaxy?name=Kitchen%20Galaxy%2017"))["cz"]["hel"] == pytest.approx(4321)
    again = good(open_house.ask(f"/v1/catalogs?{options}", method="POST", body=text, headers=ADMIN))
    assert (again["n_unchanged"], again["n_new"]) == (2, 0)
    assert good(open_house.ask("/v1/catalogs/kitchen", method="DELETE", headers=ADMIN)) == {"dropped": "kitchen"}
    assert open_house.ask("/get_flow_galaxy?name=Kitchen%20Galaxy%2017").status == 404


@pytest.mark.parametrize(("query", "body", "status", "code"), [
    ("colour=red", b"x", 422, "unknown_parameter"), ("id=a&id=b", b"x", 400, "repeated_parameter"),
    ("max_bad=some", b"x", 422, "bad_parameter"), ("dry_run=perhaps", b"x", 422, "bad_parameter"),
    ("filename=x.csv", b"", 422, "empty_table"), ("filename=a%00b.csv&title=a%01", b"x", 422, "bad_parameter")])
def test_bad_imports(open_house: House, query: str, body: bytes, status: int, code: str) -> None:
    refused(open_house.ask(f"/v1/catalogs?{query}", method="POST", body=body, headers=ADMIN), status, code)


def test_a_question_of_an_import_is_put_in_the_words_of_the_query(open_house: House) -> None:
    table = b"name,ra,dec,cz\nA 1,201.5,-41.5,900\n"
    reply = open_house.ask("/v1/catalogs?filename=q.csv", method="POST", body=table, headers=ADMIN)

    problem = refused(reply, 422, "frame_missing")

    assert "frame=hel" in problem["detail"] and "--" not in problem["detail"]


def test_tables_of_different_names_are_different_catalogues_and_bulk_questions_survive_their_end(open_house: House) -> None:
    table = b"name,ra,dec,cz\nCRUMB 1,201.5,-41.5,900\n"
    options = "frame=hel&map=ra_unit=deg&link=0"
    for name in ("Bread Crumbs.csv", "../../etc/Toast.csv"):
        report = good(open_house.ask(f"/v1/catalogs?filename={quote(name)}&{options}&dry_run=on", method="POST", body=table,
                                     headers=ADMIN))
        assert report["is_dry"] is True
        good(open_house.ask(f"/v1/catalogs?filename={quote(name)}&{options}", method="POST", body=table, headers=ADMIN))
    here = {c["id"] for c in good(open_house.ask("/v1/catalogs"))["catalogs"]}
    assert {"bread_crumbs", "toast"} <= here

    for id in ("bread_crumbs", "toast"):
        good(open_house.ask("/v1/cone?ra=201.5&dec=-41.5&radius=2"))
        good(open_house.ask(f"/v1/catalogs/{id}", method="DELETE", headers=ADMIN))
        for _ in range(6):
            assert open_house.ask("/v1/cone?ra=201.5&dec=-41.5&radius=2").status == 200


@pytest.mark.parametrize("id", ["nothing", "..", "..%2F..", "%00", "x" * 200, "%F0%9F%8C%8C", "a%2Fb"])
def test_what_is_no_catalogue_cannot_be_dropped(open_house: House, id: str) -> None:
    refused(open_house.ask(f"/v1/catalogs/{id}", method="DELETE", headers=ADMIN), 404, "unknown_catalog")
    refused(open_house.ask("/v1/catalogs/openngc", method="DELETE", headers=ADMIN), 422, "reserved_id", "built in")


def test_an_upload_over_the_limit_is_refused_whether_it_says_its_length_or_not(open_house: House) -> None:
    with socket.create_connection(("127.0.0.1", open_house.port)) as connection:
        connection.sendall(f"POST /v1/catalogs?filename=x.csv HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
                           f"Content-Length: {names.UPLOAD_MAX + 1}\r\nConnection: close\r\n\r\n".encode())
        assert b"413" in connection.recv(4096).partition(b"\r\n")[0]
    client = http.client.HTTPConnection("127.0.0.1", open_house.port, timeout=60)
    piece = b"1,2,3\n" * 100_000
    with closing(client):
        try:
            client.request("POST", "/v1/catalogs?filename=x.csv", body=(piece for _ in range(names.UPLOAD_MAX // len(piece) + 2)),
                           headers=ADMIN, encode_chunked=True)
        except ConnectionError:
            pass  # it answered before it had read everything
        answer = client.getresponse()
        assert answer.status == 413 and json.loads(answer.read())["code"] == "body_too_large"
    assert open_house.ask("/livez").status == 200


def test_an_upload_that_breaks_off_leaves_nothing_behind(open_house: House) -> None:
    with socket.create_connection(("127.0.0.1", open_house.port)) as connection:
        connection.sendall(f"POST /v1/catalogs?filename=x.csv&id=broken HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
                           "Content-Length: 5000\r\n\r\nname,ra,dec\n".encode())
        time.sleep(0.3)
    time.sleep(0.5)
    assert "broken" not in {c["id"] for c in good(open_house.ask("/v1/catalogs"))["catalogs"]}
    assert "ERROR gateway" not in open_house.log.read_text()


# ---- hints -------------------------------------------------------------------------------------------------------

def test_hints_are_the_same_the_second_time_and_in_both_encodings(house: House) -> None:
    first, second = house.ask("/hint_byname?name=NGC%2049"), house.ask("/hint_byname?name=NGC%2049")
    assert first.body == second.body and first.headers["content-type"] == second.headers["content-type"]
    packed = house.ask("/hint_byname?name=NGC%2049", headers={"Accept": "application/msgpack"})
    assert packed.media == "application/msgpack" and packed.msgpack["hints"] == first.json["hints"]
    assert house.ask("/hint_byname?name=NGC%2049&limit=1").json["hints"] == first.json["hints"][:1]


# ---- hostile ------------------------------------------------------------------------------------------------------

def hostile_names(n: int, seed: int) -> list[str]:
    """Return texts of every kind that has broken a parser somewhere."""
    rng = random.Random(seed)
    pieces = ["NGC ", "'", '"', ";", "--", "%", "%00", "\x00", "\n", "\r\n", "<script>", "]]>", "&lt;", "../", "\\", "{", "}",
              "*", "?", "OR 1=1", "\u202e", "\U0001f30c", "\ufffe", "é", "e\u0301", "ſ", "9" * 40, "-1", "%J 1 2", "$(id)", "`",
              "\t", " ", "M", "31", "+", "NaN", "\u200b", "Ⅻ", "߀", "null", "%s%n", "\x1b[31m"]
    return ["".join(rng.choice(pieces) for _ in range(rng.randint(1, 12))) for _ in range(n)]


def test_two_thousand_hostile_names_find_words_and_never_a_fault(house: House) -> None:
    hostile = hostile_names(2000, 1)
    results = []
    for start in range(0, 2000, 500):
        results += good(house.post("/v1/resolve", {"names": hostile[start:start + 500]}))["results"]
    assert {r["status"] for r in results} <= {"ok", "unknown_name", "bad_name", "not_a_galaxy", "ambiguous_name"}
    paths = ("/hint_byname", "/get_flow_galaxy", "/get_galaxy_detail", "/get_coords", "/v1/cone", "/v1/catalogs")
    for i, name in enumerate(hostile[:600]):
        reply = house.ask(paths[i % len(paths)], {"name": name})
        assert reply.status in (200, 400, 404, 409, 422) and b"Traceback" not in reply.body, (name, reply.body)
    assert "Traceback" not in house.log.read_text()
