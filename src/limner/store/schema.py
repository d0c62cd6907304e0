"""Bringing a database to the schema that this version knows.

Owns the version's number and running alembic from the package, without an ini file. The caller holds the lock.
"""

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from limner.errors import NotReady

_NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
HEAD = "0002"  # the last of migrations/versions
MIGRATIONS = Path(__file__).parent / "migrations"


def migrate(connection: Connection) -> None:
    """Create or upgrade the tables inside the caller's transaction; does nothing when they are up to date.

    Raises NotReady when a newer limner has been here.
    """
    version = schema_version(connection)
    if version == HEAD:
        return
    from alembic import command  # costs 0.2 s, once in a database's life
    from alembic.config import Config
    from alembic.script.revision import ResolutionError
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("path_separator", "os")
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except (CommandError, ResolutionError) as error:
        raise NotReady(
            f"the database has schema {version}, this limner knows those up to {HEAD}: install the newer limner"
        ) from error


def schema_version(connection: Connection) -> str | None:
    """The schema that the database has, None for an empty one."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def describe(connection: Connection) -> str:
    """The database in words, such as "SQLite 3.40, schema 0001"."""
    version = ".".join(map(str, (connection.dialect.server_version_info or ())[:2]))
    return f"{_NAMES[connection.dialect.name]} {version}, schema {schema_version(connection)}"
