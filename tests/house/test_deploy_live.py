"""What the files of deployment ask of running processes: the probe, and the number that sets how many workers there are."""

from __future__ import annotations

import copy
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import jsonschema
import pytest
import yaml
from running import House

from cfcore.settings import Settings

ROOT = Path(__file__).resolve().parent.parent.parent
SCALED = ROOT / "deploy" / "kubernetes" / "keda" / "scaledobject.yaml"
linux = pytest.mark.skipif(not Path("/proc/self/status").exists() or not shutil.which("bash"),
                           reason="the probe reads /proc in bash")

WHOLE = {"type": "integer", "minimum": 0}
POLICY = {"type": "object", "additionalProperties": False, "required": ["type", "value", "periodSeconds"], "properties": {
    "type": {"enum": ["Pods", "Percent"]}, "value": {"type": "integer", "minimum": 1},
    "periodSeconds": {"type": "integer", "minimum": 1, "maximum": 1800}}}
RULES = {"type": "object", "additionalProperties": False, "properties": {
    "stabilizationWindowSeconds": {"type": "integer", "minimum": 0, "maximum": 3600},
    "selectPolicy": {"enum": ["Max", "Min", "Disabled"]}, "policies": {"type": "array", "items": POLICY}}}
# https://keda.sh/docs/latest/reference/scaledobject-spec/ and …/scalers/metrics-api/, read in versions 2.15 to 2.18. What KEDA
# takes and we have no use for (authentication, scalingModifiers, idleReplicaCount, fallback) is left out, so it is refused.
SCALED_OBJECT = {
    "type": "object", "additionalProperties": False, "required": ["apiVersion", "kind", "metadata", "spec"], "properties": {
        "apiVersion": {"const": "keda.sh/v1alpha1"}, "kind": {"const": "ScaledObject"},
        "metadata": {"type": "object", "required": ["name", "namespace"]},
        "spec": {"type": "object", "additionalProperties": False, "required": ["scaleTargetRef", "triggers"], "properties": {
            "scaleTargetRef": {"type": "object", "additionalProperties": False, "required": ["name"], "properties": {
                "apiVersion": {"type": "string"}, "kind": {"type": "string"}, "name": {"type": "string"},
                "envSourceContainerName": {"type": "string"}}},
            "pollingInterval": {"type": "integer", "minimum": 1}, "cooldownPeriod": WHOLE, "initialCooldownPeriod": WHOLE,
            "minReplicaCount": WHOLE, "maxReplicaCount": {"type": "integer", "minimum": 1},
            "advanced": {"type": "object", "additionalProperties": False, "properties": {
                "restoreToOriginalReplicaCount": {"type": "boolean"},
                "horizontalPodAutoscalerConfig": {"type": "object", "additionalProperties": False, "properties": {
                    "name": {"type": "string"}, "behavior": {"type": "object", "additionalProperties": False, "properties": {
                        "scaleUp": RULES, "scaleDown": RULES}}}}}},
            "triggers": {"type": "array", "minItems": 1, "items": {
                "type": "object", "additionalProperties": False, "required": ["type", "metadata"], "properties": {
                    "type": {"const": "metrics-api"}, "name": {"type": "string"}, "useCachedMetrics": {"type": "boolean"},
                    "metricType": {"enum": ["AverageValue", "Value"]},
                    # every value is text: the resource definition says so, whatever the value means
                    "metadata": {"type": "object", "additionalProperties": False,
                                 "required": ["url", "valueLocation", "targetValue"], "properties": {
                                     "url": {"type": "string", "pattern": "^https?://"},
                                     "valueLocation": {"type": "string", "minLength": 1},
                                     "targetValue": {"type": "string", "pattern": r"^\d+(\.\d+)?$"},
                                     "activationTargetValue": {"type": "string", "pattern": r"^\d+(\.\d+)?$"},
                                     "format": {"enum": ["json", "xml", "yaml", "prometheus"]},
                                     "unsafeSsl": {"enum": ["true", "false"]}}}}}}}}}}


@pytest.fixture(scope="module")
def scaled() -> dict[str, Any]:
    """Return the autoscaler's object."""
    return dict(yaml.safe_load(SCALED.read_text("utf-8")))


def test_the_autoscaler_s_object_has_the_fields_that_keda_documents(scaled: dict[str, Any]) -> None:
    jsonschema.validate(scaled, SCALED_OBJECT)
    spec, (trigger,) = scaled["spec"], scaled["spec"]["triggers"]
    # one worker may be drained while another answers; the seconds are those of all workers together
    assert 2 <= spec["minReplicaCount"] < spec["maxReplicaCount"] and trigger["metricType"] == "Value"
    base = [d for p in (SCALED.parent.parent / "base").glob("*.yaml") for d in yaml.safe_load_all(p.read_text("utf-8"))]
    assert spec["scaleTargetRef"]["name"] in [d["metadata"]["name"] for d in base if d["kind"] == "Deployment"]
    url = urlparse(trigger["metadata"]["url"])
    named = {f"{d['metadata']['name']}.{d['metadata']['namespace']}.svc": d for d in base if d["kind"] == "Service"}
    assert url.port == Settings().port and url.port in [p["port"] for p in named[str(url.hostname)]["spec"]["ports"]]
    # without workers the gateway is not ready, and just then it must be heard
    assert named[str(url.hostname)]["spec"]["publishNotReadyAddresses"]


