"""The seven URLs as their users meet them: real processes, real sockets."""

from __future__ import annotations

import csv
import io

import msgpack
import numpy as np
import pytest
from running import House, Reply

from cfcore import FLOW_TYPES, open_field
from cfcore.distances import SUMMARY, VALUES

PREFIXES = ("", "/flow_query")
QUANTILES = ("p2_5", "p16", "median", "p84", "p97_5")
PROVENANCE = {"field", "frame", "cz_frame", "cosmology", "sigma_v", "prior", "cfcore"}


def good(reply: Reply) -> dict:
    assert reply.status == 200, reply.body[:500]
    assert reply.media == "application/json" and reply.headers["x-content-type-options"] == "nosniff"
    return reply.json


@pytest.fixture(scope="module")
def sky() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(42)
    n = 10_000
    return {"lon": rng.uniform(0, 360, n), "lat": np.rad2deg(np.arcsin(rng.uniform(-1, 1, n))),
            "cz": rng.uniform(300, 9000, n)}


@pytest.mark.parametrize("prefix", PREFIXES)
def test_every_messier_hint_answers_with_a_flow(house: House, prefix: str) -> None:
    found = good(house.ask(f"{prefix}/hint_byname", {"name": "MESSIER"}))
    assert 35 <= len(found["hints"]) <= 50 and found["more_results"] is False
    assert "MESSIER 031" in found["hints"]
    for hint in found["hints"]:
        # urlencode writes blanks as plus signs
        answer = good(house.ask(f"{prefix}/get_flow_galaxy", {"name": hint}))
        assert answer["name"] == hint and answer["status"] == "ok"
        assert answer["distance"]["unit"] == "Mpc" and 0 < answer["distance"]["mean"] < 100
    m31 = good(house.ask(f"{prefix}/get_flow_galaxy", {"name": "MESSIER 031"}))
    assert {"blueshift", "nearby"} <= set(m31["flags"]) and m31["canonical"] == "NGC 224"


@pytest.mark.parametrize("prefix", PREFIXES)
def test_ngc_4993_answers_with_position_velocity_and_distance(house: House, prefix: str) -> None:
    assert good(house.ask(f"{prefix}/hint_byname?name=NGC"))["more_results"] is True
    a = good(house.ask(f"{prefix}/get_flow_galaxy?name=NGC%204993"))
    assert a["position"]["icrs"]["lon"] == pytest.approx(197.4488, abs=1e-3)
    assert a["cz"]["hel"] == pytest.approx(299792.458 * 0.009787, abs=0.01)
    assert 35 < a["distance"]["mean"] < 46 and 1 < a["distance"]["std"] < 6
    assert a.keys() >= PROVENANCE | set(FLOW_TYPES) | {"roots", "v_rad", "v_rad_std", "v_pec", "delta", "inside_fraction",
                                                       "evidence", "flags", "modulus", "catalog", "canonical"}
    assert a["field"]["id"] == "ongc-linear" and "OpenNGC" in a["field"]["citation"]
    assert a["cosmology"] == {"H0": 75.0, "Om": 0.3} and a["sigma_v"] == 200.0 and a["prior"] == "volume"
    assert a["distance"]["mean"] * 0.75 == pytest.approx(a["comoving"]["mean"])


def test_the_velocity_of_a_request_goes_before_that_of_the_catalogue(house: House) -> None:
    a = good(house.ask("/get_flow_galaxy", {"name": "NGC 4993", "cz": 3230.4, "cz_frame": "cmb"}))
    assert a["cz"]["cmb"] == pytest.approx(3230.4) and a["cz_source"] == "given in the request"
    same = good(house.ask("/get_flow_galaxy", {"name": "NGC 4993", "z": 3230.4 / 299792.458, "cz_frame": "cmb"}))
    assert same["distance"]["mean"] == pytest.approx(a["distance"]["mean"], rel=1e-12)


def test_a_galaxy_s_detail_lists_its_velocities_with_frame_and_source(house: House) -> None:
    d = good(house.ask("/get_galaxy_detail", {"name": "ngc 04993"}))
    used = [v for v in d["velocities"] if v["used"]]
    assert len(used) == 1 and used[0]["frame"] == "hel" and "redshift" in used[0]["source"]
    flow = good(house.ask("/get_flow_galaxy", {"name": "NGC4993"}))
    for v in d["velocities"]:
        assert v["value"] == pytest.approx(flow["cz"][v["frame"]], abs=1e-6)
    assert d["catalog"]["licence"] == "CC-BY-SA-4.0"


