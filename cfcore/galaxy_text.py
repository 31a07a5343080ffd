"""The answer about one galaxy as lines for a terminal: every number with unit, frame and error."""

from __future__ import annotations

import math
from collections.abc import Iterator

from .asking import Facts
from .options import FLOW_TYPES, FlowOptions

NO_FLOW = 0.01
"""Share of a posterior inside the field below which the field says nothing about the galaxy."""


def said(answer: Facts) -> str:
    """Return in a sentence what kind of answer it is."""
    if "roots" not in answer:
        return "answered: the flow at this place"
    if answer["inside_fraction"] < NO_FLOW:
        return "answered beyond the field: no flow is known there, the distance is Hubble's"
    n = len(answer["roots"])
    if n == 0:
        return "answered, though the mean field predicts this velocity at no distance"
    return "answered: one distance predicts this velocity" if n == 1 else \
        f"answered: {n} distances predict this velocity, see the roots"


def head(found: Facts, options: FlowOptions, asked: dict[str, float], key: str, source: str, facts: Facts) -> str:
    """Return what was asked, of which field and under which options."""
    about, cosmology = facts["field"], facts["cosmology"]
    name = f"{found['name']}: " if found else ""
    told = str(found.get("cz_source") or (found.get("catalog") or {}).get("name", "")) if found else ""
    # OpenNGC (pyongc 1.2.2): the release stands in the field's citation
    origin = f", from {'' if told.startswith('no ') else 'the catalogue '}{told.partition(' (')[0]}".rstrip()
    what = f"cz = {asked['cz']:g} km/s ({options.cz_frame}{origin if source == 'catalogue' else ''})" \
        if key == "cz" else f"comoving distance = {asked['distance']:g} Mpc"
    how = f", sigma_v = {facts['sigma_v']:g} km/s, prior {facts['prior']}" if key == "cz" else ""
    return (f"{name}{what}, {asked['lon']:g} {asked['lat']:g} deg ({options.frame}), field {about['id']} "
            f"{about['version']}, H0 = {cosmology['H0']:g}, Om = {cosmology['Om']:g}{how}")


def distance_lines(a: Facts) -> Iterator[str]:
    """Yield the distances, the flow where the field knows it, roots and flags."""
    for flow, unit in FLOW_TYPES.items():
        s: dict[str, float] = a[flow]
        yield _line(flow, s, unit) + (", comoving" if flow == "distance" else "")
    yield _line("modulus", a["modulus"], "mag")
    if a["v_rad"] is not None and a["inside_fraction"] >= NO_FLOW:
        spread = "" if a["v_rad_std"] is None else f" +- {a['v_rad_std']:.1f}"
        yield (f"  v_rad      {a['v_rad']:10.1f}{spread} km/s (CMB frame; of the field over the posterior, positive = "
               "receding)")
    for root in a["roots"]:
        flow_there = "" if root["v_rad"] is None else f"   v_rad {root['v_rad']:.0f} km/s"
        yield f"  root       {root['d_mpc']:10.2f} Mpc   weight {root['weight']:.3f}{flow_there}"
    if a["flags"]:
        yield f"  flags      {', '.join(a['flags'])}"


def _line(name: str, s: dict[str, float], unit: str) -> str:
    return (f"  {name:<10} {s['mean']:10.2f} +- {s['std']:.2f} {unit}   median {s['median']:.2f} "
            f"[{s['p16']:.2f}, {s['p84']:.2f}] 68 %")


def velocity_lines(a: Facts) -> Iterator[str]:
    """Yield the flow at a known distance."""
    v: dict[str, float] = a["v_pec"]
    cz: dict[str, float] = a["cz"]
    error = "" if a["sigma"] is None else f" +- {a['sigma']:.1f}"
    yield (f"  v_rad {a['v_rad']:.1f}{error} km/s (CMB frame{', error of the field' if error else ''})   "
           f"v_pec (SG) {v['sgx']:.0f} {v['sgy']:.0f} {v['sgz']:.0f} km/s   c z (CMB) "
           f"{cz['cmb']:.0f} km/s   c z (hel) {cz['hel']:.0f} km/s")


def plain(value: object) -> object:
    """Return plain data without NaN, which JSON does not have."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
