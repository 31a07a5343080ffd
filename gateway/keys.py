"""Typed keys of what the application carries."""

from __future__ import annotations

from aiohttp import web

from cfcore.settings import Settings

from .catalog import CatalogClient
from .dispatch import Dispatcher
from .ready import ReadyAnswers

SETTINGS = web.AppKey("settings", Settings)
CATALOG = web.AppKey("catalog", CatalogClient)
DISPATCHER = web.AppKey("dispatcher", Dispatcher)
HINTS = web.AppKey("hints", ReadyAnswers)
OPENAPI = web.AppKey("openapi", bytes)
