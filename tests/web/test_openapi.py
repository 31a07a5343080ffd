"""One truth: every route is documented, every documented route answers, answers fit their schemas."""

from __future__ import annotations

import json
import re
import time
from urllib.parse import urlencode

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from running import House

from gateway.pages import STATIC
from gateway.routes import PREFIXES, ROUTES

IS_BUILT = (STATIC / "index.html").is_file()

EXAMPLES = {
    "/hint_byname": "?name=NGC 1", "/get_galaxy_detail": "?name=M 81", "/get_coords": "?name=M 81&distance=3.6",
    "/get_flow_galaxy": "?name=M 81&grid=true", "/get_distance_table": "?name=M 81&n=5",
    "/get_flow_by_position": "?ra=10&dec=20&cz=3000", "/v1/cone": "?ra=187.7&dec=12.4&radius=1",
    "/v1/hints": "?name=androm", "/v1/galaxies": "?limit=100",
    "/v1/box": "?ra_min=1&ra_max=3&dec_min=0&dec_max=5", "/vo/conesearch": "?RA=187.7&DEC=12.4&SR=1",
    **{f"{base}/{rest}": "?NGC 4993" for base in ("/sesame", "/cgi-bin/nph-sesame") for rest in ("{database}",
                                                                                               "{options}/{database}")}}
BODIES = {"/get_flow/{flow_type}": {"lon": [10, 20], "lat": [1, 100], "cz": [3000, 4000]},
          "/v1/jobs": {"kind": "velocity", "lon": [10, 20], "lat": [1, 100], "distance": [30, 40]},
          "/v1/jobs/{job}": {"run_id": "another"},
          "/v1/resolve": {"names": ["M 31", "M 999"]}, "/v1/crossmatch": {"ra": [187.7, None], "dec": [12.4, 1], "radius": 0.1}}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
TABLE = b"ra,dec,cz\n10,20,3000\n"
IN_PATH = {"{record}": "1", "{name}": "result.tsv", "{worker}": "01" * 8, "{flow_type}": "hubble", "{id}": "nothing",
           "{database}": "SNV", "{options}": "-oI", "{parameter}": "KIND", "{result}": "result"}
FORMS = {"/uws/flow": {"RA": "10", "DEC": "1", "CZ": "3000"}, "/uws/flow/{job}": {"RUNID": "x"},
         "/uws/flow/{job}/phase": {"PHASE": "ABORT"}, "/uws/flow/{job}/executionduration": {"EXECUTIONDURATION": "60"},
         "/uws/flow/{job}/destruction": {"DESTRUCTION": "2100-01-01"}, "/uws/flow/{job}/parameters": {"RUNID": "y"}}


def example(path: str) -> str:
    """Return a documented path as it may be asked for."""
    target = path + EXAMPLES.get(path.removeprefix("/flow_query"), "").replace(" ", "%20")
    for name, value in IN_PATH.items():
        target = target.replace(name, value)
    return target


def is_of_the_page(operation: dict) -> bool:
    """Tell whether an operation answers with what `make page` builds."""
    return operation["tags"] == ["Page"] and operation["operationId"] != "index"


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
    """Return a documented path as it may be asked for; of a job, one that has ended; of the page, a part that it has."""
    target = example(path)
    if "{asset}" in target:
        return re.findall(r'src="(/assets/[^"]+\.js)"', house.ask("/docs").body.decode())[0]
    if "{table}" in target:
        return house.ask("/v1/tables", method="POST", body=TABLE, headers={"Content-Type": "text/csv"}).json["url"]
    if "{version}" in target:
        return house.ask("/v1/fields").json["fields"][0]["previews"]["64"]
    if "{job}" not in target and "{token}" not in target:
        return target
    if target.startswith("/uws/flow/{job}/e"):  # its limit can be set no more once it has ended, its error is seen then
        url = house.ask("/uws/flow", method="POST", body=urlencode(FORMS["/uws/flow"]).encode(), headers=FORM).headers["location"]
        if target.endswith("error"):
            assert house.ask(url.partition(f":{house.port}")[2], method="POST", body=b"PHASE=ABORT", headers=FORM).status == 303
        return target.replace("{job}", url.rpartition("/")[2])
    url = house.post("/v1/jobs", BODIES["/v1/jobs"]).json["url"]
    while house.ask(url).json["phase"] != "COMPLETED":
        time.sleep(0.02)
    if "{token}" in target:
        return target.replace("/v1/shared/{token}", house.ask(f"{url}/share", method="POST").json["url"])
    return target.replace("{job}", url.rpartition("/")[2])


def test_every_documented_operation_answers_as_its_schema_says(house: House, document: dict) -> None:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if operation["tags"] == ["Queue"]:
                continue  # test_queue_face asks with a login
            if is_of_the_page(operation) and not IS_BUILT:
                continue  # test_pages builds one of its own
            if "security" in operation:
                assert house.ask(example(path), method=method.upper()).status == 403  # test_names asks with the token
                continue
            body, headers = None, {"Content-Type": "application/json"}
            taken = operation.get("requestBody", {}).get("content", ())
            if FORM["Content-Type"] in taken:
                body, headers = urlencode(FORMS[path]).encode(), FORM
            elif "application/json" in taken:
                body = json.dumps(BODIES[path.removeprefix("/flow_query")]).encode()
            elif taken:
                body, headers = TABLE, {"Content-Type": "text/csv"}
            reply = house.ask(example_of_job(house, path), method=method.upper(), body=body, headers=headers)
            status = next(iter(operation["responses"]))
            assert status in ("200", "202", "303") and reply.status == int(status), (path, reply.body[:300])
            if status == "303":
                assert reply.headers["location"].startswith(f"http://127.0.0.1:{house.port}/uws/flow")
                continue
            content = operation["responses"][status]["content"]
            assert reply.media in content, (path, reply.media)
            schema = content[reply.media]["schema"]
            answer = reply.json if reply.media == "application/json" else reply.body.decode(errors="replace")
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
        if "get" not in item or "{flow_type}" in path or "security" in item["get"] or item["get"]["tags"] == ["Queue"]:
            continue
        if is_of_the_page(item["get"]) and not IS_BUILT:
            continue
        if "security" in item["get"]:
            continue
        target = example_of_job(house, path)
        get, head = house.ask(target), house.ask(target, method="HEAD")
        assert head.status == 200 and head.body == b"", path
        for name in ("content-type", "content-length", "x-content-type-options"):
            # the numbers of these two move on between two requests; aiohttp tells no length of nothing
            if name != "content-length" or (get.body and path not in ("/metrics", "/v1/stats")):
                assert head.headers[name] == get.headers[name], (path, name)
    refused = house.ask("/get_flow_galaxy?name=NGC%2099999", method="HEAD")
    assert (refused.status, refused.media, refused.body) == (404, "application/problem+json", b"")
