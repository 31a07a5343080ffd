"""The page in a real browser: Chromium of the system, a house that serves the built page, and an eye on all that goes wrong.

Playwright only drives; it never brings a browser of its own. Graphics are drawn in software, so that every machine sees the same.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from running import House

ROOT = Path(__file__).resolve().parents[2]
BUILT = ROOT / "gateway" / "static" / "index.html"
ARGUMENTS = ("--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
OPERATOR = "an operator's token, 32 bytes and more"
GRANTED = ("clipboard-read", "clipboard-write")
PATIENCE_MS = 45_000
"""Nothing on the page takes a tenth of it, but the machine may be busy."""
Browser = Any
Page = Any


def pytest_configure(config: pytest.Config) -> None:
    """Register our mark."""
    config.addinivalue_line("markers", "view(width, height, **context): the screen and the visitor of the fixture `page`")


@pytest.fixture(scope="session")
def operator_token() -> str:
    """Return the operator's token of `page_house`."""
    return OPERATOR


@pytest.fixture(scope="session")
def page_house(house_data: Path) -> Iterator[House]:
    """Return a house that serves the built page, with cf4gp where the real data are."""
    if not BUILT.is_file():
        pytest.skip("the page is not built on this machine (make page)")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CF_ADMIN_TOKEN_SHA256", sha256(OPERATOR.encode()).hexdigest())
        running = House(house_data, "--workers", "2")
    yield running
    running.stop()


@pytest.fixture(scope="session")
def browser_path() -> str:
    """Return the Chromium of this machine."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("Chromium is not on this machine (apt: chromium)")
    return program


@pytest.fixture(scope="module")
def browser(browser_path: str) -> Iterator[Browser]:
    """Return Chromium without a window.

    It ends with its module: while playwright runs, this thread has a running event loop, and no other test could begin one.
    """
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (cosmicflows[test])")
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=browser_path, args=list(ARGUMENTS))
        yield running
        running.close()


class Eye:
    """See what goes wrong in a page: words on the console, errors, failed requests, requests to other origins.

    Attributes
    ----------
    seen : list of str
        One line each, with what it is before it: "console error: ...", "page error: ...", "failed: ...", "elsewhere: ...".
    """

    def __init__(self, home: str) -> None:
        self.seen: list[str] = []
        self._home = home
        self._allowed: list[str] = []
        self._forgiven: list[str] = []

    def watch(self, page: Page) -> None:
        """Look at a page from now on."""
        page.on("console", lambda m: self.seen.append(f"console {m.type}: {m.text} ({m.location.get('url', '')})")
                if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.seen.append(f"page error: {error}"))
        # what the page itself calls off, because something else is asked by now, has not failed
        page.on("requestfailed", lambda r: None if r.resource_type == "fetch" and r.failure == "net::ERR_ABORTED" else
                self.seen.append(f"failed: {r.method} {r.url} {r.failure}"))
        page.on("request", lambda r: None if r.url.startswith((f"{self._home}/", "data:", f"blob:{self._home}/")) else
                self.seen.append(f"elsewhere: {r.url[:300]}"))
        page.on("response", lambda r: self.seen.append(f"failed: {r.status} {r.url}") if r.status >= 500 else None)

    def allow(self, pattern: str) -> None:
        """Expect lines in which this pattern is found; it must be found, or the test says too much."""
        self._allowed.append(pattern)

    def forgive(self, *patterns: str) -> None:
        """Let lines pass in which one of these patterns is found, whether they come or not: for what chance decides."""
        self._forgiven += patterns

    def judge(self) -> None:
        """Raise what was seen and not expected, and what was expected and not seen."""
        unexpected = [line for line in self.seen if not any(re.search(p, line) for p in self._allowed + self._forgiven)]
        vain = [p for p in self._allowed if not any(re.search(p, line) for line in self.seen)]
        assert not unexpected, "the browser complains:\n" + "\n".join(unexpected)
        assert not vain, f"expected and not seen: {vain}"


@pytest.fixture
def eye(page_house: House) -> Eye:
    """Return what watches the page of this test; `eye.allow(PATTERN)` before something that must go wrong."""
    return Eye(f"http://127.0.0.1:{page_house.port}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Remember on the test whether it has failed, for the picture of it."""
    report = yield
    setattr(item, f"report_{report.when}", report)
    return report


@pytest.fixture
def visit(browser: Browser, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Page]]:
    """Return what opens a page of a new visitor: ``visit(house, eye, width=1440, height=900, ...)``.

    Further words are those of playwright's `new_context`; `program` is another browser than the usual one. At the end nothing
    may have gone wrong in any of them; when the test fails there are pictures in pytest's folder.
    """
    opened: list[tuple[Page, Eye]] = []

    def begin(house: House, eye: Eye, *, width: int = 1440, height: int = 900, program: Browser | None = None,
              **words: Any) -> Page:
        context = (program or browser).new_context(**{
            "base_url": f"http://127.0.0.1:{house.port}", "viewport": {"width": width, "height": height},
            "permissions": list(GRANTED), "accept_downloads": True, "color_scheme": "dark", **words})
        context.set_default_timeout(PATIENCE_MS)
        shown = context.new_page()
        eye.watch(shown)
        opened.append((shown, eye))
        return shown

    yield begin
    report = getattr(request.node, "report_call", None)
    has_passed = report is not None and report.passed
    for i, (shown, eye) in enumerate(opened):
        try:
            if not has_passed or eye.seen:
                picture = tmp_path / f"page-{i}.png"
                shown.screenshot(path=picture)
                print(f"the page at its end: {picture}\n" + "\n".join(eye.seen))
        finally:
            shown.context.close()
    if has_passed:
        for eye in {id(eye): eye for _, eye in opened}.values():
            eye.judge()


@pytest.fixture
def page(visit: Callable[..., Page], page_house: House, eye: Eye, request: pytest.FixtureRequest) -> Page:
    """Return a new page of a new visitor, 1440 by 900, dark, at the house (`page.goto("/")`); `view(...)` marks what else it is.

    ``@pytest.mark.view(width=360, height=740, color_scheme="light", ...)``: further words of playwright's `new_context`.
    """
    marker = request.node.get_closest_marker("view")
    return visit(page_house, eye, **(marker.kwargs if marker else {}))


@pytest.fixture
def watch_house() -> Callable[[House], Eye]:
    """Return what makes an eye for another house than `page_house`."""
    return lambda house: Eye(f"http://127.0.0.1:{house.port}")
