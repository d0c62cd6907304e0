"""``limner usage``: what was used, from the database itself."""

import json
import time
from pathlib import Path
from typing import Any

from limner.accounts.keys import find_key
from limner.accounts.usage import Period, usage_report
from limner.cli.database import on_database
from limner.cli.tables import table
from limner.config import Settings
from limner.store import Store


def print_usage(
    config: Path | None, data: str | None, *, since: str | None, until: str | None, key: str | None, as_json: bool
) -> None:
    """Print a line per key and model and one of totals, or the report as JSON. Raises LimnerError."""
    period = Period.parse(since, until, time.time())

    async def work(store: Store, _: Settings) -> dict[str, Any]:
        key_id = None if key is None else find_key(await store.keys(), key).id
        return await usage_report(store, period, key_id)

    report = on_database(config, data, work)
    print(json.dumps(report, indent=2) if as_json else _lines(report))


def _lines(report: dict[str, Any]) -> str:
    head = ("key", "model", "jobs", "pictures", "device seconds", "credits")
    rows = [(entry["key_name"] or "-", entry["model"], *_numbers(entry)) for entry in report["data"]]
    return table([head, *rows, ("total", "", *_numbers(report["total"]))])


def _numbers(sums: dict[str, Any]) -> tuple[str, ...]:
    credits = f"{sums['credits']:.6f}".rstrip("0").rstrip(".")
    return (str(sums["jobs"]), str(sums["images"]), f"{sums['device_s']:.1f}", credits)
