"""What can be read off the page in a browser: its card, its plots, its view in space, and when it has come to rest.

Everything here looks at the page from outside, as playwright sees it; nothing is asked of its scripts.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlencode

import numpy as np
from running import House

Page = Any
Answer = dict[str, Any]
ROWS = 401
"""Rows of the line of sight that the page asks for."""
C_KMS = 299792.458
VARIABLES = ("distance", "luminosity", "comoving", "hubble")
FRAMES = ("hel", "cmb", "lg", "ls", "gsr")

CARD = """() => {
    const numbers = (root) => [...root.querySelectorAll("data")].map((d) => Number(d.value));
    const parts = {};
    for (const part of document.querySelectorAll("#card .headline > div")) {
        parts[part.querySelector("dt").textContent] = numbers(part);
    }
    for (const fold of document.querySelectorAll("#card details")) {
        parts[fold.querySelector("summary").textContent] = numbers(fold);
    }
    return parts;
}"""

ANSWERED = """([name, field]) => {
    const card = document.querySelector("#card .card");
    const title = document.querySelector("#card-title");
    const chart = document.querySelector("#sightline .chart");
    const how = [...document.querySelectorAll("#card summary")].find((s) => s.textContent === "How it was computed");
    return card?.getAttribute("aria-busy") === "false" && title.textContent === name && how !== undefined
        && how.parentElement.querySelector("dd").textContent.startsWith(field + " ")
        && chart?.getAttribute("aria-busy") === "false"
        && chart.querySelector("desc").textContent.includes(`of field ${field} `)
        && chart.querySelector("desc").textContent.includes("is met at")
        && chart.querySelector("title").textContent.endsWith(`of ${name}`);
}"""

SETTLED = """async (calm) => {
    // nothing is drawn for so many milliseconds after the first frame; the frames are counted on the canvas
    const canvas = () => document.querySelector("#flow canvas");
    let frames = "";
    let since = performance.now();
    for (;;) {
        const now = canvas()?.dataset.frames ?? "";
        if (now !== frames || now === "") [frames, since] = [now, performance.now()];
        if (performance.now() - since > calm) return Number(frames);
        await new Promise((done) => setTimeout(done, 50));
    }
}"""

WIDE = """() => {
    const seen = (e) => e.checkVisibility({ contentVisibilityAuto: true, opacityProperty: true, visibilityProperty: true });
    const cut = (e) => {
        for (let p = e.parentElement; p !== null && p !== document.documentElement; p = p.parentElement) {
            if (getComputedStyle(p).overflowX !== "visible") return true;
        }
        return false;
    };
    const wide = [...document.body.querySelectorAll("*")].filter((e) => {
        const { left, right, width } = e.getBoundingClientRect();
        return width > 1 && (left < -0.5 || right > innerWidth + 0.5) && seen(e) && !cut(e);
    });
    return [document.documentElement.scrollWidth, innerWidth,
            wide.map((e) => `${e.tagName} ${e.id} ${e.getAttribute("class")} ${JSON.stringify(e.getBoundingClientRect())}`)];
}"""


def flow_of(house: House, field: str, **words: object) -> Answer:
    """Ask the service what the page asks for a galaxy or, without a name, for a place."""
    path = "/get_flow_galaxy" if "name" in words else "/get_flow_by_position"
    reply = house.ask(path, {**words, "field": field})
    assert reply.status == 200, reply.body
    return reply.json


def sightline_of(house: House, flow: Mapping[str, Any], frame: str = "hel") -> Answer:
    """Ask for the line of sight that the page draws beside an answer."""
    icrs = flow["position"]["icrs"]
    where = {"name": flow["name"]} if flow.get("name") else {"ra": icrs["lon"], "dec": icrs["lat"]}
    reply = house.ask("/get_distance_table", {**where, "cz": flow["cz"][frame], "cz_frame": frame, "n": ROWS,
                                              "field": flow["field"]["id"]})
    assert reply.status == 200, reply.body
    return reply.json


def link(**words: object) -> str:
    """Return the address of the page with this question."""
    return "/#" + urlencode(words, quote_via=quote)


def ask_name(page: Page, name: str) -> None:
    """Type a name and press Enter."""
    page.locator("#search-input").fill(name)
    page.locator("#search-input").press("Enter")


def answered(page: Page, name: str, field: str) -> None:
    """Wait until card and plot show this object in this field."""
    page.wait_for_function(ANSWERED, arg=[name, field])


def drawn(page: Page, *words: str) -> str:
    """Wait until the view in space is drawn and its summary has these words; return the summary."""
    page.locator("#flow canvas[data-frames]").first.wait_for()
    page.wait_for_function("(words) => words.every((w) => document.querySelector('#flow-summary')?.textContent.includes(w))",
                           arg=list(words))
    return page.locator("#flow-summary").inner_text()


def settled(page: Page, calm_ms: int = 500) -> int:
    """Wait until the view in space has drawn nothing for a while; return how many frames it drew."""
    return page.evaluate(SETTLED, calm_ms)


def plain(text: str) -> str:
    """Return a text of the page with the signs that a program writes: "−" is "-", thin spaces are none."""
    return text.replace("−", "-").replace("\u202f", "")


def agree(text: str, *expected: float | None) -> None:
    """Require that the numbers in a text are these, to the digits that are shown."""
    shown = re.findall(r"-?(?<![\d.])\d[\d,]*(?:\.\d+)?", plain(text))
    assert len(shown) == len(expected), (text, expected)
    for word, value in zip(shown, expected):
        decimals = len(word.partition(".")[2])
        assert value is not None and abs(float(word.replace(",", "")) - value) <= 0.5 * 10.0**-decimals + 1e-9, (text, expected)


def check_card(page: Page, flow: Mapping[str, Any]) -> None:
    """Require that every number of the card is that of the answer: the markup to the last bit, the text to its digits."""
    parts = page.evaluate(CARD)
    v, modulus = flow["v_pec"], flow["modulus"]
    assert parts["distance"] == [flow["distance"]["median"]]
    assert parts["observed cz"] == [flow["cz"]["hel"]]
    assert parts["peculiar velocity"] == [flow["v_rad"]]
    assert parts["distance modulus μ"] == [modulus["median"]]
    assert parts["Four distances"] == [flow[variable]["median"] for variable in VARIABLES]
    assert parts["Observed velocity"] == [flow["cz"][frame] for frame in FRAMES]
    there = [flow["v_rad"], v["sgx"], v["sgy"], v["sgz"], flow["delta"], flow["inside_fraction"]]
    assert parts["Flow at this place"] == [x for x in there if x is not None]
    for variable in VARIABLES:
        s = flow[variable]
        cells = page.locator(f'#card tr[data-flow="{variable}"] td')
        agree(cells.nth(1).inner_text().replace("–", " "), s["p16"], s["p84"])
        agree(cells.nth(2).inner_text().replace("±", " "), s["mean"], s["std"])
        assert s["unit"].replace("^-1", "⁻¹") in page.locator(f'#card tr[data-flow="{variable}"] th').inner_text()
    small = page.locator("#card .headline > div", has_text="modulus").locator("small").inner_text()
    agree(small.partition("68 %:")[2].replace("±", " "), modulus["p16"], modulus["p84"], modulus["mean"], modulus["std"])
    small = page.locator("#card .headline > div", has_text="peculiar").locator("small").inner_text()
    agree(small, flow["v_rad_std"], float(np.linalg.norm([v["sgx"], v["sgy"], v["sgz"]])))


def check_plots(page: Page, flow: Mapping[str, Any], line: Mapping[str, Any]) -> None:
    """Require that both plots show the answer: roots where they are, with their weights, and the model's line."""
    roots = flow["roots"]
    for panel in ("sightline", "posterior"):
        weights = page.locator(f"#{panel} [data-root]").evaluate_all("all => all.map(e => Number(e.dataset.root))")
        assert weights == [root["weight"] for root in roots], panel
    place = page.locator("#sightline .crosshair")
    span = place.evaluate("e => ({left: e.offsetLeft, width: e.offsetWidth, most: Number(e.getAttribute('aria-valuemax'))})")
    dots = page.locator("#sightline [data-root] circle").evaluate_all("all => all.map(e => Number(e.getAttribute('cx')))")
    for x, root in zip(dots, roots, strict=True):
        comoving = root["r_hmpc"] * 100 / flow["cosmology"]["H0"]
        assert abs((x - span["left"]) / span["width"] * span["most"] - comoving) < span["most"] / span["width"], root
    r_of, cz, v_rad = (np.array(line["columns"][name], float) for name in ("r_hmpc", "cz", "v_rad"))
    # what is left of the predicted velocity without the flow, in the same frame
    hubble = C_KMS * ((1 + cz / C_KMS) / (1 + v_rad / C_KMS) - 1)
    for key in ("Home", "End", "PageDown"):
        place.press(key)
        words = plain(place.get_attribute("aria-valuetext"))
        r = float(place.get_attribute("aria-valuenow")) * flow["cosmology"]["H0"] / 100
        expected = [float(np.interp(r, r_of, column)) for column in (cz, hubble)]
        found = re.fullmatch(rf".*Mpc: {flow['field']['id']} (\S+) ± (\S+), Hubble flow (\S+) km/s", words)
        assert found is not None, words
        agree(f"{found[1]} {found[3]}", *expected)
    place.press("Escape")
    agree(page.locator("#posterior .plot-words").inner_text().partition("(")[0], flow["distance"]["median"])


