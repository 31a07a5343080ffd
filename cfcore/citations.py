"""Whom to cite for a field, in BibTeX: whole entries of the papers we know, and otherwise the citation as it was given.

A field carries its citation as a sentence; an entry belongs to the paper that the sentence names, whoever registered the field
under whatever name. What is not known is left out, not guessed.
"""

from __future__ import annotations

import re

from . import __version__

_KNOWN: dict[str, str] = {
    "A&A 670, L15": r"""@article{Courtois2023,
  author  = {Courtois, H. M. and Dupuy, A. and Guinet, D. and Baulieu, G. and Ruppin, F. and Brenas, P.},
  title   = {Gravity in the local {Universe}: Density and velocity fields using {CosmicFlows-4}},
  journal = {Astronomy \& Astrophysics},
  year    = {2023},
  volume  = {670},
  pages   = {L15},
  doi     = {10.1051/0004-6361/202245331}
}""",
    "MNRAS 450, 317": r"""@article{Carrick2015,
  author  = {Carrick, J. and Turnbull, S. J. and Lavaux, G. and Hudson, M. J.},
  title   = {Cosmological parameters from the comparison of peculiar velocities with predictions from the {2M++} density field},
  journal = {Monthly Notices of the Royal Astronomical Society},
  year    = {2015},
  volume  = {450},
  pages   = {317--332},
  doi     = {10.1093/mnras/stv547}
}""",
    "MNRAS 488, 5438": r"""@article{Graziani2019,
  author  = {Graziani, R. and Courtois, H. M. and Lavaux, G. and Hoffman, Y. and Tully, R. B. and Copin, Y. and Pomar{\`e}de, D.},
  title   = {The peculiar velocity field up to $z \sim 0.05$ by forward-modelling {Cosmicflows-3} data},
  journal = {Monthly Notices of the Royal Astronomical Society},
  year    = {2019},
  volume  = {488},
  pages   = {5438--5451},
  doi     = {10.1093/mnras/stz078}
}""",
    "ApJ 529, 786": r"""@article{Mould2000,
  author  = {Mould, J. R. and Huchra, J. P. and Freedman, W. L. and others},
  title   = {The {Hubble Space Telescope} Key Project on the Extragalactic Distance Scale. {XXVIII}. Combining the Constraints on
             the {Hubble} Constant},
  journal = {The Astrophysical Journal},
  year    = {2000},
  volume  = {529},
  pages   = {786--794},
  note    = {Erratum: ApJ 545, 547},
  doi     = {10.1086/308304}
}"""}
"""Place in the literature, as citations write it -> the entry."""
_SPECIAL = {"\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
            **{c: "\\" + c for c in "&%$#_"}}
SOFTWARE = f"""@software{{CosmicFlowsSoftware,
  author  = {{{{The Cosmic Flows developers}}}},
  title   = {{Cosmic Flows: distances and peculiar velocities of galaxies from reconstructed velocity fields}},
  version = {{{__version__}}},
  license = {{BSD-3-Clause}}
}}"""
"""The entry of this software; CITATION.cff says the same."""


def bibtex(id: str, citation: str, title: str = "") -> str:
    """Return the BibTeX entry of a field.

    Parameters
    ----------
    id, citation, title : str
        As the field's manifest has them.

    Returns
    -------
    str
        The entry of the paper that the citation names; of another one a ``@misc`` with the citation as its note.
    """
    # the digit after a place would be another page
    found = next((entry for place, entry in _KNOWN.items() if re.search(re.escape(place) + r"(?!\d)", citation)), None)
    if found is not None:
        return found
    key = re.sub(r"[^A-Za-z0-9]+", "-", id).strip("-") or "field"
    return (f"@misc{{{key},\n  title = {{{_escaped(title or id)}}},\n  note  = "
            f"{{{_escaped(citation or 'no citation was given')}}}\n}}")


def _escaped(text: str) -> str:
    return " ".join("".join(_SPECIAL.get(c, c) for c in text).split())
