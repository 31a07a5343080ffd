"""Which column is what: chosen by name when one fits, refused with the way out otherwise."""

from __future__ import annotations

import numpy as np
import pytest

from cfcore.column_units import told_unit
from cfcore.columns import Asked, Choice, Column, check_velocities, choose
from cfcore.cosmology import C_KMS
from cfcore.errors import UsageError


def table(*names: str, **units: str) -> list[Column]:
    return [Column(n, units.get(n, "")) for n in names]


def choice(*names: str, question: str = "distance", asked: Asked | None = None, **units: str) -> Choice:
    return choose(table(*names, **units), asked or Asked(), question)


@pytest.mark.parametrize(("names", "frame"), [
    (("ra", "dec"), "icrs"), (("RA_deg", "Dec_deg"), "icrs"), (("_RAJ2000", "_DEJ2000"), "icrs"),
    (("RA [deg]", "DEC [deg]"), "icrs"), (("RAJ2000", "DEJ2000"), "icrs"), (("lon", "lat"), "icrs"),
    (("GLON", "GLAT"), "galactic"), (("sgl", "sgb"), "supergalactic"), (("ra_icrs", "de_icrs"), "icrs")])
def test_positions_are_known_by_their_names(names: tuple[str, str], frame: str) -> None:
    c = choice(*names, "cz")
    assert (c.lon.name, c.lat.name, c.frame) == (*names, frame)


@pytest.mark.parametrize(("name", "factor", "frame"), [
    ("cz", 1.0, None), ("Vhel", 1.0, "hel"), ("v_hel", 1.0, "hel"), ("cz_helio", 1.0, "hel"), ("VCMB", 1.0, "cmb"),
    ("vlg", 1.0, "lg"), ("v_gsr", 1.0, "gsr"), ("Vls", 1.0, "ls"), ("z", C_KMS, None), ("zHEL", C_KMS, "hel"),
    ("z_cmb", C_KMS, "cmb"), ("redshift", C_KMS, None), ("cz (km/s)", 1.0, None), ("cz [m/s]", 1e-3, None)])
def test_velocities_are_known_by_their_names_with_the_frame_they_imply(name: str, factor: float, frame: str | None) -> None:
    c = choice("ra", "dec", name)
    assert c.value.name == name and c.value.factor == factor and c.cz_frame == (frame or "hel")
    assert c.implied is (frame is not None)


def refused(*names: str, question: str = "distance", asked: Asked | None = None, **units: str) -> str:
    with pytest.raises(UsageError) as exc:
        choice(*names, question=question, asked=asked, **units)
    return exc.value.message


def test_several_velocities_are_never_chosen_from() -> None:
    said = refused("ra", "dec", "zHD", "zCMB", "zHEL", "vlg")
    assert "--z-column zCMB   (a redshift, CMB frame)" in said and "--z-column zHEL   (a redshift, heliocentric)" in said
    assert "--cz-column vlg   (c z in km/s, Local Group)" in said and "zHD: corrected for peculiar velocity" in said
    assert choice("ra", "dec", "zHD", "zCMB", "zHEL", asked=Asked(z="zHEL")).cz_frame == "hel"
    assert "cz" in refused("ra", "dec", "cz", "z")


def test_a_frame_that_contradicts_the_name_is_refused() -> None:
    said = refused("ra", "dec", "vcmb", asked=Asked(cz_frame="hel"))
    assert "'vcmb' is CMB frame by its name, --cz-frame says hel" in said
    assert choice("ra", "dec", "vcmb", asked=Asked(cz_frame="cmb_fixsen96")).cz_frame == "cmb_fixsen96"
    assert choice("ra", "dec", "cz", asked=Asked(cz_frame="lg")).cz_frame == "lg"
    assert "galactic by their names, --frame says icrs" in refused(
        "glon", "glat", "cz", asked=Asked(lon="glon", lat="glat", frame="icrs"))


def test_redshifts_corrected_for_peculiar_velocity_are_refused_even_when_chosen() -> None:
    assert "was not observed" in refused("ra", "dec", "zHD", asked=Asked(z="zHD"))
    assert "zHD" in refused("ra", "dec", "zHD")


def test_several_positions_are_chosen_from_by_frame_or_by_name() -> None:
    names = ("ra", "dec", "glon", "glat", "cz")
    assert "--lon-column glon --lat-column glat --frame galactic" in refused(*names)
    assert choice(*names, asked=Asked(frame="galactic")).lon.name == "glon"
    assert "more than one pair" in refused("RAJ2000", "DEJ2000", "_RAJ2000", "_DEJ2000", "cz")