def _metadata(**changes: object) -> Callable[[dict[str, Any]], object]:
    return lambda spec: spec["triggers"][0]["metadata"].update(changes)


@pytest.mark.parametrize("spoil", [
    _metadata(targetValue=30), _metadata(valueLocaton="x"), lambda spec: spec["triggers"][0]["metadata"].pop("url"),
    lambda spec: spec.update(minReplicas=2), lambda spec: spec["triggers"][0].update(metricType="value"),
    lambda spec: spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleUp"]["policies"][0].pop("periodSeconds")])
def test_a_mistake_in_the_autoscaler_s_object_would_be_noticed(scaled: dict[str, Any],
                                                              spoil: Callable[[dict[str, Any]], object]) -> None:
    wrong = copy.deepcopy(scaled)
    spoil(wrong["spec"])
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, SCALED_OBJECT)


def test_the_number_the_autoscaler_reads_is_there_and_is_a_number(house: House, scaled: dict[str, Any]) -> None:
    asked = scaled["spec"]["triggers"][0]["metadata"]
    reply = house.ask(urlparse(asked["url"]).path)
    assert reply.status == 200 and reply.media == "application/json"
    value = reply.json[asked["valueLocation"]]
    # null would be an error of the scaler; an idle house has nothing to wait for
    assert isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float(asked["targetValue"])


def probe(*arguments: object) -> int:
    return subprocess.run(["bash", str(ROOT / "deploy" / "probe.sh"), *map(str, arguments)], timeout=30, stdin=subprocess.DEVNULL,
                          capture_output=True).returncode


@linux
def test_the_probe_tells_a_door_that_answers_from_one_that_does_not(house: House) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = closed.getsockname()[1]
        assert probe("http", house.port, "/livez") == 0
        assert probe("http", house.port, "/no_such_page") == 1 and probe("http", nobody, "/livez") == 1
    assert probe() == 2 and probe("http", house.port) == 2 and probe("nonsense", 1) == 2


@linux
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_the_probe_sees_a_connection_come_and_go(address: str) -> None:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as door:
        try:
            door.bind((address, 0))
        except OSError:
            pytest.skip("this machine has no IPv6 loopback")
        door.listen()
        port = door.getsockname()[1]
        assert probe("joined", port) == 1
        with socket.create_connection((address, port)):
            assert probe("joined", port) == 0
            inside, _ = door.accept()
        inside.close()
        assert probe("joined", port) == 1


@pytest.fixture
def started() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start Python processes; whatever state they are in, they end with the test."""
    running: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str) -> subprocess.Popen[bytes]:
        running.append(subprocess.Popen([sys.executable, *arguments], stderr=subprocess.DEVNULL, cwd=ROOT))
        return running[-1]
    yield start
    for process in running:
        process.kill()
        process.wait()


@linux
def test_the_probe_tells_a_worker_that_lives_from_one_that_is_stopped(house_data: Path, tmp_path: Path,
                                                                     started: Callable[..., subprocess.Popen[bytes]]) -> None:
    # no gateway is there, which is no fault of the worker: it must not be started again for that
    worker = started("-m", "flow_worker", "--connect", f"ipc://{tmp_path}", "--data", str(house_data))
    # three in a row: while it starts it may load for seconds without a pause
    in_a_row, end = 0, time.monotonic() + 60.0
    while in_a_row < 3 and time.monotonic() < end:
        in_a_row = in_a_row + 1 if probe("beating", worker.pid) == 0 else 0
    assert worker.poll() is None and in_a_row == 3
    os.kill(worker.pid, signal.SIGSTOP)
    assert probe("beating", worker.pid) == 1
    os.kill(worker.pid, signal.SIGCONT)
    assert probe("beating", worker.pid) == 0


@linux
def test_the_probe_finds_an_endless_loop_a_dead_lock_and_nobody(started: Callable[..., subprocess.Popen[bytes]]) -> None:
    sleeper = started("-c", "import time\nwhile True: time.sleep(0.2)")
    loop = started("-c", "while True: pass")
    lock = started("-c", "import threading; threading.Lock().acquire(); e = threading.Lock(); e.acquire(); e.acquire()")
    time.sleep(2.0)
    assert (probe("beating", sleeper.pid), probe("beating", loop.pid), probe("beating", lock.pid)) == (0, 1, 1)
    gone = started("-c", "")
    gone.wait()
    assert probe("beating", gone.pid) == 1
