"""A flow server of the classical kind: Flask takes the question, RQ carries it over Redis, a worker answers, Flask polls.

It computes with our own `cfcore`, keeps the field open and polls every millisecond, so that only the way of a request
through the house is compared. Each role is a process of its own: ``web``, ``simple`` (a worker that computes in its own
process) and ``forking`` (RQ's default, a process for each job).
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path

from .peers import installed

KINDS = ("simple", "forking")
NEEDED = ("flask", "rq", "redis")
POLL_S, PATIENCE_S = 0.001, 20.0
_HOST = "127.0.0.1"


def lacking() -> str:
    """Return what is missing on this machine, or nothing."""
    missing = [name for name in NEEDED if not installed(name)]
    return ", ".join(missing if shutil.which("redis-server") else [*missing, "redis-server"])


@lru_cache
def _field(data: str) -> object:
    from cfcore import open_field
    return open_field("ongc-linear", data)


def flow(data: str, lon: float, lat: float, cz: float) -> dict[str, object]:
    """Return the distance of one galaxy: the job."""
    answer = _field(data).distance(lon, lat, cz)  # type: ignore[attr-defined]
    return {"distance": answer.summary(), "v_rad": float(answer.column("v_rad")[0]), "roots": answer.roots(),
            "flags": answer.flags()}


@contextmanager
def running(data: Path, workers: int) -> Iterator[dict[str, str]]:
    """Run Redis, the web server and some workers of each kind until the block ends; yield kind -> URL."""
    with ExitStack() as stack:
        place = stack.enter_context(tempfile.TemporaryDirectory())
        port = free_port()
        stack.enter_context(children(["redis-server", "--bind", _HOST, "--port", str(port), "--save", "", "--appendonly", "no",
                                      "--dir", place]))
        wait_for(port)
        web, *_ = stack.enter_context(children(
            _role("web", port, data), *(_role(kind, port, data) for kind in KINDS for _ in range(workers))))
        assert web.stdout is not None
        address = web.stdout.readline().strip()
        if not address.startswith("http"):
            raise AssertionError("the Flask server did not start")
        yield {kind: f"{address}/{kind}" for kind in KINDS}


@contextmanager
def children(*commands: Sequence[str]) -> Iterator[list[subprocess.Popen[str]]]:
    """Run processes until the block ends; all are asked to end, then those that have not are made to."""
    processes: list[subprocess.Popen[str]] = []
    try:
        for command in commands:
            processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True))
        yield processes
    finally:
        for process in processes:
            process.terminate()
        end = time.monotonic() + 3.0
        for process in processes:
            try:
                process.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()


def play(role: str, port: str, data: str) -> None:
    """Be the web server or a worker until a signal ends it."""
    if role == "web":
        _web(int(port), data)
    else:
        _work(role, int(port), data)


def _role(role: str, port: int, data: Path) -> list[str]:
    # imported, not run: a job's function must not belong to __main__
    return [sys.executable, "-c", "import sys; from benchmarks import rq_peer; rq_peer.play(*sys.argv[1:])", role, str(port),
            str(data)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])


def wait_for(port: int) -> None:
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            socket.create_connection((_HOST, port), 1).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise AssertionError("redis-server did not start") from None
            time.sleep(0.02)


def _web(port: int, data: str) -> None:
    import flask
    import redis
    import rq
    from rq.job import JobStatus
    from werkzeug.serving import WSGIRequestHandler, make_server

    # connections stay open, as ours do; and no line a request
    WSGIRequestHandler.protocol_version = "HTTP/1.1"
    WSGIRequestHandler.log_request = lambda *_: None
    store = redis.Redis(_HOST, port)
    queues = {kind: rq.Queue(kind, connection=store) for kind in KINDS}
    app = flask.Flask(__name__)

    @app.get("/<kind>")
    def ask(kind: str) -> flask.Response:
        lon, lat, cz = (float(flask.request.args[name]) for name in ("lon", "lat", "cz"))
        job = queues[kind].enqueue(flow, data, lon, lat, cz)
        end = time.monotonic() + PATIENCE_S
        while (status := job.get_status()) != JobStatus.FINISHED:
            if status == JobStatus.FAILED or time.monotonic() > end:
                flask.abort(500)
            time.sleep(POLL_S)
        return flask.jsonify(job.return_value())

    server = make_server(_HOST, 0, app, threaded=True)
    print(f"http://{_HOST}:{server.server_port}", flush=True)
    server.serve_forever()


def _work(kind: str, port: int, data: str) -> None:
    import redis
    import rq

    # opened before the first job, so that a forked process finds it open
    flow(data, 10.0, 20.0, 3000.0)
    worker = {"simple": rq.SimpleWorker, "forking": rq.Worker}[kind]
    worker([kind], connection=redis.Redis(_HOST, port)).work(logging_level="ERROR")
