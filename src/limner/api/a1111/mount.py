"""Where this API is mounted and what differs there, and what it remembers between calls.

Owns the two mounts' defaults and the one state of an app.
"""

from dataclasses import dataclass, field

from starlette.requests import Request as HttpRequest

from limner.api.a1111.options import OptionBook
from limner.api.a1111.runs import Runs


@dataclass(frozen=True, slots=True)
class Mount:
    """A prefix of paths, the steps and the model ("": the server's default) of a call that names none, and the longest
    that a waiting call may take (None: the server's own default)."""

    prefix: str
    steps: int
    model: str = ""
    limit_s: float | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class State:
    """What is being drawn, and what each key has set."""

    runs: Runs = field(default_factory=Runs)
    options: OptionBook = field(default_factory=OptionBook)


def state_of(http: HttpRequest) -> State:
    """The app's state, made when it is first asked for."""
    state = getattr(http.app.state, "a1111", None)
    if state is None:
        state = http.app.state.a1111 = State()
    assert isinstance(state, State)
    return state
