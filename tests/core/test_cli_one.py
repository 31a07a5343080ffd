"""One galaxy on the command line: by name, by position, here; what is refused and how."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import cfcore
from cfcore import galaxy_text

Run = Callable[..., tuple[int, str, str]]
HERE = ("--ra", "197.4488", "--dec", "-23.3839")


def test_a_name_is_found_in_the_catalogue_of_this_machine(command: Run, house_data: Path) -> None:
    code, out, _ = command("distance", "NGC 4993", "--json", "--field", "ongc-linear", "--H0", 70, "--sigma-v", 250)
    answer = json.loads(out)
    field = cfcore.open_field("ongc-linear", house_data)
    d = field.distance(answer["asked"]["lon"], answer["asked"]["lat"], answer["asked"]["cz"], H0=70, sigma_v=250)
    assert code == 0 and answer["name"] == "NGC 4993" and answer["asked"]["cz_source"] == "catalogue"
    assert answer["distance"]["median"] == d.column("distance.median")[0] and answer["roots"] == d.roots()
    about = answer["field"]
    assert about["id"] == "ongc-linear" and about["sha256"] == field.manifest.sha256 and "OpenNGC" in about["citation"]
    assert about["version"].startswith(f"{field.manifest.version}-")
    assert answer["sigma_v"] == 250 and answer["cosmology"] == {"H0": 70, "Om": 0.3} and answer["prior"] == "volume"
    assert answer["status"] == "ok" and answer["detail"] == "answered: one distance predicts this velocity"


def test_the_sigma_v_of_the_answer_is_the_field_s_when_none_is_given(command: Run) -> None:
    assert json.loads(command("distance", *HERE, "--cz", 2916, "--json")[1])["sigma_v"] == 200.0


def test_every_option_reaches_the_computation(command: Run, house_data: Path) -> None:
    options = {"H0": 68, "Om": 0.25, "sigma_v": 180, "prior": "density", "alpha": 0.5, "composition": "additive",
               "rmax": 90, "dr": 0.2, "cz_frame": "lg", "frame": "galactic"}
    words = [w for k, v in options.items() for w in (f"--{k.replace('_', '-')}", v)]
    code, out, _ = command("distance", "--lon", 120, "--lat", 40, "--cz", 3000, "--sigma-cz", 40, "--json", "--field",
                       "ongc-linear", *words)
    d = cfcore.open_field("ongc-linear", house_data).distance(120, 40, 3000, sigma_cz=40, **options)
    answer = json.loads(out)
    assert code == 0 and answer["distance"]["mean"] == d.column("distance.mean")[0]
    assert all(answer[k] == v for k, v in options.items() if k not in ("H0", "Om"))
    code, out, _ = command("distance", *HERE, "--cz", 300, "--observer", "ls", "--json")
    assert code == 0 and json.loads(out)["observer"] == "ls"
    assert command("distance", *HERE, "--cz", 3000, "--use-field-sigma", "--field", "ongc-linear")[0] == 2


def test_what_a_person_reads_names_field_unit_and_source(command: Run) -> None:
    code, out, _ = command("distance", "NGC 4993")
    assert code == 0 and out.startswith("NGC 4993: cz = 2934.07 km/s (hel, from the catalogue OpenNGC)")
    for words in ("Mpc   median 40.70 [37.84, 43.57] 68 %, comoving", "Om = 0.3", "mag   median 33.07", "(CMB frame;",
                  "field ongc-linear 1", "sigma_v = 200 km/s", "Mpc   median", "v_rad", "cite       OpenNGC"):
        assert words in out


def test_beyond_the_field_no_flow_is_told() -> None:
    s = dict.fromkeys(("mean", "std", "median", "p16", "p84"), 1.0)
    a = {**dict.fromkeys(("distance", "hubble", "luminosity", "comoving", "modulus"), s), "v_rad": 0.0, "v_rad_std": 0.0,
         "roots": [{"d_mpc": 1.0, "weight": 1.0, "v_rad": None}], "flags": ["outside"], "inside_fraction": 0.001}
    text = "\n".join(galaxy_text.distance_lines(a))
    assert "v_rad" not in text and "nan" not in text and "root " in text
    assert galaxy_text.said(a) == "answered beyond the field: no flow is known there, the distance is Hubble's"


def test_the_error_of_the_field_stands_beside_the_velocity(command: Run, shared_data: Path) -> None:
    code, out, _ = command("velocity", "M 87", "--distance", 16.4, "--field", "cf4gp")
    assert code == 0 and re.search(r"v_rad -?[\d.]+ \+- [\d.]+ km/s \(CMB frame, error of the field\)", out)
    assert "+-" not in command("velocity", "M 87", "--distance", 16.4, "--field", "ongc-linear")[1]


@pytest.mark.parametrize(("words", "says"), [
    (("--ra", "13:09:47.7", "--dec", "-23.4", "--cz", "3000"), "--ra '13:09:47.7' is sexagesimal; write decimal degrees"),
    (("--ra", "197.4", "--dec", "-23:23:02", "--cz", "3000"), "sexagesimal angles are not read"),
    (("--ra", "197.4", "--cz", "3000"), "--dec is missing"),
    (("--dec", "19.4", "--cz", "3000"), "--ra is missing"),
    (("/tmp",), "'/tmp' is a directory"),
    (("-o", "x.csv"), "none is given; name the table to read too"),
    (("NGC 4993", "-o", "x.csv"), "'NGC 4993' is taken for a galaxy's name"),
    (("Zorkon 5",), "or give --ra, --dec and --cz")])
def test_refusals_are_short_and_speak_of_options(command: Run, words: tuple[str, ...], says: str) -> None:
    code, out, err = command("distance", *words)
    assert code == 2 and not out and says in err and err.count("\n") <= 2 and "send " not in err, err
    assert err.count("--ra, --dec and --cz") <= 1


def test_a_field_that_is_not_here_names_the_place_that_was_searched(command: Run, tmp_path: Path) -> None:
    err = command("distance", *HERE, "--cz", 2916, "--field", "cf4gp", "--data", tmp_path)[2]
    assert f"searched in {tmp_path / 'fields'}" in err and "--data DIR or CF_DATA" in err


def test_an_unknown_name_brings_suggestions_and_2(command: Run) -> None:
    code, out, err = command("distance", "sombrro")
    assert code == 2 and not out and "did you mean Sombrero Galaxy?" in err and "(is spelled almost so)" in err
    code, _, err = command("distance", "NGC 49931")
    assert code == 2 and "does not exist" in err
    code, _, err = command("distance", "Virgo")
    assert code == 2 and "ask for Virgo cluster" in err
    assert command("distance", "")[0] == 2


def test_a_name_may_come_with_a_velocity_of_one_s_own(command: Run) -> None:
    answer = json.loads(command("distance", "M 87", "--z", "0.00428", "--cz-frame", "cmb", "--json")[1])
    assert answer["asked"]["cz_source"] == "given" and answer["cz"]["cmb"] == pytest.approx(1283.11, abs=0.01)


@pytest.mark.parametrize(("words", "says"), [
    (("--cz", "0.0097"), ("c z = 2908.0 km/s", "--z 0.0097", "--cz-unit km/s")),
    (("--cz", "-0.001"), ("--z -0.001",)),
    (("--cz", "9.9"), ("--cz 9.9 --cz-unit km/s",)),
    (("--z", "2916"), ("--cz 2916",)),
    (("--z", "nan"), ("no redshift",)),
    (("--cz", "2916", "--z", "0.01"), ("--cz and --z are both given",)),
    ((), ("the velocity is missing",)),
    (("--cz", "nan"), ("--cz is not a finite number",)),
    (("--cz", "-5000"), ("lies outside -3000",)),
    (("--cz", "2916", "--prior", "density", "--alpha", "9"), ("alpha = 9 lies outside 0 ... 3",)),
    (("--cz", "2916", "--cz-frame", "moon"), ("velocity frame 'moon' is not known",)),
    (("--cz", "2916", "--field", "nowhere"), ("field 'nowhere' is not known",)),
    (("--cz", "2916", "-o", "x.csv"), ("--output belongs to a table, and none is given; name the table to read too",)),
    (("--cz", "2916", "--server", "ftp://x"), ("not the address of a server",)),
    (("--cz", "2916", "--server", "http://127.0.0.1:1", "--data", "."), ("--data and --server",)),
    (("NGC 4993",), ("give a position too",)),
    (("table.csv", "--cz", "3000"), ("'table.csv' is a table",)),
    (("--cz", "2916", "--sigma-v", "200", "--spam"), ("--spam",))])
def test_what_cannot_be_meant_is_refused_in_a_sentence(command: Run, words: tuple[str, ...], says: tuple[str, ...]) -> None:
    code, out, err = command("distance", *HERE, *words)
    assert code == 2 and not out and all(s in err for s in says), err


@pytest.mark.parametrize("cz", ["0", "-300", "10", "-12"])
def test_slow_galaxies_are_answered_as_velocities(command: Run, cz: str) -> None:
    code, out, _ = command("distance", "--ra", 10.68, "--dec", 41.27, "--cz", cz, "--json")
    assert code == 0 and json.loads(out)["cz"]["hel"] == pytest.approx(float(cz), abs=1e-9)


def test_a_velocity_below_10_km_s_may_be_insisted_on(command: Run) -> None:
    answer = json.loads(command("distance", *HERE, "--cz", "5", "--cz-unit", "km/s", "--json")[1])
    assert answer["asked"]["cz"] == 5.0
    assert json.loads(command("distance", *HERE, "--cz", "0.01", "--cz-unit", "z", "--json")[1])["asked"]["cz"] == 2997.92458


def test_outside_the_field_is_told_alike_by_both_commands_with_1(command: Run) -> None:
    for words in (("distance", *HERE, "--cz", 90000), ("velocity", *HERE, "--distance", 5000)):
        code, out, err = command(*words, "--json")
        answer = json.loads(out)
        assert code == 1 and answer["status"] == "outside_field" and "field ongc-linear" in answer["detail"] and not err
        code, out, _ = command(*words)
        assert code == 1 and answer["detail"] in out


def test_a_position_out_of_range_is_refused_by_both_commands_with_2(command: Run) -> None:
    for words in (("distance", "--cz", 3000), ("velocity", "--distance", 30)):
        code, _, err = command(*words, "--ra", 10, "--dec", 95)
        assert code == 2 and "--dec = 95 lies outside -90 ... 90 deg; perhaps --ra and --dec are swapped" in err


def test_the_velocity_of_a_name_at_a_distance(command: Run, house_data: Path) -> None:
    code, out, _ = command("velocity", "M 87", "--distance", 16.4, "--json", "--field", "ongc-linear", "--H0", 70)
    answer = json.loads(out)
    v = cfcore.velocities(cfcore.open_field("ongc-linear", house_data), answer["asked"]["lon"], answer["asked"]["lat"], 16.4,
                          H0=70)
    assert code == 0 and answer["v_rad"] == v.column("v_rad")[0] and answer["status"] == "ok" and answer["inside"] is True
    assert answer["field"]["sha256"] and "sigma_v" not in answer
    code, _, err = command("velocity", "M 87")
    assert code == 2 and "--distance is missing" in err
