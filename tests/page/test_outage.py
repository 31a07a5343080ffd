"""The server goes in the middle: the page says so, keeps what it shows, and goes on by itself when the server is back."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from looking import answered, ask_name, check_card, check_space, eventually, flow_of
from running import House, child_pids, is_running

LINES = (r"console error: Failed to load resource: net::ERR_(CONNECTION|SOCKET|EMPTY_RESPONSE|INCOMPLETE)",
         r"failed: (GET|HEAD|POST) \S+ net::ERR_(CONNECTION|SOCKET|EMPTY_RESPONSE|INCOMPLETE)")
"""What a browser writes on its console when nobody answers; no script can keep it from that."""
CUT = r"failed: GET \S+/assets/\S+\.js net::ERR_"
"""A part of the page that is on its way in the moment of the kill."""
STARTING = (r"console error: Failed to load resource: the server responded with a status of 503 ", r"failed: 503 ")
"""And when somebody answers that it is not ready yet; a quick start shows none."""


class Mortal:
    """Run a house on one port that can be killed and started again."""

    def __init__(self, data: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self._data = data
        self.start()

    def start(self) -> None:
        """Start it where it was."""
        self.house = House(self._data, "--workers", "1", "--port", str(self._port))
        assert self.house.port == self._port

    def kill(self) -> None:
        """Kill all its processes at once, as a power cut does."""
        pids = [self.house.process.pid]
        for pid in pids:
            pids += child_pids(pid)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        self.house.process.wait(20)
        for pid in pids[1:]:
            while is_running(pid):
                os.sched_yield()


@pytest.fixture
def mortal(house_data: Path, page_house: House) -> Iterator[Mortal]:
    """Return a house of this test's own; `page_house` is only asked whether the page is built."""
    running = Mortal(house_data)
    yield running
    running.house.stop()


def test_a_server_that_is_killed_is_told_and_what_was_asked_is_answered_when_it_is_back(
        mortal: Mortal, visit: Callable[..., Any], watch_house: Callable[[House], Any]) -> None:
    eye = watch_house(mortal.house)
    for line in LINES:
        eye.allow(line)
    eye.forgive(CUT)
    page = visit(mortal.house, eye)
    before, asked = (flow_of(mortal.house, "ongc-linear", name=name) for name in ("NGC 1365", "NGC 4993"))
    page.goto("/")
    ask_name(page, "NGC 1365")
    answered(page, "NGC 1365", "ongc-linear")
    check_card(page, before)
    assert page.locator(".presence .gone").count() == 0

    mortal.kill()
    # what is on the page stays, and something new may be asked: it waits
    check_card(page, before)
    ask_name(page, "NGC 4993")
    told = page.locator(".presence[role=alert] .gone")
    told.wait_for()
    assert "The server does not answer" in told.inner_text() and "by itself" in told.inner_text()
    assert told.is_visible() and page.locator("#search-input").input_value() == "NGC 4993"
    assert page.locator("#card data").count() == 0, "no numbers of another galaxy stand under the new name"
    page.locator("#flow canvas[data-frames]").first.wait_for()
    tries = len(eye.seen)
    eventually(page, lambda: len(eye.seen) > tries, "the page asks again while nobody answers")

    mortal.start()
    eye.forgive(*STARTING)
    answered(page, "NGC 4993", "ongc-linear")
    told.wait_for(state="detached")
    check_card(page, asked)
    check_space(page, asked)
    # and from now on all is as ever
    calm = len(eye.seen)
    ask_name(page, "NGC 1365")
    answered(page, "NGC 1365", "ongc-linear")
    check_card(page, before)
    assert len(eye.seen) == calm


def test_a_page_that_asks_nothing_finds_out_when_somebody_comes_back_to_it(
        mortal: Mortal, visit: Callable[..., Any], watch_house: Callable[[House], Any]) -> None:
    eye = watch_house(mortal.house)
    for line in LINES:
        eye.allow(line)
    page = visit(mortal.house, eye)
    page.goto("/")
    page.locator("#flow-summary", has_text="galaxies of the catalogue").wait_for(state="attached")
    mortal.kill()
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    page.locator(".presence .gone").wait_for()
    mortal.start()
    eye.forgive(*STARTING)
    page.locator(".presence .gone").wait_for(state="detached")
