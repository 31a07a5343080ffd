"""The files that put the house elsewhere, checked without an engine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent.parent


def compose() -> dict:
    tool = Path(sys.executable).parent / "docker-compose"
    done = subprocess.run([tool, "-f", ROOT / "docker-compose.yml", "config"], capture_output=True, text=True, timeout=60,
                          cwd=ROOT, env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"})
    assert done.returncode == 0, done.stderr
    return yaml.safe_load(done.stdout)


def test_compose_starts_the_same_three_commands() -> None:
    services = compose()["services"]
    assert {name: s["command"][0] for name, s in services.items()} == {
        "gateway": "gateway", "catalog": "catalog", "worker": "worker"}
    for name, s in services.items():
        assert s["read_only"] and s["cap_drop"] == ["ALL"] and "no-new-privileges:true" in s["security_opt"]
        if name != "gateway":
            # the bus is not encrypted: it must not leave the loopback of one network namespace
            assert s["network_mode"] == "service:gateway" and "ports" not in s
            assert s["volumes"][0]["target"] == "/flow_data"
    assert services["gateway"]["ports"][0]["host_ip"] == "127.0.0.1"


def test_the_commands_of_compose_are_commands_of_ours() -> None:
    for s in compose()["services"].values():
        done = subprocess.run([sys.executable, "-m", "cfcore.cli", s["command"][0], "--help"], capture_output=True, text=True,
                              timeout=60)
        assert done.returncode == 0
        for option in [a for a in s["command"] if a.startswith("--")]:
            assert option in done.stdout


def test_the_image_copies_only_what_exists_and_runs_as_nobody() -> None:
    text = (ROOT / "deploy" / "Dockerfile").read_text("utf-8")
    for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists(), source
    assert re.search(r"^USER (?!root)", text, re.MULTILINE) and "CF_DATA=/flow_data" in text
