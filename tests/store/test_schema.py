"""Migrations and tables agree, are packaged, and guard against a newer schema."""

import os
import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from limner.errors import NotReady
from limner.store import Store, open_store
from limner.store.schema import HEAD, MIGRATIONS
from limner.store.tables import metadata
from tests.store.samples import NOW_S, enqueue, new_job


async def test_migrating_makes_the_tables_that_the_store_uses(store: Store) -> None:
    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    assert await store._read(differences) == []


async def test_partial_indexes_have_the_conditions_that_statements_spell_out(store: Store) -> None:
    """alembic does not compare them."""

    def conditions(connection: Connection) -> dict[str, str]:
        sqlite = connection.dialect.name == "sqlite"
        query = "SELECT name, sql FROM sqlite_master" if sqlite else "SELECT indexname, indexdef FROM pg_indexes"
        return {name: sql for name, sql in connection.exec_driver_sql(query) if sql and " WHERE " in sql}

    made = await store._read(conditions)
    declared = {
        index.name: str(condition.compile(compile_kwargs={"literal_binds": True}))
        for table in metadata.sorted_tables
        for index in table.indexes
        if (condition := index.dialect_options["sqlite"]["where"]) is not None
    }
    assert made.keys() == declared.keys()
    for name, condition in declared.items():
        column, _, rest = condition.partition(".")[2].partition(" ")
        made_condition = made[str(name)].rpartition(" WHERE ")[2].replace("::text", "").strip("()")
        assert made_condition == f"{column} {rest}"


def test_the_head_is_the_last_migration() -> None:
    assert ScriptDirectory(str(MIGRATIONS)).get_heads() == [HEAD]


async def test_opening_again_changes_nothing(file_url: str, tmp_path: Path) -> None:
    for _ in range(2):
        async with open_store(file_url) as store:
            assert (await store.check()).endswith(HEAD)
    assert sorted(os.listdir(tmp_path)) == ["limner.db", "limner.db.lock"]


async def test_a_newer_schema_is_left_alone(file_url: str, tmp_path: Path) -> None:
    async with open_store(file_url):
        pass
    with sqlite3.connect(tmp_path / "limner.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(NotReady, match=r"schema 9999.*0002.*newer limner"):
        async with open_store(file_url):
            pass


async def test_a_database_of_the_first_schema_keeps_what_is_in_it(file_url: str, tmp_path: Path) -> None:
    async with open_store(file_url) as store:
        await enqueue(store, new_job("job_1"))
    with sqlite3.connect(tmp_path / "limner.db") as connection:
        connection.execute("DROP TABLE forgotten")
        connection.execute("CREATE INDEX jobs_costs ON jobs (model, ended_at_s) WHERE status = 'finished'")
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
    connection.close()
    async with open_store(file_url) as store:
        assert (await store.get("job_1")).status == "queued"
        assert (await store.check()).endswith(HEAD)
        assert await store.due_files(NOW_S) == ()
