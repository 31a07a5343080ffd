"""Everybody can use the page: on every screen, in both themes, without 3-D graphics, without a mouse, without eyes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from looking import answered, ask_name, check_card, drawn, flow_of, link, overflow, settled, variance

AXE = Path(__file__).resolve().parents[2] / "gateway" / "web" / "node_modules" / "axe-core" / "axe.min.js"
GRAVE = ("serious", "critical")
ASKED = link(name="NGC 4993")
SWAGGER_FAULTS = ("color-contrast", "nested-interactive")
"""Rules that swagger-ui breaks within its own markup: pale colours of its light theme, links within the heads of operations."""
TAB_STOP = """() => {
    const e = document.activeElement;
    if (e === document.body || e === null) return null;
    const style = getComputedStyle(e);
    const ring = (s) => (s.outlineStyle !== "none" && Number.parseFloat(s.outlineWidth) > 0) || s.boxShadow !== "none";
    const { width, height, top, bottom } = e.getBoundingClientRect();
    return { id: e.id, panel: e.closest("section.panel")?.id ?? "top", tag: e.tagName, label: e.getAttribute("aria-label"),
             text: e.textContent.slice(0, 40), focus: e.matches(":focus-visible") && ring(style), width, height,
             inside: bottom > 0 && top < innerHeight };
}"""


def grave(page: Any, without: Sequence[str] = (), outside: str = "") -> list[str]:
    """Return what axe-core finds that is serious or critical, one line each; `without` rules, or `outside` a part of the page."""
    if not AXE.is_file():
        pytest.skip("axe-core is not on this machine (make page)")
    if page.evaluate("typeof axe") == "undefined":
        page.evaluate(AXE.read_text())
    rules = {"target-size": {"enabled": True}} | {rule: {"enabled": False} for rule in without}
    found = page.evaluate("async ([exclude, rules]) => (await axe.run({ include: [['html']], exclude }, "
                          "{ resultTypes: ['violations'], rules })).violations", [[[outside]] if outside else [], rules])
    return [f"{v['impact']} {v['id']}: {' '.join(map(str, node['target']))}: {node['html'][:160]} {node['failureSummary'][:300]}"
            for v in found if v["impact"] in GRAVE for node in v["nodes"]]


SCREENS = [pytest.param(w, marks=pytest.mark.view(width=w, height=h)) for w, h in ((360, 740), (1440, 900), (3840, 1200))]


@pytest.mark.parametrize("width", SCREENS)
def test_nothing_hangs_over_on_any_screen_dark_or_light(page: Any, width: int) -> None:
    page.goto("/")
    assert overflow(page) == []
    ask_name(page, "NGC 4993")
    answered(page, "NGC 4993", "ongc-linear")
    drawn(page, "NGC 4993: ")
    page.evaluate("for (const fold of document.querySelectorAll('#card details')) fold.open = true")
    for part in ("Position", "Options"):
        page.get_by_role("button", name=part, exact=True).click()
        assert overflow(page) == [], part
    for layer in ("Slice", "Arrows"):
        page.locator("#flow").get_by_role("button", name=layer, exact=True).click()
    grounds = set()
    for _ in ("dark", "light"):
        page.wait_for_function("() => document.querySelectorAll('#sightline svg, #posterior svg').length === 2")
        assert overflow(page) == []
        grounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        page.locator("button.theme").click()
    assert len(grounds) == 2
    page.locator("#search-input").fill("ngc 49")
    page.locator("#search-hints [role=option]").first.wait_for()
    assert overflow(page) == []


@pytest.mark.parametrize("theme", [pytest.param(t, marks=pytest.mark.view(color_scheme=t)) for t in ("dark", "light")])
def test_axe_finds_nothing_serious_in_any_state_of_the_page(page: Any, theme: str) -> None:
    page.goto("/")
    page.locator(".examples button").first.wait_for()
    drawn(page)
    assert grave(page) == [], "nothing asked"

    page.locator("#search-input").press_sequentially("ngc 49")
    page.locator("#search-hints [role=option]").first.wait_for()
    page.keyboard.press("ArrowDown")
    assert grave(page) == [], "hints"

    page.keyboard.press("Enter")
    answered(page, "NGC 49", "ongc-linear")
    drawn(page, "NGC 49: ")
    page.locator("#sightline").get_by_role("button", name=re.compile("mould2000")).click()
    page.locator("#sightline svg text", has_text=re.compile("^mould2000$")).wait_for()
    page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")
    for part in ("Position", "Velocity", "Options"):
        page.locator("#search").get_by_role("button", name=part).click()
        assert grave(page) == [], f"galaxy asked, {part}"

    page.locator("#flow").get_by_role("button", name="Slice", exact=True).click()
    page.locator('[data-test="table-file"]').set_input_files(
        {"name": "three.csv", "mimeType": "text/csv", "buffer": b"name,ra,dec,cz,cz_cmb\na,10,20,3000,3100\nb,11,21,4000,4100\n"})
    page.locator("#tables form.asked .notice.bad button").first.wait_for()
    assert grave(page) == [], "a table with a question"
    page.locator("#tables form.asked .ways button").first.click()
    page.locator("#tables form.asked button[type=submit]").click()
    page.locator("#tables article.one .downloads a").first.wait_for()
    page.locator("#tables article.one canvas").first.wait_for()
    assert grave(page) == [], "a result"


@pytest.mark.view(color_scheme="light")
def test_axe_finds_nothing_serious_in_the_docs_but_what_swagger_ui_brings(page: Any) -> None:
    page.goto("/docs#/Service/livez")
    page.locator("#operations-Service-livez .execute").wait_for()
    assert grave(page, without=SWAGGER_FAULTS) == []
    assert grave(page, outside=".swagger-ui") == []


def test_a_script_put_into_the_page_does_not_run(page: Any, eye: Any) -> None:
    eye.allow("console error: .*Content Security Policy")
    page.goto(ASKED)
    answered(page, "NGC 4993", "ongc-linear")
    page.evaluate("""() => {
        document.querySelector("#card").insertAdjacentHTML("beforeend", "<img src='data:,' onerror='window.broken = 1'>");
        const script = document.createElement("script");
        script.textContent = "window.broken = 2";
        document.body.append(script);
        document.body.append(Object.assign(document.createElement("script"), { src: "data:text/javascript,window.broken = 3" }));
    }""")
    page.wait_for_function("() => document.readyState === 'complete'")
    settled(page, 300)
    assert page.evaluate("window.broken") is None


def test_without_3d_graphics_there_are_slices_and_all_else_works(
        browser: Any, browser_path: str, page_house: Any, eye: Any, visit: Callable[..., Any]) -> None:
    flow = flow_of(page_house, "ongc-linear", name="NGC 4993")
    program = browser.browser_type.launch(executable_path=browser_path, args=["--no-sandbox", "--disable-3d-apis"])
    try:
        page = visit(page_house, eye, program=program)
        page.goto("/")
        notice = page.locator("#flow .notice", has_text="no 3-D graphics")
        notice.wait_for()
        ask_name(page, "NGC 4993")
        answered(page, "NGC 4993", "ongc-linear")
        check_card(page, flow)
        page.locator("#flow-summary", has_text="NGC 4993: ").wait_for(state="attached")
        slices = page.locator("#flow .slices canvas")
        assert slices.count() == 3
        for one in slices.all():
            one.scroll_into_view_if_needed()
            assert variance(one.screenshot()) > 20
        assert page.locator("#flow-summary").inner_text().count("h⁻¹ Mpc") >= 2
        assert variance(page.locator("#sky canvas").first.screenshot()) > 20
        assert overflow(page) == [] and grave(page) == []
        page.locator("#field-select").select_option("mould2000")
        answered(page, "NGC 4993", "mould2000")
        check_card(page, flow_of(page_house, "mould2000", name="NGC 4993"))
    finally:
        program.close()


@pytest.mark.view(reduced_motion="reduce")
def test_nothing_moves_for_those_who_want_it_still(page: Any) -> None:
    page.goto(ASKED)
    answered(page, "NGC 4993", "ongc-linear")
    drawn(page, "NGC 4993: ")
    moving = page.evaluate("() => document.getAnimations().filter(a => a.effect.getComputedTiming().duration > 10).length")
    assert moving == 0
    frames = settled(page)
    page.locator("#flow").get_by_role("button", name="Look along SGX").click()
    page.wait_for_function("(n) => Number(document.querySelector('#flow canvas').dataset.frames) > n", arg=frames)
    # one look, not a flight: the camera is there at once
    assert settled(page) - frames <= 4
    assert "camera=0%2C0" in page.url.replace(",", "%2C")


def test_the_keyboard_reaches_everything_and_its_place_is_always_seen(page: Any) -> None:
    page.goto(ASKED)
    answered(page, "NGC 4993", "ongc-linear")
    drawn(page, "NGC 4993: ")
    page.locator("#sky .sky-read", has_text="Point to read").wait_for()
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    stops: list[dict[str, Any]] = []
    for _ in range(250):
        page.keyboard.press("Tab")
        stop = page.evaluate(TAB_STOP)
        if stop is None:
            break
        stops.append(stop)
    assert stops and stops[0]["text"] == "Skip to the page"
    hidden = [s for s in stops if not s["focus"] or not s["inside"] or s["width"] < 1]
    assert not hidden, f"the focus is not seen on: {hidden}"
    ids = [s["id"] for s in stops]
    assert {"field-select", "frame-select", "search-input"} <= set(ids)
    # once each, in the order of the page
    assert len(stops) < 250
    panels = list(dict.fromkeys(s["panel"] for s in stops))
    assert panels == ["top", "search", "card", "sightline", "posterior", "flow", "sky", "tables"]
    flow = [s for s in stops if s["panel"] == "flow"]
    assert {"Streamlines", "δ surface", "Voids", "Slice"} <= {s["text"] for s in flow}
    assert {"Density contrast of the surface", "The flow in space"} <= {s["label"] for s in flow}
    assert any(s["tag"] == "CANVAS" or s["label"] for s in stops if s["panel"] == "sky")
    assert any("Drop a CSV" in s["text"] for s in stops if s["panel"] == "tables")
    small = [s for s in stops if s["tag"] == "BUTTON" and min(s["width"], s["height"]) < 24]
    assert not small, f"too small to hit: {small}"


def test_space_sky_and_surface_are_moved_by_keys(page: Any) -> None:
    page.goto("/")
    drawn(page)
    settled(page)
    space = page.get_by_role("application", name="The flow in space")
    space.focus()
    page.keyboard.press("ArrowLeft")
    page.wait_for_url(re.compile("camera="))
    page.keyboard.press("0")
    page.wait_for_url(lambda url: "camera=" not in url)
    slider = page.get_by_label("Density contrast of the surface")
    slider.focus()
    before = float(slider.input_value())
    page.keyboard.press("ArrowRight")
    after = float(slider.input_value())
    assert after > before
    drawn(page, f"the surface of density contrast {after:.2f}")
    page.wait_for_url(re.compile(f"delta={after:g}"))
