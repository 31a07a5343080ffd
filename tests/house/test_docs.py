"""The examples a visitor copies: every `sh` and `python` block of the pages runs here as it stands."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from running import House

# what an operator reads on a terminal, never a client
NOT_OVER_HTTP = {"bad_shape", "bad_result", "insecure_bus", "bus_in_use", "no_lane", "child_refused", "port_taken",
                 "unknown_column", "unknown_kind", "bad_key_name", "key_exists", "key_foreign", "key_unreadable", "unknown_key",
                 "bad_password", "bad_user_name", "user_exists", "unknown_user", "unknown_token", "bad_scope", "scope_too_large",
                 "bad_label", "bad_expiry", "bad_rows_per_hour", "nothing_to_change", "no_password", "accounts_newer",
                 "jobs_folder", "jobs_in_use", "jobs_damaged", "jobs_newer", "no_jobs", "backup_exists",
                 "backup_failed", "cancelled"}
ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
TUTORIAL = ROOT / "docs" / "tutorial.md"
BLOCKS = [pytest.param(kind, text, id=f"{page.name}-{i}") for page in PAGES if page != TUTORIAL
          for i, (kind, text) in enumerate(BLOCK.findall(page.read_text("utf-8")))]


def test_there_are_examples() -> None:
    assert len(BLOCKS) >= 6


@pytest.mark.parametrize(("kind", "text"), BLOCKS)
def test_an_example_of_the_pages_runs(kind: str, text: str, house: House, tmp_path: Path) -> None:
    if "cfcore.view(" in text and not (ROOT / "cfcore" / "_widget" / "view.js").exists():
        pytest.skip("the view of notebooks is not built: make page")
    text = text.replace("http://127.0.0.1:5000", f"http://127.0.0.1:{house.port}").replace("curl ", "curl -sS --fail-with-body ")
    command = ["sh", "-e", "-c", text] if kind == "sh" else [sys.executable, "-W", "error", "-c", text]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path,
                          env={**os.environ, "CF_DATA": str(house.data), "CF_JOBS": str(house.jobs),
                               "PYTHONPATH": str(ROOT),
                               "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"})
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip()


SESSION = """
import contextlib, io, json, sys
names, printed = {}, []
for text in json.load(sys.stdin):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(text, "tutorial.md", "exec"), names)
    printed.append(out.getvalue())
json.dump(printed, sys.stdout)
"""
NUMBER = re.compile(r"(?<![\w.])[-+]?\d+\.?\d*(?:e[-+]?\d+)?")


def same_to_shown_digits(printed: str, shown: str) -> bool:
    """Tell whether two texts agree, every number to one unit of its last shown digit."""
    if NUMBER.sub("#", printed).split() != NUMBER.sub("#", shown).split():
        return False
    pairs = zip(NUMBER.findall(printed), NUMBER.findall(shown))
    return all(abs(float(a) - float(b)) <= 1.001 * 10.0 ** -len(b.partition(".")[2]) for a, b in pairs)


def test_the_tutorial_is_one_session_that_prints_what_it_shows(house_data: Path, tmp_path: Path) -> None:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```", TUTORIAL.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    done = subprocess.run([sys.executable, "-W", "error", "-c", SESSION], capture_output=True, text=True, timeout=100,
                          input=json.dumps([text for kind, text in fenced if kind == "python"]), cwd=tmp_path,
                          env={**os.environ, "CF_DATA": str(house_data)})
    assert done.returncode == 0, done.stderr
    printed = iter(json.loads(done.stdout))
    assert [kind for kind, _ in fenced] == ["python", "text"] * (len(fenced) // 2) and len(fenced) >= 16
    for (_, code), (_, shown) in zip(fenced[::2], fenced[1::2]):
        out = next(printed)
        assert same_to_shown_digits(out, shown), f"{code}\nprints\n{out}\nthe page shows\n{shown}"


def test_a_tutorial_that_shows_another_number_or_word_is_found() -> None:
    assert same_to_shown_digits("mean 40.44 [3.]", "mean  40.4 [3.]") and same_to_shown_digits("a 40.5", "a 40.4")
    assert not same_to_shown_digits("mean 40.6", "mean 40.4") and not same_to_shown_digits("ok 1", "no 1")
    assert not same_to_shown_digits("3 4", "3") and not same_to_shown_digits("-1.0", "1.0")


def test_the_readme_s_answer_is_the_answer(house: House) -> None:
    shown = (ROOT / "README.md").read_text("utf-8")
    answer = json.loads(house.ask("/get_flow_galaxy?name=NGC%204993").body)
    for path, digits in ((("cz", "hel"), 2), (("cz", "cmb"), 2), (("distance", "mean"), 1), (("distance", "std"), 1),
                         (("distance", "p16"), 1), (("distance", "p84"), 1)):
        value = answer[path[0]][path[1]]
        assert f'"{path[1]}":{value:.{digits}f}' in shown, (path, value)
    assert f'"v_rad":{answer["v_rad"]:.0f}' in shown and f'"d_mpc":{answer["roots"][0]["d_mpc"]:.1f}' in shown
    assert f'"id":"{answer["field"]["id"]}"' in shown


def test_links_between_the_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_code_of_a_refusal_stands_in_the_api_page() -> None:
    page = (ROOT / "docs" / "api.md").read_text("utf-8")
    sources = [*(p for folder in ("", "faces") for p in (ROOT / "gateway" / folder).glob("*.py")),
               *(ROOT / "cfcore" / f"{name}.py" for name in ("distances", "options", "frames"))]
    codes = {code for path in sources for code in re.findall(r'code="([a-z_]+)"', path.read_text("utf-8"))}
    for code in (codes | {"bad_parameter", "internal", "deadline"}) - NOT_OVER_HTTP:
        assert f"`{code}`" in page, code
