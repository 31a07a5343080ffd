"""Typed keys of what the application carries."""

from __future__ import annotations

from aiohttp import web

from cfcore.settings import Settings

from .catalog import CatalogClient
from .dispatch import Dispatcher
from .intake import Intake
from .job_results import Downloads
from .jobs import Jobs
from .meters import Meters
from .packed import Shelf
from .ready import ReadyAnswers
from .uploads import Uploads
from .vitals import Vitals
from .watchers import Watchers
from .webhooks import Webhooks

SETTINGS = web.AppKey("settings", Settings)
CATALOG = web.AppKey("catalog", CatalogClient)
DISPATCHER = web.AppKey("dispatcher", Dispatcher)
HINTS = web.AppKey("hints", ReadyAnswers)
DOWNLOADS = web.AppKey("downloads", Downloads)
INTAKE = web.AppKey("intake", Intake)
UPLOADS = web.AppKey("uploads", Uploads)
JOBS = web.AppKey("jobs", Jobs)
PREVIEWS = web.AppKey("previews", Shelf)
GALAXIES = web.AppKey("galaxies", Shelf)
OPENAPI = web.AppKey("openapi", bytes)
METERS = web.AppKey("meters", Meters)
VITALS = web.AppKey("vitals", Vitals)
WATCHERS = web.AppKey("watchers", Watchers)
WEBHOOKS = web.AppKey("webhooks", Webhooks)
