"""Results as text: numbers with a dash for what is not known, sentences for rows without an answer, HTML, and the flat
provenance that files can hold.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .asking import reason
from .astrotable import CARDS
from .results import Posteriors

F64 = NDArray[np.float64]

SKY = "ICRS, deg"
SHOWN = 10
"""Most objects a representation lists."""


def cards(told: dict[str, Any]) -> dict[str, Any]:
    """Return the provenance of a table as flat entries of its ``meta``, under the names of the command line's FITS cards.

    CF_FIELD, CF_VERS, CF_SHA, CF_CITE, CF_LICE, CF_FRAME, CF_CZFRM, CF_H0, CF_OM, CF_SIGV, CF_PRIOR, CF_ALPHA, CF_USIG,
    CF_COMP, CF_OBS, CF_CODE, CF_COLS, CF_METH, as far as they apply. A nested entry could not be written to FITS; letters
    beyond ASCII are character references, as FITS wants.
    """
    field, cosmology = told["field"], told["cosmology"]
    flat = {"field": field["id"], "field_version": f"{field['version']}-{field['sha256'][:8]}",
            "field_sha256": field["sha256"], "citation": field["citation"], "frame": told["frames"]["sky"],
            "cz_frame": told["frames"]["cz"], "H0": cosmology["H0"], "Om": cosmology["Om"],
            "columns": "; ".join(f"{k}: {v}" for k, v in told.get("columns", {}).items()) or None,
            **{k: told.get(k) for k in ("sigma_v", "prior", "alpha", "use_field_sigma", "composition", "observer", "cfcore")}}
    out = {CARDS[k]: v for k, v in flat.items()} | {"CF_LICE": field["licence"], "CF_METH": told.get("method")}
    return {k: v.encode("ascii", "xmlcharrefreplace").decode() if isinstance(v, str) else v
            for k, v in out.items() if v is not None}


def plus_minus(p: Posteriors, kind: str, i: int) -> str:
    """Return mean and standard deviation of one object as text."""
    mean, std = p.summary("mean", kind)[i], p.summary("std", kind)[i]
    form = ".2f" if kind == "modulus" else ".1f"
    return "–" if np.isnan(mean) else f"{number(mean, form)} ± {number(std, form)}"


def number(x: float, form: str = ".0f") -> str:
    """Return a number as text: a dash for what is not known, and no minus before nothing."""
    text = "–" if np.isnan(x) else f"{x:{form}}"
    return text.lstrip("+-") if text.strip("+-0.") == "" else text


def objects(count: int) -> str:
    """Return a number of objects as text."""
    return f"{count} object{'s' if count != 1 else ''}"


def with_error(v_rad: float, sigma: float) -> str:
    """Return a radial velocity and its error, where one is known, as text; km/s."""
    return number(v_rad, "+.0f") + ("" if np.isnan(sigma) else f" ± {number(sigma)}")


def place(lon: float, lat: float) -> str:
    """Return a position in degrees as text."""
    return f"{number(lon, '.4f')}, {number(lat, '+.4f')}"


def reasons(status: NDArray[np.str_], field: str, values: dict[str, F64]) -> NDArray[np.str_]:
    """Return why rows have no answer; the sentences of the command line without its dashes."""
    names = {"lon": "longitude", "lat": "latitude"}
    out = ["" if word == "ok" else reason(word, {k: names.get(k, k) for k in values}, {k: float(v[i]) for k, v in values.items()},
                                          field).replace(" --", " ") for i, word in enumerate(status)]
    return np.array(out, dtype=str)


def html_table(caption: str, head: tuple[str, ...], rows: Sequence[tuple[str, ...]], count: int) -> str:
    """Return an HTML table of the first rows of `count`; everything in it is escaped."""
    body = "".join("<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) + "</tr>" for row in rows)
    more = f"<p>… and {count - SHOWN} more</p>" if count > SHOWN else ""
    return (f"<table><caption>{html.escape(caption)}</caption><thead><tr>"
            + "".join(f"<th>{html.escape(c)}</th>" for c in head) + f"</tr></thead><tbody>{body}</tbody></table>{more}")
