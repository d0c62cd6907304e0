"""Prepared statements do what SQLAlchemy does with the same ones, whichever way they go."""

import sqlite3
from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, Select, StaticPool, bindparam, create_engine, insert, select, update

from limner.store import prepared
from limner.store.prepared import Prepared
from limner.store.tables import images, keys, metadata

ROW = {
    "id": "key_a",
    "name": "Ünïcode ' \" ;--",
    "prefix": "lim_a",
    "digest": b"\x00\xff",
    "scopes": {"read", "generate"},
    "models": ("sketch", "z*"),
    "local_only": True,
    "priority": 0,
    "jobs_per_minute": None,
    "concurrency": 3,
    "balance_micro": 2**40,
    "reserved_micro": 0,
    "created_at_s": 1.5,
    "revoked_at_s": None,
    "last_used_at_s": None,
}


@pytest.fixture(params=["the driver", "SQLAlchemy"])
def connection(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connection]:
    """An empty database; statements go to it by either way."""
    engine = create_engine("sqlite://", poolclass=StaticPool)
    metadata.create_all(engine)
    if request.param == "SQLAlchemy":
        monkeypatch.setattr(prepared, "driver_of", lambda _: None)
    with engine.connect() as opened:
        yield opened


def names(first: str) -> Select[tuple[str]]:
    return select(keys.c.id).where(keys.c.id == bindparam("b_id"), keys.c.name != first)


def test_what_is_inserted_is_what_sqlalchemy_reads(connection: Connection) -> None:
    Prepared(insert(keys)).run(connection, ROW)
    found = connection.execute(select(keys)).mappings().one()
    assert dict(found) == ROW | {"scopes": frozenset({"read", "generate"})}


def test_each_of_several_rows_is_inserted(connection: Connection) -> None:
    Prepared(insert(keys)).run_each(connection, [ROW, ROW | {"id": "key_b", "prefix": "lim_b", "models": ()}])
    assert connection.execute(select(keys.c.id, keys.c.models)).all() == [("key_a", ("sketch", "z*")), ("key_b", ())]


def test_an_update_changes_the_columns_it_is_given_and_no_others(connection: Connection) -> None:
    change = Prepared(update(keys).where(keys.c.id == bindparam("b_id")).returning(keys.c.id, keys.c.priority))
    Prepared(insert(keys)).run(connection, ROW)
    assert change.first(connection, {"b_id": "key_a", "priority": 4}) == ("key_a", 4)
    assert change.first(connection, {"b_id": "key_a", "models": ("a",), "revoked_at_s": 2.0}) == ("key_a", 4)
    assert change.first(connection, {"b_id": "key_b", "priority": 5}) is None
    assert connection.execute(select(keys.c.models, keys.c.revoked_at_s, keys.c.local_only)).one() == (
        ("a",),
        2.0,
        True,
    )


def test_values_that_stand_in_the_statement_are_kept(connection: Connection) -> None:
    Prepared(insert(keys)).run(connection, ROW)
    assert Prepared(names("another")).first(connection, {"b_id": "key_a"}) == ("key_a",)
    assert Prepared(names(str(ROW["name"]))).first(connection, {"b_id": "key_a"}) is None


def test_values_that_stand_in_the_statement_are_written_as_their_columns_want_them(connection: Connection) -> None:
    given = {name: value for name, value in ROW.items() if name not in ("models", "scopes")}
    Prepared(insert(keys).values(models=("x",), scopes=None)).run(connection, given)
    assert connection.execute(select(keys.c.models, keys.c.scopes)).one() == (("x",), frozenset())


def test_what_lacks_a_value_is_refused() -> None:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    metadata.create_all(engine)
    with engine.connect() as connection:
        with pytest.raises(AssertionError, match="b_id has no value"):
            Prepared(names("another")).first(connection, {})
        with pytest.raises(KeyError, match="prefix"):
            Prepared(insert(keys)).run_each(connection, [ROW, {n: v for n, v in ROW.items() if n != "prefix"}])


def test_lists_are_refused() -> None:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    metadata.create_all(engine)
    statement = select(images.c.id).where(images.c.id.in_(bindparam("b_ids", expanding=True)))
    with engine.connect() as connection, pytest.raises(AssertionError, match="b_ids is a list"):
        Prepared(statement).first(connection, {"b_ids": ["a"]})


def test_a_broken_constraint_is_the_drivers_own_error() -> None:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    metadata.create_all(engine)
    with engine.connect() as connection:
        Prepared(insert(keys)).run(connection, ROW)
        with pytest.raises(sqlite3.IntegrityError):
            Prepared(insert(keys)).run(connection, ROW)
