"""Fields are replaced, cut and corrupted while workers compute: every answer is that of the version it names."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from chaos.processes import Ward, wait_for
from chaos.town import Town
from made_fields import smooth_field

from cfcore import distances
from cfcore.fieldfile import publish
from cfcore.registry import Registry

PLACES = 12
REPLACEMENTS, MUTATED, FIELDS = 20, 200, 10


def put(root: Path, name: str, seed: int) -> Path:
    """Publish a small field; every seed is another one."""
    made = smooth_field(seed=seed, shape=(10, 9, 11), spacing=(20.0, 20.0, 20.0))
    return publish(root, dataclasses.replace(made.manifest, id=name, version=str(seed)),
                   np.ascontiguousarray(np.asarray(made._cells)[..., 0]))


class Oracle:
    """What each version of a field answers at a few places."""

    def __init__(self, rng: Random) -> None:
        self.lon, self.lat, self.distance = (np.array([rng.uniform(*span) for _ in range(PLACES)])
                                             for span in ((0, 360), (-80, 80), (5, 60)))
        self.known: dict[str, np.ndarray] = {}

    def learn(self, data: Path, name: str) -> str:
        """Remember the answers of the current version; return its name."""
        flow = Registry(data).open(name)
        version = f"{flow.manifest.version}-{flow.manifest.sha256[:8]}"
        values = distances.velocities(flow, self.lon, self.lat, self.distance, frame="icrs").values
        self.known[f"{name} {version}"] = values[:, distances.VELOCITY_VALUES.index("v_rad")]
        return version

    def check(self, town: Town, name: str, k: int) -> tuple[str, str]:
        """Ask for place k; return the version that answered, or what went wrong."""
        lon, lat, distance = (float(column[k]) for column in (self.lon, self.lat, self.distance))
        reply = town.ask(f"/get_flow_by_position?lon={lon!r}&lat={lat!r}&distance={distance!r}&frame=icrs&field={name}")
        if reply.status != 200:
            return "", f"{reply.status} {reply.json['code']}"
        version = reply.json["field"]["version"]
        want = self.known.get(f"{name} {version}")
        return version, "right" if want is not None and reply.json["v_rad"] == want[k] else f"wrong: {reply.json}"


@pytest.fixture
def own_data(ward: Ward, chaos_data: Path) -> Path:
    """Return a data folder of the test's own."""
    data = ward.folder / "data"
    shutil.copytree(chaos_data, data)
    return data


@pytest.mark.timeout(90)
def test_twenty_replacements_under_load_are_seen_and_never_mixed(ward: Ward, rng: Random, own_data: Path,
                                                                 say: Callable[[str], None]) -> None:
    oracle = Oracle(rng)
    root = own_data / "fields"
    put(root, "smooth", 1)
    first = oracle.learn(own_data, "smooth")
    town = Town(ward, rng, own_data)
    town.crew.hire(2)
    town.until_ready()
    ahead = {}
    for seed in range(2, 2 + REPLACEMENTS):
        # known before any worker can answer from it
        made = put(ward.folder / "aside" / "fields", "smooth", seed)
        ahead[seed] = oracle.learn(ward.folder / "aside", "smooth"), made
    seen: Counter[str] = Counter()
    faults: list[str] = []
    over = threading.Event()

    def ask() -> None:
        lots = Random(rng.random())
        while not over.is_set():
            version, what = oracle.check(town, "smooth", lots.randrange(PLACES))
            seen[version] += 1
            if what != "right":
                faults.append(what)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    jobs = []
    body = {"kind": "velocity", "lon": oracle.lon.tolist(), "lat": oracle.lat.tolist(), "distance": oracle.distance.tolist(),
            "frame": "icrs", "field": "smooth"}
    try:
        for seed in ahead:
            put(root, "smooth", seed)
            jobs.append(town.ask("/v1/jobs", body))
            time.sleep(0.5)
        last = ahead[1 + REPLACEMENTS][0]
        took = wait_for(lambda: oracle.check(town, "smooth", 0)[0] == last, 10, "the last version answers", 0.05)
        time.sleep(1.0)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert not faults, Counter(faults)
    assert seen[first] and seen[last] and len(seen) > REPLACEMENTS / 2
    for reply in jobs:
        assert reply.status == 202, reply.body
        ended = town.until_ended(reply.json["id"])
        result = town.ask(f"/v1/jobs/{ended['id']}/result").json
        assert ended["phase"] == "COMPLETED" and result["field"]["version"] == reply.json["field"]["version"]
        assert result["columns"]["v_rad"] == oracle.known[f"smooth {result['field']['version']}"].tolist()
    say(f"{REPLACEMENTS} replacements, {sum(seen.values())} answers of {len(seen)} versions and {len(jobs)} jobs, each right for "
        f"the version it names; the last one answered {took:.1f} s after it was there")


