"""Webhooks of a real house: asked for over HTTP, told by TLS, and told again after a kill -9."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest
from running import House, Reply
from tls_receiver import Authority, Receiver, status

from cfcore.registry import Registry

BODY = {"lon": [10.0, 20.0], "lat": [1.0, 100.0], "cz": [3000.0, 4000.0]}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return who signs the certificates of these tests."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module", autouse=True)
def surroundings(authority: Authority) -> Iterator[None]:
    """Let houses believe that authority, and call this machine by its name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(authority.file))
        patch.setenv("CF_CALLBACK_HOSTS", "localhost")
        yield


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, surroundings: None) -> Iterator[House]:
    """Return a house."""
    data = tmp_path_factory.mktemp("data")
    Registry(data).ensure_ongc_linear()
    running = House(data, "--workers", "1")
    yield running
    running.stop()


def settled(house: House, url: str, timeout_s: float = 30.0) -> dict[str, Any]:
    """Wait until no further call about a job is due; return the delivery."""
    begin = time.monotonic()
    while not (found := house.ask(f"{url}/deliveries").json["deliveries"]) or found[0]["state"] == "due":
        assert time.monotonic() - begin < timeout_s, found
        time.sleep(0.02)
    return dict(found[0])


def refused(reply: Reply, code: str, http_status: int = 422) -> str:
    """Return the sentence of a refusal that is what it should be."""
    assert (reply.status, reply.json["code"]) == (http_status, code), reply.body
    return str(reply.json["detail"])


def test_a_job_with_a_callback_is_told_of_by_a_signed_call(desk: House, authority: Authority) -> None:
    with Receiver(authority.server("localhost")) as receiver:
        made = desk.post("/v1/jobs", {**BODY, "callback": receiver.url("LocalHost", "/told?me=1"), "run_id": "mine"})
        assert made.status == 202 and made.json["callback"] == receiver.url("localhost", "/told?me=1")
        secret = made.json["webhook_secret"]
        assert desk.ask("/v1/webhook-secret").json == {"webhook_secret": secret}
        assert desk.ask("/v1/webhook-secret").headers["cache-control"] == "no-store"
        done = settled(desk, made.json["url"])
        [call] = receiver.calls
        signed = f"{call.headers['webhook-id']}.{call.headers['webhook-timestamp']}.".encode() + call.body
        mine = hmac.new(base64.b64decode(secret.removeprefix("whsec_")), signed, hashlib.sha256).digest()
        assert call.headers["webhook-signature"] == f"v1,{base64.b64encode(mine).decode()}"
        data = json.loads(call.body)["data"]
        assert desk.ask(data["url"]).json["phase"] == data["phase"] == "COMPLETED" and data["run_id"] == "mine"
        assert done["state"] == "delivered" and done["id"] == call.headers["webhook-id"] and done["host"] == "localhost"
        assert "token" not in desk.log.read_text() and secret not in desk.log.read_text() and "me=1" not in desk.log.read_text()


def test_a_job_without_a_callback_has_no_deliveries_and_shows_no_secret(desk: House) -> None:
    made = desk.post("/v1/jobs", BODY).json
    assert made["callback"] is None and "webhook_secret" not in made
    assert desk.ask(f"{made['url']}/deliveries").json == {"job": made["id"], "deliveries": []}


def test_deliveries_and_secrets_belong_to_one_client(desk: House) -> None:
    url = desk.post("/v1/jobs", BODY).json["url"]
    connection = http.client.HTTPConnection("127.0.0.1", desk.port, source_address=("127.0.0.2", 0), timeout=20)
    try:
        connection.request("GET", f"{url}/deliveries")
        answer = connection.getresponse()
        assert (answer.status, json.loads(answer.read())["code"]) == (404, "unknown_job")
        connection.request("GET", "/v1/webhook-secret")
        assert json.loads(connection.getresponse().read()) != desk.ask("/v1/webhook-secret").json
    finally:
        connection.close()


@pytest.mark.parametrize("callback", [
    "http://localhost/", "https://127.0.0.1:5000/", "https://[::1]:8443/", "https://169.254.169.254/latest/meta-data/",
    "https://2130706433/", "https://[::ffff:127.0.0.1]/", "https://me:word@localhost/", "https://localhost:22/", "ftp://localhost/",
    "", "https://0x7f.1/", "https://metadata.invalid/"])
def test_a_callback_that_leads_inside_is_refused_at_the_door(desk: House, callback: str) -> None:
    reply = desk.post("/v1/jobs", {**BODY, "callback": callback})
    if callback == "https://metadata.invalid/" and reply.status == 503:
        refused(reply, "callback_unresolved", 503)  # a machine without any name server cannot tell
        return
    assert "callback" in refused(reply, "callback_refused") and reply.json["where"] == "callback"


def test_one_key_with_another_callback_is_another_request(desk: House, authority: Authority) -> None:
    with Receiver(authority.server("localhost")) as receiver:
        first, same, other = (desk.post("/v1/jobs", {**BODY, "callback": receiver.url("localhost", path)},
                                        **{"Idempotency-Key": "hook"}) for path in ("/a", "/a", "/b"))
        assert first.json["id"] == same.json["id"]
        refused(other, "idempotency_conflict", 409)
        settled(desk, first.json["url"])
        assert [call.path for call in receiver.calls] == ["/a"]


def test_what_was_due_when_the_gateway_was_killed_is_told_by_the_next_one(desk: House, authority: Authority) -> None:
    # the last test of this house, which spares the start of another one
    with Receiver(authority.server("localhost"), status(200, seconds=20), status(204)) as receiver:
        url = desk.post("/v1/jobs", {**BODY, "callback": receiver.url("localhost")}).json["url"]
        receiver.wait(1)
        desk.process.send_signal(signal.SIGKILL)
        desk.process.wait(20)
        house = House(desk.data, "--workers", "1", jobs=desk.jobs)
        try:
            done = settled(house, url)
            assert [entry["status"] for entry in done["tries"]] == [204]
            first, second = receiver.calls
            assert first.body == second.body and first.headers["webhook-id"] == second.headers["webhook-id"] == done["id"]
        finally:
            house.stop()
