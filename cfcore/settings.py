"""Every knob of the services: defaults < cosmicflows.toml < CF_* < command line. Read once, handed down as arguments."""

from __future__ import annotations

import dataclasses
import ipaddress
import os
import re
import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import BadParameter

# Variables with the prefix that are not settings of a service: build and test switches, the download
# mirror, and the server and token of clients.
_OTHER_VARIABLES = {"CF_CHAOS_SEED", "CF_CONFIG", "CF_DEBUG", "CF_FETCH_BASE", "CF_KEY", "CF_SANITIZE", "CF_SERVER",
                    "CF_SHARED", "CF_TOKEN"}

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
ROWS_PER_HOUR_MAX = 1e12
LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
"""How the services write their logs; those of `serve` come out as one."""


def default_data() -> Path:
    """Return where fields and catalogues live when nothing else is said: the user's data home."""
    home = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(home) / "cosmicflows"


def data_option(data: Path) -> str:
    """Return what a command needs to work on a data directory, `` --data DIR``; empty for the default one."""
    return "" if data == default_data() else f" --data {shlex.quote(str(data))}"


@dataclass(frozen=True)
class Settings:
    """Hold the settings of one process.

    Parameters
    ----------
    data : Path
        Directory of fields, catalogue and downloads; ``/flow_data`` in the container.
    host, port : str, int
        Address of the HTTP gateway.
    workers : int
        Flow workers that `serve` starts; 0 starts none.
    field : str
        Default field; empty: the 57Runs files when DATA holds them, else ongc-linear.
    catalog : str
        Where the gateway finds the catalogue service: ``http://HOST:PORT`` or ``unix:/path``.
    catalog_listen : str
        Where the catalogue service listens: ``HOST:PORT`` or ``unix:/path``.
    catalog_dsn : str
        PostgreSQL database of the catalogues, ``postgresql://USER:PASSWORD@HOST:PORT/DATABASE``; empty: files in DATA. Also
        read from ``CATALOG_DSN``.
    admin_token_sha256 : str
        SHA-256 (hex) of the token that may import and drop catalogues and look at workers over HTTP; empty: nobody may.
    bus : str
        Where the gateway meets its workers: ``tcp://HOST:PORT`` or ``ipc:///folder``.
    bus_encrypt : str
        ``off-loopback``: a TCP bus that other hosts can reach is encrypted and admits known keys only; ``always``: one on
        loopback, too.
    results_port : int
        TCP port on which the gateway collects results.
    lane_ports : str
        First and last TCP port of the workers' lanes, ``"5600-5799"``.
    jobs : str
        Folder of the jobs: their rows, their results and what became of them; empty: ``jobs`` in `data`.
    job_retention_days : float
        How long a job that has ended is kept, with its result.
    callback_hosts : str
        Hosts that webhooks may call although they are not public: names and networks (``10.1.2.0/24``), separated by commas.
    rows_per_hour : float
        Rows that a user or a token may ask for in an hour, where nothing else is said of it.
    anonymous_rows_per_hour : float
        The same of an address without credentials; on a gateway that listens on loopback those of its machine have the former.
    anonymous_job_rows : int
        Most rows of a job of an address without credentials, with the same exception.
    trusted_proxies : str
        Networks of the reverse proxies whose header X-Forwarded-For is believed, ``10.0.0.0/8, ::1``; empty: nobody's is.
    log_level : str
        ``debug``, ``info``, ``warning`` or ``error``.
    log_format : str
        ``text`` for people, ``json`` for machines; see `logs`.
    """

    data: Path = dataclasses.field(default_factory=default_data)
    host: str = "127.0.0.1"
    port: int = 5000
    workers: int = dataclasses.field(default_factory=lambda: os.cpu_count() or 1)
    field: str = ""
    catalog: str = "http://127.0.0.1:5571"
    catalog_listen: str = "127.0.0.1:5571"
    catalog_dsn: str = dataclasses.field(default="", repr=False)
    admin_token_sha256: str = dataclasses.field(default="", repr=False)
    bus: str = "tcp://127.0.0.1:5573"
    bus_encrypt: str = "off-loopback"
    results_port: int = 5572
    lane_ports: str = "5600-5799"
    jobs: str = ""
    job_retention_days: float = 14.0
    callback_hosts: str = ""
    rows_per_hour: float = 20e6
    anonymous_rows_per_hour: float = 200e3
    anonymous_job_rows: int = 10_000
    trusted_proxies: str = ""
    log_level: str = "info"
    log_format: str = "text"

    def __post_init__(self) -> None:
        for name, least, greatest in (("port", 0, 65535), ("results_port", 1, 65535), ("workers", 0, 1024),
                                      ("anonymous_job_rows", 1, 1_000_000), ("rows_per_hour", 1.0, ROWS_PER_HOUR_MAX),
                                      ("anonymous_rows_per_hour", 1.0, ROWS_PER_HOUR_MAX)):
            if not least <= getattr(self, name) <= greatest:
                raise BadParameter(f"{name} = {getattr(self, name)} lies outside {least} ... {greatest}", where=name)
        if self.log_level not in ("debug", "info", "warning", "error"):
            raise BadParameter(f"log_level = {self.log_level!r} is not one of debug, info, warning, error",
                               where="log_level")
        if self.log_format not in ("text", "json"):
            raise BadParameter(f"log_format = {self.log_format!r} is not one of text, json", where="log_format")
        if self.bus_encrypt not in ("off-loopback", "always"):
            raise BadParameter(f"bus_encrypt = {self.bus_encrypt!r} is neither off-loopback nor always", where="bus_encrypt")
        if self.admin_token_sha256 and not re.fullmatch(r"[0-9a-fA-F]{64}", self.admin_token_sha256):
            raise BadParameter("admin_token_sha256 is not 64 hexadecimal digits; it holds the SHA-256 of the token, never the "
                               "token: printf %s TOKEN | sha256sum", where="admin_token_sha256")
        if not 0.0 < self.job_retention_days <= 36_500.0:
            raise BadParameter(f"job_retention_days = {self.job_retention_days:g} lies outside 0 ... 36500",
                               where="job_retention_days")
        self.callback_rules()
        self.lane_range()
        self.proxy_networks()

    def proxy_networks(self) -> tuple[Network, ...]:
        """Return the networks of the reverse proxies that are believed."""
        words = self.trusted_proxies.replace(",", " ").split()
        try:
            return tuple(ipaddress.ip_network(word, strict=False) for word in words)
        except ValueError as exc:
            raise BadParameter(f"trusted_proxies = {self.trusted_proxies!r}: {exc}; write networks or addresses with commas, "
                               "such as 10.0.0.0/8, 192.0.2.7, ::1", where="trusted_proxies") from None

    def jobs_folder(self) -> Path:
        """Return the folder of the jobs."""
        return Path(self.jobs).expanduser() if self.jobs else self.data / "jobs"

    def callback_rules(self) -> tuple[frozenset[str], tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]]:
        """Return the names and the networks of `callback_hosts`."""
        names, networks = set(), []
        for word in filter(None, map(str.strip, self.callback_hosts.split(","))):
            if re.fullmatch(r"(?=.*[a-z_-])[a-z0-9_-]+(\.[a-z0-9_-]+)*", word.lower()):
                names.add(word.lower())
                continue
            try:
                networks.append(ipaddress.ip_network(word))
            except ValueError:
                raise BadParameter(f"callback_hosts = {self.callback_hosts!r}: {word!r} is neither the name of a host nor a "
                                   "network; write hooks.lan, 10.1.2.3 or 10.1.2.0/24, separated by commas",
                                   where="callback_hosts") from None
        return frozenset(names), tuple(networks)

    def lane_range(self) -> tuple[int, int]:
        """Return the first and the last lane port."""
        first, dash, last = self.lane_ports.partition("-")
        if not (dash and first.isdecimal() and last.isdecimal() and 0 < int(first) <= int(last) <= 65535):
            raise BadParameter(f"lane_ports = {self.lane_ports!r}; write it as FIRST-LAST, such as 5600-5799",
                               where="lane_ports")
        return int(first), int(last)