def check_space(page: Page, flow: Mapping[str, Any]) -> None:
    """Require that the view in space shows the line of sight of the answer: in words, with its name, and in pixels."""
    name = flow["name"] or "The asked direction"
    words = drawn(page, f"{name}: ")
    said = words.partition(f"{name}: ")[2]
    if flow["roots"]:
        told = re.findall(r"([\d.]+) h⁻¹ Mpc \(weight (\d+) %\)", said)
        assert len(told) == len(flow["roots"]), said
        for (r, weight), root in zip(told, flow["roots"], strict=True):
            agree(r, root["r_hmpc"])
            agree(weight, 100 * root["weight"])
    else:
        assert "its line of sight is drawn" in said
    spread = re.search(r"lies between ([\d.]+) and ([\d.]+) h⁻¹ Mpc", said)
    assert spread is not None, said
    agree(spread[1], flow["comoving"]["p16"])
    agree(spread[2], flow["comoving"]["p84"])
    settled(page)
    if flow["name"]:
        label = page.locator("#flow .flow-label.target")
        assert label.is_visible() and label.text_content() == flow["name"]
    # what the colours of the ray are is the theme's to say; here only that the picture is one
    assert variance(page.locator("#flow canvas").first.screenshot()) > 20


def check_all(page: Page, house: House, flow: Mapping[str, Any]) -> None:
    """Require that card, plots and view in space show this answer."""
    check_card(page, flow)
    check_plots(page, flow, sightline_of(house, flow))
    check_space(page, flow)


def variance(png: bytes) -> float:
    """Return the variance of the brightness of a picture, 0 to 255; a blank one has none."""
    from PIL import Image
    return float(np.var(np.asarray(Image.open(io.BytesIO(png)).convert("L"), float)))


def overflow(page: Page) -> list[str]:
    """Return what is wider than the window and not within something that scrolls."""
    width, window, wide = page.evaluate(WIDE)
    return wide + ([f"the document is {width} px wide in a window of {window}"] if width > window else [])


def eventually(page: Page, true: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
    """Wait until something outside the page is true."""
    for _ in range(int(seconds / 0.1)):
        if true():
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"not within {seconds} s: {what}")
