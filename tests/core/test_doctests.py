"""The examples in docstrings, run as they stand."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

MODULES = ("corrections", "covariance", "quantities", "quantity_tables", "results")


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_print_what_they_show(name: str, house_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CF_DATA", str(house_data))
    module = importlib.import_module(f"cfcore.{name}")
    failed, attempted = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert failed == 0 and attempted >= 5
