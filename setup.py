"""Build the compiled core. Compiler directives live here and in no .pyx file.

`CF_DEBUG=1` checks bounds, `CF_SANITIZE=1` lets the compiler's sanitizers watch; `deploy/checked.sh` builds both aside.
"""

import os
import sysconfig

from setuptools import Extension, setup

DEBUG, SANITIZE = (os.environ.get(name) == "1" for name in ("CF_DEBUG", "CF_SANITIZE"))
DIRECTIVES = {
    "language_level": 3, "boundscheck": DEBUG, "wraparound": False, "initializedcheck": DEBUG,
    "cdivision": True, "embedsignature": True, "show_performance_hints": not DEBUG,
}
# No -ffast-math (it breaks isnan) and no -march=native; contraction off keeps results bit-identical across machines.
FLAGS = ["-O3", "-ffp-contract=off", "-fvisibility=hidden"] if os.name == "posix" else ["/O2"]
if DEBUG or SANITIZE:
    FLAGS += ["-O1", "-g", "-UNDEBUG"]
# Python itself is compiled with -fwrapv, which would hide signed overflow from the sanitizer.
WATCH = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-wrapv"] if SANITIZE else []
# The buffer protocol joined the stable ABI in 3.11: one wheel serves 3.11 and later, except free-threaded Pythons.
ABI3 = not sysconfig.get_config_var("Py_GIL_DISABLED")
DEPENDS = [f"cfcore/{name}" for name in ("_pure.pxi", "_roots.pxi", "_rows.pxi", "_flow.pxi", "_hot.h", "_hot_loops.h",
                                         "_hot_ensemble.h")]

setup(
    ext_modules=[Extension(
        "cfcore._kernels", ["cfcore/_kernels.pyx", "cfcore/_hot.c"], depends=DEPENDS,
        include_dirs=["cfcore"], extra_compile_args=FLAGS + WATCH, extra_link_args=WATCH, py_limited_api=ABI3,
        define_macros=[("Py_LIMITED_API", "0x030b0000")] if ABI3 else [])],
    # The C made by Cython goes to the temporary folder of the build; forced, because dates say nothing of other directives.
    options={"build_ext": {"cython_directives": DIRECTIVES, "cython_c_in_temp": True, "force": True},
             **({"bdist_wheel": {"py_limited_api": "cp311"}} if ABI3 else {})})