def test_coordinates_come_in_three_frames_by_name_and_by_position(house: House) -> None:
    by_name = good(house.ask("/get_coords", {"name": "M 87", "distance": 16.4}))
    lon, lat = by_name["supergalactic"]["lon"], by_name["supergalactic"]["lat"]
    by_place = good(house.ask("/get_coords", {"sgl": lon, "sgb": lat, "distance": 16.4}))
    for frame in ("icrs", "galactic", "supergalactic"):
        assert by_place[frame]["lon"] == pytest.approx(by_name[frame]["lon"], abs=1e-9)
        assert by_place[frame]["lat"] == pytest.approx(by_name[frame]["lat"], abs=1e-9)
    xyz = np.array([by_name[k] for k in ("sgx", "sgy", "sgz")])
    assert np.linalg.norm(xyz) == pytest.approx(16.4)
    assert good(house.ask("/get_coords?ra=187.7&dec=12.39"))["sgx"] is None


def test_a_position_gives_the_same_answer_in_every_sky_frame(house: House) -> None:
    answers = [good(house.ask("/get_flow_by_position", {**place, "cz": 2916})) for place in (
        {"ra": 197.4488, "dec": -23.3839}, {"lon": 197.4488, "lat": -23.3839},
        {"glon": 308.37728126416454, "glat": 39.29367722445287},
        {"lon": 139.9403389658356, "lat": -2.895811403411211, "frame": "supergalactic"})]
    for a in answers[1:]:
        assert a["distance"]["median"] == pytest.approx(answers[0]["distance"]["median"], rel=1e-9)
    assert [a["frame"] for a in answers] == ["icrs", "icrs", "galactic", "supergalactic"]


def test_a_distance_gives_the_velocity_there_and_null_outside(house: House) -> None:
    field = open_field("ongc-linear", house.data)
    a = good(house.ask("/get_flow_by_position", {"lon": 30.0, "lat": 40.0, "distance": 50.0}))
    v = field.velocity(30.0, 40.0, 50.0)
    assert a["inside"] is True and a["v_rad"] == v.column("v_rad")[0]
    assert a["xyz_hmpc"] == [v.column(c)[0] for c in ("sgx", "sgy", "sgz")]
    assert a.keys() >= PROVENANCE | {"cz_hubble", "cz", "delta", "sigma"}
    here = good(house.ask("/get_flow_by_position", {"lon": 30.0, "lat": 40.0, "distance": 0.0}))
    assert here["v_pec"]["sgx"] == pytest.approx(field.velocity_at([[0, 0, 0]])[0, 0]) and here["inside"] is True
    out = good(house.ask("/get_flow_by_position", {"lon": 30.0, "lat": 40.0, "distance": 900.0}))
    assert out["inside"] is False and out["v_rad"] is None and set(out["v_pec"].values()) == {None}
    assert out["cz_hubble"] > 0 and out["cz"]["cmb"] is None
    assert a["status"] == "ok" and out["status"] == "outside_field" and "distance = 900 Mpc" in out["detail"]


def test_faces_edges_and_corners_of_the_lattice_are_inside(house: House) -> None:
    field = open_field("ongc-linear", house.data)
    m = field.manifest
    low = np.array(m.origin_hmpc)
    high = low + (np.array(m.shape) - 1) * np.array(m.spacing_hmpc)
    for at in (low, high, [low[0], 0.5, 0.5], [0.0, high[1], high[2]], [high[0], high[1], 1.0]):
        at = np.array(at)
        r = np.linalg.norm(at)
        sgl, sgb = np.rad2deg(np.arctan2(at[1], at[0])), np.rad2deg(np.arcsin(at[2] / r))
        for scale, inside in ((1.0 - 1e-12, True), (1.0 + 1e-6, False)):
            a = good(house.ask("/get_flow_by_position", {"sgl": repr(float(sgl)), "sgb": repr(float(sgb)),
                                                         "distance": repr(float(r * scale / 0.75))}))
            assert a["inside"] is inside, (at, scale)
            assert (a["v_rad"] is None) is not inside