def mutate(folder: Path, rng: Random) -> str:
    """Harm a published folder in one way; return which."""
    cells, manifest = folder / "cells.npy", folder / "manifest.json"
    for path in (folder, cells, manifest):
        os.chmod(path, 0o755)
    how = rng.choice(("cut", "longer", "bits", "bits", "bits", "header", "dtype", "order", "empty", "manifest cut",
                      "manifest shape", "manifest format", "manifest gone", "cells gone"))
    raw = bytearray(cells.read_bytes())
    facts: dict[str, Any] = json.loads(manifest.read_text())
    if how == "cut":
        del raw[rng.randrange(1, len(raw)):]
    elif how == "longer":
        raw += rng.randbytes(rng.randrange(1, 5000))
    elif how == "bits":
        raw[rng.randrange(4096, len(raw))] ^= 1 << rng.randrange(8)
    elif how == "header":
        raw[rng.randrange(10)] ^= 1 << rng.randrange(8)
    elif how == "dtype":
        raw = raw.replace(b"<f4", rng.choice((b">f4", b"<f8", b"<i4", b"|O8")), 1)
    elif how == "order":
        raw = raw.replace(b"'fortran_order': False,", b"'fortran_order': True, ", 1)
    elif how == "empty":
        raw.clear()
    elif how == "manifest cut":
        text = manifest.read_text()
        manifest.write_text(text[:rng.randrange(len(text) - 3)])
    elif how == "manifest shape":
        facts["shape"][rng.randrange(3)] += rng.choice((-1, 1))
        manifest.write_text(json.dumps(facts))
    elif how == "manifest format":
        facts["format"] = rng.choice((2, None, "1"))
        manifest.write_text(json.dumps(facts))
    elif how == "manifest gone":
        manifest.unlink()
    if how == "cells gone":
        cells.unlink()
    else:
        cells.write_bytes(raw)
    return how


@pytest.mark.timeout(90)
def test_two_hundred_harmed_field_files_are_refused_and_the_old_version_serves(ward: Ward, rng: Random, own_data: Path,
                                                                               say: Callable[[str], None]) -> None:
    oracle = Oracle(rng)
    root, aside = own_data / "fields", ward.folder / "aside"
    names = [f"f{k}" for k in range(FIELDS)]
    good = {}
    for k, name in enumerate(names):
        put(root, name, 1 + k)
        good[name] = oracle.learn(own_data, name)
    town = Town(ward, rng, own_data)
    town.crew.hire(2)
    town.until_ready()
    pids = {worker.pid for worker in town.crew.members}
    ways: Counter[str] = Counter()
    planted, answers = 0, 0
    for _ in range(MUTATED // (5 * FIELDS)):
        refused = town.ward.log("workers.log").count("is refused")
        new = []
        for name in names:
            for _ in range(5):
                planted += 1
                folder = put(aside, name, 1000 + planted)
                ways[mutate(folder, rng)] += 1
                home = root / name / folder.name
                folder.rename(home)
                new.append(home)
            pointer = home.parent / "current.json"
            text = json.dumps(json.loads(pointer.read_text()) | {"folder": home.name}) + "\n"
            pointer.with_name(".new").write_text(text)
            pointer.with_name(".new").rename(pointer)

        def all_refused(before: int = refused) -> bool:
            nonlocal answers
            for name in names:
                version, what = oracle.check(town, name, rng.randrange(PLACES))
                assert (version, what) == (good[name], "right")
                answers += 1
            return town.ward.log("workers.log").count("is refused") >= before + 2 * 5 * FIELDS
        wait_for(all_refused, 20, "both workers refuse what was harmed", 0.1)
        for home in new:
            shutil.rmtree(home)
    assert planted == MUTATED and {worker.pid for worker in town.crew.members if worker.poll() is None} == pids
    say(f"{planted} harmed versions of {FIELDS} fields refused by both workers {dict(ways)}; {answers} answers meanwhile, all "
        "right and of the old versions")
