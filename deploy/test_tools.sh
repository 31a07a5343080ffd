#!/bin/sh
# Install what some tests run on and pip does not bring with the others: PostgreSQL, the command ip, STILTS and Chromium, where we
# may (root, apt-get and a network), and checkov. Never fails: what is missing is said in one line, and its tests are skipped.
set -u
VENV=${VENV:-.venv}
CHECKOV=3.3.30

say() { printf 'test tools: %s\n' "$*" >&2; }

find_server() {
    for program in "$(command -v initdb 2>/dev/null)" /usr/lib/postgresql/*/bin/initdb; do
        program=$(readlink -f "$program" 2>/dev/null) || continue
        [ -x "$program" ] && [ -x "${program%initdb}postgres" ] && echo "$program" && return 0
    done
    return 1
}

has_sphere() {
    share=$("${1%initdb}pg_config" --sharedir 2>/dev/null) || share=/usr/share/postgresql/$2
    [ -e "$share/extension/pg_sphere.control" ]
}

# one vain attempt is enough: a machine without a network must not wait at every run of the tests
tried=$VENV/.test_tools_tried
may_install() { command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ] && [ ! -e "$tried" ]; }

apt() { DEBIAN_FRONTEND=noninteractive timeout 300 apt-get -qq -o Acquire::Retries=0 -o Acquire::http::Timeout=15 "$@" >/dev/null 2>&1; }

fetch() {
    say "installing $1"
    # the tests make a cluster of their own: the package need not make and start one
    quiet=/etc/postgresql-common/createcluster.d/cosmicflows-tests.conf
    mkdir -p "${quiet%/*}" && echo 'create_main_cluster = false' >"$quiet"
    apt install -y --no-install-recommends "$1" || { apt update; apt install -y --no-install-recommends "$1"; } ||
        { mkdir -p "${tried%/*}" && touch "$tried"; }
    rm -f "$quiet"
}

find_server >/dev/null || { may_install && fetch postgresql; }
if server=$(find_server); then
    major=$("$server" --version | sed -n 's/^[^0-9]*\([0-9]*\).*/\1/p')
    has_sphere "$server" "$major" || { may_install && fetch "postgresql-$major-pgsphere"; }
    has_sphere "$server" "$major" ||
        say "pg_sphere is not here (apt: postgresql-$major-pgsphere): cones are tested on zones of declination only"
else
    say "PostgreSQL is not here and cannot be installed (it takes root, apt-get and a network; rm $tried to try again):" \
        "its tests will be skipped"
fi

if [ "$(uname)" = Linux ]; then
    command -v ip >/dev/null 2>&1 || { may_install && fetch iproute2; }
    command -v ip >/dev/null 2>&1 || say "the command ip is not here (apt: iproute2): no test cuts the network between hosts"
fi

command -v stilts >/dev/null 2>&1 || { may_install && fetch stilts; }
command -v stilts >/dev/null 2>&1 ||
    say "stilts is not here (apt: stilts): no client in Java reads our VOTables and UWS jobs, nor are those held against their schemas"

# playwright, which drives it, could fetch a browser of its own; that of the system is kept up to date by its owner
has_browser() { [ -n "$(command -v chromium || command -v chromium-browser || command -v google-chrome)" ]; }
has_browser || { may_install && fetch chromium && fetch fonts-dejavu-core; }
has_browser || say "Chromium is not here (apt: chromium): the page is not looked at in a browser"

# checkov pins old versions of what we use ourselves (packaging, boto3 and forty more), so it lives in an environment of its
# own; compiling its thousands of modules, of which a run loads few, would take as long again as fetching them
checkov=$VENV/checkov
if [ "$(cat "$checkov/.version" 2>/dev/null)" != "$CHECKOV" ] && [ ! -e "$VENV/.checkov_tried" ]; then
    say "installing checkov $CHECKOV (once, about a minute)"
    rm -rf "$checkov"
    if "$VENV/bin/python" -m venv "$checkov" &&
        timeout 600 "$checkov/bin/pip" install --quiet --no-compile --disable-pip-version-check "checkov==$CHECKOV" 2>/dev/null; then
        echo "$CHECKOV" >"$checkov/.version"
    else
        rm -rf "$checkov"
        touch "$VENV/.checkov_tried"
    fi
fi
[ -e "$checkov/.version" ] ||
    say "checkov $CHECKOV could not be installed (rm $VENV/.checkov_tried to try again): its test will be skipped"
exit 0
