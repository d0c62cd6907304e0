"""``limner keys``: API keys made, listed, revoked and given credits. Light to import, as the commands' root is."""

import json
import sys
import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from limner.cli import options
from limner.cli.tables import table

if TYPE_CHECKING:
    from limner.config import Settings
    from limner.store import Store
    from limner.store.rows import KeyRow

group = typer.Typer(help="API keys: make, list and revoke them, give them credits.")
MICRO = 1_000_000
MOST_CREDITS = 10**9
MOST = 1_000_000

Scopes = Annotated[
    list[str] | None,
    typer.Option(
        "--scope", metavar="S", help="What it may do: generate, read or admin; repeatable. Default: generate and read."
    ),
]
Models = Annotated[
    list[str] | None,
    typer.Option("--model", metavar="GLOB", help="A model it may use, or a pattern such as 'Qwen/*'; repeatable."),
]
LocalOnly = Annotated[bool, typer.Option("--local-only", help="Only models that this server runs itself.")]
Rate = Annotated[int | None, typer.Option("--rate", metavar="N", min=1, max=MOST, help="Most jobs a minute.")]
Concurrency = Annotated[
    int | None,
    typer.Option("--concurrency", metavar="N", min=1, max=MOST, help="Most jobs queued or running at once."),
]
Credits = Annotated[
    float | None,
    typer.Option(
        "--credits", metavar="X", min=0, max=MOST_CREDITS, help="Credits it may use; without, nothing is counted down."
    ),
]
Priority = Annotated[
    int, typer.Option("--priority", metavar="N", min=-100, max=100, help="Jobs of larger numbers go first; default: 0.")
]
Amount = Annotated[
    float, typer.Argument(metavar="CREDITS", min=-MOST_CREDITS, max=MOST_CREDITS, help="How many to add.")
]


@group.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is called in lists and reports.")],
    scopes: Scopes = None,
    models: Models = None,
    local_only: LocalOnly = False,
    rate: Rate = None,
    concurrency: Concurrency = None,
    credits: Credits = None,
    priority: Priority = 0,
    config: options.Config = None,
    data: options.Data = None,
) -> None:
    """Make a key and print it, this once: it is not kept and cannot be shown again."""
    from limner.accounts import Keyring, NewKey
    from limner.accounts.door import load_pepper
    from limner.cli.database import on_database

    new = NewKey(
        name,
        scopes=frozenset(scopes or ("generate", "read")),
        models=tuple(models or ()),
        local_only=local_only,
        jobs_per_minute=rate,
        concurrency=concurrency,
        credits_micro=None if credits is None else to_micro(credits),
        priority=priority,
    )

    async def work(store: "Store", settings: "Settings") -> "tuple[str, KeyRow]":
        return await Keyring(store, load_pepper(settings)).create(new)

    secret, row = on_database(config, data, work, create=True)
    print(secret)
    _say(f"{row.id} {row.name!r} may {', '.join(sorted(row.scopes))}; the key is shown this once")


@group.command("list")
def list_keys(as_json: options.AsJson = False, config: options.Config = None, data: options.Data = None) -> None:
    """List the keys, without their secrets; revoked ones too."""
    from limner.cli.database import on_database

    rows = on_database(config, data, lambda store, _: store.keys(), create=True)
    if as_json:
        print(json.dumps([_as_json(row) for row in rows], indent=2))
    elif rows:
        print(table([HEAD, *map(_cells, rows)]))
    else:
        _say("there are no keys; make one with: limner keys create NAME")


@group.command()
def revoke(key: options.KeyName, config: options.Config = None, data: options.Data = None) -> None:
    """End a key for good; running servers refuse it within seconds."""
    from limner.cli.database import on_database

    async def work(store: "Store", _: "Settings") -> "KeyRow":
        return await store.revoke_key(await _id_of(store, key), time.time())

    row = on_database(config, data, work, create=True)
    _say(f"{row.id} {row.name!r} is revoked")


@group.command(context_settings={"ignore_unknown_options": True})  # -5 is an amount
def grant(key: options.KeyName, credits: Amount, config: options.Config = None, data: options.Data = None) -> None:
    """Add credits to a key; from then on it uses no more than it has."""
    from limner.cli.database import on_database

    async def work(store: "Store", _: "Settings") -> "KeyRow":
        return await store.grant(await _id_of(store, key), to_micro(credits), "granted", time.time())

    row = on_database(config, data, work, create=True)
    _say(f"{row.id} {row.name!r} has {_credits(row)} credits")


async def _id_of(store: "Store", text: str) -> str:
    from limner.accounts.keys import find_key

    return find_key(await store.keys(), text).id


def to_micro(credits: float) -> int:
    """Whole micro-credits, of which a credit has a million."""
    return round(Decimal(repr(credits)) * MICRO)


def _say(text: str) -> None:
    print(f"limner: {text}", file=sys.stderr)


HEAD = ("prefix", "name", "scopes", "models", "a minute", "at once", "credits", "last used", "state", "id")


def _cells(row: "KeyRow") -> tuple[str, ...]:
    return (
        f"lim_{row.prefix}",
        row.name,
        ",".join(sorted(row.scopes)),
        ",".join(row.models or ("*",)) + (" local" if row.local_only else ""),
        "-" if row.jobs_per_minute is None else str(row.jobs_per_minute),
        "-" if row.concurrency is None else str(row.concurrency),
        _credits(row),
        _day(row.last_used_at_s) or "never",
        "active" if row.revoked_at_s is None else f"revoked {_day(row.revoked_at_s)}",
        row.id,
    )


def _credits(row: "KeyRow") -> str:
    return "-" if row.balance_micro is None else f"{Decimal(row.balance_micro) / MICRO:f}"


def _day(moment_s: float | None) -> str:
    return "" if moment_s is None else datetime.fromtimestamp(moment_s, UTC).date().isoformat()


def _as_json(row: "KeyRow") -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "prefix": f"lim_{row.prefix}",
        "scopes": sorted(row.scopes),
        "models": list(row.models),
        "local_only": row.local_only,
        "priority": row.priority,
        "jobs_per_minute": row.jobs_per_minute,
        "concurrency": row.concurrency,
        "credits": None if row.balance_micro is None else row.balance_micro / MICRO,
        "reserved": row.reserved_micro / MICRO,
        "created_at": row.created_at_s,
        "last_used_at": row.last_used_at_s,
        "revoked_at": row.revoked_at_s,
    }
