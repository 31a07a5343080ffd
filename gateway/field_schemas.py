"""Schemas of the answers that a page draws with: fields, hints with what they stand for, galaxies as columns."""

from __future__ import annotations

from typing import Any

from cfcore.preview import SIZES

_TEXT = {"type": "string"}
_TEXT_OR_NULL = {"type": ["string", "null"]}
_NUMBER_OR_NULL = {"type": ["number", "null"]}
_COUNT = {"type": "integer"}


def _all_of(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": sorted(properties)}


def _columns(kind: str, text: str) -> dict[str, Any]:
    return {"type": "array", "items": {"type": kind}, "description": text}


_FIELD = _all_of({
    "id": _TEXT, "version": {**_TEXT, "description": "Changes with every number of the field"}, "title": _TEXT_OR_NULL,
    "citation": _TEXT_OR_NULL, "bibtex": {**_TEXT, "description": "Entry of the paper, or the citation as a note"},
    "licence": _TEXT_OR_NULL, "sky_frame": _TEXT_OR_NULL,
    "shape": {"type": "array", "items": _COUNT, "minItems": 3, "maxItems": 3},
    "r_max_hmpc": {**_NUMBER_OR_NULL, "description": "Where lines of sight end, comoving h^-1 Mpc"},
    "trusted_hmpc": {**_NUMBER_OR_NULL, "description": "Beyond it the data say little, comoving h^-1 Mpc"},
    "sigma_v": {**_NUMBER_OR_NULL, "description": "km/s"}, "realisations": {"type": ["integer", "null"]},
    "has_density": {"type": ["boolean", "null"]}, "has_sigma": {"type": ["boolean", "null"]}, "default": {"type": "boolean"},
    "previews": {"type": "object", "additionalProperties": _TEXT, "description": "Nodes along an axis -> address"}})
_CATALOG = {"type": ["object", "null"], "properties": {"name": _TEXT, "version": _TEXT, "licence": _TEXT}}
FIELD_SCHEMAS: dict[str, Any] = {
    "Fields": _all_of({"default": _TEXT_OR_NULL, "software_bibtex": _TEXT, "fields": {"type": "array", "items": _FIELD}}),
    "ToldHints": _all_of({"more_results": {"type": "boolean"}, "hints": {"type": "array", "items": _all_of({
        "name": _TEXT, "canonical": _TEXT_OR_NULL, "object_type": _TEXT_OR_NULL,
        "cz_helio": {**_NUMBER_OR_NULL, "description": "km/s"},
        "also": {**_TEXT_OR_NULL, "description": "The canonical name, where the hint is another one"}})}}),
    "Galaxies": _all_of({
        "n": _COUNT, "total": {**_COUNT, "description": "Galaxies with a velocity, listed or not"},
        "columns": _all_of({"name": _columns("string", "Canonical names"), "sgl": _columns("number", "deg"),
                            "sgb": _columns("number", "deg"), "cz_cmb": _columns("integer", "c z, CMB frame, km/s")}),
        "unit": {"type": "object", "additionalProperties": _TEXT}, "catalog": _CATALOG,
        "catalogs": {"type": "array", "items": _CATALOG},
        "left_out": {"type": "array", "items": _CATALOG, "description": "Catalogues too large to list"}})}
IN_PATH: dict[str, Any] = {
    "field": {"type": "string", "description": "Id of a field, as GET /v1/fields lists it"},
    "version": {"type": "string", "description": "Its version, as GET /v1/fields lists it"},
    "n": {"type": "integer", "enum": list(SIZES), "description": "Nodes along an axis"}}
