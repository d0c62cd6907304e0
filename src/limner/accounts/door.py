"""Whether the server asks for keys: the rule at its start, and what a running one keeps up to date.

Owns the rule: open on loopback while no key was ever made, never open on another address unless the operator says so,
and then there is a key to get in with.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address

from limner.accounts.caller import SCOPES
from limner.accounts.keyring import REFRESH_S, Demand, Keyring
from limner.accounts.keys import NewKey
from limner.config import Settings
from limner.secrets_file import secret_for
from limner.store import Store

logger = logging.getLogger(__name__)
FIRST = "first"  # the name of the key that a server makes for itself
PEPPER_FILE = "key-pepper"


@dataclass(frozen=True, slots=True)
class Door:
    """How a server starts: whether keys are ``required`` now, and the ``fresh`` one that was made because there was
    none, to be shown this once."""

    required: bool
    fresh: str | None = None


async def prepare(store: Store, keyring: Keyring, settings: Settings) -> Door:
    """Apply the settings' rule to ``keyring``; makes a key with every scope where one is needed and there is none."""
    keyring.demand = demand_of(settings)
    await keyring.refresh()
    if keyring.demand != "always" or await store.has_keys():
        return Door(keyring.required)
    secret, _ = await keyring.create(NewKey(FIRST, scopes=frozenset(SCOPES)))
    return Door(keyring.required, secret)


def demand_of(settings: Settings) -> Demand:
    """When the settings ask for keys."""
    match settings.open:
        case "yes":
            return "never"
        case "no":
            return "always"
        case "auto":
            return "once made" if is_loopback(settings.host) else "always"


def is_loopback(host: str) -> bool:
    """Whether ``host`` is reached from this machine alone; of names only localhost is known to be."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def load_pepper(settings: Settings) -> bytes:
    """The secret under which keys are hashed: the setting's, or the data directory's own, made on first use.

    Raises InvalidRequest where that file is damaged.
    """
    return secret_for(settings.data / PEPPER_FILE, settings.secret)


@asynccontextmanager
async def open_keyring(store: Store, settings: Settings) -> AsyncIterator[Keyring]:
    """The server's keyring, refreshed every REFRESH_S while the block runs."""
    keyring = Keyring(store, await asyncio.to_thread(load_pepper, settings))
    tending = asyncio.create_task(_tend(keyring))
    try:
        yield keyring
    finally:
        tending.cancel()
        await asyncio.wait({tending})
        await _logged(keyring.write_uses())


async def _tend(keyring: Keyring) -> None:
    while True:
        await asyncio.sleep(REFRESH_S)
        await _logged(keyring.refresh())


async def _logged(work: Awaitable[None]) -> None:
    """The root of what nobody waits for: a database that is away for a while must end neither this nor the server."""
    try:
        await work
    except Exception:
        logger.exception("what is known of API keys could not be brought up to date")
