"""The page in a browser, graphics in software, over loopback: first paint, time until use, bytes, and what it costs at rest.

Each visit is a new visitor's, with nothing kept; the browser itself is warm. The visitor comes by a link that names a galaxy,
so that the time until use holds everything: the card, both plots, and the view in space with the galaxy's line of sight in it.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from .service import house_server
from .verdict import NOT_INSTALLED, Ratio

LINK = "/#name=NGC%204993"
ARGUMENTS = ("--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
RUNS, QUICK_RUNS = 5, 2
IDLE_S, QUICK_IDLE_S = 5.0, 2.0
LIMITS = {"page_first_paint": (0.5, 1.0, " s"), "page_usable": (1.5, 2.0, " s"), "page_transfer": (1000.0, 1500.0, " kB"),
          "page_idle_cpu": (0.01, 0.02, " of a core")}
"""name -> target, ceiling, unit."""
USABLE = """() => {
    const watch = new MutationObserver(() => {
        const has = (selector) => document.querySelector(selector) !== null;
        const isThere = has("#card data")
            && has("#sightline .chart[aria-busy=false] svg") && has("#posterior .chart[aria-busy=false] svg")
            && has("#flow canvas[data-frames]") && document.querySelector("#flow-summary")?.textContent.includes("NGC 4993: ");
        if (!isThere) return;
        watch.disconnect();
        window.usable = performance.now();
    });
    watch.observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
}"""
PAINTED = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
RESTED = """async () => {
    let [frames, since] = ["", performance.now()];
    while (performance.now() - since < 1500) {
        const now = document.querySelector("#flow canvas").dataset.frames;
        if (now !== frames) [frames, since] = [now, performance.now()];
        await new Promise((done) => setTimeout(done, 100));
    }
}"""


def run(quick: bool) -> tuple[dict[str, Any], list[Ratio]]:
    """Visit the page some times; return the times of all visits and the medians."""
    why = _missing()
    if why:
        return {}, [Ratio(name, None, target, most, at_most=True, why=why) for name, (target, most, _) in LIMITS.items()]
    from playwright.sync_api import sync_playwright
    visits: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as data, house_server(Path(data)) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_program(), args=list(ARGUMENTS))
        _visit(browser, address)
        for _ in range(QUICK_RUNS if quick else RUNS):
            visits.append(_visit(browser, address))
        idle = _idle(browser, address, QUICK_IDLE_S if quick else IDLE_S)
        version = browser.version
        browser.close()
    found = {name: statistics.median(v[name] for v in visits) for name in visits[0]} | {"page_idle_cpu": idle}
    facts = {"chromium": version, "visits": [{name: round(value, 3) for name, value in v.items()} for v in visits]}
    return facts, [Ratio(name, found[name], target, most, at_most=True, unit=unit)
                   for name, (target, most, unit) in LIMITS.items()]


def _visit(browser: Any, address: str) -> dict[str, float]:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.add_init_script(f"({USABLE})()")
    wire = context.new_cdp_session(page)
    wire.send("Network.enable")
    sizes: list[float] = []
    wire.on("Network.loadingFinished", lambda e: sizes.append(e["encodedDataLength"]))
    page.goto(address + LINK)
    # looked for now and then: asked at every frame, as is usual, the question itself would make frames
    page.wait_for_function("() => window.usable !== undefined", polling=200)
    page.wait_for_load_state("networkidle")
    found = {"page_first_paint": page.evaluate(PAINTED) / 1e3, "page_usable": page.evaluate("window.usable") / 1e3,
             "page_transfer": sum(sizes) / 1e3}
    # the next visitor must not wait for the last pictures of this one
    page.evaluate(RESTED)
    context.close()
    return found


def _idle(browser: Any, address: str, seconds: float) -> float:
    """Return the share of a core that renderer and graphics take while the page is looked at and not touched."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.goto(address + LINK)
    page.wait_for_function("() => document.querySelector('#flow-summary')?.textContent.includes('NGC 4993: ')")
    page.evaluate(RESTED)
    # the sky, below the window, is drawn last
    page.wait_for_timeout(2500)
    wire = browser.new_browser_cdp_session()

    def spent() -> float:
        processes = wire.send("SystemInfo.getProcessInfo")["processInfo"]
        return sum(p["cpuTime"] for p in processes if p["type"] in ("renderer", "GPU"))

    before, began = spent(), time.perf_counter()
    page.wait_for_timeout(1000 * seconds)
    share = (spent() - before) / (time.perf_counter() - began)
    context.close()
    return max(share, 0.0)


def _program() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def _missing() -> str:
    """Return why the page cannot be measured here; empty when it can."""
    try:
        import playwright  # noqa: F401
    except ImportError:
        return f"{NOT_INSTALLED} (playwright, in cosmicflows[test])"
    if _program() is None:
        return f"{NOT_INSTALLED} (apt: chromium)"
    built = Path(__file__).resolve().parent.parent / "gateway" / "static" / "index.html"
    return "" if built.is_file() else "skipped: not built (make page)"
