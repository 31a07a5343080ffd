"""How the answers of the queue look, for the document of the API."""

from __future__ import annotations

from typing import Any

_TEXT, _COUNT = {"type": "string"}, {"type": "integer"}


def _or_null(kind: str, text: str = "", form: str = "") -> dict[str, Any]:
    return {"type": [kind, "null"], **({"description": text} if text else {}), **({"format": form} if form else {})}


_WHEN = _or_null("string", form="date-time")
_NOTHING = {"type": "null", "description": "Not offered here"}
_TASK: dict[str, Any] = {
    "url": _TEXT, "id": _COUNT, "user_id": _or_null("integer"), "username": _or_null("string"), "timestamp": _WHEN,
    "mpc_name": _or_null("string"), "ra": _or_null("number", "ICRS, deg"), "dec": _or_null("number", "ICRS, deg"),
    **dict.fromkeys(("mjd_min", "mjd_max", "radec_epoch_year", "propermotion_ra", "propermotion_dec"),
                    _or_null("number", "Kept")),
    "use_reduced": {"type": "boolean"}, "finished": {"type": "boolean"}, "result_url": _or_null("string"),
    "comment": _or_null("string"), "send_email": {"type": "boolean"}, "callback_url": _or_null("string"), "starttimestamp": _WHEN,
    "finishtimestamp": _WHEN, "error_msg": _or_null("string"), "previewimage_url": _NOTHING, "parent_task_id": _NOTHING,
    "parent_task_url": _NOTHING, "request_type": {"type": "string", "enum": ["FP"]}, "pdfplot_url": _NOTHING,
    "queuepos": _or_null("integer", "Of everybody's work, what starts before it; 0 is next, null has begun"),
    "imagerequest_task_id": _NOTHING, "imagerequest_url": _NOTHING, "imagerequest_finished": _NOTHING,
    "result_imagestack_url": _NOTHING, "result_imagezip_url": _NOTHING, "userqueuedtasks_on_submit": _or_null("integer"),
    "waittime": _or_null("number", "s"), "runtime": _or_null("number", "s"), "attempt_count": _COUNT,
    "name": _or_null("string", "As the catalogue has it"), "cz": _or_null("number", "km/s"), "cz_frame": _or_null("string"),
    "field": _TEXT}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


_TASKS = {"type": "array", "items": {"$ref": "#/components/schemas/QueueTask"}}
QUEUE_SCHEMAS: dict[str, Any] = {
    "QueueToken": _object({"token": {"type": "string", "pattern": "^[0-9a-f]{40}$"}}),
    "QueueTask": _object(_TASK),
    "QueueTaskList": _TASKS,
    "QueueTasks": _object({"next": _or_null("string"), "previous": _or_null("string"), "pagefirsttaskposition": _COUNT,
                           "taskcount": _COUNT, "results": _TASKS}),
    "QueuePositions": _object({"queuepositions": {"type": "object", "additionalProperties": _COUNT},
                               "queuedtypes": {"type": "object", "additionalProperties": _TEXT}, "queueoffset": _COUNT}),
    "QueueRunner": _object({"running": {"type": "boolean"}, "stale": {"type": "boolean"},
                            "typical_runtime_seconds": _or_null("number"), "user_queued_task_count": _COUNT}),
    "QueueRefusal": {"type": "object", "description": "`detail`, or a field with what is wrong with it",
                     "properties": {"detail": _TEXT, "why": _TEXT, "radeclist": _TEXT},
                     "additionalProperties": {"type": "array", "items": _TEXT}},
}
