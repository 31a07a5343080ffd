"""What the page asks beside flows: fields and their previews, hints and their meaning, galaxies to draw, densities."""

from __future__ import annotations

import csv
import gzip
import io
import re
import threading
from pathlib import Path

import msgpack
import numpy as np
import pytest
from running import House, Reply

from cfcore import FLOW_TYPES, preview
from cfcore.registry import Registry

PACKED = {"Accept-Encoding": "gzip"}


@pytest.fixture(scope="module")
def fields(house: House) -> dict[str, dict]:
    reply = house.ask("/v1/fields")
    assert reply.status == 200 and reply.headers["cache-control"] == "no-cache"
    return {f["id"]: f for f in reply.json["fields"]}


def rows_computed(house: House, field: str) -> float:
    found = re.search(rf'cf_rows_total{{field="{field}",product="preview"}} (\S+)', house.ask("/metrics").body.decode())
    return float(found[1]) if found else 0.0


def refused(reply: Reply, status: int, code: str) -> dict:
    assert (reply.status, reply.media, reply.json["code"]) == (status, "application/problem+json", code), reply.body
    return reply.json


# ---- fields ------------------------------------------------------------------------------------------------------

def test_every_field_is_listed_with_what_a_page_needs(house: House, fields: dict[str, dict]) -> None:
    told = {f["id"]: f for f in house.ask("/", headers={"Accept": "application/json"}).json["fields"]}
    assert set(fields) == set(told) >= {"ongc-linear", "mould2000"}
    for id, field in fields.items():
        assert {k: field[k] for k in told[id]} == told[id]
        assert field["realisations"] == 1 and field["bibtex"].startswith("@")
        assert list(field["previews"]) == (["64", "128"] if max(field["shape"]) > 64 else ["64"])
    assert fields["mould2000"]["has_density"] is False and list(fields["mould2000"]["previews"]) == ["64", "128"]
    answer = house.ask("/v1/fields", headers={"Accept": "application/msgpack"}).msgpack
    assert answer["default"] == next(id for id, f in fields.items() if f["default"])
    assert answer["software_bibtex"].startswith("@software{")


@pytest.mark.parametrize(("id", "n"), [("ongc-linear", 64), ("mould2000", 64), ("mould2000", 128)])
def test_a_preview_is_the_tile_of_the_field_packed_or_not(house: House, house_data: Path, fields: dict[str, dict], id: str,
                                                          n: int) -> None:
    url = fields[id]["previews"][str(n)]
    packed, plain = house.ask(url, headers=PACKED), house.ask(url)
    assert (packed.status, packed.media, packed.headers["content-encoding"]) == (200, "application/octet-stream", "gzip")
    assert gzip.decompress(packed.body) == plain.body == preview.tile(Registry(house_data).open(id), n)
    assert "content-encoding" not in plain.headers and len(packed.body) < 0.6 * len(plain.body)
    header = preview.read(plain.body).header
    assert (header["field"]["id"], header["field"]["version"]) == (id, fields[id]["version"]) and header["n"] == n
    for reply in (packed, plain):
        assert reply.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert reply.headers["vary"] == "Accept-Encoding"


def test_who_has_a_preview_is_told_so(house: House, fields: dict[str, dict]) -> None:
    url = fields["ongc-linear"]["previews"]["64"]
    tags = [house.ask(url, headers=h, method="HEAD").headers["etag"] for h in (PACKED, {})]
    assert len(set(tags)) == 2
    for tag in (*tags, "*", f'"another", {tags[0]}'):
        reply = house.ask(url, headers={"If-None-Match": tag, **PACKED})
        assert (reply.status, reply.body) == (304, b"") and reply.headers["etag"] == tags[0]
    assert house.ask(url, headers={"If-None-Match": '"another"'}).status == 200


@pytest.mark.parametrize(("accepted", "is_packed"), [("gzip;q=0", False), ("br, *", True), ("identity", False), ("", False),
                                                     ("GZIP;q=0.5, br", True), ("*;q=0, x-gzip", True)])
