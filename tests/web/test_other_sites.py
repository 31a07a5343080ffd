"""What a page of another site has a browser send: forms with remembered passwords, or from an address that has jobs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from running import House

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
ONE = {"lon": [197.45], "lat": [-23.38], "cz": [3000.0], "frame": "icrs"}


@pytest.fixture(scope="module")
def home(house_data: Path) -> Iterator[House]:
    """Return a house whose jobs are its own."""
    running = House(house_data, "--workers", "1")
    yield running
    running.stop()


def test_a_page_of_another_site_changes_nothing_at_any_door(home: House) -> None:
    job = home.post("/v1/jobs", {**ONE, "hold": True}).json["id"]
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://elsewhere.example"}, {"Origin": "null"},
                    {"Sec-Fetch-Site": "cross-site", "Origin": f"http://127.0.0.1:{home.port}"}):
        for path, body in ((f"/uws/flow/{job}", b"ACTION=DELETE"), (f"/uws/flow/{job}/phase", b"PHASE=RUN"),
                           (f"/v1/jobs/{job}/cancel", b""), ("/v1/jobs", b"ra,dec,cz\n1,2,3000\n"), ("/queue/", b"ra=1&dec=2"),
                           ("/forcedphot/api-token-auth/", b"username=a&password=b")):
            refused = home.ask(path, method="POST", body=body, headers={**FORM, **headers})
            assert (refused.status, refused.json["code"]) == (403, "cross_site"), (path, headers, refused.body)
    assert [seen["phase"] for seen in home.ask("/v1/jobs").json["jobs"]] == ["PENDING"]


@pytest.mark.parametrize("site", ["same-origin", "none", None])
def test_a_page_of_this_server_and_a_program_are_let_through(home: House, site: str | None) -> None:
    headers = {"Origin": f"http://127.0.0.1:{home.port}"} if site is None else {"Sec-Fetch-Site": site}
    job = home.post("/v1/jobs", {**ONE, "hold": True}, **headers).json["id"]
    assert home.ask(f"/uws/flow/{job}", method="POST", body=b"ACTION=DELETE", headers={**FORM, **headers}).status == 303
    assert home.ask(f"/v1/jobs/{job}").json["code"] == "job_gone"


def test_what_only_looks_is_answered_whoever_links_to_it(home: House) -> None:
    assert home.ask("/v1/jobs", headers={"Sec-Fetch-Site": "cross-site"}).status == 200
