#!/bin/sh
# Run the tests that the arguments name; without arguments all of them: in three parts what computes or waits (and beside it the
# page's own, vitest), what starts, kills and times single processes, and what drives whole crowds and has the machine to itself.
# The first two share the processors, file by file (pytest-xdist), in the order of their names: the longest come early and the
# short ones fill the gaps at the end. xdist's own order, by number of tests, leaves few but long ones for the end, and a
# processor with nothing to do. Three at a time in the first: a twentieth less of time than two.
set -u
VENV=${VENV:-.venv}

if [ $# -gt 0 ]; then
    exec "$VENV/bin/python" -m pytest "$@"
fi
timed="tests/worker"
for name in doctor http lifecycle logs metrics watching; do
    timed="$timed tests/web/test_$name.py"
done
# where tests/conftest.py notes what went wrong
FAILED_TESTS=$(mktemp)
PAGE_TESTS=$(mktemp)
export FAILED_TESTS
trap 'rm -f "$FAILED_TESTS" "$PAGE_TESTS"' EXIT
side_by_side="--dist loadfile --no-loadscope-reorder"
status=0
sh deploy/page.sh test >"$PAGE_TESTS" 2>&1 &
page=$!
# shellcheck disable=SC2046,SC2086
"$VENV/bin/python" -m pytest -n 3 $side_by_side $(printf -- '--ignore=%s ' tests/chaos $timed) || status=1
wait "$page" || { status=1; echo "the page's own tests (vitest)" >>"$FAILED_TESTS"; }
cat "$PAGE_TESTS"
# shellcheck disable=SC2086
"$VENV/bin/python" -m pytest -n 2 $side_by_side $timed || status=1
"$VENV/bin/python" -m pytest tests/chaos || status=1
# four parts say much: what went wrong stands at the end once more
[ $status -eq 0 ] || { echo; echo "went wrong:"; cat "$FAILED_TESTS"; }
exit $status