def test_a_preview_is_packed_only_for_who_takes_it(house: House, fields: dict[str, dict], accepted: str, is_packed: bool) -> None:
    reply = house.ask(fields["ongc-linear"]["previews"]["64"], headers={"Accept-Encoding": accepted}, method="HEAD")
    assert (reply.headers.get("content-encoding") == "gzip") is is_packed


def test_many_at_once_have_a_preview_made_once_and_pay_one_row_each(house_data: Path, tmp_path: Path) -> None:
    for name in ("fields", "catalog"):
        if (house_data / name).exists():
            (tmp_path / name).symlink_to(house_data / name)
    fresh = House(tmp_path, "--workers", "1")
    try:
        url = {f["id"]: f for f in fresh.ask("/v1/fields").json["fields"]}["mould2000"]["previews"]["128"]
        start, replies = threading.Barrier(6), []

        def ask() -> None:
            start.wait()
            replies.append(fresh.ask(url, headers=PACKED))

        threads = [threading.Thread(target=ask) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {r.status for r in replies} == {200} and len({r.body for r in replies}) == 1
        assert rows_computed(fresh, "mould2000") == 1
        left = [int(re.search(r"r=(\d+)", r.headers["ratelimit"])[1]) for r in replies]  # type: ignore[index]
        assert max(left) - min(left) <= 6
        assert "ratelimit" not in fresh.ask(url).headers  # what is kept costs nothing
        assert rows_computed(fresh, "mould2000") == 1
        # one long computation of a single row says nothing of how long galaxies wait
        assert fresh.ask("/v1/stats").json["rates"]["interactive"] is None
    finally:
        fresh.stop()


def test_addresses_of_no_preview_say_what_there_is(house: House, fields: dict[str, dict]) -> None:
    url = fields["ongc-linear"]["previews"]["64"]
    version = fields["ongc-linear"]["version"]
    gone = refused(house.ask(url.replace(version, "1-00000000")), 404, "unknown_version")
    assert gone["known"] == [version] and version in gone["detail"]
    assert "ongc-linear" in refused(house.ask(url.replace("ongc-linear", "nothing")), 404, "unknown_field")["known"]
    for n in ("32", "064", "x", "-64"):
        assert refused(house.ask(url.replace("preview-64", f"preview-{n}")), 404, "unknown_preview")["known"] == [64, 128]
    refused(house.ask(url + "?n=128"), 422, "unknown_parameter")


# ---- names and galaxies ------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["androm", "sombr", "ngc 49", "M 3", "messier"])
def test_hints_stand_as_in_the_plain_list_and_say_what_they_are(house: House, name: str) -> None:
    told = house.ask("/v1/hints", {"name": name}).json
    plain = house.ask("/hint_byname", {"name": name, "limit": 8}).json
    assert [h["name"] for h in told["hints"]] == plain["hints"] and told["more_results"] == plain["more_results"]
    for hint in told["hints"][:3]:
        found = house.ask("/get_galaxy_detail", {"name": hint["name"]}).json
        assert (hint["canonical"], hint["object_type"], hint["cz_helio"]) == (
            found["canonical"], found["object_type"], found["cz_helio"])
        assert hint["also"] == (None if hint["name"] == found["canonical"] else found["canonical"])
    assert house.ask("/v1/hints", {"name": name}, headers={"Accept": "application/msgpack"}).msgpack["hints"] == told["hints"]


def test_hints_without_a_velocity_come_when_they_are_asked_for(house: House) -> None:
    every = house.ask("/v1/hints", {"name": "NGC 40", "limit": 50, "require_velocity": "false"}).json["hints"]
    some = house.ask("/v1/hints", {"name": "NGC 40", "limit": 50}).json["hints"]
    names = [h["name"] for h in some]
    both = [h for h in every if h["name"] in names]
    assert len(both) > 30 and both == some[:len(both)] and all(h["cz_helio"] is not None for h in some)
    assert any(h["cz_helio"] is None for h in every)
    refused(house.ask("/v1/hints", {"name": "M", "limit": 51}), 422, "bad_parameter")
    refused(house.ask("/v1/hints", {"name": ""}), 422, "bad_name")


def test_galaxies_come_packed_once_nearest_first(house: House) -> None:
    packed = house.ask("/v1/galaxies", headers=PACKED)
    assert packed.headers["content-encoding"] == "gzip" and packed.headers["cache-control"] == "no-cache"
    told = msgpack.unpackb(house.ask("/v1/galaxies?format=msgpack").body)
    data = house.ask("/v1/galaxies").json
    assert {k: told[k] for k in data} == data
    columns = data["columns"]
    assert data["n"] == data["total"] == len(columns["name"]) > 9_000 and len(packed.body) < 150_000
    assert columns["cz_cmb"] == sorted(columns["cz_cmb"]) and data["unit"]["cz_cmb"] == "km/s"
    for name in ("NGC 224", "NGC 4486", "NGC 4993"):
        i, galaxy = columns["name"].index(name), house.ask("/get_flow_galaxy", {"name": name}).json
        assert columns["cz_cmb"][i] == round(galaxy["cz"]["cmb"])
        place = galaxy["position"]["supergalactic"]
        assert (columns["sgl"][i], columns["sgb"][i]) == pytest.approx((place["lon"], place["lat"]), abs=5.1e-4)
    again = house.ask("/v1/galaxies", headers={"If-None-Match": packed.headers["etag"]})
    assert (again.status, again.body) == (304, b"")
    few = house.ask("/v1/galaxies?limit=7").json
    assert few["n"] == 7 and few["columns"]["name"] == columns["name"][:7] and few["total"] == data["total"]
    refused(house.ask("/v1/galaxies?limit=50001"), 422, "bad_parameter")


# ---- flows -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("asked", [{"name": "NGC 4993"}, {"ra": 197.4488, "dec": -23.3839, "cz": 2916}])
def test_the_density_comes_in_the_variable_that_is_asked_for(house: House, asked: dict[str, object]) -> None:
    path = "/get_flow_galaxy" if "name" in asked else "/get_flow_by_position"
    answers = {word: house.ask(path, {**asked, "grid": word}).json for word in (*FLOW_TYPES, "true", "false")}
    place, cz = answers["true"]["position"]["icrs"], answers["true"]["cz"]["hel"]
    for flow in FLOW_TYPES:
        grid = answers[flow]["grid"]
        assert (grid["flow_type"], grid["unit"]) == (flow, FLOW_TYPES[flow])
        x, pdf = np.array(grid["x"]), np.array(grid["pdf"])
        assert np.trapezoid(pdf, x) == pytest.approx(1.0, abs=2e-3)
        assert np.trapezoid(pdf * x, x) == pytest.approx(answers[flow][flow]["mean"], rel=2e-3)
        listed = house.post(f"/get_flow/{flow}", {"lon": [place["lon"]], "lat": [place["lat"]], "cz": [cz], "grid": True}).json
        np.testing.assert_allclose(pdf, listed["grid"]["pdf"][0], rtol=1e-6, atol=1e-12)
        assert {k: v for k, v in answers[flow].items() if k != "grid"} == answers["false"]
    assert answers["true"] == answers["distance"] and "grid" not in answers["false"]


@pytest.mark.parametrize("word", ["density", "2", "hubble,distance"])
def test_another_variable_is_refused_with_those_there_are(house: House, word: str) -> None:
    detail = refused(house.ask("/get_flow_galaxy", {"name": "M 81", "grid": word}), 422, "bad_parameter")["detail"]
    assert all(flow in detail for flow in (*FLOW_TYPES, "true", "false"))


def test_a_field_of_one_realisation_has_no_spread_in_its_table(house: House) -> None:
    table = house.ask("/get_distance_table", {"name": "NGC 4993", "n": 11}).json
    assert table["columns"]["v_rad_std"] == [None] * 11 and table["unit"]["v_rad_std"] == "km/s"
    text = house.ask("/get_distance_table", {"name": "NGC 4993", "n": 11, "format": "csv"}).body.decode()
    rows = list(csv.DictReader(io.StringIO("\n".join(line for line in text.splitlines() if line[0] != "#"))))
    assert len(rows) == 11 and {row["v_rad_std"] for row in rows} == {""}