@pytest.mark.parametrize("flow", list(FLOW_TYPES))
def test_a_hundred_objects_at_once_equal_a_hundred_single_ones(house: House, sky: dict, flow: str) -> None:
    lists = {k: v[:100].tolist() for k, v in sky.items()}
    many = good(house.post(f"/get_flow/{flow}", lists))
    assert many["n"] == 100 and many["flow_type"] == flow and many["unit"] == FLOW_TYPES[flow]
    x, pdf = np.array(many["grid"]["x"]), np.array(many["grid"]["pdf"], dtype=float)
    ok = np.array(many["status"]) == "ok"
    np.testing.assert_allclose(np.trapezoid(pdf[ok], x, axis=1), 1.0, atol=1e-6)
    for i in range(0, 100, 7):
        one = good(house.post(f"/get_flow/{flow}", {k: v[i:i + 1] for k, v in lists.items()}))
        assert {k: v[0] for k, v in one["columns"].items()} == {k: v[i] for k, v in many["columns"].items()}
        assert one["roots"][0] == many["roots"][i] and one["flags"][0] == many["flags"][i]
        assert one["grid"]["pdf"][0] == many["grid"]["pdf"][i]
        single = good(house.ask("/get_flow_by_position", {k: repr(v[i]) for k, v in lists.items()}))
        for s in SUMMARY:
            assert single[flow][s] == many["columns"][s][i]
        assert single["roots"] == many["roots"][i] and all(single[c] == many["columns"][c][i] for c in ("v_rad", "v_rad_std"))


def test_ten_thousand_objects_at_once_equal_what_cfcore_says(house: House, sky: dict) -> None:
    lists = {k: v.tolist() for k, v in sky.items()}
    a = good(house.post("/get_flow/distance", lists))
    assert a["n"] == 10_000 and "grid" not in a
    d = open_field("ongc-linear", house.data).distance(**sky)
    for s in SUMMARY:
        np.testing.assert_array_equal(np.array(a["columns"][s], dtype=float), d.values[:, VALUES.index(f"distance.{s}")])
    assert [len(r) for r in a["roots"]] == d.n_roots.tolist()


def test_quantiles_of_the_four_types_map_onto_each_other(house: House, sky: dict) -> None:
    lists = {k: v[:500].tolist() for k, v in sky.items()}
    a = {flow: {k: np.array(v, dtype=float) for k, v in
                good(house.post(f"/get_flow/{flow}", {**lists, "H0": 70.0}))["columns"].items()} for flow in FLOW_TYPES}
    from cfcore import background
    z = a["distance"]["cz_hel"] / 299792.458
    for q in QUANTILES:
        r = a["comoving"][q]
        np.testing.assert_allclose(a["distance"][q], r / 0.7, rtol=1e-6)
        np.testing.assert_allclose(a["luminosity"][q], (1 + z) * r / 0.7, rtol=1e-6)
        np.testing.assert_allclose(a["hubble"][q], 299792.458 * background(0.3).redshift(r), rtol=1e-6)


def same(a: object, b: object) -> bool:
    """Compare a JSON value with its msgpack twin, where columns of numbers are raw float64."""
    if isinstance(b, bytes):
        raw = np.frombuffer(b, "<f8")
        return np.array_equal(raw, np.array(a, dtype=float), equal_nan=True)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() - {"dtype"} and all(same(v, b[k]) for k, v in a.items())
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b))
    return a == b


@pytest.mark.parametrize("n", [1, 30])
def test_json_and_msgpack_carry_the_same_numbers(house: House, sky: dict, n: int) -> None:
    lists = {k: v[:n].tolist() for k, v in sky.items()}
    lists["cz"][0] = 80_000.0
    as_json = good(house.post("/get_flow/hubble", lists))
    by_accept = house.post("/get_flow/hubble", lists, Accept="application/msgpack")
    assert by_accept.media == "application/msgpack" and by_accept.msgpack["dtype"] == "<f8"
    assert same(as_json, by_accept.msgpack)
    packed = house.ask("/get_flow/hubble", method="POST", headers={"Content-Type": "application/msgpack"}, body=msgpack.packb(
        {k: np.array(v).tobytes() if k == "cz" else v for k, v in {**lists, "format": "msgpack"}.items()}))
    assert packed.body == by_accept.body
    for path in ("/get_flow_galaxy?name=M%2081&grid=true", "/get_coords?name=M%2081", "/hint_byname?name=M",
                 "/get_flow_by_position?lon=1&lat=2&distance=900", "/get_distance_table?name=M81&n=9"):
        assert same(good(house.ask(path)), house.ask(path, headers={"Accept": "application/msgpack"}).msgpack), path


def test_get_with_a_body_is_the_same_as_post(house: House, sky: dict) -> None:
    import json
    body = json.dumps({k: v[:3].tolist() for k, v in sky.items()}).encode()
    headers = {"Content-Type": "application/json"}
    assert house.ask("/get_flow/distance", method="GET", body=body, headers=headers).body == \
        house.ask("/flow_query/get_flow/distance", method="POST", body=body, headers=headers).body


