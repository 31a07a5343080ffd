"""The page and what it is made of: the files that `make` has built into `static/`, read once and kept in memory.

What the page shows it asks of the same addresses as everybody else; here nothing is computed. An address never becomes a path:
only what was found at the start is served. A gateway without built files serves everything else.
"""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from cfcore.errors import UnknownName

from . import answers, health, packed

STATIC = Path(__file__).parent / "static"
"""Where `npm run build` writes, and where a wheel has it."""
POLICY = ("default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; form-action 'self'; "
          "frame-ancestors 'none'")
"""Images of data: and blob: are those that a plot is saved as; nothing else comes from elsewhere, and no script stands inline."""
ICON = "mark-"
"""How the name of the icon begins, which the build gives a digest."""
KINDS = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml", "png": "image/png", "woff2": "font/woff2",
         "json": "application/json", "html": "text/html", "txt": "text/plain"}
_TEXT = ("text/", "image/svg+xml", "application/json")


@dataclass(frozen=True)
class Made:
    """Hold one built file: its bytes, the same packed by gzip where that is shorter, its media type and digest."""

    plain: bytes
    packed: bytes | None
    media: str
    digest: str


class Pages:
    """Know the built files: pages by their name without a suffix, assets by their file name.

    Parameters
    ----------
    folder : Path
        What the build has written; where there is nothing, nothing is known.
    """

    def __init__(self, folder: Path) -> None:
        self.html = {path.stem: _read(path) for path in sorted(folder.glob("*.html"))}
        self.assets = {path.name: _read(path) for path in sorted(folder.glob("assets/*"))
                       if path.suffix != ".gz" and path.is_file()}
        self.icon = next((name for name in self.assets if name.startswith(ICON) and name.endswith(".svg")), None)

    @property
    def is_built(self) -> bool:
        """Tell whether there is a page."""
        return "index" in self.html

    @property
    def has_docs(self) -> bool:
        """Tell whether there is a page about the API."""
        return "docs" in self.html


PAGES = web.AppKey("pages", Pages)


def _read(path: Path) -> Made:
    plain = path.read_bytes()
    beside = path.with_name(path.name + ".gz")
    small = beside.read_bytes() if beside.is_file() else None
    if small is not None and (len(small) >= len(plain) or gzip.decompress(small) != plain):
        small = None  # of no use, or left by another build
    return Made(plain, small, KINDS.get(path.suffix[1:], "application/octet-stream"), hashlib.sha256(plain).hexdigest()[:32])


async def index(request: web.Request) -> web.Response:
    """GET /: the page for browsers; for everybody else what this service is and where to go on."""
    page = request.app[PAGES].html.get("index")
    accept = ",".join(request.headers.getall("Accept", ()))
    if page is None or not answers.prefers_html(accept):
        response = health.index(request, has_page=page is not None, has_docs=request.app[PAGES].has_docs)
        response.headers["Vary"] = "Accept"
        return response
    return _page(request, page, "Accept, Accept-Encoding")


async def docs(request: web.Request) -> web.Response:
    """GET /docs: every address of this service, to read and to try."""
    page = request.app[PAGES].html.get("docs")
    if page is None:
        raise UnknownName(f"{health.NOT_BUILT}; /openapi.json describes the same for programs", code="page_not_built")
    return _page(request, page, "Accept-Encoding")


async def asset(request: web.Request) -> web.Response:
    """GET /assets/{asset}: a part of the page; its name changes with its content, so it may be kept for good."""
    name = request.match_info["asset"]
    found = request.app[PAGES].assets.get(name)
    if found is None:
        raise UnknownName(f"the page has no part called {name!r:.80}; it may be one of another version: load the page again",
                          code="unknown_asset", where="asset")
    return _send(request, found, {"Cache-Control": packed.FOREVER, "Vary": "Accept-Encoding"})


async def favicon(request: web.Request) -> web.Response:
    """GET /favicon.ico: the mark of this service, as SVG."""
    pages = request.app[PAGES]
    if pages.icon is None:
        return web.Response(status=204)
    return _send(request, pages.assets[pages.icon], {"Cache-Control": "public, max-age=86400", "Vary": "Accept-Encoding"})


def _page(request: web.Request, page: Made, vary: str) -> web.Response:
    return _send(request, page, {"Cache-Control": "no-cache", "Content-Security-Policy": POLICY, "Vary": vary})


def _send(request: web.Request, made: Made, headers: dict[str, str]) -> web.Response:
    """Answer with a file, or that it has not changed."""
    kind = made.media + "; charset=utf-8" * made.media.startswith(_TEXT)
    return packed.send(request, made.digest, made.plain, made.packed, {**headers, "Content-Type": kind})
