"""The files that put the house elsewhere, checked without an engine and without a cluster.

Their form is judged by the tools of their makers; here stands, too, what those tools cannot know: our ports, commands,
routes, drain limits, and who may reach whom.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest
import yaml

from catalog_svc.app import build_app as build_catalog
from cfcore import __version__, cli
from cfcore.products import EMBEDDED
from cfcore.settings import Settings
from gateway.routes import ROUTES

ROOT = Path(__file__).resolve().parent.parent.parent
BIN = Path(sys.executable).parent
DEPLOY, KUBERNETES = ROOT / "deploy", ROOT / "deploy" / "kubernetes"
DEFAULTS = Settings()
HTTP, CATALOG = DEFAULTS.port, int(DEFAULTS.catalog_listen.rpartition(":")[2])
CONTROL, RESULTS, LANES = int(DEFAULTS.bus.rpartition(":")[2]), DEFAULTS.results_port, DEFAULTS.lane_range()
ROUTES_OF = {"gateway": {r.path for r in ROUTES},
             "catalog": {r.resource.canonical for r in build_catalog(None).router.routes() if r.resource}}  # type: ignore[arg-type]
ROOM = {"gateway": "gateway", "worker": "flow_worker", "catalog": "catalog_svc"}
UNSHELL = re.compile(r"cosmicflows ((?:(?! 2>)[^|&;{}])+)")


def run(*command: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a tool; a test that uses it says what its exit code must be."""
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=100, cwd=ROOT, **options)


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """Return docker-compose.yml as an engine would read it, the services behind a profile too."""
    done = run(BIN / "docker-compose", "--profile", "*", "config", env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"})
    assert done.returncode == 0, done.stderr
    return dict(yaml.safe_load(done.stdout))


@pytest.fixture(scope="module")
def manifests() -> list[dict[str, Any]]:
    """Return every Kubernetes object of ours."""
    return [d for path in object_files() for d in yaml.safe_load_all(path.read_text("utf-8"))]


def object_files() -> list[Path]:
    return sorted(p for p in KUBERNETES.rglob("*.yaml") if p.name != "kustomization.yaml")


def of_kind(manifests: list[dict[str, Any]], *kinds: str) -> dict[str, dict[str, Any]]:
    return {d["metadata"]["name"]: d for d in manifests if d["kind"] in kinds}


def pods(manifests: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {name: d["spec"]["template"]["spec"] for name, d in of_kind(manifests, "Deployment", "StatefulSet").items()}


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return [*pod.get("initContainers", []), *pod["containers"]]


def test_the_makers_tools_have_nothing_to_say_about_form() -> None:
    lint = run(BIN / "yamllint", "--strict", "-c", DEPLOY / "yamllint.yaml", ROOT / "docker-compose.yml", DEPLOY)
    assert lint.returncode == 0, lint.stdout
    image = run(BIN / "hadolint", "--failure-threshold", "style", DEPLOY / "Dockerfile")
    assert image.returncode == 0, image.stdout


@pytest.mark.parametrize("version", ["1.31.0", "1.37.0"])
def test_every_object_is_one_that_kubernetes_knows(version: str, manifests: list[dict[str, Any]]) -> None:
    ours = [p for p in object_files() if "keda.sh" not in p.read_text("utf-8")]
    done = run(BIN / "kubernetes-validate", "--strict", "-k", version, *ours)
    assert done.returncode == 0, done.stdout + done.stderr
    # the one object of another maker has a test of its own; no second one may hide behind it
    assert [d["kind"] for d in manifests if "." in d["apiVersion"] and "k8s.io" not in d["apiVersion"]] == ["ScaledObject"]


def test_a_misspelt_field_would_be_noticed(tmp_path: Path) -> None:
    wrong = tmp_path / "worker.yaml"
    wrong.write_text((KUBERNETES / "base" / "worker.yaml").read_text("utf-8").replace("readOnlyRootFilesystem", "readOnlyRoot"))
    assert run(BIN / "kubernetes-validate", "--strict", wrong).returncode != 0


def test_checkov_finds_no_weak_point() -> None:
    tool = BIN.parent / "checkov" / "bin" / "checkov"
    if not tool.exists():
        pytest.skip("checkov is not here; deploy/test_tools.sh installs it beside the tests' own environment")
    done = run(tool, "--config-file", DEPLOY / "checkov.yaml", "-d", DEPLOY, "-o", "json")
    found = {part["check_type"]: part for part in json.loads(done.stdout)}
    failed = [(c["check_id"], c["check_name"], c["resource"]) for p in found.values() for c in p["results"]["failed_checks"]]
    assert not failed and done.returncode == 0
    assert set(found) == {"kubernetes", "dockerfile"}
    assert all(part["summary"]["passed"] > 20 and not part["summary"]["parsing_errors"] for part in found.values())


def test_kustomizations_name_every_file_and_no_other() -> None:
    for part in ("base", "keda"):
        listed = yaml.safe_load((KUBERNETES / part / "kustomization.yaml").read_text("utf-8"))["resources"]
        there = {p.name for p in (KUBERNETES / part).glob("*.yaml")} - {"kustomization.yaml"}
        assert {p for p in listed if p.endswith(".yaml")} == there
    if not shutil.which("kubectl"):
        pytest.skip("kubectl is not here to put them together")
    built = {part: run("kubectl", "kustomize", KUBERNETES / part) for part in ("base", "keda")}
    assert all(b.returncode == 0 for b in built.values()), built
    workers = {part: of_kind(list(yaml.safe_load_all(b.stdout)), "Deployment")["worker"]["spec"] for part, b in built.items()}
    # one who sets the number of workers, never two
    assert workers["base"]["replicas"] == 2 and "replicas" not in workers["keda"]


def command_lines(compose: dict[str, Any], manifests: list[dict[str, Any]]) -> Iterator[tuple[str, list[str]]]:
    """Yield what each container runs, as arguments of `cosmicflows`."""
    every = [(name, s.get("entrypoint"), s["command"]) for name, s in compose["services"].items()]
    every += [(c["name"], c.get("command"), c["args"]) for pod in pods(manifests).values() for c in containers(pod)]
    for name, entry, arguments in every:
        if entry is None:
            yield name, arguments
        else:
            assert entry == ["sh", "-c"] and len(arguments) == 1
            # docker compose writes a dollar twice; there is none to be mistaken for a variable
            assert "$" not in arguments[0]
            found = UNSHELL.findall(arguments[0])
            assert found
            for line in found:
                yield name, shlex.split(line)


def test_every_container_runs_a_command_of_ours_with_options_it_has(compose: dict[str, Any],
                                                                    manifests: list[dict[str, Any]]) -> None:
    seen = set()
    for _name, arguments in command_lines(compose, manifests):
        try:
            cli._parser().parse_args(arguments)
        except SystemExit:
            raise AssertionError(f"cosmicflows {shlex.join(arguments)} is refused") from None
        seen.add(arguments[0])
    assert seen == {"gateway", "catalog", "worker", "keys", "fields"}


def test_the_fields_that_every_worker_has_are_made_before_it_starts(compose: dict[str, Any],
                                                                    manifests: list[dict[str, Any]]) -> None:
    made = [shlex.join(a) for name, a in command_lines(compose, manifests) if name == "fields"]
    # `fields list` takes in the 57Runs files; a worker that had to write would end, as its volume is read-only
    assert made == 2 * [*(f"fields verify {key}" for key in EMBEDDED), "fields list"]


def test_one_image_of_this_version_everywhere(compose: dict[str, Any], manifests: list[dict[str, Any]]) -> None:
    image = f"cosmicflows:{__version__}"
    assert {s["image"] for s in compose["services"].values()} == {image}
    assert {c["image"] for pod in pods(manifests).values() for c in containers(pod)} == {image}
    (entry,) = yaml.safe_load((KUBERNETES / "base" / "kustomization.yaml").read_text("utf-8"))["images"]
    assert f"{entry['name']}:{entry['newTag']}" == image


def test_the_image_copies_only_what_exists_and_is_let_through() -> None:
    text = (DEPLOY / "Dockerfile").read_text("utf-8")
    let_through = [line[1:] for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line.startswith("!")]
    for line in re.findall(r"^COPY (?!--from)(?:--\S+ )?(.+)$", text, re.MULTILINE):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists() and any(Path(source).is_relative_to(root) for root in let_through), source
    # the page is made in the image, from what its lock file names
    assert {"gateway/static", "gateway/web/node_modules"} <= set(
        line for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines())
    assert "COPY --from=page /src/gateway/static gateway/static" in text and "npm ci --ignore-scripts" in text
    assert re.search(r"^USER 10001:10001$", text, re.MULTILINE) and "CF_DATA=/flow_data" in text
    assert "install -d -m 0750 -o flow -g flow /flow_data /keys" in text
    assert not re.search(r":latest|^ADD ", text, re.MULTILINE)


def test_compose_locks_every_service_in(compose: dict[str, Any]) -> None:
    for name, s in compose["services"].items():
        assert s["read_only"] and s["cap_drop"] == ["ALL"] and s["security_opt"] == ["no-new-privileges:true"], name
        assert "user" not in s and not s.get("privileged") and int(s["mem_limit"]) > 0 and s["pids_limit"] > 0, name
        assert all(t.startswith("/tmp:size=") for t in s["tmpfs"]), name
        for port in s.get("ports", []):
            assert (name, port["host_ip"], port["published"], port["target"]) == ("gateway", "127.0.0.1", str(HTTP), HTTP)
    networks = {name: set(s.get("networks") or {}) for name, s in compose["services"].items()}
    assert networks["worker"] & networks["gateway"] == {"bus"} and networks["catalog"] & networks["gateway"] == {"names"}
    assert not networks["worker"] & networks["catalog"]
    assert all(compose["networks"][n].get("internal") for n in ("bus", "names"))
    assert compose["services"]["keys"]["network_mode"] == compose["services"]["fields"]["network_mode"] == "none"


def test_only_the_gateway_sees_its_secret_and_no_worker_writes_fields(compose: dict[str, Any],
                                                                      manifests: list[dict[str, Any]]) -> None:
    mounts = {name: {v["source"]: (v["target"], bool(v.get("read_only"))) for v in s["volumes"]}
              for name, s in compose["services"].items()}
    assert mounts["worker"] == {"flow_data": ("/flow_data", True), "worker_key": ("/keys", True)}
    assert {n for n, m in mounts.items() if "gateway_data" in m} == {"gateway", "keys"}
    worker, gateway = pods(manifests)["worker"], of_kind(manifests, "StatefulSet")["gateway"]["spec"]
    (main,) = worker["containers"]
    assert {m["name"]: m.get("readOnly", False) for m in main["volumeMounts"]} == {"fields": True, "key": True, "tmp": False}
    claims = [v["persistentVolumeClaim"]["claimName"] for v in worker["volumes"] if "persistentVolumeClaim" in v]
    assert claims == ["fields"]
    assert [c["metadata"]["name"] for c in gateway["volumeClaimTemplates"]] == ["data"]
    assert not of_kind(manifests, "Secret")


def test_a_pod_can_do_nothing_it_need_not(manifests: list[dict[str, Any]]) -> None:
    accounts = of_kind(manifests, "ServiceAccount")
    for name, pod in pods(manifests).items():
        assert pod["automountServiceAccountToken"] is False and pod["enableServiceLinks"] is False, name
        assert accounts[pod["serviceAccountName"]]["automountServiceAccountToken"] is False
        who = pod["securityContext"]
        assert who["runAsNonRoot"] and who["runAsUser"] == who["runAsGroup"] == who["fsGroup"] == 10001
        assert who["seccompProfile"] == {"type": "RuntimeDefault"}
        for c in containers(pod):
            rights = c["securityContext"]
            assert rights["readOnlyRootFilesystem"] and rights["capabilities"] == {"drop": ["ALL"]}, c["name"]
            assert rights["allowPrivilegeEscalation"] is False
            assert {"cpu", "memory"} <= c["resources"]["requests"].keys() & c["resources"]["limits"].keys()
            assert all(m["name"] in {v["name"] for v in pod["volumes"]} | {"data"} for m in c["volumeMounts"])
    assert all(d["metadata"].get("namespace") == "cosmicflows" for d in manifests if d["kind"] != "Namespace")


def services(manifests: list[dict[str, Any]]) -> dict[str, tuple[str, dict[str, int]]]:
    """Return for each Service the workload behind it and its ports; every name must lead to a port of that workload."""
    found = {}
    labels = {n: d["spec"]["template"]["metadata"]["labels"] for n, d in of_kind(manifests, "Deployment", "StatefulSet").items()}
    for name, s in of_kind(manifests, "Service").items():
        (behind,) = [n for n, carried in labels.items() if s["spec"]["selector"].items() <= carried.items()]
        named = {p["name"]: p["containerPort"] for c in pods(manifests)[behind]["containers"] for p in c["ports"]}
        found[name] = behind, {p["name"]: p["port"] for p in s["spec"]["ports"]}
        assert {p["name"]: named[p["targetPort"]] for p in s["spec"]["ports"]} == found[name][1]
    return found


def test_every_address_leads_to_the_port_of_the_settings(compose: dict[str, Any], manifests: list[dict[str, Any]]) -> None:
    behind = services(manifests)
    assert behind == {"gateway": ("gateway", {"http": HTTP}), "catalog": ("catalog", {"http": CATALOG}),
                      "gateway-bus": ("gateway", {"control": CONTROL, "results": RESULTS})}
    hosts = {"compose": {n: n for n in compose["services"]}, "kubernetes": {n: b for n, (b, _) in behind.items()}}
    lines = {"compose": [s["command"] for s in compose["services"].values()],
             "kubernetes": [c["args"] for pod in pods(manifests).values() for c in pod["containers"]]}
    for kind in hosts:
        options = {a[0]: dict(zip(a[1::2], a[2::2])) for a in lines[kind] if a[0] in ROOM}
        bus, meet, names = (urlparse(options[part][o]) for part, o in (("gateway", "--bus"), ("worker", "--connect"),
                                                                       ("gateway", "--catalog")))
        assert bus.netloc == f"0.0.0.0:{CONTROL}" and options["catalog"]["--listen"] == f"0.0.0.0:{CATALOG}"
        assert meet.port == CONTROL and hosts[kind][str(meet.hostname)] == "gateway"
        assert names.port == CATALOG and hosts[kind][str(names.hostname)] == "catalog"
    gateway = of_kind(manifests, "StatefulSet")["gateway"]["spec"]
    assert gateway["replicas"] == 1 and gateway["serviceName"] == "gateway-bus"
    bus_service = of_kind(manifests, "Service")["gateway-bus"]["spec"]
    # a lane has no line of its own, so the name must be the pod; and workers must find it before it is ready
    assert bus_service["clusterIP"] == "None"
    assert all(of_kind(manifests, "Service")[n]["spec"]["publishNotReadyAddresses"] for n in ("gateway", "gateway-bus"))


def test_every_probe_asks_for_something_that_is_there(compose: dict[str, Any], manifests: list[dict[str, Any]]) -> None:
    for name, pod in pods(manifests).items():
        (c,) = pod["containers"]
        assert {"livenessProbe", "readinessProbe"} <= c.keys(), name
        for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
            if "httpGet" in c.get(kind, {}):
                assert c[kind]["httpGet"]["path"] in ROUTES_OF[name] and c[kind]["httpGet"]["port"] == "http"
    gateway, worker = (pods(manifests)[n]["containers"][0] for n in ("gateway", "worker"))
    assert (gateway["livenessProbe"]["httpGet"]["path"], gateway["readinessProbe"]["httpGet"]["path"]) == ("/livez", "/readyz")
    assert worker["readinessProbe"]["exec"]["command"] == ["probe", "joined", str(CONTROL)]
    assert all(worker[k]["exec"]["command"] == ["probe", "beating"] for k in ("startupProbe", "livenessProbe"))
    checks = {n: s["healthcheck"].get("test") for n, s in compose["services"].items()}
    for name, port in (("gateway", HTTP), ("catalog", CATALOG)):
        assert checks[name] == ["CMD", "probe", "http", str(port), "/livez"] and "/livez" in ROUTES_OF[name]
    assert checks["worker"] == ["CMD", "probe", "beating"]


def test_whoever_drains_is_given_the_time(compose: dict[str, Any], manifests: list[dict[str, Any]]) -> None:
    promised = {"worker": 30.0, "gateway": 10.0}
    for name, limit in promised.items():
        written = [float(s) for p in (ROOT / ROOM[name]).glob("*.py")
                   for s in re.findall(r"^DRAIN_S(?:: \w+)? = ([\d.]+)", p.read_text("utf-8"), re.MULTILINE)]
        assert written and max(written) <= limit
        grace = re.fullmatch(r"(\d+)s", compose["services"][name]["stop_grace_period"])
        assert grace and int(grace[1]) >= limit + 5
        assert pods(manifests)[name]["terminationGracePeriodSeconds"] >= limit + 5


def may(manifests: list[dict[str, Any]], source: dict[str, Any], to: str, port: int) -> bool:
    """Tell whether the policies let a pod of ours (or of a namespace with such labels) open a connection."""
    def picks(selector: dict[str, Any], labels: dict[str, str]) -> bool:
        return (selector.get("matchLabels", {}).items() <= labels.items()
                and all(labels.get(e["key"]) in e["values"] for e in selector.get("matchExpressions", [])))

    def lets(rule: dict[str, Any], side: str, peer: dict[str, Any]) -> bool:
        here = any(picks(p.get("podSelector", {}), peer["pod"]) and (
            picks(p["namespaceSelector"], peer["namespace"]) if "namespaceSelector" in p else peer["ours"]) for p in rule[side])
        return here and any(p["port"] <= port <= p.get("endPort", p["port"]) for p in rule["ports"])

    policies = [p["spec"] for p in manifests if p["kind"] == "NetworkPolicy"]
    target = {"pod": {"app.kubernetes.io/name": to}, "namespace": {}, "ours": True}

    def open_(kind: str, side: str, of: dict[str, Any], peer: dict[str, Any]) -> bool:
        bound = [p for p in policies if picks(p["podSelector"], of["pod"]) and kind.capitalize() in p["policyTypes"]]
        return not bound or any(lets(rule, side, peer) for p in bound for rule in p.get(kind, []))
    return open_("ingress", "from", target, source) and (not source["ours"] or open_("egress", "to", source, target))


def test_the_network_lets_through_what_the_house_needs_and_nothing_else(manifests: list[dict[str, Any]]) -> None:
    def ours(name: str) -> dict[str, Any]:
        return {"pod": {"app.kubernetes.io/name": name}, "namespace": {}, "ours": True}

    def other(**labels: str) -> dict[str, Any]:
        return {"pod": {"app": "keda-operator"}, "namespace": labels, "ours": False}
    client, keda = other(**{"cosmicflows/client": "true"}), other(**{"kubernetes.io/metadata.name": "keda"})
    needed = {*((("worker", "gateway", p)) for p in (CONTROL, RESULTS, *LANES)), ("gateway", "catalog", CATALOG)}
    ports = (HTTP, CATALOG, RESULTS, CONTROL, LANES[0] - 1, *LANES, LANES[1] + 1, 22)
    for source in ROOM:
        for to in ROOM:
            for port in ports:
                assert may(manifests, ours(source), to, port) == ((source, to, port) in needed), (source, to, port)
    for source, is_let in ((client, True), (keda, True), (other(), False)):
        for to in ROOM:
            for port in ports:
                assert may(manifests, source, to, port) == (is_let and (to, port) == ("gateway", HTTP)), (source, to, port)


def test_the_drain_of_a_host_takes_some_workers_and_is_never_blocked(manifests: list[dict[str, Any]]) -> None:
    budgets = of_kind(manifests, "PodDisruptionBudget")
    for name, d in of_kind(manifests, "Deployment", "StatefulSet").items():
        labels, budget = d["spec"]["template"]["metadata"]["labels"], budgets[name]["spec"]
        for selector in (budget["selector"], d["spec"]["selector"]):
            assert selector["matchLabels"].items() <= labels.items()
        assert budget["maxUnavailable"] == ("25%" if name == "worker" else 1)
        assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
    assert of_kind(manifests, "Deployment")["worker"]["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
