"""Checks of the settings against one another: each is fine by itself, together they may not be what was meant."""

from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from limner.accounts import is_loopback
from limner.config import Settings
from limner.doctor.finding import Finding, ok, problem, warning

IN_MEMORY = "sqlite://"


async def check_settings(settings: Settings) -> Sequence[Finding]:
    """All rules."""
    return [*_exposed(settings), *_forgetful(settings), *_shared(settings)] or [ok("they agree with one another")]


def _exposed(settings: Settings) -> Iterator[Finding]:
    """What strangers can reach and read."""
    if is_loopback(settings.host):
        return
    if settings.open == "yes":
        yield warning(
            f"everybody who can reach {settings.host} port {settings.port} can draw, and see jobs and metrics",
            'set open = "auto" and make keys with `limner keys create`, or let a proxy in front ask who it is',
        )
    if settings.public_url is not None and urlsplit(settings.public_url).scheme == "http":
        yield warning(
            f"public_url {settings.public_url} is not https: keys and pictures travel in the clear",
            "let a proxy with a certificate stand in front, and give its https address",
        )
    if settings.webhooks and settings.public_url is None and _is_wildcard(settings.host):
        yield warning(
            f"links that webhooks carry begin with http://{settings.host}:{settings.port}, which nobody can open",
            "set public_url to the address that clients use",
        )


def _forgetful(settings: Settings) -> Iterator[Finding]:
    """What ends with the process."""
    if settings.database_url == IN_MEMORY and not settings.draws:
        yield problem(
            "draws is false and the database is in this process's memory: nobody could draw",
            "name a database that other processes reach, or let this one draw",
        )
    elif settings.database_url == IN_MEMORY:
        yield warning("the database is in memory: accepted jobs and keys end with the process", "leave database empty")
    if settings.blobs.startswith("memory:"):
        yield warning("pictures are in memory and end with the process", "leave blobs empty, or name a directory")


def _shared(settings: Settings) -> Iterator[Finding]:
    """What several machines must have in common."""
    if not settings.database_url.startswith("postgresql:"):
        return
    if not settings.secret:
        yield warning(
            f"API keys are hashed under {settings.data / 'key-pepper'}, which another machine has not",
            "with several machines, set the same secret on all (openssl rand -hex 32)",
        )
    if "://" not in settings.blobs and not settings.draws:
        yield warning(
            "draws is false, and pictures lie in a directory of this machine",
            "unless all processes share it, set blobs to s3://... or gs://...",
        )


def _is_wildcard(host: str) -> bool:
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False
