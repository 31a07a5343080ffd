"""Client of the catalogue service: names in, positions and velocities out."""

from __future__ import annotations

from typing import Any

import aiohttp
import orjson

from cfcore.errors import BadParameter, from_dict

from .problems import unavailable

TIMEOUT_S = 5.0


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
        self._session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=TIMEOUT_S))

    async def close(self) -> None:
        """Close the pool."""
        if self._session is not None:
            await self._session.close()

    async def resolve(self, name: str) -> dict[str, Any]:
        """Return the object of a name: position, velocity, provenance; raises what the service says."""
        return await self._get("/v1/resolve", {"name": name})

    async def detail(self, name: str) -> dict[str, Any]:
        """Return all the catalogue knows of a name."""
        return await self._get("/v1/detail", {"name": name})

    async def hints(self, name: str, limit: int, require_velocity: bool) -> dict[str, Any]:
        """Return names that begin as the user typed."""
        return await self._get("/v1/hints", {"name": name, "limit": str(limit),
                                             "require_velocity": "true" if require_velocity else "false"})

    async def is_alive(self) -> bool:
        """Tell whether the service answers."""
        try:
            await self._get("/livez", {})
        except Exception:
            return False
        return True

    async def _get(self, path: str, params: dict[str, str]) -> dict[str, Any]:
        if self._session is None:
            raise unavailable("the catalogue")
        try:
            async with self._session.get(self._base + path, params=params) as answer:
                status, body = answer.status, await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as exc:
            raise unavailable("the catalogue") from exc
        try:
            data = orjson.loads(body)
        except orjson.JSONDecodeError as exc:
            raise unavailable("the catalogue") from exc
        if status != 200:
            raise from_dict(data)
        return data
