"""Putting a service together from settings: the only place that knows which backends exist.

Owns wiring and start-up; torch is imported by the engine, in a thread, when the first model is loaded.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from limner.backends.local import LocalBackend
from limner.catalogue import Catalogue, Policy
from limner.config import Settings
from limner.errors import InternalError, LimnerError
from limner.roster import Roster, ServedModel
from limner.service import Service

logger = logging.getLogger(__name__)
EMBEDDED = "embedded:sketch"
