"""What the UCD of a column says: position, velocity, redshift, their error, distance; in UCD1+ and in the older UCD1.

A UCD is the author's own word about a column, so it goes before a guess at its name: a column called ``z`` whose UCD is a
magnitude is no redshift. Which column is taken, and what contradicts what, is the business of `columns`.

References
----------
Preite Martinez et al. 2007, "The UCD1+ controlled vocabulary", IVOA Recommendation; Derriere et al. 2004 (UCD1).
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Meaning(NamedTuple):
    """Hold what a UCD says: a quantity, its frame where it says one, and whether it is the main one of its table.

    The quantity is lon, lat, cz, z, distance, ``error of cz``, ``error of z``, or ``other``: nothing that a flow is asked with.
    """

    what: str
    frame: str | None = None
    is_main: bool = False


_SKY = {"pos.eq.ra": ("lon", "icrs"), "pos.eq.dec": ("lat", "icrs"), "pos.galactic.lon": ("lon", "galactic"),
        "pos.galactic.lat": ("lat", "galactic"), "pos.supergalactic.lon": ("lon", "supergalactic"),
        "pos.supergalactic.lat": ("lat", "supergalactic")}
# a radio velocity is c (1 - nu / nu0), which is not c z; photometric redshifts are too wide for a flow to tell anything
_VELOCITY = {"src.redshift": "z", "spect.dopplerveloc": "cz", "spect.dopplerveloc.opt": "cz", "phys.veloc": "cz"}
_FRAME_WORDS = {"pos.heliocentric": "hel", "pos.barycentric": "hel", "pos.galactocentric": "gsr"}
# c z in a frame the flow has no word for
_NOT_OURS = frozenset(("pos.lsr", "pos.geocentric", "pos.earth"))
# what stands before the word that counts, or says nothing by itself
_SILENT = frozenset(("meta.main", "stat.mean", "stat.median", "stat.value", "stat", "meta", "pos", "pos.eq", "pos.galactic",
                     "pos.supergalactic", "src", "spect", "phys", ""))
_OLD: dict[str, Meaning] = {
    **{f"pos_{frame}_{axis}{main}": Meaning(what, sky, bool(main)) for frame, sky, axes in (
        ("eq", "icrs", ("ra", "dec")), ("gal", "galactic", ("lon", "lat")), ("sg", "supergalactic", ("lon", "lat")))
       for axis, what in zip(axes, ("lon", "lat")) for main in ("", "_main")},
    "redshift": Meaning("z"), "redshift_hc": Meaning("z", "hel"), "veloc_hc": Meaning("cz", "hel"),
    "veloc_barycenter": Meaning("cz", "hel"), "veloc_cmb": Meaning("cz", "cmb"), "veloc_lg": Meaning("cz", "lg"),
    "veloc_gc": Meaning("cz", "gsr")}
_OTHER = Meaning("other")


def meaning(ucd: str) -> Meaning | None:
    """Return what a UCD says; None when there is none, or it is too general to say anything.

    Parameters
    ----------
    ucd : str
        Such as ``pos.eq.ra;meta.main``, ``stat.error;src.redshift`` or ``POS_EQ_RA_MAIN``; case does not matter.
    """
    text = re.sub(r"[\s]+", "", ucd.lower())
    if "." not in text and ";" not in text:
        return _OLD.get(text, _OTHER if "_" in text else None)
    words = [word.rpartition(":")[2] for word in text.split(";")]
    is_main = "meta.main" in words
    is_error = words[0] == "stat.error"
    told = [word for word in words[is_error:] if word not in _SILENT]
    if not told:
        return _OTHER if is_error else None
    first, others = told[0], set(told[1:])
    if is_error:
        return Meaning(f"error of {_VELOCITY[first]}") if first in _VELOCITY else _OTHER
    if first in _SKY:
        return Meaning(*_SKY[first], is_main)
    if first in _VELOCITY and not others & _NOT_OURS:
        return Meaning(_VELOCITY[first], next((f for w, f in _FRAME_WORDS.items() if w in others), None), is_main)
    return Meaning("distance", None, is_main) if first == "pos.distance" else _OTHER