def test_units_are_converted_or_refused() -> None:
    c = choice("ra", "dec", "v", asked=Asked(cz="v"), ra="rad", dec="rad", v="m / s")
    assert c.lon.factor == pytest.approx(180 / np.pi) and c.value.factor == 1e-3
    assert choice("ra", "dec", "cz", ra="hourangle").lon.factor == 15.0
    assert choice("ra", "dec", "cz", cz="km s-1").value.factor == 1.0
    for wrong in ("Mpc", "mag"):
        assert f"has the unit '{wrong}', which is not a velocity" in refused("ra", "dec", "cz", cz=wrong)
    assert "has the unit 'Jy', which" in refused("ra", "dec", "cz [Jy]") and "the unit Jy, which" in refused(
        "ra", "dec", "cz", "e_cz", e_cz="Jy")
    assert "not an angle" in refused("ra", "dec", "cz", ra="'h:m:s'")
    assert "a velocity" in refused("ra", "dec", "z", z="km/s")
    assert "a redshift has none" in refused("ra", "dec", "z", z="mag")
    assert choice("ra", "dec", "z", asked=Asked(cz_unit="km/s"), z="km/s").value.factor == 1.0
    assert choice("ra", "dec", "dist", question="velocity", dist="kpc").value.factor == 1e-3
    assert "not a distance" in refused("ra", "dec", "dist", question="velocity", dist="km/s")


@pytest.mark.parametrize(("name", "unit", "told"), [
    ("ra", "hourangle", "hourangle"), ("ra", "15deg", "hourangle"), ("ra", "rad", "rad"), ("v", "m / s", "m / s"),
    ("d", "kpc", "kpc"), ("ra", "deg", ""), ("v", "km / s", ""), ("d", "Mpc", ""), ("B", "mag", ""), ("v [m/s]", "m/s", "")])
def test_only_units_that_are_not_the_house_s_must_be_told(name: str, unit: str, told: str) -> None:
    assert told_unit(Column(name, unit)) == told


def test_values_that_are_not_what_the_column_is_called_are_refused() -> None:
    c = choice("ra", "dec", "cz").value
    with pytest.raises(UsageError, match="look like redshifts; add --z-column cz"):
        check_velocities(np.array([0.01, 0.02, np.nan, -999.0]), c)
    check_velocities(np.array([3.0, 900.0, 5.0, 2000.0, 1500.0]), c)
    z = choice("ra", "dec", "z").value
    with pytest.raises(UsageError, match="no redshifts; add --cz-column z --cz-unit km/s"):
        check_velocities(np.array([2916.0, 1079.0]) * z.factor, z)
    check_velocities(np.array([0.01, 0.02, -99.0]) * z.factor, z)
    check_velocities(np.array([2916.0]), choice("ra", "dec", "z", asked=Asked(cz_unit="km/s")).value)


def test_the_error_of_the_velocity_belongs_to_the_velocity() -> None:
    c = choice("ra", "dec", "zHEL", "zHELERR", "zCMBERR")
    assert c.sigma is not None and c.sigma.name == "zHELERR" and c.sigma.factor == C_KMS
    c = choice("ra", "dec", "cz", "e_cz")
    assert c.sigma is not None and c.sigma.factor == 1.0
    assert choice("ra", "dec", "cz", "e_cz", asked=Asked(no_sigma=True)).sigma is None
    assert "--sigma-cz-column czerr" in refused("ra", "dec", "cz", "e_cz", "czerr")
    assert "no error of a velocity" in refused("ra", "dec", "cz", "e_cz", e_cz="mag")


def test_a_column_is_named_or_numbered() -> None:
    assert choice("ra", "dec", "x", asked=Asked(cz="X")).value.index == 2
    assert choice("ra", "dec", "x", "x", asked=Asked(cz="#4")).value.index == 3
    assert "--cz-column '#3' or --cz-column '#4'" in refused("ra", "dec", "x", "x", asked=Asked(cz="x"))
    assert "it has ra, dec" in refused("ra", "dec", asked=Asked(cz="nope"))
    assert "--cz-column '#3'" in refused("ra", "dec", "cz", "cz")


def test_a_luminosity_distance_is_not_taken_for_a_comoving_one() -> None:
    assert "luminosity distance" in refused("ra", "dec", "D_L", question="velocity", asked=Asked(distance="D_L"))
    assert "--distance-column" in refused("ra", "dec", "bestdist", question="velocity")
