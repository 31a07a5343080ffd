"""A walk through the page: ask, look, ask otherwise, come back. What is on screen is compared with what the service says."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from looking import answered, ask_name, check_all, check_card, check_plots, check_space, drawn, flow_of, link, plain
from running import House


@pytest.fixture
def another_field(page_house: House) -> str:
    """Return the field to change to: the real one where the data are, else the other one that is always there."""
    ids = [field["id"] for field in page_house.ask("/v1/fields").json["fields"]]
    return "cf4gp" if "cf4gp" in ids else "mould2000"


def test_a_name_is_typed_and_chosen_its_answer_shown_everywhere_and_kept_by_its_link(
        page: Any, page_house: House, eye: Any, another_field: str, visit: Callable[..., Any]) -> None:
    hints = [hint["name"] for hint in page_house.ask("/v1/hints", {"name": "ngc 49", "limit": 8}).json["hints"]]
    page.goto("/")
    page.locator("#search-input").press_sequentially("ngc 49")
    page.locator("#search-hints [role=option]").first.wait_for()
    assert [re.sub(r"\s*\n.*", "", o.locator(".hint-name").inner_text()) for o in page.get_by_role("option").all()
            if o.is_visible() and o.locator(".hint-name").count()] == hints
    page.keyboard.press("ArrowDown")
    chosen = page.locator("#search-input").get_attribute("aria-activedescendant")
    assert page.locator(f"#{chosen}").get_attribute("aria-selected") == "true"
    page.keyboard.press("Enter")
    answered(page, hints[0], "ongc-linear")
    check_all(page, page_house, flow_of(page_house, "ongc-linear", name=hints[0]))

    page.locator("#field-select").select_option(another_field)
    answered(page, hints[0], another_field)
    elsewhere = flow_of(page_house, another_field, name=hints[0])
    check_all(page, page_house, elsewhere)

    # somebody else opens the link, with nothing kept from before
    other = visit(page_house, eye)
    other.goto(page.url)
    answered(other, hints[0], another_field)
    check_all(other, page_house, elsewhere)
    assert other.locator("#search-input").input_value() == hints[0] and hints[0] in other.title()
    other.reload()
    answered(other, hints[0], another_field)
    check_card(other, elsewhere)


def test_back_and_forward_go_from_galaxy_to_galaxy(page: Any, page_house: House) -> None:
    flows = {name: flow_of(page_house, "ongc-linear", name=name) for name in ("NGC 1365", "NGC 4993")}
    page.goto("/")
    for name in flows:
        ask_name(page, name)
        answered(page, name, "ongc-linear")
    check_card(page, flows["NGC 4993"])
    page.go_back()
    answered(page, "NGC 1365", "ongc-linear")
    check_card(page, flows["NGC 1365"])
    assert page.locator("#search-input").input_value() == "NGC 1365"
    page.go_back()
    page.wait_for_function("() => document.title === 'Cosmic Flows'")
    assert page.locator(".examples").is_visible() and page.locator("#card data").count() == 0
    page.go_forward()
    page.go_forward()
    answered(page, "NGC 4993", "ongc-linear")
    check_card(page, flows["NGC 4993"])


def test_a_galaxy_that_comes_towards_us_is_said_to(page: Any, page_house: House) -> None:
    flow = flow_of(page_house, "ongc-linear", name="M 31")
    assert flow["cz"]["hel"] < 0 and "blueshift" in flow["flags"]
    page.goto("/")
    ask_name(page, "m31")
    answered(page, flow["name"], "ongc-linear")
    check_all(page, page_house, flow)
    assert {li.get_attribute("data-flag") for li in page.locator("#card .warnings [data-flag]").all()} == set(flow["flags"])
    said = page.locator('#card [data-flag="blueshift"]').inner_text()
    assert "towards us" in said and f"cz {flow['cz']['hel']:.0f} km/s" in plain(said)
    cz = page.locator("#card .headline > div", has_text="observed cz").locator("data")
    assert cz.inner_text() == f"−{-flow['cz']['hel']:.0f}"
    described = page.locator("#sightline-svg-desc").text_content()
    assert ("is met at no distance" in described) is (not flow["roots"])


def test_one_velocity_at_three_distances_shows_three_roots_with_their_weights(page: Any, page_house: House) -> None:
    flow = flow_of(page_house, "mould2000", name="M 85")
    roots = flow["roots"]
    assert len(roots) == 3 and sum(r["weight"] for r in roots) == pytest.approx(1.0, abs=2e-7)
    page.goto(link(field="mould2000"))
    ask_name(page, "M 85")
    answered(page, flow["name"], "mould2000")
    check_all(page, page_house, flow)
    percents = [f"{100 * r['weight']:.0f} %" for r in roots]
    for panel in ("sightline", "posterior"):
        shown = [plain(text.text_content()) for text in page.locator(f"#{panel} [data-root] text").all()]
        assert [re.sub(r"\s*%", " %", text) for text in shown] == percents, panel
    said = plain(page.locator('#card [data-flag="multi_root"]').inner_text())
    assert said.startswith("3 distances") and all(p.replace(" %", "%") in said.replace(" %", "%") for p in percents)
    labels = page.locator("#flow .flow-label.root").all_text_contents()
    assert labels, "the roots stand in space, too"


def test_an_unknown_name_comes_with_names_to_press(page: Any, page_house: House, eye: Any) -> None:
    refused = page_house.ask("/get_flow_galaxy", {"name": "NGC 4993x"}).json
    page.goto("/")
    ask_name(page, "NGC 4993x")
    ways = page.locator("#search .ways button")
    ways.first.wait_for()
    assert ways.all_inner_texts() == [s["name"] for s in refused["suggestions"]] and "NGC 4993" in ways.all_inner_texts()
    notice = page.locator("#search .notice[role=alert]").inner_text()
    assert "'NGC 4993x' is not among" in notice and all(s["reason"] in notice for s in refused["suggestions"])
    for plot in ("#sightline", "#posterior"):
        assert "Nothing to draw." in page.locator(plot).inner_text()
    assert page.locator("#search-input").get_attribute("aria-invalid") == "true"
    assert page.locator("#card data, #sightline svg, #posterior svg").count() == 0, "no numbers of another galaxy stay"
    ways.filter(has_text=re.compile("^NGC 4993$")).click()
    answered(page, "NGC 4993", "ongc-linear")
    check_card(page, flow_of(page_house, "ongc-linear", name="NGC 4993"))
    assert page.locator("#search [role=alert]", has_text="not among").count() == 0


def test_a_place_with_its_velocity_is_answered_like_a_galaxy(page: Any, page_house: House) -> None:
    page.goto("/")
    page.get_by_role("button", name="Position").click()
    page.locator("#place-lon").fill("13 09 47.7")
    page.locator("#place-lat").fill("−23° 23′ 02″")
    page.locator("#place-cz").fill("3100")
    page.locator("#place-sigma").fill("40")
    page.locator("#place-frame").select_option("cmb")
    page.get_by_role("button", name="Ask this place").click()
    page.wait_for_function("() => document.querySelector('#card-title').textContent === 'A place'"
                           " && document.querySelector('#card .card').getAttribute('aria-busy') === 'false'"
                           " && document.querySelector('#sightline .chart')?.getAttribute('aria-busy') === 'false'")
    ra, dec = (13 + 9 / 60 + 47.7 / 3600) * 15, -(23 + 23 / 60 + 2 / 3600)
    assert "cz=3100" in page.url and "cz_frame=cmb" in page.url
    # what was typed in sexagesimals is asked in degrees, rounded to less than a thousandth of an arcsecond
    asked = [float(x) for x in re.findall(r"(?:lon|lat)=(-?[\d.]+)", page.url)]
    assert asked == pytest.approx([ra, dec], abs=2e-7)
    flow = flow_of(page_house, "ongc-linear", ra=asked[0], dec=asked[1], cz=3100, cz_frame="cmb", sigma_cz=40)
    check_card(page, flow)
    check_plots(page, flow, page_house.ask("/get_distance_table", {
        "ra": asked[0], "dec": asked[1], "cz": flow["cz"]["hel"], "cz_frame": "hel", "sigma_cz": 40, "n": 401,
        "field": "ongc-linear"}).json)
    check_space(page, flow)


def test_a_place_on_the_sky_is_asked_by_a_click(page: Any, page_house: House) -> None:
    page.goto("/")
    page.locator("#sky .sky-read", has_text="Point to read").wait_for()
    page.locator("#sky canvas").first.scroll_into_view_if_needed()
    box = page.locator("#sky canvas").first.bounding_box()
    page.mouse.click(box["x"] + 0.6 * box["width"], box["y"] + 0.45 * box["height"])
    page.wait_for_url(re.compile("frame=supergalactic"))
    page.locator('#sightline .chart[aria-busy="false"] svg').wait_for()
    sgl, sgb = (float(x) for x in re.findall(r"(?:lon|lat)=(-?[\d.]+)", page.url))
    reply = page_house.ask("/get_distance_table", {"sgl": sgl, "sgb": sgb, "field": "ongc-linear", "n": 401})
    assert reply.status == 200
    assert "without a velocity" in page.locator("#card").inner_text()
    drawn(page, "The asked direction: its line of sight is drawn.")
