"""``limner jobs``: jobs listed, shown and cancelled, at a server or in its database. Light to import.

Owns the commands and how jobs look in a terminal; where they come from is `limner.cli.job_sources`.
"""

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from limner.cli import options
from limner.cli.ask import Where
from limner.cli.exits import ExitCode
from limner.cli.tables import table

if TYPE_CHECKING:
    from limner.cli.job_sources import JobSource

group = typer.Typer(help="Jobs: list, show and cancel them.")
STATUSES = ("queued", "running", "finished", "failed", "cancelled")
MOST = 100_000
HEAD = ("id", "status", "operation", "model", "created", "took", "pictures", "credits", "error")


def _statuses(values: list[str] | None) -> list[str]:
    for value in values or ():
        if value not in STATUSES:
            raise typer.BadParameter(f"{value!a} is not one of {', '.join(STATUSES)}")
    return values or []


Statuses = Annotated[
    list[str] | None,
    typer.Option(
        "--status",
        metavar="S",
        callback=_statuses,
        help="Only queued, running, finished, failed or cancelled ones; repeatable.",
    ),
]
Limit = Annotated[int, typer.Option("--limit", metavar="N", min=1, max=MOST, help="At most so many; default: 20.")]
Wait = Annotated[
    bool, typer.Option("--wait", help="Wait until it has ended; the exit code is 0 only if it has finished.")
]


@group.command("list")
def list_jobs(
    statuses: Statuses = None,
    model: options.JobModel = None,
    limit: Limit = 20,
    as_json: options.AsJson = False,
    server: options.Server = None,
    api_key: options.ApiKey = None,
    config: options.Config = None,
    data: options.Data = None,
    log_level: options.LogLevel = "warning",
) -> None:
    """List jobs, newest first: a server's that the key may see, or without --server all in the database."""
    from limner.cli.job_sources import Wanted

    logging.basicConfig(level=log_level.upper())
    jobs = _source(server, api_key, config, data).matching(Wanted(tuple(statuses or ()), model, limit))
    if as_json:
        print(json.dumps(jobs, indent=2))
    elif jobs:
        print(table([HEAD, *map(_cells, jobs)]))
    else:
        print("limner: there are no such jobs", file=sys.stderr)


@group.command()
def show(
    job_id: options.JobId,
    wait: Wait = False,
    as_json: options.AsJson = False,
    server: options.Server = None,
    api_key: options.ApiKey = None,
    config: options.Config = None,
    data: options.Data = None,
    log_level: options.LogLevel = "warning",
) -> int:
    """Show all there is to know of a job, the addresses of its pictures as well."""
    logging.basicConfig(level=log_level.upper())
    job = _source(server, api_key, config, data).show(job_id, wait=wait)
    print(json.dumps(job, indent=2) if as_json else _lines(job))
    return ExitCode.FAILED if wait and job["status"] != "finished" else ExitCode.OK


@group.command()
def cancel(
    job_id: options.JobId,
    server: options.Server = None,
    api_key: options.ApiKey = None,
    config: options.Config = None,
    data: options.Data = None,
    log_level: options.LogLevel = "warning",
) -> None:
    """Cancel a job; prints its status then. One that has ended stays as it is, one that is drawn stops soon."""
    logging.basicConfig(level=log_level.upper())
    job = _source(server, api_key, config, data).cancel(job_id)
    print(job["status"])


def _source(server: str | None, api_key: str | None, config: Path | None, data: str | None) -> "JobSource":
    """The database that was named, else the server, else the database of the settings."""
    from limner.cli.job_sources import DatabaseJobs, ServerJobs

    if server is not None and config is None and data is None:
        return ServerJobs(Where(server, api_key))
    return DatabaseJobs(config, data)


def _cells(job: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        job["id"],
        job["status"],
        job["operation"],
        job["model"],
        _moment(job["created_at"]),
        _took(job),
        str(len(_addresses(job)) or ""),
        _number(job["cost"]["credits"]),
        (job["error"] or {}).get("code", ""),
    )


def _lines(job: Mapping[str, Any]) -> str:
    """A name and its value a line; what is not known yet has none."""
    error = job["error"]
    values = {
        "id": job["id"],
        "status": job["status"],
        "operation": job["operation"],
        "model": job["model"],
        "created": _moment(job["created_at"]),
        "started": _moment(job["started_at"]),
        "ended": _moment(job["ended_at"]),
        "took": _took(job),
        "progress": f"{job['progress']:.0%}",
        "position": _number(job["position"]),
        "ready in": "" if job["eta_s"] is None else f"{job['eta_s']:.1f} s",
        "credits": _number(job["cost"]["credits"]),
        "error": "" if error is None else f"{error['code']}: {error['message']}",
        **{name: str(value) for name, value in job["effective"].items()},
    }
    rows = [(name, value) for name, value in values.items() if value]
    warnings = [("warning", warning["message"]) for warning in job["warnings"]]
    pictures = [("picture", address) for address in _addresses(job)]
    return table([*rows, *warnings, *pictures])


def _addresses(job: Mapping[str, Any]) -> list[str]:
    """Where the pictures are: links of a server, ids in a database."""
    pictures = (job["result"] or {}).get("data", ())
    return [str(picture.get("url") or picture.get("id") or "in the reply") for picture in pictures]


def _moment(at_s: float | None) -> str:
    return "" if at_s is None else f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d %H:%M:%S}"


def _took(job: Mapping[str, Any]) -> str:
    started_s, ended_s = job["started_at"], job["ended_at"]
    return "" if started_s is None or ended_s is None else f"{ended_s - started_s:.1f} s"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
