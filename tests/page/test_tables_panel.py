"""Tables dropped on the page: looked at, asked, watched, and taken home; a bad row is named, not lost."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from looking import plain
from running import House

ROWS, BAD, SEED = 1000, 417, 20260
WATCH = """() => {
    // what the job says of itself on its way, which may be over before anybody looks
    window.states = new Set();
    new MutationObserver(() => {
        for (const e of document.querySelectorAll("#tables .one .state")) window.states.add(e.textContent);
        for (const e of document.querySelectorAll("#tables .one progress")) {
            window.states.add(`progress ${e.max} ${e.getAttribute("aria-valuetext")}`);
        }
    }).observe(document, { subtree: true, childList: true, characterData: true, attributes: true });
}"""


def made_table(ambiguous: bool = False) -> bytes:
    """Return galaxies at random places and velocities; one has a declination that no place has."""
    rng = np.random.default_rng(SEED)
    ra, dec = rng.uniform(0, 360, ROWS), np.degrees(np.arcsin(rng.uniform(-1, 1, ROWS)))
    cz = rng.uniform(1000, 9000, ROWS)
    dec[BAD] = 95.5
    head = "name,ra,dec,cz_hel,cz_cmb" if ambiguous else "name,ra,dec,cz"
    rows = [f"made {i},{ra[i]:.5f},{dec[i]:.5f},{cz[i]:.1f}" + (f",{cz[i] + 100:.1f}" if ambiguous else "") for i in range(ROWS)]
    return ("\n".join([head, *rows]) + "\n").encode()


def drop(page: Any, name: str, body: bytes) -> Any:
    """Give the page a file; return the form in which it is asked."""
    page.locator('[data-test="table-file"]').set_input_files({"name": name, "mimeType": "text/csv", "buffer": body})
    form = page.locator("#tables form.asked")
    form.wait_for()
    return form


def chooser(form: Any, words: str) -> Any:
    """Return one of the choices of columns, by its label."""
    return form.locator("label.field", has=form.page.get_by_text(words, exact=True)).locator("select")


def fits_of(page: Any, tmp_path: Any) -> Any:
    """Download the FITS file of the open job; return its table."""
    table = pytest.importorskip("astropy.table")
    page.locator("#tables .downloads a", has_text="FITS").wait_for()
    with page.expect_download() as coming:
        page.locator("#tables .downloads a", has_text="FITS").click()
    assert coming.value.suggested_filename.endswith(".fits")
    path = tmp_path / coming.value.suggested_filename
    coming.value.save_as(path)
    return table.Table.read(path, format="fits")


def words_of(column: Any) -> list[str]:
    """Return a column of a FITS table as text."""
    return [(x.decode() if isinstance(x, bytes) else str(x)).strip() for x in column]


def test_a_table_is_looked_at_asked_watched_and_taken_home_with_its_bad_row_named(
        page: Any, page_house: House, tmp_path: Any) -> None:
    page.add_init_script(f"({WATCH})()")
    page.goto("/")
    form = drop(page, "made.csv", made_table())
    # what was recognised, before anything is asked
    assert "CSV, 1 000 rows, 4 columns" in page.locator("#tables .looked").inner_text().replace("\u202f", " ")
    for label, column in (("Right ascension", "ra"), ("Declination", "dec"), ("Velocity", "cz")):
        field = chooser(form, label)
        assert field.locator("option").first.inner_text() == column and field.input_value() == ""
        assert "found by its name" in form.locator("label.field", has=page.get_by_text(label, exact=True)).inner_text()
    form.locator("summary", has_text="The first").click()
    assert form.locator("tbody tr").first.locator("td").first.inner_text() == "made 0"
    assert {th.inner_text().split()[0] for th in form.locator("th.read").all()} == {"ra", "dec", "cz"}

    form.get_by_role("button", name=re.compile("Compute 1.000 distances")).click()
    job = page.locator("#tables article.one")
    job.locator(".state", has_text="done").wait_for()
    states = plain(" | ".join(page.evaluate("[...window.states]")))
    assert re.search(r"progress 1000 \d+ of 1000 rows", states), f"no progress was shown: {states}"
    assert "1000 of 1000 rows" in plain(job.inner_text())
    shown = job.locator(".bad-rows")
    shown.locator("th", has_text="name").wait_for()
    assert shown.locator("p").first.inner_text().replace("\u202f", "") == "1 of 1000 rows has no answer"
    cells = shown.locator("tbody tr").first.locator("td").all_inner_texts()
    assert cells[0] == str(BAD + 1) and f"made {BAD}" in cells and "95.5" in cells[-1] and shown.locator("tbody tr").count() == 1
    assert job.locator("canvas").count() == 2

    table = fits_of(page, tmp_path)
    status = words_of(table["status"])
    assert len(table) == ROWS and [i for i, s in enumerate(status) if s != "ok"] == [BAD] and status[BAD] == "lat_out_of_range"
    assert words_of(table["name"])[BAD] == f"made {BAD}"
    # what the file says is what the service says of one of its rows
    row = int(np.flatnonzero(np.array(status) == "ok")[7])
    asked = page_house.ask("/get_flow_by_position", {"ra": f"{table['ra'][row]:.5f}", "dec": f"{table['dec'][row]:.5f}",
                                                     "cz": f"{table['cz'][row]:.1f}"}).json
    assert float(table["distance_median"][row]) == pytest.approx(asked["distance"]["median"], rel=1e-6)

    page.reload()
    again = page.locator("#tables article.one")
    again.locator(".state", has_text="done").wait_for()
    again.locator(".bad-rows td", has_text=f"made {BAD}").wait_for()
    listed = page.locator("#tables .jobs .job", has_text="made")
    listed.wait_for()
    again.get_by_role("button", name="Delete").click()
    again.locator(".danger").click()
    listed.wait_for(state="detached")
    assert page.locator("#tables article.one").count() == 0


def test_a_table_with_two_velocities_is_asked_which_is_meant(page: Any, tmp_path: Any) -> None:
    page.goto("/")
    form = drop(page, "two.csv", made_table(ambiguous=True))
    notice = form.locator(".notice.bad")
    notice.wait_for()
    ways = notice.locator(".ways button")
    assert {"cz_hel", "cz_cmb"} <= {text.split()[0] for text in ways.all_inner_texts()}
    assert notice.evaluate("e => e.contains(document.activeElement)"), "the question has the focus"
    # without a choice nothing is sent
    form.locator("button[type=submit]").click()
    assert form.locator(".open select").first.evaluate("e => e === document.activeElement")
    ways.filter(has_text="cz_cmb").first.click()
    notice.wait_for(state="detached")
    assert chooser(form, "Velocity").input_value() == "cz_cmb"
    form.locator("button[type=submit]").click()
    page.locator("#tables article.one .state", has_text="done").wait_for()
    table = fits_of(page, tmp_path)
    assert len(table) == ROWS and sum(s != "ok" for s in words_of(table["status"])) == 1


def test_a_file_that_is_no_table_is_refused_in_words(page: Any, eye: Any) -> None:
    eye.allow(r"console error: Failed to load resource: .* status of 4\d\d .*/v1/tables")
    page.goto("/")
    page.locator('[data-test="table-file"]').set_input_files({"name": "picture.png", "mimeType": "image/png",
                                                             "buffer": b"\x89PNG\r\n\x1a\n" + bytes(range(256))})
    refused = page.locator("#tables .looked .notice.bad")
    refused.wait_for()
    assert len(refused.inner_text()) > 20 and page.locator("#tables form.asked").count() == 0
    page.get_by_role("button", name="Put away").click()
    page.locator("#tables .looked").wait_for(state="detached")
