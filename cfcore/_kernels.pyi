"""Types of the compiled loops; shapes and units stand in the functions of `field` and `distances` that call them."""

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]
I32 = NDArray[np.int32]

SUMMARY: tuple[str, ...]
ROOT: tuple[str, ...]
PRIORS: dict[str, int]

def points(cells: F32, sigma: F32 | None, realisations: int, origin: F64, spacing: F64, xyz: F64, out: F64,
           out_sigma: F64, inside: U8, scratch: F64) -> None: ...
def sightlines(cells: F32, sigma: F32 | None, realisations: int, origin: F64, spacing: F64, dirs: F64, r: F64,
               v_rad: F64, density: F64, out_sigma: F64, inside: U8, scratch: F64) -> None: ...
def scratch_size(m: int, realisations: int, pad: int) -> int: ...
def posterior(cells: F32, sigma: F32 | None, realisations: int, origin: F64, spacing: F64, dirs: F64, z_obs: F64,
              s2: F64, dr: float, zb: F64, efunc: F64, mu0: F64, prior_kind: int, alpha: float, use_sigma: bool,
              sigma_max: float, v_max: float, local: bool, summary: F64, pdf: F64 | None, roots: F64, n_roots: I32,
              scratch: F64) -> None: ...
