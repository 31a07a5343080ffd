"""The questions of the command line, answered by a running server over its HTTP API (docs/api.md)."""

from __future__ import annotations

import contextlib
import http.client
import json
import math
import socket
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from . import distances
from .asking import Answers, Facts, Rows, Sight, line_of_sight, moduli
from .columns import LOOKS_LIKE_Z
from .cosmology import C_KMS
from .errors import BadParameter, CosmicFlowsError, InternalError, TransientError, UnknownName, UsageError
from .options import FLOW_TYPES

ROWS = 9_999
"""Most rows of one request: the API takes 10,000, and one of them is ours (see `Remote.ask`)."""
TRIES = 6
LONGEST_WAIT_S = 30.0
_TIMEOUT_S = 120.0
_DISTANCE = ("cz", *FLOW_TYPES, "modulus", "roots", "v_rad", "v_rad_std", "v_pec", "delta", "inside_fraction", "evidence",
             "flags", "status")
_VELOCITY = ("xyz_hmpc", "inside", "v_pec", "v_rad", "delta", "sigma", "cz_hubble", "cz", "status")
_REPEATED = ("prior", "alpha", "use_field_sigma", "observer", "rmax", "dr")


class Server:
    """Ask a server and turn its refusals into errors of ours.

    Parameters
    ----------
    url : str
        Such as ``http://127.0.0.1:5000``; http or https, a path before the API's own is kept.

    Attributes
    ----------
    token : str
        Presented with every question; empty: none.

    Raises
    ------
    BadParameter
        When the address is not one of an HTTP server.
    """

    def __init__(self, url: str) -> None:
        self.token = ""
        parts = urllib.parse.urlsplit(url.strip())
        try:
            named = bool(parts.hostname) and (parts.port is None or parts.port > 0)
        except ValueError:
            named = False
        if parts.scheme not in ("http", "https") or not named or parts.query or parts.fragment or "@" in parts.netloc:
            raise BadParameter(f"--server {url!r:.120} is not the address of a server; write http://HOST:PORT or "
                               "https://HOST/PATH", code="bad_server", where="server")
        self.url = urllib.parse.urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))
        # Handlers are named one by one: the default set also opens file: and ftp: addresses.
        self._opener = urllib.request.OpenerDirector()
        for handler in (urllib.request.ProxyHandler, urllib.request.HTTPHandler, urllib.request.HTTPSHandler,
                        urllib.request.HTTPDefaultErrorHandler, urllib.request.HTTPErrorProcessor):
            self._opener.add_handler(handler())

    def get(self, path: str, **query: object) -> dict[str, Any]:
        """Ask with a query string; entries that are None are left out."""
        words = {k: str(v).lower() if isinstance(v, bool) else v for k, v in query.items() if v is not None}
        return self._ask(urllib.request.Request(f"{self.url}{path}?{urllib.parse.urlencode(words)}"))

    def post(self, path: str, body: dict[str, object]) -> dict[str, Any]:
        """Ask with a JSON body."""
        return self._ask(urllib.request.Request(f"{self.url}{path}", data=json.dumps(body).encode(), method="POST",
                                                headers={"Content-Type": "application/json"}))

    def look(self, path: str, *, token: str = "", timeout_s: float = 10.0) -> tuple[int, Mapping[str, str], dict[str, Any]]:
        """Return status, headers and JSON of one answer, whatever it says; nothing is asked twice.

        Raises
        ------
        TransientError
            When nothing answers.
        UsageError
            When what answers is no JSON.
        """
        request = urllib.request.Request(f"{self.url}{path}", headers={"Accept": "application/json", "User-Agent": "cosmicflows"})
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with self._opener.open(request, timeout=timeout_s) as answer:
                return answer.status, answer.headers, self._read(answer.read())
        except urllib.error.HTTPError as exc:
            return exc.code, exc.headers, self._read(exc.read(1 << 20))
        except (urllib.error.URLError, http.client.HTTPException, OSError) as exc:
            why = getattr(exc, "reason", None) or exc
            raise TransientError(f"the server {self.url} does not answer ({why or type(exc).__name__})",
                                 code="server_unreachable") from None

    def words(self, data: dict[str, Any], keys: Sequence[str]) -> dict[str, Any]:
        """Return the entries of an answer that we know; refuse an answer that lacks one."""
        lacking = [k for k in keys if k not in data]
        if lacking:
            raise UsageError(f"the server {self.url} answers in words of another version ({lacking[0]} is missing); bring "
                             "both to one version", code="not_our_server", where="server")
        return {k: data[k] for k in keys}

    def _ask(self, request: urllib.request.Request) -> dict[str, Any]:
        request.add_header("Accept", "application/json")
        request.add_header("User-Agent", "cosmicflows")
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        for attempt in range(TRIES):
            try:
                with self._opener.open(request, timeout=_TIMEOUT_S) as answer:
                    return self._read(answer.read())
            except urllib.error.HTTPError as exc:
                error = self._refusal(exc)
                if exc.code not in (429, 503) or attempt == TRIES - 1:
                    raise error from None
                time.sleep(_wait(exc.headers.get("Retry-After"), attempt))
            except (urllib.error.URLError, http.client.HTTPException, OSError) as exc:
                why = getattr(exc, "reason", None) or exc
                if isinstance(why, socket.gaierror):
                    raise BadParameter(f"--server {self.url}: no machine has this name ({why.strerror})", where="server",
                                       code="bad_server") from None
                raise TransientError(f"the server {self.url} does not answer ({why or type(exc).__name__}); is it running? "
                                     "Try again, or ask without --server", code="server_unreachable") from None
        raise AssertionError("the last attempt returns or raises")

    def _read(self, raw: bytes) -> dict[str, Any]:
        try:
            data = json.loads(raw)
        except ValueError:
            data = None
        if not isinstance(data, dict):
            raise UsageError(f"{self.url} answers, but not as a Cosmic Flows server; check the address",
                             code="not_our_server", where="server")
        return data

    def _refusal(self, exc: urllib.error.HTTPError) -> CosmicFlowsError:
        try:
            data = json.loads(exc.read(1 << 20))
            detail, code = str(data["detail"]), str(data.get("code", ""))
        except (ValueError, KeyError, TypeError, OSError, http.client.HTTPException):
            if exc.code in (502, 503, 504):
                return TransientError(f"the server {self.url} answers {exc.code} {exc.reason}; try again later",
                                      code="unavailable")
            return UsageError(f"{self.url} answers {exc.code} {exc.reason}, not as a Cosmic Flows server does; check the "
                              "address", code="not_our_server", where="server")
        extra = {k: data[k] for k in ("suggestions", "candidates", "known") if k in data}
        kind = (TransientError if exc.code in (429, 502, 503, 504) else InternalError if exc.code >= 500 else
                UnknownName if exc.code == 404 else UsageError)
        return kind(detail, code=code or None, where=data.get("where"), hint=data.get("hint"), extra=extra)


