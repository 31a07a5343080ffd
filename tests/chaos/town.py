"""A gateway, a catalogue and workers as the commands start them, each in a process of its own, on loopback."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from chaos.processes import Crew, Ward, free_ports, wait_for
from running import Reply

from cfcore import distances
from cfcore.registry import Registry


class Town:
    """One gateway with everything it needs.

    Parameters
    ----------
    data : Path
        Folder with fields; jobs and the catalogue's files go to the ward's folder.
    settings : str
        Further settings of the gateway as environment variables.
    """

    def __init__(self, ward: Ward, rng: Random, data: Path, *, prefix: Sequence[str] = (),
                 preexec: Callable[[], object] | None = None, with_catalog: bool = True, slots: Sequence[str] = (),
                 **settings: str) -> None:
        self.ward, self.data = ward, data
        first = free_ports(64, rng)
        self.port = first
        self.bus = f"tcp://127.0.0.1:{first + 2}"
        self._env = {"CF_DATA": str(data), "CF_RESULTS_PORT": str(first + 3), "CF_LANE_PORTS": f"{first + 4}-{first + 63}",
                     "CF_JOBS": str(ward.folder / "jobs"), **settings}
        self._prefix, self._preexec = prefix, preexec
        self.crew = Crew(ward, "-m", "cfcore.cli", "worker", "--data", str(data), "--connect", self.bus, *slots)
        if with_catalog:
            ward.command("catalog", "--data", str(data), "--listen", f"127.0.0.1:{first + 1}")
        self._catalog = f"http://127.0.0.1:{first + 1}"
        self.gateway: subprocess.Popen[bytes]
        self.deaths: list[float] = []
        self.open()

    def open(self) -> None:
        """Start the gateway."""
        self.gateway = self.ward.command("gateway", "--port", str(self.port), "--bus", self.bus, "--catalog", self._catalog,
                                         env=self._env, prefix=self._prefix, preexec=self._preexec)

    def kill(self) -> None:
        """Kill -9 the gateway and start it again."""
        self.deaths.append(time.monotonic())
        self.gateway.kill()
        self.gateway.wait()
        self.open()

    def ask(self, path: str, body: object = None, *, method: str = "", timeout: float = 20.0, **headers: str) -> Reply:
        """Send one request; an OSError says that nobody answered."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        raw = None if body is None else json.dumps(body).encode()
        try:
            connection.request(method or ("GET" if raw is None else "POST"), path, raw,
                               {**({} if raw is None else {"Content-Type": "application/json"}),
                                **{name.replace("_", "-"): value for name, value in headers.items()}})
            answer = connection.getresponse()
            found = {k.lower(): v for k, v in answer.getheaders()}
            return Reply(answer.status, found.get("content-type", "").partition(";")[0], found, answer.read())
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()

    def status(self, path: str = "/readyz") -> int:
        """Return the status of an answer, 0 when nobody answers."""
        try:
            return self.ask(path, timeout=5.0).status
        except OSError:
            return 0

    def until_ready(self, timeout_s: float = 40.0) -> float:
        """Wait until the gateway has workers and the catalogue."""
        return wait_for(lambda: self._lives() and self.status() == 200, timeout_s, "the town is ready", 0.02)

    def until_working(self, timeout_s: float = 40.0) -> float:
        """Wait until the gateway has workers that offer a field, whether there is a catalogue or not."""
        def works() -> bool:
            try:
                seen = self.ask("/readyz", timeout=5.0).json
            except OSError:
                return False
            return bool(seen["workers"] and seen["fields"])
        return wait_for(lambda: self._lives() and works(), timeout_s, "the town has workers", 0.02)

    def _lives(self) -> bool:
        if self.gateway.poll() is not None:
            raise AssertionError(f"the gateway ended with {self.gateway.returncode}:\n{self.ward.log('gateway.log')[-3000:]}")
        return True

    def until_ended(self, job: int, timeout_s: float = 30.0) -> dict[str, Any]:
        """Wait until a job has ended; return what is said of it."""
        seen: dict[str, Any] = {}

        def is_over() -> bool:
            seen.update(self.ask(f"/v1/jobs/{job}").json)
            return seen["phase"] in ("COMPLETED", "ERROR", "ABORTED")
        wait_for(is_over, timeout_s, f"job {job} ends", 0.02)
        return seen

    def stop(self, signum: int = signal.SIGTERM) -> float:
        """End the gateway; return how long that took."""
        began = time.monotonic()
        self.gateway.send_signal(signum)
        self.gateway.wait(60)
        return time.monotonic() - began


class Questions:
    """Numbered jobs of a few rows, and what `cfcore` answers to them: no two have the same rows."""

    def __init__(self, data: Path, jobs: int, rows: int, rng: Random, field: str = "ongc-linear") -> None:
        self.jobs, self.rows = jobs, rows
        lots = np.random.default_rng(rng.randrange(2**32))
        n = jobs * rows
        self.lon, self.lat = lots.uniform(0, 360, n), np.degrees(np.arcsin(lots.uniform(-1, 1, n)))
        self.distance = lots.uniform(2, 90, n)
        self.field = field
        flow = Registry(data).open(field)
        self.values = distances.velocities(flow, self.lon, self.lat, self.distance, frame="icrs").values

    def body(self, k: int) -> dict[str, Any]:
        """Return the body of POST /v1/jobs for job k."""
        part = slice(k * self.rows, (k + 1) * self.rows)
        return {"kind": "velocity", "lon": self.lon[part].tolist(), "lat": self.lat[part].tolist(), "frame": "icrs",
                "distance": self.distance[part].tolist(), "field": self.field}

    def is_right(self, k: int, result: dict[str, Any]) -> bool:
        """Compare the result of job k, as JSON, with the oracle."""
        want = self.values[k * self.rows:(k + 1) * self.rows]
        columns = result["columns"]
        names = [name.replace("v_pec.", "v_").replace("cz.", "cz_") for name in distances.VELOCITY_VALUES]
        return result["n"] == self.rows and all(
            np.array_equal(np.array(columns[name], float), want[:, k], equal_nan=True) for k, name in enumerate(names))
