"""How the page comes to the browser: its policy is in force, its parts are kept, and the API page works, all from one server."""

from __future__ import annotations

import gzip
import json
import re
from typing import Any

import pytest
from looking import drawn, settled
from running import House, Reply

FOREVER = "public, max-age=31536000, immutable"
POLICY = {"default-src": "'self'", "img-src": "'self' data: blob:", "object-src": "'none'", "base-uri": "'none'",
          "form-action": "'self'", "frame-ancestors": "'none'"}


def fetch(house: House, path: str) -> Reply:
    """Ask as a browser does."""
    return house.ask(path, headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8", "Accept-Encoding": "gzip, br"})


def parts(html: bytes) -> list[str]:
    """Return the addresses that a page loads from."""
    return re.findall(r"""(?:src|href)=["'](/assets/[^"']+)""", html.decode())


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_a_page_and_all_its_parts_come_packed_typed_and_under_the_policy(page_house: House, path: str) -> None:
    reply = fetch(page_house, path)
    assert (reply.status, reply.media, reply.headers["content-encoding"]) == (200, "text/html", "gzip")
    policy = dict(part.strip().split(" ", 1) for part in reply.headers["content-security-policy"].split(";"))
    assert policy == POLICY and reply.headers["cache-control"] == "no-cache"
    html = gzip.decompress(reply.body)
    assert not re.search(rb"<style|style=|<script(?![^>]*src=)|\son\w+=|https?://", html), "the policy lets nothing inline run"
    assert len(parts(html)) >= 2
    for part in parts(html):
        found = fetch(page_house, part)
        assert found.status == 200 and found.headers["cache-control"] == FOREVER and found.headers["etag"], part
        assert found.media == {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}[part.rpartition(".")[2]]
        if part.endswith((".js", ".css")) and len(found.body) > 500:
            assert found.headers["content-encoding"] == "gzip" and gzip.decompress(found.body)
    again = page_house.ask(path, headers={"Accept": "text/html", "Accept-Encoding": "gzip",
                                          "If-None-Match": reply.headers["etag"]})
    assert (again.status, again.body) == (304, b"")


def test_the_page_does_not_load_what_only_the_docs_need(page_house: House) -> None:
    page, docs = (set(parts(gzip.decompress(fetch(page_house, path).body))) for path in ("/", "/docs"))
    own = {part for part in docs - page if part.endswith((".js", ".css"))}
    assert any("docs" in part for part in own) and not any("docs" in part for part in page)


def test_programs_still_get_the_index_which_names_the_page(page_house: House) -> None:
    for headers in ({}, {"Accept": "*/*"}, {"Accept": "application/json"}):
        reply = page_house.ask("/", headers=headers)
        assert reply.media == "application/json" and (reply.json["page"], reply.json["docs"]) == ("/", "/docs")
        assert "note" not in reply.json and "Accept" in reply.headers["vary"]
    assert "open it in a browser" in page_house.log.read_text()


def test_a_part_that_is_not_there_is_said_in_words(page_house: House) -> None:
    reply = fetch(page_house, "/assets/index-00000000.js")
    assert (reply.status, reply.media, reply.json["code"]) == (404, "application/problem+json", "unknown_asset")
    assert "load the page again" in reply.json["detail"] and "cache-control" not in reply.headers


def opened_whole(page: Any) -> None:
    """Open the page and let all of it come, so that nothing is cut off when it is left: what draws in space comes last."""
    page.goto("/", wait_until="networkidle")
    drawn(page)
    settled(page)


def test_a_second_visit_fetches_nothing_but_the_page_itself(page: Any) -> None:
    opened_whole(page)
    page.goto("/livez")
    opened_whole(page)
    # its icon a browser fetches when it likes, and keeps apart
    resources = page.evaluate("performance.getEntriesByType('resource').filter(e => /assets.*(js|css)$/.test(e.name))"
                              ".map(e => [e.name, e.transferSize])")
    assert resources and all(size == 0 for _, size in resources), resources


def test_an_inline_script_is_stopped_by_the_policy(page: Any, eye: Any) -> None:
    eye.allow("console error: .*Content Security Policy")
    page.goto("/")
    page.evaluate("""() => { const s = document.createElement("script"); s.textContent = "window.broken = 1";
                             document.head.append(s); }""")
    assert page.evaluate("window.broken") is None


def test_what_goes_wrong_in_a_page_is_seen(page: Any, eye: Any) -> None:
    eye.allow("^console warning: odd")
    eye.allow("^page error: .*thrown")
    eye.allow("^console error: .*Content Security Policy")
    eye.allow("^console error: .* status of 404 ")
    eye.allow("^elsewhere: http://127.0.0.2/picture.png")
    opened_whole(page)
    with page.expect_event("pageerror"):
        # every answer is read to its end: one that is left would fail when the page is
        page.evaluate("""async () => { console.warn("odd"); setTimeout(() => { throw new Error("thrown"); });
                                       await (await fetch("/assets/none.js")).text();
                                       await fetch("http://127.0.0.2/").catch(() => 0); }""")
    # what the policy stops never becomes a request; a page without the policy would send it
    page.goto("/livez")
    assert "console warning: odd" in eye.seen[0] and not any(line.startswith("elsewhere") for line in eye.seen)
    page.route("**/*", lambda route: route.fulfill(body="<img src='http://127.0.0.2/picture.png'>", content_type="text/html"))
    page.goto("/livez", wait_until="networkidle")


def opened(page: Any, tag: str, operation: str) -> Any:
    """Open one operation of /docs; return its box."""
    page.goto(f"/docs#/{tag}/{operation}")
    box = page.locator(f"#operations-{tag}-{operation}")
    box.locator(".execute").wait_for()
    return box


def answer(box: Any, status: int) -> Any:
    """Send what stands in an operation; return the JSON of the answer."""
    box.locator(".execute").click()
    box.locator(".live-responses-table .response-col_status", has_text=re.compile(rf"^{status}")).first.wait_for()
    return json.loads(box.locator(".live-responses-table .highlight-code code").first.inner_text())


CONTRAST = """(wanted) => {
    const sum = (element, of) => getComputedStyle(element)[of].match(/\\d+/g).slice(0, 3).reduce((a, b) => a + Number(b), 0);
    const ink = sum(document.querySelector(".opblock-tag"), "color") - sum(document.body, "backgroundColor");
    return wanted === "light on dark" ? ink > 300 : ink < -300;
}"""
"""Of the headings to the ground."""


def test_the_docs_show_every_door_and_try_an_operation_on_every_screen_dark_or_light(page: Any, page_house: House) -> None:
    document = page_house.ask("/openapi.json").json
    page.goto("/docs")
    page.locator(".opblock-tag").first.wait_for()
    assert page.title() == "API of Cosmic Flows"
    page.wait_for_function(CONTRAST, arg="light on dark")
    tags = {op["tags"][0] for item in document["paths"].values() for op in item.values()}
    assert {t.get_attribute("data-tag") for t in page.locator(".opblock-tag").all()} == tags
    page.locator('.opblock-tag[data-tag="Page"]').click()
    named = {p for p, item in document["paths"].items() if any(op["tags"] == ["Page"] for op in item.values())}
    page.locator(".opblock").nth(len(named) - 1).wait_for()
    assert {p.get_attribute("data-path") for p in page.locator(".opblock-summary-path").all()} == named
    page.locator('.opblock-tag[data-tag="Service"]').click()
    box = page.locator("#operations-Service-livez")
    box.locator(".opblock-summary-control").click()
    assert answer(box, 200) == {"ok": True}

    page.emulate_media(color_scheme="light")
    page.wait_for_function(CONTRAST, arg="dark on light")
    home = page.locator(".docs-home")
    for width in (3840, 360):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth") and home.bounding_box()["height"] >= 24
    home.click()
    page.wait_for_url("**/")
    assert page.title() == "Cosmic Flows"


@pytest.mark.view(color_scheme="light")
def test_the_docs_authorize_with_a_token(page: Any, eye: Any, operator_token: str) -> None:
    # without a token it is refused, and the browser says so on its console
    eye.allow(r"console error: .* status of 401 ")
    box = opened(page, "Operation", "workers")
    page.wait_for_function(CONTRAST, arg="dark on light")
    assert answer(box, 401)["code"] == "token_missing"
    page.locator(".btn.authorize").first.click()
    page.locator("#auth-bearer-value").fill(operator_token)
    form = page.locator(".auth-container", has=page.locator("#auth-bearer-value"))
    form.get_by_role("button", name="Apply credentials").click()
    page.locator(".btn-done").first.click()
    assert len(answer(box, 200)["workers"]) == 2