def test_one_galaxy_outside_the_field_leaves_the_others_answered(house: House) -> None:
    a = good(house.post("/get_flow/distance", {"lon": [10, 20, 30], "lat": [1, 2, 3], "cz": [3000, 90000, 4000]}))
    assert a["status"] == ["ok", "outside_field", "ok"] and a["columns"]["mean"][1] is None
    assert a["columns"]["mean"][0] > 0 and a["flags"][1] == ["outside"]
    assert a["errors"] == [{"row": 1, "column": "cz", "value": 90000.0, "code": "outside_field",
                            "detail": a["errors"][0]["detail"]}]
    assert "cz[1] = 90000 km/s" in a["errors"][0]["detail"]


def test_a_distance_table_comes_as_json_csv_and_votable_with_the_same_numbers(house: House) -> None:
    from astropy.io.votable import parse_single_table
    query = {"name": "NGC 4993", "rmax": 60, "n": 61}
    a = good(house.ask("/get_distance_table", query))
    columns = {k: np.array(v, dtype=float) for k, v in a["columns"].items()}
    assert columns["r_hmpc"][-1] == 60 and len(columns["r_hmpc"]) == 61 and columns["inside"].all()
    np.testing.assert_allclose(columns["d_mpc"], columns["r_hmpc"] / 0.75)
    assert np.trapezoid(columns["p"], columns["d_mpc"]) == pytest.approx(1.0, abs=0.02)
    text = house.ask("/get_distance_table", {**query, "format": "csv"})
    assert text.media == "text/csv"
    lines = [x for x in text.body.decode().splitlines() if not x.startswith("#")]
    rows = list(csv.DictReader(lines))
    for k, v in columns.items():
        np.testing.assert_array_equal([float(r[k]) if r[k] else np.nan for r in rows], v)
    vot = house.ask("/get_distance_table", query, headers={"Accept": "application/x-votable+xml"})
    table = parse_single_table(io.BytesIO(vot.body)).to_table()
    for k, v in columns.items():
        np.testing.assert_array_equal(np.ma.filled(table[k].astype(float), np.nan), v)
    assert table["v_rad"].unit == "km / s" and table["r_hmpc"].unit is None and "h^-1 Mpc" in table["r_hmpc"].description


def test_a_distance_table_of_a_position_has_no_p_until_a_velocity_is_given(house: House) -> None:
    bare = good(house.ask("/get_distance_table?lon=10&lat=20&n=3"))
    assert "p" not in bare["columns"] and bare["cz_observed"] is None
    with_cz = good(house.ask("/get_distance_table?lon=10&lat=20&n=301&cz=3000&cz_frame=cmb"))
    assert len(with_cz["columns"]["p"]) == 301
    peak = with_cz["columns"]["d_mpc"][int(np.argmax(with_cz["columns"]["p"]))]
    assert 30 < peak < 50


def test_options_change_what_they_should_and_are_echoed(house: House) -> None:
    base = {"lon": 150.0, "lat": 2.0, "cz": 3000.0}
    plain = good(house.ask("/get_flow_by_position", base))
    scaled = good(house.ask("/get_flow_by_position", {**base, "H0": 150}))
    assert scaled["distance"]["mean"] == pytest.approx(plain["distance"]["mean"] / 2)
    assert scaled["comoving"]["mean"] == plain["comoving"]["mean"] and scaled["cosmology"]["H0"] == 150.0
    wide = good(house.ask("/get_flow_by_position", {**base, "sigma_v": 400}))
    assert wide["distance"]["std"] > 1.5 * plain["distance"]["std"] and wide["sigma_v"] == 400.0
    worse = good(house.ask("/get_flow_by_position", {**base, "sigma_cz": 346.41}))
    assert worse["hubble"]["std"] == pytest.approx(wide["hubble"]["std"], rel=1e-3)
    dense = good(house.ask("/get_flow_by_position", {**base, "prior": "density", "alpha": 0.5}))
    assert dense["prior"] == "density" and dense["alpha"] == 0.5
    assert dense["distance"]["mean"] != plain["distance"]["mean"]
    lg = good(house.ask("/get_flow_by_position", {**base, "cz_frame": "lg"}))
    assert lg["cz"]["lg"] == pytest.approx(3000.0) and lg["cz_frame"] == "lg"
    grid = good(house.ask("/get_flow_by_position", {**base, "grid": "true"}))["grid"]
    assert np.trapezoid(grid["pdf"], grid["x"]) == pytest.approx(1.0, abs=1e-6)
