#!/bin/sh
# Run the tests that the arguments name; without arguments all of them, in two parts: what computes or waits shares the
# processors (pytest-xdist, file by file), what times processes against each other has the machine to itself.
set -u
VENV=${VENV:-.venv}

if [ $# -gt 0 ]; then
    exec "$VENV/bin/python" -m pytest "$@"
fi
alone="tests/chaos tests/web tests/worker"
beside="tests/web/test_slow_clients.py tests/web/test_schemathesis.py tests/web/test_hostile_doors.py"
shared=$beside
for folder in tests/*/; do
    folder=${folder%/}
    case " $alone " in
    *" $folder "*) ;;
    *) find "$folder" -name 'test_*.py' | grep -q . && shared="$shared $folder" ;;
    esac
done
status=0
# shellcheck disable=SC2086
"$VENV/bin/python" -m pytest -n 2 --dist loadfile $shared || status=$?
# shellcheck disable=SC2046,SC2086
"$VENV/bin/python" -m pytest $alone $(printf -- '--ignore=%s ' $beside) || status=$?
exit $status