def load(overrides: Mapping[str, object] | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings of this process.

    Parameters
    ----------
    overrides : mapping, optional
        Values from the command line; None entries are ignored.
    environ : mapping, optional
        The environment; default `os.environ`.

    Raises
    ------
    BadParameter
        When a key is not known or a value does not fit; nothing starts on a misread setting.
    """
    env = os.environ if environ is None else environ
    names = {f.name for f in dataclasses.fields(Settings)}
    values: dict[str, object] = {}
    path = Path(env.get("CF_CONFIG") or "cosmicflows.toml")
    if path.is_file():
        try:
            values.update(tomllib.loads(path.read_text("utf-8")))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
            raise BadParameter(f"{path.name} cannot be read: {exc}", where=path.name) from exc
    elif env.get("CF_CONFIG"):
        raise BadParameter(f"CF_CONFIG names {path.name}, which is not there", where="CF_CONFIG")
    if env.get("CATALOG_DSN"):
        values["catalog_dsn"] = env["CATALOG_DSN"]
    for key, text in env.items():
        if key.startswith("CF_") and key not in _OTHER_VARIABLES:
            values[key[3:].lower()] = text
    values.update({k: v for k, v in (overrides or {}).items() if v is not None})
    unknown = sorted(values.keys() - names)
    if unknown:
        raise BadParameter(f"setting {unknown[0]!r} is not known; there are {', '.join(sorted(names))}",
                           code="unknown_setting", where=unknown[0])
    return Settings(**{k: _typed(k, v) for k, v in values.items()})  # type: ignore[arg-type]


def _typed(name: str, value: object) -> object:
    if name == "data":
        return Path(str(value)).expanduser()
    if name in ("port", "workers", "results_port", "anonymous_job_rows"):
        try:
            return int(str(value))
        except ValueError:
            raise BadParameter(f"{name} = {value!r} is not a whole number", where=name) from None
    if name in ("job_retention_days", "rows_per_hour", "anonymous_rows_per_hour"):
        try:
            return float(str(value))
        except ValueError:
            raise BadParameter(f"{name} = {value!r} is not a number", where=name) from None
    if not isinstance(value, str):
        raise BadParameter(f"{name} = {value!r} is not text", where=name)
    return value
