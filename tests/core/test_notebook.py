"""The view of notebooks: what its traits carry, and the built module in a real browser."""

from __future__ import annotations

import functools
import http.server
import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_fields import smooth_field

import cfcore
from cfcore import preview
from cfcore.errors import BadParameter, UnknownName, UsageError

notebook = pytest.importorskip("cfcore.notebook", reason="anywidget is not installed: pip install 'cosmicflows[jupyter]'",
                               exc_type=ModuleNotFoundError)
BUILT = Path(cfcore.__file__).parent / "_widget"
PLACE = (197.4488, -23.3839)


@pytest.fixture
def unbuilt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Stand in for the two built files: what Python does with the traits needs no more than their being there."""
    for name in ("view.js", "view.css"):
        (tmp_path / name).write_text("export default {};" if name.endswith("js") else "", "utf-8")
    monkeypatch.setattr(notebook, "_BUILT", tmp_path)


@pytest.fixture(scope="module")
def field() -> cfcore.FlowField:
    return smooth_field(sky_frame="galactic")


def test_the_bytes_are_the_preview_of_the_field(unbuilt: None, field: cfcore.FlowField) -> None:
    view = cfcore.view(field, nodes=12)
    tile = preview.read(view.tile)
    assert tile.header["field"]["id"] == field.manifest.id and tile.velocity.shape == (12, 12, 12, 3)
    assert view.get_state(["tile", "layers", "target", "height"]) == {
        "tile": view.tile, "layers": list(notebook.FIRST_LAYERS), "target": None, "height": 480}


def test_a_field_is_taken_by_its_id(unbuilt: None, house_data: Path) -> None:
    view = cfcore.view("ongc-linear", nodes=8, data=house_data)
    assert preview.read(view.tile).header["field"]["id"] == "ongc-linear"
    view.set_target(PLACE)
    view.set_field(smooth_field(), nodes=9)
    assert preview.read(view.tile).header["n"] == 9 and view.target is None


@pytest.mark.parametrize("sky_frame", ["galactic", "supergalactic"])
def test_a_target_has_the_distances_that_the_field_gives(unbuilt: None, sky_frame: str) -> None:
    field = smooth_field(sky_frame=sky_frame)
    view = cfcore.view(field, target={"name": "made", "lon": PLACE[0], "lat": PLACE[1], "cz": 4000.0, "H0": 70}, nodes=8)
    answer = field.distance(*PLACE, 4000.0, H0=70)
    assert [r["r_hmpc"] for r in view.target["roots"]] == [r["r_hmpc"] for r in answer.roots()] != []
    assert view.target["range"] == [answer.column("comoving.p16")[0], answer.column("comoving.p84")[0]]
    # the direction is that in which the field itself, brought to supergalactic axes, was asked
    sgl, sgb = cfcore.frames.lon_lat(view.target["direction"])
    again = field.distance(sgl, sgb, 4000.0, H0=70, frame="supergalactic")
    assert again.column("comoving.median") == pytest.approx(answer.column("comoving.median"), rel=1e-9)
    view.set_target({"lon": PLACE[0], "lat": PLACE[1], "answer": answer})
    assert view.target["name"] is None and view.target["roots"][0]["r_hmpc"] == answer.roots()[0]["r_hmpc"]
    json.dumps(view.target, allow_nan=False)


def test_a_target_without_a_velocity_or_an_answer_is_a_direction_only(unbuilt: None, field: cfcore.FlowField) -> None:
    view = cfcore.view(field, target=PLACE, nodes=8)
    assert view.target["roots"] == [] and view.target["range"] is None
    assert np.linalg.norm(view.target["direction"]) == pytest.approx(1.0)
    view.set_target((*PLACE, 1e5))
    assert view.target["roots"] == [] and view.target["range"] is None
    view.set_target(None)
    assert view.target is None


@pytest.mark.parametrize("wrong", [(1.0,), "NGC 4993", {"lon": 3.0}, (400.0, 0.0), (0.0, np.nan),
                                   {"lon": 1, "lat": 2, "answer": 3}])
def test_a_target_that_is_no_place_is_refused_in_words(unbuilt: None, field: cfcore.FlowField, wrong: Any) -> None:
    with pytest.raises(BadParameter) as refused:
        cfcore.view(field, target=wrong, nodes=8)
    assert refused.value.where == "target" and any(w in str(refused.value) for w in ("lon", "answer"))


@pytest.mark.parametrize(("changed", "kind"), [({"layers": ["stream"]}, UnknownName), ({"theme": "red"}, UnknownName),
                                               ({"height": 10}, BadParameter), ({"delta": -1.5}, BadParameter)])
def test_values_that_the_view_does_not_know_are_refused(unbuilt: None, field: cfcore.FlowField, changed: dict[str, Any],
                                                         kind: type[Exception]) -> None:
    with pytest.raises(kind):
        cfcore.view(field, nodes=8, **changed)
    view = cfcore.view(field, nodes=8)
    (name, value), = changed.items()
    before = getattr(view, name)
    with pytest.raises(kind):
        setattr(view, name, value)
    assert getattr(view, name) == before


def test_a_view_that_was_not_built_says_how_to_build_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
                                                         field: cfcore.FlowField) -> None:
    monkeypatch.setattr(notebook, "_BUILT", tmp_path)
    with pytest.raises(UsageError, match="make page") as refused:
        cfcore.view(field)
    assert refused.value.code == "view_not_built"


# What a notebook does: hand the module a model and an element. The model notes what the view tells Python.
HARNESS = """<!doctype html><meta charset="utf-8"><title>harness</title><link rel="icon" href="data:,">
<link rel="stylesheet" href="view.css"><body data-jp-theme-light="false"><div id="cell"></div>
<script type="module">
import widget, * as all from "./view.js";
const values = await (await fetch("state.json")).json();
const bytes = await (await fetch("tile.bin")).arrayBuffer();
values.tile = new DataView(bytes);
const listeners = {};
window.model = {
  saved: 0, get: (name) => values[name], save_changes() { this.saved++; },
  set(name, value) { values[name] = value; (listeners["change:" + name] ?? []).forEach((f) => f()); },
  on: (event, f) => (listeners[event] ??= new Set()).add(f), off: (event, f) => listeners[event]?.delete(f),
};
window.names = Object.keys(all);
window.stop = await widget.render({ model, el: document.getElementById("cell") });
window.ready = true;
</script>
"""


@pytest.fixture
def page(field: cfcore.FlowField, tmp_path: Path) -> Iterator[Any]:
    """Return a page of headless Chromium where the built module shows a field."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("there is no Chromium on this machine")
    if not (BUILT / "view.js").exists():
        pytest.skip("the view of notebooks is not built: make page")
    shutil.copytree(BUILT, tmp_path, dirs_exist_ok=True)
    view = cfcore.view(field, target={"name": "somewhere", "lon": PLACE[0], "lat": PLACE[1], "cz": 4000.0}, nodes=32)
    (tmp_path / "tile.bin").write_bytes(view.tile)
    (tmp_path / "state.json").write_text(json.dumps(view.get_state(["layers", "delta", "target", "height", "theme"])), "utf-8")
    (tmp_path / "index.html").write_text(HARNESS, "utf-8")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *words: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        with playwright.sync_playwright() as run:
            browser = run.chromium.launch(executable_path=chromium, args=[
                "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"])
            opened = browser.new_page(viewport={"width": 900, "height": 700})
            opened.said, opened.asked = [], []
            opened.on("console", lambda m: opened.said.append(m.text) if m.type in ("error", "warning") else None)
            opened.on("pageerror", lambda e: opened.said.append(str(e)))
            opened.on("request", lambda r: opened.asked.append(r.url))
            opened.goto(f"http://127.0.0.1:{server.server_address[1]}/index.html")
            opened.wait_for_function("window.ready === true", timeout=30_000)
            yield opened
            browser.close()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def pixels(page: Any, path: Path) -> np.ndarray:
    from matplotlib.image import imread
    page.locator(".cf-stage").screenshot(path=str(path))
    return np.asarray(imread(path))[..., :3]


def test_the_built_module_draws_the_field_in_a_browser(page: Any, tmp_path: Path) -> None:
    assert page.evaluate("names") == ["default"]
    page.wait_for_function("document.querySelector('.cf-unseen').textContent.length > 40", timeout=30_000)
    page.wait_for_timeout(1500)
    first = pixels(page, tmp_path / "first.png")
    assert first.std() > 0.02 and len(np.unique((first * 255).astype(int).reshape(-1, 3), axis=0)) > 200

    page.get_by_role("button", name="Streamlines").click()
    page.wait_for_timeout(800)
    assert page.evaluate("model.saved") == 1 and "streamlines" not in page.evaluate("model.get('layers')")
    assert np.abs(pixels(page, tmp_path / "second.png") - first).mean() > 1e-3

    page.evaluate("model.set('height', 300)")
    assert page.locator(".cf-stage").bounding_box()["height"] == pytest.approx(300, abs=1)
    page.evaluate("stop()")
    assert page.locator("#cell > *").count() == 0
    ours = page.url.rpartition("/")[0]
    assert all(url.startswith((ours, "blob:", "data:")) for url in page.asked), page.asked
    assert page.said == []
