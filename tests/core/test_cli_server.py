"""The same questions asked of a running server: the same columns, numbers, sentences and exit codes."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
from running import House

from cfcore import remote

Run = Callable[..., tuple[int, str, str]]
TABLE = ("name,ra,dec,cz,e_cz\nNGC 4993,197.4488,-23.3839,2916,5\nfar,10,20,90000,5\nbad,10,95,3000,5\nnone,10,20,,5\n"
         "Coma,194.9531,27.9807,6925,12\n")


@pytest.fixture
def url(house: House) -> str:
    return f"http://127.0.0.1:{house.port}"


def test_a_table_gets_the_same_answer_from_a_server_to_the_letter(command: Run, url: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(TABLE)
    for words in ((), ("--flow", "luminosity", "--prior", "flat", "--H0", "70", "--field", "ongc-linear", "--cz-frame", "lg")):
        here, there = command("distance", path, *words), command("distance", path, "--server", url, *words)
        assert here[0] == there[0] == 1 and here[1] == there[1] and here[1].count("\n") == 6
        assert here[2] == there[2]


def test_velocities_come_one_by_one_and_alike(command: Run, url: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("ra,dec,dist\n197.4,-23.4,40\n10,20,9000\n10,95,20\nx,1,20\n")
    here, there = command("velocity", path), command("velocity", path, "--server", url)
    assert here[:2] == there[:2] and here[0] == 1 and here[2] == there[2] and "answered, 3 without" in here[2]


def test_more_rows_than_a_request_takes_go_in_several(command: Run, url: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    path = tmp_path / "t.csv"
    path.write_text("ra,dec,cz\n" + "".join(f"{a:.3f},{b:.3f},{c:.1f}\n" for a, b, c in zip(
        rng.uniform(0, 360, 10_500), rng.uniform(-90, 90, 10_500), rng.uniform(500, 5000, 10_500))))
    words = ("--columns", "distance_median,v_rad,flags,status")
    assert command("distance", path, *words)[:2] == command("distance", path, "--server", url, *words)[:2]


def test_a_last_chunk_of_slow_galaxies_is_no_redshift(command: Run, url: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("ra,dec,cz\n10,20,0.5\n")
    words = ("--cz-unit", "km/s", "--columns", "cz_hel,distance_median")
    here, there = command("distance", path, *words), command("distance", path, "--server", url, *words)
    assert here[:2] == there[:2] and here[0] == 0


def test_one_galaxy_gets_the_same_answer(command: Run, url: str) -> None:
    for words in (("distance", "NGC 4993"), ("distance", "--ra", 197.4, "--dec", -23.4, "--cz", 5, "--cz-unit", "km/s"),
                  ("velocity", "M 87", "--distance", 16.4), ("distance", "M 87", "--cz", 90000),
                  ("velocity", "M 87", "--distance", 9000)):
        here, there = command(*words, "--json"), command(*words, "--json", "--server", url)
        a, b = json.loads(here[1]), json.loads(there[1])
        assert here[0] == there[0] and b["server"] == url
        for key in a:
            if key not in ("field", "asked", "cz", "rmax"):
                assert a[key] == pytest.approx(b[key]) if isinstance(a[key], float) else a[key] == b[key], key
        assert a["cz"] == pytest.approx(b["cz"], nan_ok=True) or a["cz"] == b["cz"]
        assert a["field"]["sha256"].startswith(b["field"]["sha256"]) and a["field"]["version"] == b["field"]["version"]
        assert command(*words)[1] == command(*words, "--server", url)[1]


def test_names_resolve_on_the_server_with_its_suggestions(command: Run, url: str) -> None:
    code, _, err = command("distance", "sombrro", "--server", url)
    assert code == 2 and "did you mean Sombrero Galaxy?" in err
    code, _, err = command("distance", "NGC 4993", "--field", "nowhere", "--server", url)
    assert code == 2 and "field 'nowhere' is not known" in err


@pytest.mark.parametrize("address", ["file:///etc/passwd", "127.0.0.1:5000", "http://", "http://u:p@127.0.0.1", "http://a:b"])
def test_an_address_that_is_none_is_refused(command: Run, address: str) -> None:
    code, _, err = command("distance", "NGC 4993", "--server", address)
    assert code == 2 and "is not the address of a server" in err


def test_a_server_that_is_not_there_is_to_be_tried_later(command: Run, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(TABLE)
    for words in (("NGC 4993",), (tmp_path / "t.csv", "-o", tmp_path / "o.csv")):
        code, _, err = command("distance", *words, "--server", "http://127.0.0.1:9")
        assert code == 3 and "http://127.0.0.1:9 does not answer" in err
    assert [p.name for p in tmp_path.iterdir()] == ["t.csv"]


@pytest.fixture
def odd_server() -> Iterator[tuple[str, list[tuple[int, dict[str, str], bytes]], list[str]]]:
    """A server that gives the answers it is told, the last one again and again."""
    answers: list[tuple[int, dict[str, str], bytes]] = []
    asked: list[str] = []

    class Odd(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            status, headers, body = answers.pop(0) if len(answers) > 1 else answers[0]
            self.send_response(status)
            for k, v in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(k, v)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Odd) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", answers, asked
        server.shutdown()
        thread.join()


BUSY = (503, {"Retry-After": "0"}, b'{"detail": "the queue is full", "code": "busy"}')
FOUND = (200, {}, json.dumps({"name": "X", "position": {"icrs": {"lon": 1, "lat": 2}}, "velocities": []}).encode())


def test_a_busy_server_is_asked_again_but_not_for_ever(command: Run, odd_server: tuple) -> None:
    url, answers, asked = odd_server
    answers[:] = [BUSY, BUSY, FOUND]
    code, _, err = command("distance", "X", "--server", url)
    assert code == 2 and "without a velocity" in err and len(asked) == 3
    answers[:] = [BUSY]
    asked.clear()
    code, _, err = command("distance", "X", "--server", url)
    assert code == 3 and "the queue is full" in err and len(asked) == remote.TRIES


def test_who_has_used_up_an_hour_s_rows_is_told_so_after_asking_again(command: Run, odd_server: tuple) -> None:
    url, answers, asked = odd_server
    spent = (429, {"Retry-After": "0"}, b'{"detail": "60 rows are more than the 40 left", "code": "too_many_requests"}')
    answers[:] = [spent, FOUND]
    assert command("distance", "X", "--server", url)[0] == 2 and len(asked) == 2
    answers[:] = [spent]
    code, _, err = command("distance", "X", "--server", url)
    assert code == 3 and "more than the 40 left" in err and len(asked) == 2 + remote.TRIES


def test_the_token_of_the_environment_goes_to_no_other_server(command: Run, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    question = "distance", "--ra", "10", "--dec", "20", "--cz", "3000", "--server", url
    monkeypatch.setenv("CF_TOKEN", "cf_of-nobody")
    code, _, err = command(*question)
    assert code == 2 and "this is not a token of this server" in err
    monkeypatch.setenv("CF_SERVER", url)
    assert command(*question)[0] == 2
    monkeypatch.setenv("CF_SERVER", "http://127.0.0.1:1")
    assert command(*question)[0] == 0


@pytest.mark.parametrize(("answer", "code", "says"), [
    ((200, {}, b"<html>hello</html>"), 2, "not as a Cosmic Flows server"),
    ((404, {}, b"<html>no</html>"), 2, "answers 404"),
    ((502, {}, b"<html>bad gateway</html>"), 3, "answers 502"),
    ((500, {}, b'{"detail": "the fault is ours", "code": "internal"}'), 70, "the fault is ours"),
    ((504, {}, b'{"detail": "the answer did not come in time", "code": "deadline"}'), 3, "in time"),
    ((302, {"Location": "file:///etc/passwd"}, b""), 2, "answers 302"),
    ((200, {}, b'{"name": 1}'), 2, "another version")])
def test_what_another_server_says_is_no_traceback(command: Run, odd_server: tuple, answer: tuple, code: int,
                                                  says: str) -> None:
    url, answers, _ = odd_server
    answers[:] = [answer]
    got, _, err = command("distance", "X", "--server", url)
    assert got == code and says in err, err
