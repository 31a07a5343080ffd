"""The document of the API against the server that it describes: schemathesis asks, and nothing undocumented comes back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import urlencode

import hypothesis
import msgpack
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase
from running import House
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from gateway import passwords
from gateway.accounts import SCOPES, Accounts

SEED, EXAMPLES = 20260611, 5
"""Of each operation, so many examples as the document has them, and so many that break it."""
TWINS = ("/flow_query/", "/forcedphot/", "/cgi-bin/")
"""Where operations stand for a second time; one example each shows that they do."""
SECONDS = 20.0
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
LIST = {"kind": "velocity", "lon": [10, 20], "lat": [1, 2], "distance": [30, 40]}
UNASKED = {("GET", "/v1/jobs/{job}/events")}
"""A stream of events that lasts as long as its job is no answer to compare with a schema; test_watching reads it."""
DOORS = ("CosmicFlows", "Names and places", "Fields", "Catalogues", "Jobs", "Administration", "Queue", "UWS",
         "Virtual Observatory", "Sesame", "Operation", "Service", "Page")
READ_MSGPACK = schemathesis.deserializer("application/msgpack")


class Asked(NamedTuple):
    """A house, what it says of itself, and a session that may do everything there."""

    house: House
    schema: Any
    session: requests.Session

    def job(self) -> str:
        """Submit a job; return its number."""
        return str(self.session.post(f"{self.base}/v1/jobs", json=LIST, timeout=SECONDS).json()["id"])

    @property
    def base(self) -> str:
        """Return the address of the house."""
        return f"http://127.0.0.1:{self.house.port}"

    def real(self, path: str) -> dict[str, str]:
        """Return what stands in the place of the parameters of a path, so that there is something at it."""
        if "{job}" in path and path.startswith("/uws"):
            reply = self.session.post(f"{self.base}/uws/flow", data=urlencode({"RA": 1, "DEC": 2, "CZ": 3000}), timeout=SECONDS,
                                      headers={"Content-Type": "application/x-www-form-urlencoded"}, allow_redirects=False)
            return {"job": reply.headers["Location"].rpartition("/")[2]}
        if "{task}" in path:
            reply = self.session.post(f"{self.base}/queue/", json={"ra": 1, "dec": 2}, timeout=SECONDS)
            return {"task": str(reply.json()["id"])}
        if "{token}" in path:
            link = self.session.post(f"{self.base}/v1/jobs/{self.job()}/share", timeout=SECONDS).json()["url"]
            return {"token": link.rpartition("/")[2]}
        if "{table}" in path:
            reply = self.session.post(f"{self.base}/v1/tables", data=b"ra,dec,cz\n1,2,3000\n", timeout=SECONDS,
                                      headers={"Content-Type": "text/csv"})
            return {"table": reply.json()["table"]}
        if "{version}" in path:
            field = self.session.get(f"{self.base}/v1/fields", timeout=SECONDS).json()["fields"][0]
            return {"field": field["id"], "version": field["version"], "n": "64"}
        return {"job": self.job()} if "{job}" in path else {}


@READ_MSGPACK
def _read_msgpack(_context: object, response: Any) -> Any:
    return msgpack.unpackb(response.content)


@pytest.fixture(scope="module")
def asked(house_data: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    """Return a house with an account of all scopes, and the document it serves."""
    data = tmp_path_factory.mktemp("asked")
    for name in ("fields", "catalog"):
        if (house_data / name).exists():
            (data / name).symlink_to(house_data / name)
    with Accounts(data) as accounts:
        user = accounts.add_user("inspector", passwords.hashed("a long way home"), frozenset(SCOPES))
        _, token = accounts.add_token(user, frozenset(SCOPES))
    house = House(data, "--workers", "1")
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {token}"
        session.trust_env = False
        yield Asked(house, schemathesis.openapi.from_dict(house.ask("/openapi.json").json), session)
    house.stop()


def operations(asked: Asked, door: str) -> list[Any]:
    """Return the operations of a door."""
    return [found.ok() for found in asked.schema.get_all_operations() if door in found.ok().tags]


def test_every_operation_stands_behind_one_of_the_doors(asked: Asked) -> None:
    every = {(o.method.upper(), o.path) for found in asked.schema.get_all_operations() for o in [found.ok()]}
    assert {(o.method.upper(), o.path) for door in DOORS for o in operations(asked, door)} == every
    assert every > UNASKED


@pytest.mark.timeout(300)
@pytest.mark.parametrize("door", DOORS)
def test_a_door_answers_as_it_is_documented_whatever_it_is_asked(asked: Asked, door: str) -> None:
    print(f"seed {SEED}")
    seen: dict[str, int] = {}
    for operation in operations(asked, door):
        if (operation.method.upper(), operation.path) in UNASKED:
            continue
        begin = time.monotonic()
        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):
            _ask(asked, operation, mode, seen)
        print(f"{operation.label}: {time.monotonic() - begin:.2f} s")
    print(seen)
    assert asked.house.ask("/readyz").status == 200


def _ask(asked: Asked, operation: Any, mode: Any, seen: dict[str, int]) -> None:
    is_sound = mode is schemathesis.GenerationMode.POSITIVE
    examples = 1 if operation.path.startswith(TWINS) else EXAMPLES
    real: dict[str, str] = {}

    @hypothesis.seed(SEED)
    @hypothesis.settings(max_examples=examples, deadline=None, database=None, phases=[Phase.generate], print_blob=False,
                         suppress_health_check=list(HealthCheck))
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        if is_sound:
            if not real or operation.method.upper() == "DELETE":
                real.update(asked.real(operation.path))
            case.path_parameters = {**(case.path_parameters or {}), **real}
        response = case.call(base_url=asked.base, session=asked.session, timeout=SECONDS, allow_redirects=False)
        seen[str(response.status_code)] = seen.get(str(response.status_code), 0) + 1
        case.validate_response(response, checks=CHECKS)
        assert b"Traceback" not in response.content and b".py" not in response.content

    try:
        ask()
    except hypothesis.errors.Unsatisfiable:
        # an operation that takes nothing cannot be asked anything that breaks it
        assert not is_sound, operation.label
