#!/bin/sh
# Build the core once more beside the normal one, with checks too slow for every day, and test the physics on that copy.
#   sh deploy/checked.sh debug|sanitize [pytest arguments]
set -eu
python=${VENV:-.venv}/bin/python
kind=${1:?debug or sanitize}
shift
lib=build/$kind/lib

case $kind in
debug)
    switch=CF_DEBUG=1
    tests=tests/core
    ;;
sanitize)
    switch=CF_SANITIZE=1
    tests="tests/core/test_kernels.py tests/core/test_kernel_fuzz.py tests/core/test_posterior.py tests/core/test_known_answers.py tests/core/test_frames.py"
    ;;
*)
    echo "checked: debug or sanitize, not $kind" >&2
    exit 2
    ;;
esac

env "$switch" "$python" setup.py --quiet build --build-base "build/$kind" --build-lib "$lib"

# The copy stands before the checkout (-P) and its editable install (PYTHONPATH); --core refuses any other. The sanitizer
# ends the process with its words on stderr, which pytest must not hold back: --capture=sys.
export PYTHONPATH="$PWD/$lib"
set -- "$python" -P -m pytest -p no:cacheprovider --capture=sys --core "$lib" $tests "$@"
[ "$kind" = sanitize ] || exec "$@"
# Python itself is not built with the sanitizer: its runtime must come first, and libstdc++ with it, or SciPy's exceptions find
# no thrower. PYTHONMALLOC: each small object of Python gets fences of its own. No leak search: CPython keeps interned strings,
# types and modules until the process ends.
exec timeout 300 env LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libstdc++.so)" \
    PYTHONMALLOC=malloc ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 "$@"
