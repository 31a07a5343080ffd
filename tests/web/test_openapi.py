"""One truth: every route is documented, every documented route answers, answers fit their schemas."""

from __future__ import annotations

import json
import time

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from running import House

from gateway.routes import PREFIXES, ROUTES

EXAMPLES = {
    "/hint_byname": "?name=NGC 1", "/get_galaxy_detail": "?name=M 81", "/get_coords": "?name=M 81&distance=3.6",
    "/get_flow_galaxy": "?name=M 81&grid=true", "/get_distance_table": "?name=M 81&n=5",
    "/get_flow_by_position": "?ra=10&dec=20&cz=3000", "/v1/cone": "?ra=187.7&dec=12.4&radius=1",
    "/v1/box": "?ra_min=1&ra_max=3&dec_min=0&dec_max=5", "/vo/conesearch": "?RA=187.7&DEC=12.4&SR=1",
    **{f"{base}/{rest}": "?NGC 4993" for base in ("/sesame", "/cgi-bin/nph-sesame") for rest in ("{database}",
                                                                                               "{options}/{database}")}}
BODIES = {"/get_flow/{flow_type}": {"lon": [10, 20], "lat": [1, 100], "cz": [3000, 4000]},
          "/v1/jobs": {"kind": "velocity", "lon": [10, 20], "lat": [1, 100], "distance": [30, 40]},
          "/v1/resolve": {"names": ["M 31", "M 999"]}, "/v1/crossmatch": {"ra": [187.7, None], "dec": [12.4, 1], "radius": 0.1}}
IN_PATH = {"{record}": "1", "{worker}": "01" * 8, "{flow_type}": "hubble", "{id}": "nothing", "{database}": "SNV",
           "{options}": "-oI"}


def example(path: str) -> str:
    """Return a documented path as it may be asked for."""
    target = path + EXAMPLES.get(path.removeprefix("/flow_query"), "").replace(" ", "%20")
    for name, value in IN_PATH.items():
        target = target.replace(name, value)
    return target


@pytest.fixture(scope="module")
def document(house: House) -> dict:
    return house.ask("/openapi.json").json


def test_the_document_is_valid_openapi_3_1(document: dict) -> None:
    validate(document)
    assert document["openapi"].startswith("3.1")


def test_routes_and_documented_operations_are_the_same_set(document: dict) -> None:
    routes = {(prefix + r.path, m.lower()) for r in ROUTES for prefix in (PREFIXES if r.is_face else ("",))
              for m in r.methods}
    documented = {(path, m) for path, item in document["paths"].items() for m in item}
    assert routes == documented
    operations = [op for item in document["paths"].values() for op in item.values()]
    assert len({op["operationId"] for op in operations}) == len(operations)
    assert all(op["summary"] for op in operations)


def example_of_job(house: House, path: str) -> str:
    """Return a documented path as it may be asked for; of a job, one that has ended."""
    target = example(path)
    if "{job}" not in target:
        return target
    url = house.post("/v1/jobs", BODIES["/v1/jobs"]).json["url"]
    while house.ask(url).json["phase"] != "COMPLETED":
        time.sleep(0.02)
    return target.replace("/v1/jobs/{job}", url)


def test_every_documented_operation_answers_as_its_schema_says(house: House, document: dict) -> None:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if "security" in operation:
                assert house.ask(example(path), method=method.upper()).status == 403  # test_names asks with the token
                continue
            body = None
            if "requestBody" in operation:
                body = json.dumps(BODIES[path.removeprefix("/flow_query")]).encode()
            reply = house.ask(example_of_job(house, path), method=method.upper(), body=body,
                              headers={"Content-Type": "application/json"})
            status = next(iter(operation["responses"]))
            assert status in ("200", "202") and reply.status == int(status), (path, reply.body[:300])
            content = operation["responses"][status]["content"]
            assert reply.media in content, (path, reply.media)
            schema = content[reply.media]["schema"]
            answer = reply.json if reply.media == "application/json" else reply.body.decode()
            Draft202012Validator({**schema, "components": document["components"]}).validate(answer)


@pytest.mark.parametrize("path", ["/get_flow_galaxy?name=NGC%2099999", "/get_flow_by_position?lon=1&lat=200&cz=3000"])
def test_refusals_are_documented_problems(house: House, document: dict, path: str) -> None:
    reply = house.ask(path)
    operation = document["paths"][path.partition("?")[0]]["get"]
    schema = operation["responses"][str(reply.status)]["content"]["application/problem+json"]["schema"]
    Draft202012Validator({**schema, "components": document["components"]}).validate(reply.json)


def test_parameters_of_the_document_are_the_known_ones(house: House, document: dict) -> None:
    names = {p["name"] for p in document["paths"]["/get_flow_galaxy"]["get"]["parameters"]}
    assert set(house.ask("/get_flow_galaxy?name=M31&nonsense=1").json["known"]) == names


def test_head_answers_as_get_does_without_the_body(house: House, document: dict) -> None:
    for path, item in document["paths"].items():
        if "get" not in item or "{flow_type}" in path or "security" in item["get"]:
            continue
        if "security" in item["get"]:
            continue
        target = example_of_job(house, path)
        get, head = house.ask(target), house.ask(target, method="HEAD")
        assert head.status == 200 and head.body == b"", path
        for name in ("content-type", "content-length", "x-content-type-options"):
            # the numbers of these two move on between two requests
            if name != "content-length" or path not in ("/metrics", "/v1/stats"):
                assert head.headers[name] == get.headers[name], (path, name)
    refused = house.ask("/get_flow_galaxy?name=NGC%2099999", method="HEAD")
    assert (refused.status, refused.media, refused.body) == (404, "application/problem+json", b"")
