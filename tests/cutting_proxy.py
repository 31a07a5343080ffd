"""A TCP proxy before a house that breaks connections where a test wants them broken, and a server that says what a test wrote."""

from __future__ import annotations

import contextlib
import http.server
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Iterator


class CuttingProxy:
    """Pass bytes to and fro; break a connection with RST once so many bytes of its answers have come from the house.

    Attributes
    ----------
    budgets : deque of int
        One entry for each connection that is to be broken, in turn; later ones live. The bytes within a budget are passed on.
    answered : list of int
        Bytes that each connection has brought from the house.
    """

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self.budgets: deque[int] = deque()
        self.answered: list[int] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._sockets = {self._listener}
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._target)
                self._sockets |= {near, far}
                self.answered.append(0)
                budget = self.budgets.popleft() if self.budgets else None
                threading.Thread(target=self._pass, args=(near, far), daemon=True).start()
                threading.Thread(target=self._answer, args=(far, near, len(self.answered) - 1, budget), daemon=True).start()

    def _pass(self, near: socket.socket, far: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := near.recv(1 << 16):
                far.sendall(piece)
            far.shutdown(socket.SHUT_WR)

    def _answer(self, far: socket.socket, near: socket.socket, number: int, budget: int | None) -> None:
        with contextlib.suppress(OSError):
            while piece := far.recv(1 << 16):
                if budget is not None and self.answered[number] + len(piece) > budget:
                    near.sendall(piece[:budget - self.answered[number]])
                    # the rest of the answer is lost on the way; what has been passed on is given time to be read
                    time.sleep(0.05)
                    near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    break
                self.answered[number] += len(piece)
                near.sendall(piece)
        for end in (near, far):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def close(self) -> None:
        """Break everything."""
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


class Said(http.server.ThreadingHTTPServer):
    """A server with prepared answers (status, headers, body), the last of them for ever; it notes what it was asked."""

    def __init__(self, *answers: tuple[int, dict[str, str], bytes]) -> None:
        self.answers = deque(answers)
        self.heard: list[tuple[str, str, dict[str, str]]] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(handler) -> None:  # noqa: N805
                handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
                self.heard.append((handler.command, handler.path, {k.lower(): v for k, v in handler.headers.items()}))
                status, headers, body = self.answers[0] if len(self.answers) == 1 else self.answers.popleft()
                handler.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    handler.send_header(name, value)
                handler.end_headers()
                handler.wfile.write(body)

            do_POST = do_GET

            def log_message(handler, format: str, *arguments: object) -> None:  # noqa: A002, N805
                """Say nothing."""
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


@contextlib.contextmanager
def saying(*answers: tuple[int, dict[str, str], bytes]) -> Iterator[Said]:
    """Run a server with prepared answers."""
    server = Said(*answers)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
