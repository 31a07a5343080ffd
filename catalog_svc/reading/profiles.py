"""Catalogues whose files are known: which column is what, in which frame, and whom to cite. Tables, no code.

Two columns are here never read, each because somebody has been led astray by it: the redshift of GLADE+ "in the CMB frame",
from which peculiar velocities are partly taken out, and its error of that correction.
"""

from __future__ import annotations

from dataclasses import dataclass

from . import spellings
from .facts import Distance, Group, Magnitudes, Note, Size, StellarMass, Word
from .plan import Angles, Name, Plan, Velocity


@dataclass(frozen=True)
class Profile:
    """Describe a catalogue and its file.

    Parameters
    ----------
    id, title, citation, licence, kind, link_arcsec
        As `records.About` has them.
    plan : Plan
    form : {"table", "headerless", "fixed"}
        ``table``: any format with named columns; ``headerless``: blank-separated text with `names`; ``fixed``: lines with
        `layout`.
    names : tuple of str
        Of the columns of headerless text.
    layout : tuple
        Name, first byte, last byte, unit of each column of fixed-width lines.
    delimiter : str, optional
        Of text tables.
    """

    id: str
    title: str
    citation: str
    plan: Plan
    kind: str = "galaxy"
    licence: str = ""
    link_arcsec: float = 5.0
    form: str = "table"
    names: tuple[str, ...] = ()
    layout: tuple[tuple[str, int, int, str], ...] = ()
    delimiter: str | None = None


# The type codes of ZCAT: 98 is "not classified yet", which says nothing.
_ZCAT_UNKNOWN = {"98": "", "99": ""}

# Huchra et al. 2012, table 3 of the machine-readable catalogue, bytes from 1.
_2MRS_LAYOUT = (
    ("ID", 1, 16, ""), ("RA", 18, 26, "deg"), ("DEC", 28, 36, "deg"), ("GLON", 38, 46, "deg"), ("GLAT", 48, 56, "deg"),
    ("k_c", 58, 63, "mag"), ("h_c", 65, 70, "mag"), ("j_c", 72, 77, "mag"), ("k_tc", 79, 84, "mag"), ("h_tc", 86, 91, "mag"),
    ("j_tc", 93, 98, "mag"), ("e_k", 100, 104, "mag"), ("e_h", 106, 110, "mag"), ("e_j", 112, 116, "mag"),
    ("e_kt", 118, 122, "mag"), ("e_ht", 124, 128, "mag"), ("e_jt", 130, 134, "mag"), ("e_bv", 136, 140, "mag"),
    ("r_iso", 142, 146, ""), ("r_ext", 148, 152, ""), ("ba", 154, 158, ""), ("flags", 160, 163, ""), ("type", 165, 169, ""),
    ("ts", 171, 172, ""), ("v", 174, 179, "km/s"), ("e_v", 180, 183, "km/s"), ("c", 185, 185, ""), ("vsrc", 187, 205, ""),
    ("CAT_ID", 207, 234, ""))

# Dalya et al. 2022, table 2, in the order of the file.
GLADE_COLUMNS = (
    "GLADE_no", "PGC_no", "GWGC_name", "HyperLEDA_name", "2MASS_name", "WISExSCOS_name", "SDSS-DR16Q_name", "object_type", "RA",
    "Dec", "B", "B_err", "B_flag", "B_Abs", "J", "J_err", "H", "H_err", "K", "K_err", "W1", "W1_err", "W2", "W2_err", "W1_flag",
    "B_J", "B_J_err", "z_helio", "z_cmb", "z_flag", "v_err", "z_err", "d_L", "d_L_err", "dist_flag", "M*", "M*_err", "M*_flag",
    "merger_rate", "merger_rate_err")

_KT2017_FLAGS = {"0": "single galaxy", "2": "group", "3": "single galaxy in an association", "4": "group in an association",
                 "5": "association"}


