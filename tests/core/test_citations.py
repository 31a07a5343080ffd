"""Every field can be cited: by the entry of its paper, or by its own words where no paper is known."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cfcore import __version__, citations, mould2000
from cfcore.products import PRODUCTS

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize("product", [p for p in PRODUCTS.values() if p.citation], ids=lambda p: p.id)
def test_the_entry_of_a_product_names_the_paper_of_its_citation(product: object) -> None:
    citation = product.citation  # type: ignore[attr-defined]
    entry = citations.bibtex("any-name", citation)
    assert entry.startswith("@article{") and entry.count("{") == entry.count("}")
    facts = dict(re.findall(r"(\w+) +=\s+{(.*)},?$", entry, re.MULTILINE))
    assert citation.endswith("doi:" + facts["doi"])
    assert f" {facts['year']}, " in citation and f" {facts['volume']}, {facts['pages'].partition('--')[0]}," in citation
    assert facts["author"].startswith(citation.partition(" ")[0])


def test_the_three_attractors_are_cited_by_their_paper() -> None:
    assert citations.bibtex("mould2000", mould2000.CITATION).startswith("@article{Mould2000,")


def test_a_citation_of_no_known_paper_is_a_note_that_latex_can_read() -> None:
    entry = citations.bibtex("my field_2", "me & you, 100% {sure}, A_1 #3\n~2024", "a $title$")
    assert entry == ("@misc{my-field-2,\n  title = {a \\$title\\$},\n  note  = {me \\& you, 100\\% \\{sure\\}, A\\_1 \\#3 "
                     "\\textasciitilde{}2024}\n}")
    assert citations.bibtex("x", "").endswith("note  = {no citation was given}\n}")


def test_another_page_of_the_same_volume_is_another_paper() -> None:
    assert citations.bibtex("x", "Somebody 2015, MNRAS 450, 3170").startswith("@misc{x,")


def test_the_software_is_cited_as_its_citation_file_says() -> None:
    told = (ROOT / "CITATION.cff").read_text("utf-8")
    for key, value in (("title", f'"{re.search("title   = {(.*)}", citations.SOFTWARE)[1]}"'),  # type: ignore[index]
                       ("version", __version__), ("license", "BSD-3-Clause")):
        assert f"{key}: {value}\n" in told and value.strip('"') in citations.SOFTWARE
