"""What the page costs, without a stopwatch: the bytes of a first visit, and a page at rest. Times are in benchmarks/page.py."""

from __future__ import annotations

from typing import Any

from looking import answered, check_space, drawn, flow_of, link, settled

MOST_BYTES = 1_500_000
COUNT = """() => {
    window.work = { frames: 0, draws: 0 };
    const ask = window.requestAnimationFrame.bind(window);
    window.requestAnimationFrame = (then) => (work.frames += 1, ask(then));
    for (const name of ["drawArrays", "drawElements", "drawArraysInstanced", "drawElementsInstanced", "clear"]) {
        const draw = WebGL2RenderingContext.prototype[name];
        WebGL2RenderingContext.prototype[name] = function (...words) {
            work.draws += 1;
            return draw.apply(this, words);
        };
    }
}"""


def test_a_first_visit_with_an_answer_takes_less_than_one_and_a_half_megabytes(page: Any, page_house: Any) -> None:
    wire = page.context.new_cdp_session(page)
    wire.send("Network.enable")
    paths: dict[str, str] = {}
    sizes: dict[str, float] = {}
    wire.on("Network.requestWillBeSent", lambda e: paths.update({e["requestId"]: e["request"]["url"].partition("?")[0]}))
    wire.on("Network.loadingFinished", lambda e: sizes.update({e["requestId"]: e["encodedDataLength"]}))
    page.goto(link(name="NGC 4993"))
    answered(page, "NGC 4993", "ongc-linear")
    check_space(page, flow_of(page_house, "ongc-linear", name="NGC 4993"))
    drawn(page, "galaxies of the catalogue")
    page.wait_for_load_state("networkidle")
    seen = {paths[i].partition(f":{page_house.port}")[2]: size for i, size in sizes.items() if i in paths}
    assert any(path.startswith("/assets/scene-") for path in seen) and "/v1/galaxies" in seen and "/get_flow_galaxy" in seen
    assert [path.rpartition("/")[2] for path in seen if "/preview-" in path] == ["preview-64.bin"]
    assert sum(seen.values()) > 300_000, f"the whole page was counted: {seen}"
    assert sum(seen.values()) <= MOST_BYTES, seen
    assert not any("docs" in path for path in seen)


def test_a_page_at_rest_draws_nothing_and_draws_again_when_it_is_touched(page: Any) -> None:
    page.add_init_script(f"({COUNT})()")
    page.goto(link(name="NGC 4993"))
    answered(page, "NGC 4993", "ongc-linear")
    drawn(page, "NGC 4993: ", "galaxies of the catalogue")
    settled(page, 1500)
    before = page.evaluate("({...work})")
    assert before["draws"] > 10 and before["frames"] > 1, "the counting counts"
    # a second of rest is what is looked at
    page.wait_for_timeout(1000)
    assert page.evaluate("({...work})") == before
    page.get_by_role("application", name="The flow in space").press("ArrowLeft")
    page.wait_for_function("(n) => work.draws > n", arg=before["draws"])
    settled(page, 1500)
    rested = page.evaluate("({...work})")
    page.wait_for_timeout(1000)
    assert page.evaluate("({...work})") == rested
