"""``limner doctor``: what the checks say, a line each, or all of it as JSON."""

import asyncio
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from limner.cli.exits import ExitCode
from limner.config import load_settings
from limner.doctor import Finding, examine
from limner.errors import InvalidRequest


def print_findings(config: Path | None, data: str | None, models: Sequence[str], *, as_json: bool) -> ExitCode:
    """Print findings as they are made; FAILED when one of them is a problem."""
    findings = asyncio.run(_examine(config, data, models, tell=not as_json))
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    return ExitCode.FAILED if any(finding.level == "problem" for finding in findings) else ExitCode.OK


def set_up_logging(level: str | None) -> None:
    """What matters is in the findings: without a level nothing is logged beside them."""
    if level is None:
        logging.basicConfig(handlers=[logging.NullHandler()])
    else:
        logging.basicConfig(level=level.upper())


async def _examine(config: Path | None, data: str | None, models: Sequence[str], *, tell: bool) -> list[Finding]:
    try:
        settings = load_settings(config, {"data": data, "models": tuple(models) or None})
    except InvalidRequest as error:  # without settings there is nothing to look at
        wrong = Finding("problem", error.message, "correct it; docs/settings.md has all settings", "settings")
        if tell:
            _tell(wrong)
        return [wrong]
    findings = []
    async for finding in examine(settings):
        findings.append(finding)
        if tell:
            _tell(finding)
    return findings


def _tell(finding: Finding) -> None:
    """``level  check  message -> what to do``, padded so that the columns stand below one another."""
    line = f"{finding.level:8} {finding.check:9} {finding.message}"
    text = f"{line} -> {finding.advice}" if finding.advice else line
    print(" ".join(text.splitlines()), flush=True)
