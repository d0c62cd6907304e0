"""Where this API is mounted and what differs there, and what it remembers between calls.

Owns the shape of a mount and the one state of an app.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.requests import Request as HttpRequest

from limner.api.a1111.options import OptionBook
from limner.api.a1111.runs import Runs
from limner.api.calls import Reply
from limner.config import Settings
from limner.store.rows import Hook

RESAMPLED_AT_ONCE = 2  # each may hold some of the largest pictures there are


@dataclass(frozen=True, slots=True)
class Detached:
    """How a mount lets go of calls: ``accepted`` answers one that nobody waits for, ``hook`` reads ``webhook_url``,
    ``waiting`` stands around the reply of the others."""

    accepted: Reply
    hook: Callable[[str, Settings], Hook]
    waiting: Callable[[Reply], Reply]


@dataclass(frozen=True, slots=True)
class Mount:
    """A prefix of paths, what a call that names none gets there as steps and model ("": the server's default), and the
    longest that a waiting call may take (None: the server's default). Without ``detached`` nobody can ask for async.
    ``error`` is the schema that errors have there; ``shown`` are the paths in the OpenAPI document (empty: all)."""

    prefix: str
    tag: str
    steps: int
    model: str = ""
    limit_s: float | None = None
    detached: Detached | None = None
    error: str = "A1111Error"
    shown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class State:
    """What is being drawn, what each key has set, and room for as many pictures as are resampled at once."""

    runs: Runs = field(default_factory=Runs)
    options: OptionBook = field(default_factory=OptionBook)
    resampling: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(RESAMPLED_AT_ONCE))


def state_of(http: HttpRequest) -> State:
    """The app's state, made when it is first asked for."""
    state = getattr(http.app.state, "a1111", None)
    if state is None:
        state = http.app.state.a1111 = State()
    assert isinstance(state, State)
    return state
