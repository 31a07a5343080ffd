"""`cosmicflows keys new|list|revoke`: what is said on a terminal about the keys of worker hosts; `keyring` does the work."""

from __future__ import annotations

import sys
from pathlib import Path

from cfcore import keyfile
from cfcore.settings import Settings, data_option

from .keyring import Keyring


def keyring(settings: Settings) -> Keyring:
    """Return the keys of a data directory."""
    return Keyring(settings.data / "keys")


def new(settings: Settings, name: str, out: str | None) -> int:
    """Make and allow a key; write its file, or with ``-`` print it alone, for a pipe into a store of secrets."""
    keys = keyring(settings)
    path = None if out == "-" else Path(out) if out else Path.cwd() / f"{keyfile.check_name(name)}.key"
    key = keys.new(name, path)
    if path is None:
        sys.stdout.write(keyfile.dump(key).decode())
        return 0
    print(f"{path}   the key of {name}, secret: copy it to that host, for the worker's user alone to read, and delete it here:\n"
          f"  scp -p {path} {name}:\n"
          f"  ssh {name} cosmicflows worker --connect tcp://GATEWAY:5573 --key {path.name}\n"
          f"The gateway knows it at once. It is cut off with: cosmicflows keys revoke {name}{data_option(settings.data)}")
    return 0


def list_all(settings: Settings) -> int:
    """Print the allow-list and what was revoked; who is connected only the running gateway knows."""
    lines = [(entry.name, entry.fingerprint, entry.since, f"revoked {entry.revoked}" if entry.revoked else "allowed")
             for entry in keyring(settings).entries()]
    if not lines:
        print(f"no keys in {settings.data / 'keys'}; make one with: cosmicflows keys new NAME{data_option(settings.data)}")
        return 0
    table = [("name", "fingerprint", "since", "state"), *lines]
    widths = [max(len(line[k]) for line in table) for k in range(4)]
    for line in table:
        print("  ".join(text.ljust(width) for text, width in zip(line, widths)).rstrip())
    return 0


def revoke(settings: Settings, name: str) -> int:
    """Take a key off the list."""
    entry = keyring(settings).revoke(name)
    print(f"{name} ({entry.fingerprint}) is revoked; a running gateway cuts it off within a second and gives its work to others")
    return 0
