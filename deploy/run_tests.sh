#!/bin/sh
# Run the tests that the arguments name; without arguments all of them, in two parts: what computes or waits shares the
# processors (pytest-xdist, file by file), what times processes against each other has the machine to itself.
set -u
VENV=${VENV:-.venv}

if [ $# -gt 0 ]; then
    exec "$VENV/bin/python" -m pytest "$@"
fi
alone="tests/chaos tests/worker"
for name in doctor http lifecycle logs metrics watching; do
    alone="$alone tests/web/test_$name.py"
done
status=0
# shellcheck disable=SC2046,SC2086
"$VENV/bin/python" -m pytest -n 2 --dist loadfile $(printf -- '--ignore=%s ' $alone) || status=$?
# shellcheck disable=SC2086
"$VENV/bin/python" -m pytest $alone || status=$?
exit $status
