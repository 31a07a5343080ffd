"""A product comes over the wire once, whole and as published, or not at all; shown on a real socket."""

from __future__ import annotations

import dataclasses
import http.server
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cfcore.errors import BadParameter, FieldRefused, TransientError, UsageError
from cfcore.fetch import fetch
from cfcore.fieldfile import open_folder
from cfcore.products import PRODUCTS, Product

Toy = tuple[Product, Path]


class Server(http.server.ThreadingHTTPServer):
    """Serve one directory, with the faults a test asks for, and remember what was asked and sent."""

    daemon_threads = True

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.asked: list[tuple[str, str | None]] = []
        self.sent = 0
        self.break_after: list[int] = []
        self.ranges = True
        self.etag: str | None = '"v1"'
        self.status = 0
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.asked.append((self.path.lstrip("/"), wanted))
        path = self.server.directory / self.path.lstrip("/")
        if self.server.status or not path.is_file():
            self.send_error(self.server.status or 404)
            return
        body, start = path.read_bytes(), 0
        fresh = self.headers.get("If-Range") in (None, self.server.etag)
        if wanted and self.server.ranges and fresh:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(body):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(body) - start))
        if self.server.etag:
            self.send_header("ETag", self.server.etag)
        self.end_headers()
        stop = start + self.server.break_after.pop(0) if self.server.break_after else len(body)
        self.wfile.write(body[start:stop])
        self.server.sent += len(body[start:stop])
        self.close_connection = True

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(toy_product: Toy) -> Iterator[Server]:
    with Server(toy_product[1]) as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def _total(record: Product) -> int:
    return sum(f.bytes for f in record.files)


def test_a_product_is_fetched_checked_and_installed(toy_product: Toy, server: Server, tmp_path: Path) -> None:
    record, _ = toy_product
    seen: list[tuple[str, int, int]] = []
    folder = fetch(record, tmp_path / "data", lambda *step: seen.append(step), base=server.base)
    manifest, cells, _ = open_folder(folder)
    assert manifest.product == "toy" and cells.shape == (24, 24, 24, 4)
    assert server.asked == [(f.name, None) for f in record.files] and server.sent == _total(record)
    assert seen[-1] == (record.files[1].name, record.files[1].bytes, record.files[1].bytes)
    assert not list((tmp_path / "data" / "downloads").glob("*.part"))


def test_a_second_fetch_downloads_nothing(toy_product: Toy, server: Server, tmp_path: Path) -> None:
    first = fetch(toy_product[0], tmp_path / "data", base=server.base)
    server.asked.clear()
    assert fetch(toy_product[0], tmp_path / "data", base=server.base) == first and server.asked == []


