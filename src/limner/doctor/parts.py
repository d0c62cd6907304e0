"""Checks of what the server works with: the database, the picture store, the collector for traces."""

import asyncio
import os
from collections.abc import Sequence

from limner.accounts import is_loopback
from limner.blobs import Blobs
from limner.config import Settings
from limner.doctor.finding import Finding, ok, problem, warning
from limner.errors import InvalidRequest, LimnerError, NotReady
from limner.store import Store, open_store
from limner.tracing import open_tracing

DEADLINE_S = 30.0
# Which variables hold credentials, by what a location begins with; any one of them will do.
CREDENTIALS = {
    ("s3:", "s3a:"): ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"),
    ("gs:",): ("GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_KEY", "GOOGLE_APPLICATION_CREDENTIALS"),
    ("az:", "azure:", "abfs:", "abfss:"): ("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_SAS_KEY", "AZURE_CLIENT_ID"),
}


async def check_database(settings: Settings) -> Sequence[Finding]:
    """The database: reached, of this version's schema, and what it says of keys."""
    try:
        async with asyncio.timeout(DEADLINE_S), open_store(settings.database_url) as store:
            return [ok(await store.check()), *await _keys(store, settings)]
    except TimeoutError:
        return [problem(f"the database gave no answer within {DEADLINE_S:g} s", "is it overloaded, or locked?")]
    except InvalidRequest as error:
        return [problem(error.message, "correct the setting database")]
    except NotReady as error:
        return [problem(error.message, "start it, or correct the setting database")]


async def _keys(store: Store, settings: Settings) -> Sequence[Finding]:
    if settings.open != "auto" or is_loopback(settings.host) or await store.has_keys():
        return []
    return [ok("there is no API key yet: the first start makes one and prints it, since others can reach this server")]


async def check_blobs(settings: Settings) -> Sequence[Finding]:
    """The picture store: a file is written, read and removed."""
    try:
        blobs = await asyncio.to_thread(Blobs, settings.data, location=settings.blobs)
        async with asyncio.timeout(DEADLINE_S):
            return [ok(await blobs.check())]
    except TimeoutError:
        return [problem(f"the picture store gave no answer within {DEADLINE_S:g} s", _advice(settings.blobs))]
    except (LimnerError, OSError, ValueError) as error:
        return [problem(str(error), _advice(settings.blobs))]


def _advice(location: str) -> str:
    for schemes, variables in CREDENTIALS.items():
        if location.lower().startswith(schemes) and not any(os.environ.get(name) for name in variables):
            return f"no credentials are in the environment: set {variables[0]} and what belongs to it"
    return "correct the setting blobs, or let limner write there"


async def check_traces(settings: Settings) -> Sequence[Finding]:
    """OpenTelemetry, where the settings ask for it."""
    if not settings.otlp_endpoint:
        return []
    try:
        await asyncio.to_thread(open_tracing(settings).close)
    except InvalidRequest as error:
        return [problem(error.message, "or take otlp_endpoint out of the settings")]
    if settings.trace_share == 0:
        message = f"traces go to {settings.otlp_endpoint}, but trace_share is 0"
        return [warning(message, "only what clients trace is kept; set trace_share for more")]
    return [ok(f"{settings.trace_share:.0%} of the requests are traced, to {settings.otlp_endpoint}")]
