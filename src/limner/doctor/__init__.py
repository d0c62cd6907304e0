"""Looks at everything that serving needs, without serving, and says what to do about what is wrong.

Owns the checks and their order. Each opens what the server would open, in the same way: directories and a database that
are missing are made, one of an older version is brought up to date. No weights are loaded.
"""

import logging
from collections.abc import AsyncIterator

from limner.config import Settings
from limner.doctor.finding import Check, Finding, problem
from limner.doctor.helpers import check_helpers
from limner.doctor.machine import check_clock, check_data, check_device, check_disk, check_port, check_python
from limner.doctor.models import check_models
from limner.doctor.parts import check_blobs, check_database, check_traces
from limner.doctor.rules import check_settings
from limner.errors import LimnerError

__all__ = ["CHECKS", "Finding", "examine"]

logger = logging.getLogger(__name__)
CHECKS: dict[str, Check] = {
    "python": check_python,
    "settings": check_settings,
    "data": check_data,
    "disk": check_disk,
    "clock": check_clock,
    "database": check_database,
    "pictures": check_blobs,
    "device": check_device,
    "models": check_models,
    "helpers": check_helpers,
    "port": check_port,
    "traces": check_traces,
}


async def examine(settings: Settings) -> AsyncIterator[Finding]:
    """All findings, as they are made. A check that cannot be carried out is a problem of its own."""
    for name, check in CHECKS.items():
        try:
            findings = await check(settings)
        except (LimnerError, OSError) as error:
            findings = [problem(str(error) or type(error).__name__)]
        except Exception as error:  # the check's root: the others are to be made all the same
            logger.debug("the check %s failed", name, exc_info=True)
            findings = [problem(f"the check failed: {error!r}", "--log-level debug shows where")]
        for finding in findings:
            yield finding.of(name)
