"""Who asks: what an API key allows, free of its secret.

Owns scopes and the two questions every handler asks: may this caller do that, and may they use this model.
"""

from collections.abc import Collection
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal, get_args

from limner.errors import Forbidden
from limner.store.rows import KeyRow, Quota

Scope = Literal["generate", "read", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
UNLIMITED = Quota()
LOCAL = "local"  # the backend that draws on this server's own devices
HERE = frozenset({LOCAL, "speaker", "cutter", "enlarger"})  # the backends that keep work on them


@dataclass(frozen=True, slots=True)
class Caller:
    """One request's sender: an API key without its secret, or everybody on an open server.

    ``key_id`` is "" on an open server and the owner of the caller's jobs. ``models`` are allowed names or globs,
    letter case ignored (empty: all). ``local_only`` keeps work on this server's devices. Larger ``priority`` is served
    first. ``metered`` callers pay with credits.
    """

    key_id: str
    name: str
    scopes: frozenset[Scope]
    models: tuple[str, ...] = ()
    local_only: bool = False
    priority: int = 0
    quota: Quota = UNLIMITED
    metered: bool = False

    @classmethod
    def of(cls, row: KeyRow) -> "Caller":
        """What the key of ``row`` allows."""
        return cls(
            key_id=row.id,
            name=row.name,
            scopes=frozenset(scope for scope in SCOPES if scope in row.scopes),
            models=row.models,
            local_only=row.local_only,
            priority=row.priority,
            quota=Quota(row.jobs_per_minute, row.concurrency),
            metered=row.balance_micro is not None,
        )

    @property
    def sees_all(self) -> bool:
        """Whether everybody's jobs and usage are shown: to admins, and to all on an open server."""
        return "admin" in self.scopes

    def require(self, scope: Scope) -> None:
        """Return when the caller has ``scope``; raises Forbidden, which names it and what the key has."""
        if scope not in self.scopes:
            had = ", ".join(sorted(self.scopes)) or "none"
            raise Forbidden(f"this API key lacks the scope {scope!r} (it has: {had}); ask for a key that has it")

    def require_model(self, spec_id: str, aliases: Collection[str] = (), backend: str = LOCAL) -> None:
        """Return when the caller may use the model; raises Forbidden, which names the model and what is allowed.

        One of its names must match one of ``models``; with ``local_only`` its ``backend`` must be one of HERE.
        """
        if self.local_only and backend not in HERE:
            raise Forbidden(
                f"{spec_id!r} runs on {backend!r}; this API key may only use this server's own models",
                param="model",
            )
        if self.models and not any(_matches(name, self.models) for name in (spec_id, *aliases)):
            raise Forbidden(
                f"this API key may not use the model {spec_id!r}; it may use: {', '.join(self.models)}", param="model"
            )


def _matches(name: str, globs: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name.casefold(), glob.casefold()) for glob in globs)


OPEN = Caller(key_id="", name="open", scopes=frozenset(SCOPES))
NOBODY = Caller(key_id="", name="nobody", scopes=frozenset())  # who asks for what needs no key, and may do no more
