"""Build the Cython core. `CF_DEBUG=1` turns bounds checks on; directives live here, not in the .pyx files."""

import os

from Cython.Build import cythonize
from setuptools import Extension, setup

DEBUG = os.environ.get("CF_DEBUG") == "1"
DIRECTIVES = {
    "language_level": 3, "boundscheck": DEBUG, "wraparound": False, "initializedcheck": DEBUG,
    "cdivision": True, "embedsignature": True,
}
# No -ffast-math (it breaks isnan) and no -march=native; contraction off keeps results bit-identical across machines.
FLAGS = ["-O3", "-ffp-contract=off"] if os.name == "posix" else ["/O2"]

setup(ext_modules=cythonize(
    [Extension("cfcore._kernels", ["cfcore/_kernels.pyx", "cfcore/_hot.c"], extra_compile_args=FLAGS,
               depends=["cfcore/_hot.h", "cfcore/_hot_loops.h"])],
    compiler_directives=DIRECTIVES, build_dir="build/cython"))
