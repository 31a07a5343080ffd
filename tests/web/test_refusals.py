"""Bad input: each mistake has its own answer, nothing else breaks, and nothing is ever a 500."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from running import House, Reply

GOOD = {"lon": [10.0, 20.0], "lat": [1.0, 2.0], "cz": [3000.0, 4000.0]}


def refused(reply: Reply, status: int, code: str, *words: str) -> dict:
    assert reply.status == status, (reply.status, reply.body[:400])
    assert reply.media == "application/problem+json"
    p = reply.json
    assert p["code"] == code and p["status"] == status and p["type"].endswith(code) and p["title"]
    for word in words:
        assert word in p["detail"], (word, p["detail"])
    assert "Traceback" not in p["detail"] and "/work" not in p["detail"] and len(p["detail"]) < 1000
    return p


@pytest.mark.parametrize(("query", "status", "code", "words"), [
    ({"name": "NGC 99999"}, 404, "unknown_name", ["NGC 99999", "7840"]),
    ({"name": "Andromdea Galaxy"}, 404, "unknown_name", ["Andromdea"]),
    ({"name": "Coma"}, 404, "not_a_galaxy", ["Coma"]),
    ({"name": "M 13"}, 404, "not_a_galaxy", ["lobular"]),
    ({"name": ""}, 422, "bad_name", []),
    ({"name": "x" * 2**20}, 422, "bad_name", ["1048576", "128"]),
    ({"name": "x" * 129}, 422, "bad_name", ["129", "128"]),
    ({}, 422, "missing_parameter", ["name"]),
    ({"name": "M 31", "H0": "fast"}, 422, "not_a_number", ["H0", "fast"]),
    ({"name": "M 31", "H0": "5"}, 422, "out_of_range", ["H0 = 5", "20", "200"]),
    ({"name": "M 31", "sigma_v": "10"}, 422, "out_of_range", ["50", "600"]),
    ({"name": "M 31", "prior": "hope"}, 422, "unknown_option", ["volume, density, flat"]),
    ({"name": "M 31", "field": "2mpp"}, 404, "field_not_installed", ["cosmicflows fields add"]),
    ({"name": "M 31", "field": "narnia"}, 404, "unknown_field", ["narnia", "ongc-linear"]),
    ({"name": "M 31", "fields": "cf4gp"}, 422, "unknown_parameter", ["fields", "field"]),
    ({"name": "M 31", "cz_frame": "cmb"}, 422, "missing_parameter", ["cz"]),
    ({"name": "M 31", "cz": 3000, "cz_frame": "mars"}, 422, "unknown_frame", ["mars", "hel, cmb"]),
    ({"name": "M 31", "prior": "density", "field": "mould2000"}, 422, "no_density", ["mould2000", "volume"]),
    ({"name": "M 31", "use_field_sigma": "true"}, 422, "no_field_sigma", ["ongc-linear"]),
])
def test_bad_questions_about_a_galaxy(house: House, query: dict, status: int, code: str, words: list[str]) -> None:
    refused(house.ask("/get_flow_galaxy", query), status, code, *words)


def test_an_unknown_name_comes_with_suggestions_that_resolve(house: House) -> None:
    p = refused(house.ask("/get_flow_galaxy", {"name": "Andromdea Galaxy"}), 404, "unknown_name")
    assert 1 <= len(p["suggestions"]) <= 5
    for s in p["suggestions"]:
        assert s["reason"] and house.ask("/get_galaxy_detail", {"name": s["name"]}).status == 200


def test_a_galaxy_without_velocity_says_so_and_takes_one(house: House) -> None:
    everything = set(house.ask("/hint_byname", {"name": "IC", "limit": 1000, "require_velocity": "false"}).json["hints"])
    with_velocity = set(house.ask("/hint_byname", {"name": "IC", "limit": 1000}).json["hints"])
    silent = sorted(everything - with_velocity)
    assert silent
    p = refused(house.ask("/get_flow_galaxy", {"name": silent[0]}), 422, "no_velocity", silent[0], "cz=")
    assert p["where"] == "name"
    assert house.ask("/get_flow_galaxy", {"name": silent[0], "cz": 5000}).status == 200


@pytest.mark.parametrize(("query", "status", "code", "words"), [
    ({"lon": 10, "lat": 120, "cz": 3000}, 422, "lat_out_of_range", ["lat = 120", "90", "swapped"]),
    ({"lon": 10, "lat": 90.0000001, "cz": 3000}, 422, "lat_out_of_range", ["lat = 90.0000001 lies"]),
    ({"lon": 10, "lat": 20, "cz": 3000, "H0": 200.00000001}, 422, "out_of_range", ["H0 = 200.00000001 lies"]),
    ({"lon": "1_0", "lat": 20, "cz": 3000}, 422, "not_a_number", ["lon = '1_0'", "without _"]),
    ({"lon": 10, "lat": 20, "cz": "3_000"}, 422, "not_a_number", ["3_000"]),
    ({"lon": 500, "lat": 12, "cz": 3000}, 422, "lon_out_of_range", ["lon = 500", "360"]),
    ({"ra": 10, "dec": -91, "cz": 3000}, 422, "lat_out_of_range", ["dec = -91"]),
    ({"lon": 10, "lat": 20, "cz": "nan"}, 422, "not_finite", ["cz"]),
    ({"lon": 10, "lat": 20, "cz": "inf"}, 422, "not_finite", ["cz"]),
    ({"lon": 10, "lat": 20, "cz": 0.0097}, 422, "cz_looks_like_z", ["0.0097", "redshift"]),
    ({"lon": 10, "lat": 20, "z": 2916}, 422, "z_looks_like_cz", ["2916", "velocity"]),
    ({"lon": "13:09:47.7", "lat": 20, "cz": 3000}, 422, "sexagesimal", ["13:09:47.7", "decimal degrees"]),
    ({"lon": 10, "lat": 20}, 422, "missing_parameter", ["cz", "distance"]),
    ({"lon": 10, "lat": 20, "cz": 3000, "distance": 40}, 422, "two_questions", []),
    ({"lon": 10, "lat": 20, "cz": 3000, "z": 0.01}, 422, "two_velocities", []),
    ({"lon": 10, "cz": 3000}, 422, "missing_parameter", ["lat"]),
    ({"cz": 3000}, 422, "missing_parameter", ["lon", "ra"]),
    ({"lon": 10, "lat": 20, "ra": 1, "dec": 2, "cz": 3000}, 422, "two_positions", []),
    ({"ra": 10, "dec": 20, "frame": "galactic", "cz": 3000}, 422, "frame_contradicts", ["galactic"]),
    ({"lon": 10, "lat": 20, "cz": 3000, "frame": "b1950"}, 422, "unknown_frame", ["icrs, galactic, supergalactic"]),
    ({"lon": 10, "lat": 20, "cz": -9000}, 422, "cz_out_of_range", ["-9000", "-3000"]),
    ({"lon": 10, "lat": 20, "distance": -1}, 422, "distance_out_of_range", ["-1"]),
    ({"lon": 10, "lat": 20, "cz": 3000, "format": "pdf"}, 422, "bad_parameter", ["pdf"]),
])
def test_bad_questions_about_a_position(house: House, query: dict, status: int, code: str, words: list[str]) -> None:
    refused(house.ask("/get_flow_by_position", query), status, code, *words)


@pytest.mark.parametrize(("body", "status", "code", "words"), [
    ({**GOOD, "cz": [3000.0]}, 422, "unequal_lengths", ["lon has 2", "cz has 1"]),
    ({"lon": [], "lat": [], "cz": []}, 422, "empty_lists", []),
    ({k: [v[0]] * 10_001 for k, v in GOOD.items()}, 413, "too_many_rows", ["10001", "10000"]),
    ({**GOOD, "frame": "b1950"}, 422, "unknown_frame", ["b1950"]),
    ({**GOOD, "field": "narnia"}, 404, "unknown_field", ["narnia"]),
    ({**GOOD, "cz": [0.01, 0.02]}, 422, "cz_looks_like_z", ["0.01"]),
    ({"lon": [1] * 3, "lat": [1] * 3, "cz": [0.7, 1.4, 2.1]}, 422, "cz_looks_like_z", []),
    ({**GOOD, "lat": 3.0}, 422, "not_a_list", ["lat: a list of numbers is expected, got one number"]),
    ({**GOOD, "lat": "3"}, 422, "not_a_list", ["got text"]),
    ({**GOOD, "lat": {"a": 1}}, 422, "not_a_list", ["got an object"]),
    ({**GOOD, "lat": True}, 422, "not_a_list", ["got true or false"]),
    ({**GOOD, "H0": "7_0"}, 422, "not_a_number", ["7_0"]),
    ({**GOOD, "H0": [70]}, 422, "not_a_number", ["H0 = a list"]),
    ({**GOOD, "frame": 3}, 422, "bad_parameter", ["frame = 3: must be text"]),
    ({**GOOD, "grid": "perhaps"}, 422, "bad_parameter", ["must be true or false"]),
    ({"lon": GOOD["lon"], "lat": GOOD["lat"]}, 422, "missing_parameter", ["cz"]),
    ({**GOOD, "colour": 1}, 422, "unknown_parameter", ["colour"]),
    ({**GOOD, "sigma_cz": [1.0]}, 422, "unequal_lengths", ["sigma_cz"]),
    ([1, 2], 400, "bad_request", ["an object with the lists", "got a list"]),
    (7, 400, "bad_request", ["got one number"]),
    ({k: v[:1] * 3000 for k, v in GOOD.items()} | {"grid": True}, 413, "too_many_rows", ["3000", "2000000"]),
    ({k: v[:1] * 300 for k, v in GOOD.items()} | {"grid": True, "dr": 0.01}, 413, "too_many_rows", ["300", "dr"]),
])
def test_bad_lists(house: House, body: object, status: int, code: str, words: list[str]) -> None:
    refused(house.post("/get_flow/distance", body), status, code, *words)


def test_an_unknown_flow_type_lists_the_four(house: House) -> None:
    refused(house.post("/get_flow/velocity", GOOD), 404, "unknown_flow_type", "distance, hubble, luminosity, comoving")


@pytest.mark.parametrize("raw", [b"{lon: [1]}", b'{"lon": [1', b"", b"\xff\xfe", b"[" * 100_000])
def test_malformed_json_is_a_400(house: House, raw: bytes) -> None:
    refused(house.ask("/get_flow/distance", method="POST", body=raw, headers={"Content-Type": "application/json"}),
            400, "malformed_json")


def test_wrong_content_types_are_a_415_that_names_the_right_one(house: House) -> None:
    for kind in ("application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x"):
        reply = house.ask("/get_flow/distance", method="POST", body=json.dumps(GOOD).encode(), headers={"Content-Type": kind})
        refused(reply, 415, "wrong_content_type", kind.partition(";")[0], "application/json")


def test_a_body_that_is_not_what_it_says_is_a_400(house: House) -> None:
    reply = house.post("/get_flow/distance", GOOD, **{"Content-Encoding": "gzip"})
    refused(reply, 400, "bad_request", "Content-Encoding")


def test_options_in_the_address_of_a_list_are_not_ignored(house: House) -> None:
    refused(house.post("/get_flow/distance?H0=50", GOOD), 422, "unknown_parameter", "H0", "body")


def test_a_body_over_the_limit_is_a_413_and_the_house_stands(house: House) -> None:
    reply = house.ask("/get_flow/distance", method="POST", body=b" " * (64 * 2**20 + 1),
                      headers={"Content-Type": "application/json"})
    refused(reply, 413, "body_too_large", "64 MiB")
    assert house.post("/get_flow/distance", GOOD).status == 200


def test_nan_null_and_text_in_lists_are_faults_of_their_rows(house: House) -> None:
    body = {"lon": [1.0, 2.0, None, 4.0, 5.0, True], "lat": [0.0, 120.0, 0.0, 0.0, 0.0, 0.0],
            "cz": [3000, 3000, 3000, float("nan"), "fast", 3000]}
    a = house.post("/get_flow/distance", body)
    assert a.status == 200
    assert a.json["status"] == ["ok", "lat_out_of_range", "not_finite", "not_finite", "not_finite", "not_finite"]
    assert [e["row"] for e in a.json["errors"]] == [1, 2, 3, 4, 5]
    assert "lat[1] = 120" in a.json["errors"][0]["detail"] and a.json["errors"][1]["column"] == "lon"
    assert a.json["columns"]["mean"][0] > 0 and a.json["columns"]["mean"][1:] == [None] * 5
    alone = house.post("/get_flow/distance", {"lon": [1.0], "lat": [0.0], "cz": [3000]}).json
    assert alone["columns"]["mean"][0] == a.json["columns"]["mean"][0]


def test_unknown_paths_and_methods_answer_in_problem_json(house: House) -> None:
    refused(house.ask("/get_everything"), 404, "not_found", "/get_everything")
    reply = house.ask("/get_flow_galaxy?name=M31", method="DELETE")
    refused(reply, 405, "method_not_allowed", "DELETE", "GET")
    assert "GET" in reply.headers["allow"]
    refused(house.ask("/hint_byname?name=M&name=N"), 400, "repeated_parameter", "name")
    refused(house.ask("/hint_byname?name=M&limit=5000"), 422, "bad_parameter", "1000")
    refused(house.ask("/hint_byname?name=M&limit=1_0"), 422, "not_a_number", "1_0")
    refused(house.ask("/get_distance_table?lon=1&lat=2&n=1_0"), 422, "not_a_number", "1_0")
    refused(house.ask("/hint_byname?name=M&limit=ten"), 422, "bad_parameter", "is not a whole number")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=200), st.sampled_from(["/get_flow_galaxy", "/hint_byname", "/get_coords", "/get_galaxy_detail",
                                               "/get_distance_table"]))
def test_no_name_breaks_the_house(house: House, name: str, path: str) -> None:
    reply = house.ask(path, {"name": name.encode("utf-8", "surrogatepass")})
    assert reply.status in (200, 400, 404, 409, 422) and reply.media in ("application/json", "application/problem+json")


JSON = st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
                    lambda x: st.lists(x, max_size=4) | st.dictionaries(st.text(max_size=8), x, max_size=4), max_leaves=12)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(["lon", "lat", "cz", "z", "ra", "dec", "sigma_cz", "frame", "field", "H0", "prior",
                                        "grid", "format", "rmax", "dr", "cz_frame"]), JSON, max_size=8))
def test_no_body_breaks_the_house(house: House, extra: dict) -> None:
    reply = house.post("/get_flow/comoving", {**GOOD, **extra})
    assert reply.status in (200, 400, 404, 413, 422), reply.body[:300]