def test_the_address_may_come_from_the_environment(toy_product: Toy, server: Server, tmp_path: Path,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CF_FETCH_BASE", server.base + "/")
    assert fetch(toy_product[0], tmp_path / "data").is_dir()
    monkeypatch.setenv("CF_FETCH_BASE", "file:///etc")
    with pytest.raises(BadParameter, match="must begin with https:// or http://"):
        fetch(toy_product[0], tmp_path / "other")


def test_a_broken_connection_is_taken_up_where_it_stopped(toy_product: Toy, server: Server, tmp_path: Path) -> None:
    record, _ = toy_product
    server.break_after = [50_000, 30_000]
    fetch(record, tmp_path / "data", base=server.base)
    name = record.files[0].name
    assert server.asked[:3] == [(name, None), (name, "bytes=50000-"), (name, "bytes=80000-")]
    assert server.sent == _total(record)


def test_an_interrupted_download_goes_on_in_the_next_call(toy_product: Toy, server: Server, tmp_path: Path) -> None:
    record, _ = toy_product
    server.break_after = [40_000, 0]
    with pytest.raises(TransientError, match="broke off after 40000 of 166016 bytes.*40000 of 166016 bytes are here"):
        fetch(record, tmp_path / "data", base=server.base)
    server.asked.clear()
    fetch(record, tmp_path / "data", base=server.base)
    assert server.asked[0] == (record.files[0].name, "bytes=40000-")
    assert server.sent == _total(record)


def test_a_server_without_ranges_or_with_a_newer_file_sends_the_whole(toy_product: Toy, server: Server,
                                                                      tmp_path: Path) -> None:
    for change in ({"ranges": False}, {"etag": '"v2"'}):
        server.ranges, server.etag, server.break_after = True, '"v1"', [40_000, 0]
        data = tmp_path / next(iter(change))
        with pytest.raises(TransientError):
            fetch(toy_product[0], data, base=server.base)
        vars(server).update(change)
        assert fetch(toy_product[0], data, base=server.base).is_dir()


def test_a_part_longer_than_the_servers_file_begins_anew(toy_product: Toy, server: Server, tmp_path: Path) -> None:
    record, home = toy_product
    part = tmp_path / "data" / "downloads" / f"{record.files[0].name}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * (record.files[0].bytes + 5))
    assert fetch(record, tmp_path / "data", base=server.base).is_dir()


@pytest.mark.parametrize(("change", "reason"), [
    (lambda b: b[:5000] + bytes([b[5000] ^ 1]) + b[5001:], "content of toy_velocity.npy .*differs.*was removed"),
    (lambda b: b[:-100], "offers 165916 bytes where the published toy_velocity.npy has 166016"),
    (lambda b: b + b"x", "offers 166017 bytes"),
    (lambda b: b"<html>moved</html>", "offers 18 bytes"),
])
def test_a_file_that_is_not_the_published_one_is_removed_and_refused(toy_product: Toy, server: Server, tmp_path: Path,
                                                                    change: object, reason: str) -> None:
    record, home = toy_product
    path = home / record.files[0].name
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(FieldRefused, match=reason):
        fetch(record, tmp_path / "data", base=server.base)
    assert not list((tmp_path / "data" / "downloads").glob("toy_*"))
    assert not (tmp_path / "data" / "fields").exists()


def test_no_network_names_file_address_and_the_way_by_hand(toy_product: Toy, tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        base = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(TransientError) as caught:
            fetch(toy_product[0], tmp_path / "data", base=base)
    for part in ("toy_velocity.npy", f"{base}/toy_velocity.npy", "Connection refused", "cosmicflows fields add PATH"):
        assert part in caught.value.message


@pytest.mark.parametrize("status", [404, 503])
def test_a_server_that_refuses_is_asked_once(toy_product: Toy, server: Server, tmp_path: Path, status: int) -> None:
    server.status = status
    with pytest.raises(TransientError, match=f"the server answers {status}"):
        fetch(toy_product[0], tmp_path / "data", base=server.base)
    assert len(server.asked) == 1


def test_a_silent_server_is_given_up(toy_product: Toy, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with pytest.raises(TransientError, match="timed out"):
            base = f"http://127.0.0.1:{silent.getsockname()[1]}"
            fetch(toy_product[0], tmp_path / "data", base=base, timeout_s=0.2)


def test_a_damaged_installation_is_mended_from_the_files_that_are_here(toy_product: Toy, server: Server,
                                                                      tmp_path: Path) -> None:
    folder = fetch(toy_product[0], tmp_path / "data", base=server.base)
    (folder / "cells.npy").unlink()
    server.asked.clear()
    assert fetch(toy_product[0], tmp_path / "data", base=server.base) == folder
    open_folder(folder)
    assert server.asked == []


def test_products_without_known_checksums_say_where_their_files_are(tmp_path: Path) -> None:
    for key in ("2mpp", "cf3-57runs", "cf4-128"):
        with pytest.raises(UsageError, match=f"cosmicflows fields add PATH --product {key}") as caught:
            fetch(PRODUCTS[key], tmp_path)
        assert caught.value.code == "not_fetchable"
    assert PRODUCTS["cf4gp"].fetchable
    assert not dataclasses.replace(PRODUCTS["cf4gp"], fetch_base=None).fetchable
