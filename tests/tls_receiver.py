"""A receiver of webhooks on a port of its own, with TLS and certificates of an authority that the tests make."""

from __future__ import annotations

import datetime
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LIFE = datetime.timedelta(days=1)


class Authority:
    """Sign certificates in a folder; `file` is what a client is to believe."""

    def __init__(self, folder: Path, name: str = "tests") -> None:
        self._folder, self._key = folder, ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"authority of the {name}")])
        made = self._certificate(self._name, self._key.public_key(), x509.BasicConstraints(ca=True, path_length=0))
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(made.public_bytes(serialization.Encoding.PEM))

    def server(self, *names: str) -> ssl.SSLContext:
        """Return what a server of some names presents."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        made = self._certificate(subject, key.public_key(), x509.BasicConstraints(ca=False, path_length=None),
                                 x509.SubjectAlternativeName([x509.DNSName(name) for name in names]))
        path = self._folder / f"{names[0]}-{id(key)}.pem"
        path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    def client(self) -> ssl.SSLContext:
        """Return what a client looks at certificates with."""
        return ssl.create_default_context(cafile=str(self.file))

    def _certificate(self, subject: x509.Name, public: ec.EllipticCurvePublicKey, basic: x509.BasicConstraints,
                     *extensions: x509.ExtensionType) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = (x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(public)
                   .serial_number(x509.random_serial_number()).not_valid_before(now - LIFE).not_valid_after(now + LIFE)
                   .add_extension(basic, critical=True)
                   .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
                   .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
                   .add_extension(x509.KeyUsage(digital_signature=True, key_cert_sign=basic.ca, crl_sign=basic.ca,
                                                key_agreement=False, content_commitment=False, key_encipherment=False,
                                                data_encipherment=False, encipher_only=False, decipher_only=False),
                                  critical=True))
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(self._key, hashes.SHA256())


@dataclass
class Call:
    """Hold one request that came."""

    path: str
    headers: dict[str, str]
    body: bytes
    sni: str | None
    time: float = field(default_factory=time.monotonic)


Answer = Callable[[BaseHTTPRequestHandler], None]


def status(code: int, *, seconds: float = 0.0, **headers: str) -> Answer:
    """Return an answer with a status, some time later."""
    def send(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(seconds)
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name, value)
        body = b"" if code == 204 else b"ok"
        if body:
            handler.send_header("Content-Length", "2")
        handler.end_headers()
        handler.wfile.write(body)
    return send


class Receiver(ThreadingHTTPServer):
    """Take calls on a loopback address; `answers` are used one after the other, the last one again and again.

    Parameters
    ----------
    context : ssl.SSLContext or None
        None speaks plain HTTP.
    address, port : str, int
        Where to listen; port 0 takes a free one.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, context: ssl.SSLContext | None, *answers: Answer, address: str = "127.0.0.1", port: int = 0) -> None:
        super().__init__((address, port), _Handler)
        self.calls: list[Call] = []
        self.answers = list(answers) or [status(200)]
        self.faults: list[str] = []
        self.connections = self.under_way = self.most_under_way = 0
        self._context, self._lock = context, threading.Lock()
        self._names = threading.local()
        if context is not None:
            context.sni_callback = lambda sock, name, _: setattr(self._names, "sni", name)
        self.port = int(self.server_address[1])
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> Receiver:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()

    def url(self, host: str, path: str = "/hook") -> str:
        """Return where it is called under a name."""
        return f"https://{host}:{self.port}{path}"

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Shake hands in the thread of the connection."""
        with self._lock:
            self.connections += 1
        self._names.sni = None
        if self._context is not None:
            request.settimeout(20)
            request = self._context.wrap_socket(request, server_side=True)
        try:
            super().finish_request(request, client_address)
        finally:
            request.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Note a client that left or did not like us."""
        self.faults.append(repr(sys.exception()))

    def came(self, call: Call) -> Answer:
        """Note a call; return what to answer."""
        with self._lock:
            call.sni = getattr(self._names, "sni", None)
            self.calls.append(call)
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
            return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def left(self) -> None:
        """Note that a call is answered."""
        with self._lock:
            self.under_way -= 1

    def wait(self, n: int, timeout_s: float = 20.0) -> list[Call]:
        """Wait for n calls."""
        begin = time.monotonic()
        while len(self.calls) < n:
            assert time.monotonic() - begin < timeout_s, f"{len(self.calls)} calls of {n}; {self.faults}"
            time.sleep(0.01)
        return self.calls


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        answer = self.server.came(Call(self.path, {k.lower(): v for k, v in self.headers.items()}, body, None))
        try:
            answer(self)
        finally:
            self.server.left()
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def free_port() -> int:
    """Return a port on which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
