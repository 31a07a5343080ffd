"""The files of the page over HTTP, from a gateway with files made for it: who gets them, packed or not, kept or not."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest
from multidict import CIMultiDict
from yarl import URL

from cfcore.settings import Settings
from gateway import pages, server

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
SCRIPT = b"export const speed = 299792.458;\n" * 40
STRICT = "default-src 'self'"
Asked = tuple[int, CIMultiDict[str], bytes]


def build(folder: Path) -> None:
    """Write files as the build does."""
    (folder / "assets").mkdir(parents=True)
    files = {"index.html": b"<!doctype html><title>page</title>" * 20, "docs.html": b"<!doctype html><title>docs</title>" * 20,
             "licences.md": b"theirs", "assets/index-1a2b3c4d.js": SCRIPT, "assets/mark-1a2b3c4d.svg": b"<svg/>",
             "assets/odd-1a2b3c4d.bin": b"\0\1", "assets/stale-1a2b3c4d.css": b"a { color: red }" * 30}
    for name, text in files.items():
        (folder / name).write_bytes(text)
        (folder / f"{name}.gz").write_bytes(gzip.compress(text, mtime=0))
    # left by another build: what is packed in it is not what lies beside it
    (folder / "assets/stale-1a2b3c4d.css.gz").write_bytes(gzip.compress(b"b { color: blue }"))


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Asked]]:
    """Return a way to ask a real gateway, with or without a page, one thing after the other."""
    def ask(*requests: tuple[str | URL, dict[str, str]], is_built: bool = True, method: str = "GET") -> list[Asked]:
        monkeypatch.setattr(pages, "STATIC", tmp_path / "static")
        if is_built:
            build(tmp_path / "static")

        async def run() -> list[Asked]:
            runner = await server.start(Settings(data=tmp_path, port=0, bus=f"ipc://{tmp_path}/bus"))
            try:
                async with aiohttp.ClientSession(server.address(runner), auto_decompress=False,
                                                 skip_auto_headers=("Accept", "Accept-Encoding")) as session:
                    found = []
                    for path, headers in requests:
                        async with session.request(method, path, headers=headers) as answer:
                            found.append((answer.status, answer.headers.copy(), await answer.read()))
                    return found
            finally:
                await runner.cleanup()
        return asyncio.run(run())
    return ask


def test_browsers_get_the_page_and_programs_the_index(asked: Callable[..., list[Asked]]) -> None:
    accepts = {BROWSER: "text/html", "text/html": "text/html", "text/html, application/json": "text/html",
               "application/json": "application/json", "*/*": "application/json", "": "application/json",
               "application/json, text/html": "application/json", "text/html;q=0.5, */*": "application/json",
               "text/*": "text/html", "image/png": "application/json"}
    found = asked(*(("/", {"Accept": accept} if accept else {}) for accept in accepts))
    for (accept, media), (status, headers, body) in zip(accepts.items(), found, strict=True):
        assert status == 200 and headers["Content-Type"] == f"{media}; charset=utf-8", accept
        assert headers["Vary"].startswith("Accept") and headers["X-Content-Type-Options"] == "nosniff"
        policy = headers["Content-Security-Policy"]
        assert policy == (pages.POLICY if media == "text/html" else STRICT) and "unsafe" not in policy
        assert (b"<title>page" in body) == (media == "text/html")
        if media == "text/html":
            assert headers["Cache-Control"] == "no-cache" and headers["ETag"]


def test_without_a_build_everybody_gets_the_index_and_is_told_the_way_out(asked: Callable[..., list[Asked]]) -> None:
    (status, headers, body), docs, asset, icon = asked(("/", {"Accept": BROWSER}), ("/docs", {}), ("/assets/x-1a2b3c4d.js", {}),
                                                       ("/favicon.ico", {}), is_built=False)
    assert status == 200 and headers["Content-Type"].startswith("application/json")
    assert b'"page":null,"docs":null' in body and b"make page" in body
    assert docs[0] == 404 and b"page_not_built" in docs[2] and b"make page" in docs[2] and b"/openapi.json" in docs[2]
    assert asset[0] == 404 and b"unknown_asset" in asset[2]
    assert (icon[0], icon[2]) == (204, b"")


def test_assets_are_kept_for_good_and_packed_for_those_who_take_it(asked: Callable[..., list[Asked]]) -> None:
    takes = {"gzip, deflate, br": True, "": False, "gzip;q=0": False, "*": True, "identity": False, "br;q=1.0, *;q=0": False,
             "x-gzip": True, "gzip; q=0.5": True}
    name = "/assets/index-1a2b3c4d.js"
    found = asked(*((name, {"Accept-Encoding": accept} if accept else {}) for accept in takes))
    for (accept, is_packed), (status, headers, body) in zip(takes.items(), found, strict=True):
        assert status == 200 and (headers.get("Content-Encoding") == "gzip") is is_packed, accept
        assert (gzip.decompress(body) if is_packed else body) == SCRIPT
        assert headers["Cache-Control"] == "public, max-age=31536000, immutable" and headers["Vary"] == "Accept-Encoding"
        assert headers["Content-Type"] == "text/javascript; charset=utf-8" and int(headers["Content-Length"]) == len(body)
    assert len({headers["ETag"] for _, headers, _ in found}) == 2, "the packed and the plain form are two"


def test_every_kind_of_file_has_its_type_and_unknown_ones_none_that_runs(asked: Callable[..., list[Asked]]) -> None:
    kinds = {"mark-1a2b3c4d.svg": "image/svg+xml; charset=utf-8", "odd-1a2b3c4d.bin": "application/octet-stream",
             "stale-1a2b3c4d.css": "text/css; charset=utf-8"}
    found = asked(*((f"/assets/{name}", {"Accept-Encoding": "gzip"}) for name in kinds), ("/favicon.ico", {}))
    assert [(status, headers["Content-Type"]) for status, headers, _ in found] == [
        (200, media) for media in (*kinds.values(), "image/svg+xml; charset=utf-8")]
    # six bytes do not get shorter, and a packed file of another build is not ours
    assert not any("Content-Encoding" in headers for _, headers, _ in found) and found[2][2].startswith(b"a { color")


def test_only_what_was_built_is_served_whatever_the_address_says(asked: Callable[..., list[Asked]]) -> None:
    names = ("index.html", "nothing-1a2b3c4d.js", "..%2findex.html", "%2e%2e%2f", "index-1a2b3c4d.js.gz", "..%5cindex.html",
             "%00", "licences.md")
    found = asked(*((URL(f"/assets/{name}", encoded=True), {}) for name in names))
    for name, (status, headers, body) in zip(names, found, strict=True):
        assert status == 404 and headers["Content-Type"] == "application/problem+json" and b'"unknown_asset"' in body, name
        assert headers["Content-Security-Policy"] == STRICT and "Cache-Control" not in headers


def test_head_tells_the_length_and_sends_nothing(asked: Callable[..., list[Asked]]) -> None:
    got = asked(("/", {"Accept": BROWSER}), ("/docs", {}), ("/assets/index-1a2b3c4d.js", {}), method="HEAD")
    assert [(status, body) for status, _, body in got] == [(200, b"")] * 3
    assert int(got[2][1]["Content-Length"]) == len(SCRIPT)


def test_what_has_not_changed_is_not_sent_again(tmp_path: Path, asked: Callable[..., list[Asked]]) -> None:
    build(tmp_path / "twin")
    made = pages.Pages(tmp_path / "twin").html["index"]
    tags = [f'"{made.digest}"', f'W/"{made.digest}-gzip"', '"other", "another"', f'"x", "{made.digest}"']
    found = asked(*(("/", {"Accept": BROWSER, "If-None-Match": tag}) for tag in tags))
    assert [status for status, _, _ in found] == [304, 304, 200, 304]
    assert all(body == b"" and headers["Content-Security-Policy"] == pages.POLICY and headers["ETag"]
               for status, headers, body in found if status == 304)