class Remote:
    """Answer from a server."""

    def __init__(self, server: Server, options: dict[str, object], field: str | None, question: str,
                 flow: str = "distance", *, rows: int = ROWS, jobs: int = 2) -> None:
        self.server, self.question, self.flow = server, question, flow
        self.rows, self.jobs = min(rows, ROWS if question == "distance" else 200), jobs
        self._asked: dict[str, object] = {k: v for k, v in options.items() if v is not None} | (
            {"field": field} if field else {})
        self._facts: Facts = {}
        self._sight: Sight | None = None

    def ask(self, rows: Rows) -> Answers:
        """Answer one chunk: a list of velocities in one request; positions with a distance one by one, as the API has it."""
        return self._list(rows) if self.question == "distance" else self._one_by_one(rows)

    def facts(self) -> Facts:
        """Return the provenance the server stated in its answers; before the first of them, what was asked."""
        return {"server": self.server.url, **(self._facts or dict(self._asked))}

    def sight(self) -> Sight | None:
        """Return where the lines of sight of the answering field end; a server that does not say costs only the sentence."""
        if self._sight is None:
            with contextlib.suppress(CosmicFlowsError, KeyError, TypeError, ValueError):
                about = {f["id"]: f for f in self.server.get("/")["fields"]}[self._facts["field"]["id"]]
                rmax, Om = self._asked.get("rmax"), self._asked["Om"]
                self._sight = line_of_sight(float(about["r_max_hmpc"]), rmax, Om)  # type: ignore[arg-type]
        return self._sight

    def single(self, lon: float, lat: float, value: float, sigma: float) -> Facts:
        """Answer one object with all there is to say."""
        said = {"cz": value, "sigma_cz": sigma or None} if self.question == "distance" else {"distance": value}
        if self.question == "distance" and 0 < abs(value) < LOOKS_LIKE_Z:
            # the server takes so small a velocity for a redshift; here the user has said what it is
            said = {"z": value / C_KMS, "sigma_cz": sigma or None}
        data = self.server.get("/get_flow_by_position", lon=lon, lat=lat, **said, **self._asked)
        self._learn(data)
        if data.get("inside") is False:
            data["status"] = "outside_field"
        return self.server.words(data, _DISTANCE if self.question == "distance" else _VELOCITY)

    def _list(self, rows: Rows) -> Answers:
        n = len(rows.value)
        sent = {"lon": rows.lon, "lat": rows.lat, "cz": rows.value,
                "sigma_cz": np.zeros(n) if rows.sigma is None else rows.sigma}
        # A last chunk of a few slow galaxies would be taken for redshifts by the server; a row with a common velocity,
        # dropped again below, keeps it from that.
        lists = {k: _nulls(v) + [1000.0 if k == "cz" else 0.0] for k, v in sent.items()}
        data = self.server.post(f"/get_flow/{self.flow}", {**lists, "grid": False, **self._asked})
        self._learn(data)
        data = self.server.words(data, ("columns", "status", "flags", "roots"))
        columns = {k: np.array(v[:n], dtype=float) for k, v in data["columns"].items()}
        numbers = {f"{self.flow}_{s}": columns.pop(s) for s in distances.SUMMARY} | columns
        status = np.array([distances.STATUS.index(s) for s in data["status"][:n]], np.int32)
        bits = np.array([sum(1 << distances.FLAGS.index(w) for w in words) for words in data["flags"][:n]], np.int32)
        numbers |= moduli(numbers, self.flow, float(self._asked["H0"]), float(self._asked["Om"]))  # type: ignore[arg-type]
        numbers["n_roots"] = np.where(status == 0, np.array([len(r) for r in data["roots"][:n]], float), np.nan)
        return Answers(numbers, status, bits)

    def _one_by_one(self, rows: Rows) -> Answers:
        n = len(rows.value)
        names = [name.replace("v_pec.", "v_").replace(".", "_") for name in distances.VELOCITY_VALUES]
        table, status = np.full((n, len(names)), np.nan), np.zeros(n, np.int32)
        for i in range(n):
            here = {"lon": float(rows.lon[i]), "lat": float(rows.lat[i]), "distance": float(rows.value[i])}
            status[i] = _row_status(here)
            if status[i]:
                continue
            data = self.single(here["lon"], here["lat"], here["distance"], 0.0)
            flat = dict(zip(("sgx", "sgy", "sgz"), data["xyz_hmpc"])) | {f"v_{k}": v for k, v in data["v_pec"].items()} | {
                f"cz_{k}": v for k, v in data["cz"].items()} | {k: data[k] for k in ("v_rad", "delta", "sigma", "cz_hubble")}
            table[i] = [math.nan if flat[name] is None else flat[name] for name in names]
            status[i] = distances.STATUS.index(data["status"])
        return Answers({name: table[:, i] for i, name in enumerate(names)}, status, np.zeros(n, np.int32))

    def _learn(self, data: dict[str, Any]) -> None:
        if self._facts:
            return
        field = data.get("field") or {}
        version = str(field.get("version", ""))
        # the API states the first eight digits of the digest, inside the version
        field = {"id": field.get("id"), "version": version, "sha256": version.rpartition("-")[2] or None,
                 "citation": field.get("citation")}
        velocity = self.question == "velocity"
        self._facts = {"field": field, "frame": data.get("frame"), "cosmology": data.get("cosmology"),
                       "composition": self._asked.get("composition"),
                       **({} if velocity else {"cz_frame": data.get("cz_frame"), "sigma_v": data.get("sigma_v"),
                                               **{k: self._asked.get(k) for k in _REPEATED}}),
                       "cfcore": data.get("cfcore")}