def _kt2017(text: str) -> str:
    """Name a row of the group table: the last eight digits are the PGC number of the dominant galaxy, 100 and more of 11 digits
    mark an association, which has the number of its dominant group."""
    if not spellings.is_number(text):
        return ""
    return f"KT2017 {'association ' if len(text) > 10 else ''}{int(text) % 100_000_000}"


_CF4_METHODS = {"DMsnIa": ("eDMsn1|eDMsnIa|e_DMsnIa|eDMsn", "SN Ia"), "DMtf": ("eDMtf|e_DMtf", "Tully-Fisher"),
                "DMfp": ("eDMfp|e_DMfp", "fundamental plane"), "DMsbf": ("eDMsbf|e_DMsbf", "SBF"),
                "DMsnII": ("eDMsn2|eDMsnII|e_DMsnII", "SN II"), "DMtrgb": ("eDMt|eDMtrgb|e_DMtrgb", "TRGB"),
                "DMcep|DMceph": ("eDMcp|eDMcep|eDMceph|e_DMcep|e_DMceph", "Cepheids"), "DMmas": ("eDMm|eDMmas|e_DMmas", "maser")}

_ALL = (
    Profile(
        id="edd-cf4", title="Cosmicflows-4, all individual distances (EDD)",
        citation="Tully et al. 2023, ApJ 944, 94", link_arcsec=10.0,
        plan=Plan(
            Angles("RA|RAJ2000|_RA|RAdeg", "DE|DEC|DEJ2000|_DE|DEdeg"),
            Velocity("Vcmb", "cz", "cmb"),
            names=(Name("pgc", spellings.pgc, "PGC n"),), key=Name("pgc", spellings.pgc, "PGC n"),
            facts=(Distance("Cosmicflows-4, all methods", "DM|DMav", "eDM|e_DM|eDMav", is_modulus=True),
                   *(Distance(f"Cosmicflows-4, {word}", column, error, is_modulus=True)
                     for column, (error, word) in _CF4_METHODS.items()),
                   Group({"pgc1": "1PGC", "pgc1_kt2017": "T17"}, whole=frozenset(("pgc1", "pgc1_kt2017")),
                         known_above={"pgc1": 0.0, "pgc1_kt2017": 0.0})))),
    Profile(
        id="edd-groups", title="Galaxy groups within 3500 km/s (Kourkchi & Tully 2017)",
        citation="Kourkchi & Tully 2017, ApJ 843, 16", kind="group", link_arcsec=0.0, delimiter="|",
        plan=Plan(
            Angles("ra", "dec"), Velocity("Vls", "cz", "ls"),
            names=(Name("pgc", _kt2017, "KT2017 n"),), key=Name("pgc"),
            facts=(Group({"pgc1": "nest", "n_members": "No_Galaxies", "distance_mpc": "dist", "v_ls": "Vls", "r2t_mpc": "R2t_lum",
                          "sigma_p_lum_km_s": "sigmaP_lum", "sigma_p_dyn_km_s": "sigmaP_dyn", "mass_msun": "Mv_lum"},
                         whole=frozenset(("pgc1", "n_members")),
                         known_above={"pgc1": 0.0, "distance_mpc": 0.0, "sigma_p_dyn_km_s": 0.0}, flags=("flag", _KT2017_FLAGS)),
                   Word("object_type", "flag", {"0": "Galaxy", "3": "Galaxy", "2": "Group of galaxies", "4": "Group of galaxies",
                                                "5": "Association of groups"}),
                   Magnitudes({"K": "Ks"}),
                   Distance("weighted mean of the members", "mDist", "mDistErr", error_is_fraction=True)))),
    Profile(
        id="2mrs", title="2MASS Redshift Survey", citation="Huchra et al. 2012, ApJS 199, 26", form="fixed", layout=_2MRS_LAYOUT,
        plan=Plan(
            Angles("RA", "DEC"), Velocity("v", "cz", "hel", error="e_v"),
            names=(Name("CAT_ID", spellings.ned, "NED, blanks for underscores"), Name("ID", spellings.two_mass, "2MASX Jn")),
            key=Name("ID"),
            facts=(Magnitudes({"K": "k_c", "H": "h_c", "J": "j_c", "K_total": "k_tc", "H_total": "h_tc", "J_total": "j_tc"}),
                   Word("morphology", "type", _ZCAT_UNKNOWN), Word("reference", "vsrc"),
                   # decimal logarithm of the radius of the 20 mag isophote, arcsec
                   Size("r_iso", ratio="ba", factor=2.0 / 60.0, is_log=True)))),
    Profile(
        id="glade+", title="GLADE+", citation="Dálya et al. 2022, MNRAS 514, 1403", form="headerless", names=GLADE_COLUMNS,
        plan=Plan(
            Angles("RA", "Dec"),
            Velocity("z_helio", "z", "hel", error="z_err", photometric=("dist_flag", frozenset("1")),
                     without=("dist_flag", "2", "the redshift in the catalogue was computed from a distance and is not used")),
            names=(Name("GWGC_name"), Name("HyperLEDA_name"), Name("PGC_no", spellings.pgc, "PGC n"),
                   Name("2MASS_name", spellings.two_mass, "2MASX Jn"), Name("WISExSCOS_name", spellings.wise, "WISEA Jn"),
                   Name("SDSS-DR16Q_name", spellings.sdss, "SDSS Jn")),
            key=Name("GLADE_no"),
            facts=(Word("object_type", "object_type", {"G": "Galaxy", "Q": "Quasar"}),
                   Magnitudes({"B": "B", "BJ": "B_J", "J": "J", "H": "H", "K": "K", "W1": "W1", "W2": "W2"},
                              measured={"B": "B_flag", "W1": "W1_flag"}),
                   Distance("luminosity distance as catalogued", "d_L", "d_L_err", where=("dist_flag", "2")),
                   StellarMass("M*", "M*_err", unit=1e10)))),
    Profile(
        id="50mgc", title="50 Mpc Galaxy Catalog", citation="Ohlson et al. 2024, AJ 167, 31",
        plan=Plan(
            Angles("ra", "dec"),
            # 61 galaxies all over the sky, from dwarfs of Virgo to NGC galaxies, have this one number to the last digit
            Velocity("v_h", "cz", "hel", without=("v_h", "1245.11", "v_h = 1245.11 of 61 galaxies is not of this one")),
            names=(Name("objname"),), key=Name("objname"),
            facts=(Word("morphology", "t_type"),
                   Note("type by morphology and colour: {}", "best_type", frozenset(("early", "late"))),
                   Distance("best distance of 50MGC", "bestdist", "bestdist_error"), StellarMass("logmass", "logmass_error")))),
    Profile(
        id="skyportal", title="Galaxies in the form SkyPortal takes (CLU)", citation="Cook et al. 2019, ApJ 880, 7",
        plan=Plan(
            Angles("ra", "dec"), names=(Name("name"),), key=Name("name"),
            facts=(Distance("as catalogued (CLU: mostly from redshifts)", "distmpc"), Magnitudes({"B": "magb", "B_total": "btc"}),
                   StellarMass("mstar", unit=1.0, may_be_log=True),
                   # semi-major axis, arcsec
                   Size("a", ratio="b2a", pa="pa", factor=2.0 / 60.0)))),
    Profile(
        id="abell", title="Abell clusters of galaxies", citation="Abell, Corwin & Olowin 1989, ApJS 70, 1", kind="cluster",
        link_arcsec=0.0,
        plan=Plan(
            Angles("ra", "dec"), Velocity("z", "z", "hel"), names=(Name("aco", spellings.AbellNumber, "Abell n, Abell Sn"),),
            key=Name("aco", spellings.AbellNumber, "Abell n, Abell Sn"),
            facts=(Word("morphology", "bmtype"), Note("Abell richness class {}", "rich"),
                   Note("Abell distance class {}", "dclass"),
                   Note("galaxies counted between m3 and m3 + 2: {}", "count"), Note("tenth brightest member: {} mag", "m10")))),
)
PROFILES: dict[str, Profile] = {p.id: p for p in _ALL}
