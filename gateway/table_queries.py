"""What may be said about a table that is sent: words of a request in, a question to the table and a checked draft out."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Literal

import orjson
from pydantic import BeforeValidator, Field

from cfcore.cosmology import C_KMS
from cfcore.errors import BadParameter
from cfcore.frames import SKY_FRAMES

from .intake import Question
from .job_queries import RUN_ID_MAX
from .job_records import Draft
from .queries import Format, Number, Options
from .uploads import Upload

_DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t", "pipe": "|", "blank": " "}
Name = Annotated[str | None, Field(max_length=200)]


def _delimiter(value: Any) -> Any:
    return _DELIMITERS.get(value, value) if isinstance(value, str) else value


def _column(text: str) -> Any:
    return Field(default=None, description=f"{text}: the name of the column, or its number such as #2; default: by UCD or name")


class Reading(Format):
    """How a table is to be read: its format, and which column is what."""

    filename: str | None = Field(default=None, max_length=4000, description="What the file is called; its ending may tell the "
                                                                            "format")
    input_format: Literal["csv", "tsv", "text", "ecsv", "fits", "votable", "parquet"] | None = Field(
        default=None, description="Format of the table; default: by its content, then by the ending of its name")
    extension: Name = Field(default=None, description="Which table of a FITS or VOTable file with several: its number or name")
    delimiter: Annotated[Literal[",", ";", "\t", "|", " "] | None, BeforeValidator(_delimiter)] = Field(
        default=None, description="What divides the columns of text: comma, semicolon, tab, pipe, blank, or the character")
    kind: Literal["distance", "velocity"] = Field(default="distance", description="distance: from cz; velocity: at a distance")
    frame: str | None = Field(default=None, description="Sky frame of the position: " + ", ".join(SKY_FRAMES))
    lon_column: Name = _column("Longitude in `frame`")
    lat_column: Name = _column("Latitude in `frame`")
    ra_column: Name = Field(default=None, description="The same as lon_column")
    dec_column: Name = Field(default=None, description="The same as lat_column")
    cz_column: Name = _column("Observed c z")
    z_column: Name = _column("Observed redshift")
    sigma_cz_column: Name = _column("Error of the velocity")
    distance_column: Name = _column("Comoving distance")
    cz_unit: Literal["km/s", "m/s", "z"] | None = Field(default=None, description="What the velocity column holds")
    sigma_cz: Number | None = Field(default=None, description="Error of every velocity, km/s; 0: no column of it is looked for")


class PreviewQuery(Reading):
    """Query of POST /v1/tables."""

    cz_frame: str | None = Field(default=None, description="Rest frame of the velocity; default: as its name or UCD says")


class TableJob(Reading, Options):
    """Words of POST /v1/jobs with a table: how it is read, the options of the flow, and what the job is called."""

    table: str | None = Field(default=None, max_length=100, description="Id of a table that was sent to /v1/tables")
    run_id: str | None = Field(default=None, max_length=RUN_ID_MAX, description="A name of yours for the job")
    execution_duration: Number = Field(default=0.0, ge=0.0, le=3.2e7,
                                       description="Seconds from its start in which the job must end; 0: no limit")
    callback: str | None = Field(default=None, description="An https address of yours that is told of the end of the job")
    hold: bool = Field(default=False, description="Keep the job PENDING until POST /v1/jobs/N/run")


def question(words: PreviewQuery | TableJob, upload: Upload) -> Question:
    """Return what a table is asked.

    Raises
    ------
    BadParameter
        When two words contradict each other.
    """
    wrong = ("distance_column",) if words.kind == "distance" else ("cz_column", "z_column", "sigma_cz_column", "sigma_cz",
                                                                  "cz_unit")
    for name in wrong:
        if getattr(words, name) is not None:
            raise BadParameter(f"{name} is given, but a job of kind {words.kind} does not read it; leave it out, or ask for kind "
                               f"{'velocity' if words.kind == 'distance' else 'distance'}", code="two_questions", where=name)
    for one, other in (("lon_column", "ra_column"), ("lat_column", "dec_column"), ("sigma_cz", "sigma_cz_column")):
        if getattr(words, one) is not None and getattr(words, other) is not None:
            raise BadParameter(f"{one} and {other} are both given; give one of them", code="contradiction", where=other)
    columns = {"lon": words.lon_column or words.ra_column, "lat": words.lat_column or words.dec_column, "cz": words.cz_column,
               "z": words.z_column, "sigma_cz": words.sigma_cz_column, "distance": words.distance_column, "frame": words.frame,
               "cz_frame": words.cz_frame, "cz_unit": words.cz_unit}
    told = {"format": words.input_format, "extension": words.extension, "delimiter": words.delimiter}
    reading = {**upload.reading, **{k: v for k, v in told.items() if v is not None}}
    return Question(upload.name, words.kind, upload.media, **reading, columns=columns, sigma_cz=words.sigma_cz,
                    owner=upload.owner)


def draft(words: TableJob, asked: Question, upload: Upload, read: dict[str, Any], record: dict[str, Any], owner: str,
          key: str | None, table_file: str) -> Draft:
    """Return a job on the rows that were read from a table, as it is to be stored.

    Parameters
    ----------
    words, asked, upload
        What was said, and what the table was asked.
    read : dict
        From `Intake.rows`.
    record : dict
        Of the field.
    owner : str
    key : str or None
        Of idempotency.
    table_file : str
        The table, in the spool.
    """
    choice = read["choice"]
    opt = words.flow(choice["frame"], choice["cz_frame"])
    params = {"options": opt.as_dict(), "pair": [choice["lon"]["name"][:80], choice["lat"]["name"][:80]]}
    rows_sha = bytes.fromhex(read["rows_sha256"])
    said = orjson.dumps([words.kind, (words.field or "").strip().lower(), params, words.run_id, words.execution_duration, "table",
                         choice, words.sigma_cz, read["format"], read["extension"], words.callback])
    kept = {name: record.get(name) for name in ("id", "version", "citation", "sigma_v")}
    about = {"name": upload.name, "sha256": upload.sha256, "bytes": upload.size, "stored": read["bytes"],
             **{k: read[k] for k in ("format", "delimiter", "extension", "choice", "notes", "faults")},
             "sigma_cz": words.sigma_cz, "asked": asked.columns}
    return Draft(owner, words.kind, (record["id"], record["sha"]), kept, params, read["rows"],
                 hashlib.sha256(said + rows_sha + bytes.fromhex(upload.sha256)).digest(), rows_sha, b"", [], run_id=words.run_id,
                 idempotency=key, execution_duration=words.execution_duration, input_file=read["input_file"], size=read["nbytes"],
                 table_file=table_file, table_about=about)


def roles(choice: dict[str, Any] | None) -> dict[int, str]:
    """Return what the columns of a choice are read as, by their place."""
    if choice is None:
        return {}
    value = choice["value"]
    role = "distance" if value["kind"] == "distance" else "z" if value["factor"] == C_KMS else "cz"
    return {part["index"]: name for name, part in (("lon", choice["lon"]), ("lat", choice["lat"]), (role, value),
                                                   ("sigma_cz", choice["sigma"])) if part is not None}


def told_choice(choice: dict[str, Any] | None, kind: str) -> dict[str, Any] | None:
    """Return a choice as clients see it: what is read from which column, and the frames."""
    if choice is None:
        return None
    names = {part["index"]: part["name"] for part in (choice["lon"], choice["lat"], choice["value"], choice["sigma"]) if part}
    frames = {"frame": choice["frame"], **({"cz_frame": choice["cz_frame"], "cz_frame_is_said": choice["implied"]}
                                           if kind == "distance" else {})}
    return {**{role: names[i] for i, role in roles(choice).items()}, **frames}


