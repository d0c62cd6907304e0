"""Which processes work on which database."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from chaos.postgres import postgres
from chaos.servers import Server

MAX_CRASHES = 10  # these processes live for seconds: with the default of 3 many jobs would be given up
COMMON = {
    "lease_s": "10",
    "max_crashes": str(MAX_CRASHES),
    "default_timeout_s": "900",
    "drain_s": "1",
    "open": "no",
    "webhook_allow": "127.0.0.0/8",
}


@dataclass(frozen=True, slots=True)
class Role:
    """What one process does. Clients talk to those that ``answer``."""

    kind: str
    draws: bool = True
    answers: bool = True


@dataclass(frozen=True, slots=True)
class Layout:
    """Processes on one database and one data directory."""

    name: str
    on_postgres: bool
    roles: tuple[Role, ...]

    @contextmanager
    def database(self, directory: Path) -> Iterator[str]:
        """The URL of a new database."""
        if not self.on_postgres:
            yield f"sqlite:///{directory / 'data' / 'limner.db'}"
            return
        with postgres(fsync=True) as cluster:
            yield cluster.create_database()

    def servers(self, directory: Path, database: str) -> list[Server]:
        """One for each role, not started."""
        common = {**COMMON, "data": str(directory / "data"), "database": database}
        return [
            Server(role.kind, settings_of(role, common), directory / f"{role.kind}-{number}.log")
            for number, role in enumerate(self.roles)
        ]


def settings_of(role: Role, common: Mapping[str, str]) -> dict[str, str]:
    """The settings of a process with this role."""
    return {**common, "draws": "true" if role.draws else "false"}


SERVER, API, ENGINE = Role("server"), Role("api", draws=False), Role("engine", answers=False)
LAYOUTS = {
    layout.name: layout
    for layout in (
        Layout("sqlite", False, (SERVER,)),
        Layout("sqlite-two", False, (SERVER, SERVER)),
        Layout("postgres", True, (SERVER, SERVER)),
        Layout("postgres-engine", True, (API, API, ENGINE)),
    )
}
