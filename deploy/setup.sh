#!/bin/sh
# Make $VENV from nothing: a Python of at least 3.11, a C compiler, the package and everything its tests use.
set -eu
VENV=${VENV:-.venv}

say() { printf 'setup: %s\n' "$*" >&2; }

apt_install() {
    if ! command -v apt-get >/dev/null 2>&1 || [ "$(id -u)" != 0 ]; then
        say "please install: $*  (then run make again)"
        exit 1
    fi
    say "installing $*"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

find_python() {
    for candidate in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11 python; do
        if command -v "$candidate" >/dev/null 2>&1 &&
            "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return 0
        fi
    done
    return 1
}

python=$(find_python) || { apt_install python3 python3-venv python3-dev; python=$(find_python); } ||
    { say "Python 3.11 or later is needed"; exit 1; }
command -v cc >/dev/null 2>&1 || command -v gcc >/dev/null 2>&1 || apt_install gcc libc6-dev
"$python" -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' ||
    apt_install python3-dev

if [ ! -x "$VENV/bin/python" ]; then
    say "creating $VENV with $("$python" --version)"
    # Debian ships venv without ensurepip unless python3-venv is there
    "$python" -m venv "$VENV" 2>/dev/null || { rm -rf "$VENV"; apt_install python3-venv; "$python" -m venv "$VENV"; }
fi
# a core left by an earlier build under another name would be imported before the new one
rm -f cfcore/_kernels.*.so
say "installing the package and what its tests use"
"$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-compile --editable '.[server,test]'
# on all processors, where pip takes one; some packages carry files that are no Python of today
"$VENV/bin/python" -m compileall -q -j 0 "$VENV/lib" >/dev/null 2>&1 || true
say "done"
