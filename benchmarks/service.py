"""The house over HTTP: single questions against an aiohttp hello world in the same run, and a list of 10,000."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator

import aiohttp
import numpy as np

from cfcore import open_field

_HELLO = """
import sys
from aiohttp import web
async def hello(request): return web.Response(body=b'{"hello": "world"}', content_type="application/json")
app = web.Application(); app.router.add_get("/", hello)
async def main():
    runner = web.AppRunner(app, access_log=None); await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0); await site.start()
    print("on http://127.0.0.1:%d ready in" % runner.addresses[0][1], flush=True)
    import asyncio; await asyncio.Event().wait()
import asyncio; asyncio.run(main())
"""


@contextlib.asynccontextmanager
async def process(*command: str) -> AsyncIterator[str]:
    """Run a server until the block ends; yield its address."""
    child = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert child.stdout is not None
    text = ""
    try:
        while "ready in" not in text:
            text += await asyncio.to_thread(child.stdout.readline)
            if child.poll() is not None:
                raise RuntimeError("the server did not start")
        yield re.search(r"http://[\d.:]+", text)[0]  # type: ignore[index]
    finally:
        child.terminate()
        child.wait()


async def rate(url: str, clients: int, seconds: float) -> float:
    """Return answered requests per second of some clients that ask one after the other."""
    count, end = 0, time.perf_counter() + seconds
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=clients)) as session:
        async def client() -> None:
            nonlocal count
            while time.perf_counter() < end:
                async with session.get(url) as answer:
                    await answer.read()
                    assert answer.status == 200
                count += 1
        await asyncio.gather(*(client() for _ in range(clients)))
    return count / seconds


async def measure(quick: bool) -> dict[str, object]:
    """Time both servers in alternating rounds."""
    seconds, rounds = (0.5, 2) if quick else (1.5, 3)
    with tempfile.TemporaryDirectory() as folder:
        field = open_field("ongc-linear", folder)
        async with process("-m", "cfcore.cli", "serve", "--port", "0", "--data", folder) as house, \
                process("-c", _HELLO) as hello:
            rates: dict[str, float] = {}
            for _ in range(rounds):
                for clients in (1, 16, 64):
                    for name, url in (("ours", f"{house}/get_flow_by_position?lon=10&lat=20&cz=3000"), ("hello", hello + "/")):
                        key = f"{name}_c{clients}"
                        rates[key] = max(rates.get(key, 0.0), await rate(url, clients, seconds))
            rng = np.random.default_rng(3)
            n = 10_000
            columns = {"lon": rng.uniform(0, 360, n), "lat": rng.uniform(-90, 90, n), "cz": rng.uniform(500, 9000, n)}
            body = json.dumps({k: v.tolist() for k, v in columns.items()}).encode()
            times: dict[str, float] = {}
            async with aiohttp.ClientSession() as session:
                for _ in range(rounds + 1):
                    began = time.perf_counter()
                    field.distance(columns["lon"], columns["lat"], columns["cz"])
                    times["kernel"] = min(times.get("kernel", 9e9), time.perf_counter() - began)
                    for media in ("application/json", "application/msgpack"):
                        began = time.perf_counter()
                        async with session.post(f"{house}/get_flow/distance", data=body, headers={
                                "Content-Type": "application/json", "Accept": media}) as answer:
                            await answer.read()
                            assert answer.status == 200
                        times[media] = min(times.get(media, 9e9), time.perf_counter() - began)
    return {"requests_per_s": {k: round(v) for k, v in rates.items()},
            "list_of_10000_ms": {k: round(v * 1e3, 1) for k, v in times.items()},
            "ratios": {"c16_of_hello": rates["ours_c16"] / rates["hello_c16"],
                       "c64_of_hello": rates["ours_c64"] / rates["hello_c64"],
                       "kernel_of_list_json": times["kernel"] / times["application/json"]},
            "floors": {"c16_of_hello": 0.15, "c64_of_hello": 0.15, "kernel_of_list_json": 0.2}}


def run(quick: bool) -> dict[str, object]:
    """Run the section."""
    return asyncio.run(measure(quick))