def resolve(server: Server, name: str) -> Facts:
    """Return name, icrs position and heliocentric cz of a galaxy from the server's catalogue.

    Raises
    ------
    UnknownName, UsageError
        In the server's words, with its suggestions.
    """
    data = server.get("/get_galaxy_detail", name=name)
    found = server.words(data, ("name", "position", "velocities"))
    used = [v["value"] for v in found["velocities"] if v.get("used")]
    return {"name": found["name"], "position": found["position"], "cz_helio": used[0] if used else None,
            "catalog": data.get("catalog")}


def _row_status(values: dict[str, float]) -> int:
    for key, value in values.items():
        if not math.isfinite(value):
            return distances.STATUS.index("not_finite")
        least, greatest, _ = distances.ROW_LIMITS[key]
        if not least <= value <= greatest:
            return distances.STATUS.index(f"{key}_out_of_range")
    return 0


def _nulls(values: distances.F64) -> list[float | None]:
    return [v if math.isfinite(v) else None for v in values.tolist()]


def _wait(header: str | None, attempt: int) -> float:
    try:
        asked = float(header or "")
    except ValueError:
        asked = 0.5 * 2.0 ** attempt
    return min(max(asked, 0.1), LONGEST_WAIT_S) if math.isfinite(asked) else LONGEST_WAIT_S
