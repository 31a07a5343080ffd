"""Client of the catalogue service: names and places in, objects and catalogues out."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Mapping
from typing import Any

import aiohttp
import orjson

from cfcore.errors import BadParameter, DeadlineExceeded, from_dict

from .problems import unavailable

TIMEOUT_S = 5.0
BULK_TIMEOUT_S = 30.0
IMPORT_TIMEOUT_S = 660.0
"""A little longer than the service itself gives an import."""


class CatalogClient:
    """Ask one catalogue service.

    Parameters
    ----------
    address : str
        ``http://HOST:PORT`` or ``unix:/path/to/socket``.
    """

    def __init__(self, address: str) -> None:
        if address.startswith("unix:"):
            self._path: str | None = address.removeprefix("unix:")
            self._base = "http://catalog"
        elif address.startswith(("http://", "https://")):
            self._path, self._base = None, address.rstrip("/")
        else:
            raise BadParameter(f"catalog = {address!r}; write http://HOST:PORT or unix:/path", where="catalog")
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Open the connection pool; needs a running event loop."""
        connector = aiohttp.UnixConnector(self._path, limit=64) if self._path else aiohttp.TCPConnector(limit=64)
        self._session = aiohttp.ClientSession(connector=connector)

    async def close(self) -> None:
        """Close the pool."""
        if self._session is not None:
            await self._session.close()

    async def resolve(self, name: str) -> dict[str, Any]:
        """Return the object of a name: position, velocity, provenance; raises what the service says."""
        return await self._get("/v1/resolve", {"name": name})

    async def group(self, name: str) -> dict[str, Any]:
        """Return `resolve` with ``group`` (None when no group holds it) and ``has_groups``."""
        return await self._get("/v1/resolve", {"name": name, "group": "true"})

    async def detail(self, name: str) -> dict[str, Any]:
        """Return all the catalogue knows of a name."""
        return await self._get("/v1/detail", {"name": name})

    async def hints(self, name: str, limit: int, require_velocity: bool) -> bytes:
        """Return names that begin as the user typed, as JSON."""
        return await self._ask("GET", "/v1/hints", {"name": name, "limit": str(limit),
                                                    "require_velocity": "true" if require_velocity else "false"})

    async def told_hints(self, name: str, limit: int, require_velocity: bool) -> bytes:
        """Return the same with what each name stands for, as JSON."""
        return await self._ask("GET", "/v1/hints", {"name": name, "limit": str(limit), "told": "true",
                                                    "require_velocity": "true" if require_velocity else "false"})

    async def galaxies(self, limit: int) -> bytes:
        """Return the galaxies with a velocity as columns, nearest first, as JSON."""
        return await self._ask("GET", "/v1/galaxies", {"limit": str(limit)}, timeout=BULK_TIMEOUT_S)

    async def resolve_many(self, names: list[str]) -> dict[str, Any]:
        """Return for each of a list of names its object or why there is none."""
        return await self._bulk("POST", "/v1/resolve", {"names": names})

    async def cone(self, ra: float, dec: float, radius: float, limit: int, *, distances: bool = False) -> dict[str, Any]:
        """Return the objects around a direction (ICRS, deg), nearest first; or only those with measured distances, with these."""
        return await self._bulk("GET", "/v1/cone", {"ra": repr(ra), "dec": repr(dec), "radius": repr(radius),
                                                    "limit": str(limit), **({"distances": "true"} if distances else {})})

    async def box(self, bounds: Mapping[str, float], limit: int) -> dict[str, Any]:
        """Return the objects between ra_min, ra_max, dec_min and dec_max (ICRS, deg)."""
        return await self._bulk("GET", "/v1/box", {**{k: repr(v) for k, v in bounds.items()}, "limit": str(limit)})

    async def crossmatch(self, question: dict[str, Any]) -> dict[str, Any]:
        """Return the objects around each of a list of directions."""
        return await self._bulk("POST", "/v1/crossmatch", question)

    async def catalogs(self) -> dict[str, Any]:
        """Return what every catalogue is."""
        return await self._get("/v1/catalogs", {})

    async def take_in(self, options: Iterable[tuple[str, str]], body: AsyncIterable[bytes]) -> dict[str, Any]:
        """Send a file of galaxies on, piece by piece; return the report of its import."""
        return dict(orjson.loads(await self._ask("POST", "/v1/catalogs", list(options), body, IMPORT_TIMEOUT_S)))

    async def drop(self, id: str) -> dict[str, Any]:
        """Take an imported catalogue out."""
        return dict(orjson.loads(await self._ask("DELETE", f"/v1/catalogs/{id}", {}, timeout=BULK_TIMEOUT_S)))

    async def is_alive(self) -> bool:
        """Tell whether the service answers."""
        try:
            await self._get("/livez", {})
        except Exception:
            return False
        return True

    async def _get(self, path: str, params: Mapping[str, str]) -> dict[str, Any]:
        return dict(orjson.loads(await self._ask("GET", path, params)))

    async def _bulk(self, method: str, path: str, what: dict[str, Any]) -> dict[str, Any]:
        params, body = (what, None) if method == "GET" else ({}, orjson.dumps(what))
        return dict(orjson.loads(await self._ask(method, path, params, body, BULK_TIMEOUT_S)))

    async def _ask(self, method: str, path: str, params: Mapping[str, str] | list[tuple[str, str]],
                   body: bytes | AsyncIterable[bytes] | None = None, timeout: float = TIMEOUT_S) -> bytes:
        if self._session is None:
            raise unavailable("the catalogue")
        try:
            async with self._session.request(method, self._base + path, params=params, data=body,
                                             timeout=aiohttp.ClientTimeout(total=timeout)) as answer:
                status, data = answer.status, await answer.read()
        except TimeoutError as exc:
            if timeout == TIMEOUT_S:
                raise unavailable("the catalogue") from exc
            raise DeadlineExceeded(f"the catalogue took more than {timeout:g} s for this; ask for less at once") from exc
        except (aiohttp.ClientError, OSError) as exc:
            raise unavailable("the catalogue") from exc
        if status == 200 and data[:1] == b"{":
            return data
        try:
            raise from_dict(orjson.loads(data))
        except (orjson.JSONDecodeError, AttributeError) as exc:
            raise unavailable("the catalogue") from exc
