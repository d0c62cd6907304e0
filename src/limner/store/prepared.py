"""Statements that every job needs, compiled once.

SQLAlchemy makes the text of a statement once and the rest of its way to the driver anew each time, which takes several
times as long as SQLite does. Here all of that is kept as well, for SQLite; other databases get the statement as it is,
since a round trip to them costs more.
"""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Delete, Insert, Select, Update

_Bind = Callable[[Any], Any]


def _as_it_is(value: Any) -> Any:
    return value


@dataclass(frozen=True, slots=True)
class _Compiled:
    """The text; for each of its placeholders the value's name and what makes it the driver's; and the values that stand
    in the statement itself, as the driver's."""

    sql: str
    places: tuple[tuple[str, _Bind], ...]
    fixed: Mapping[str, Any]

    def parameters(self, values: Mapping[str, Any]) -> list[Any]:
        given = {**self.fixed, **values} if self.fixed else values
        return [bind(given[name]) for name, bind in self.places]


class Prepared:
    """A statement without lists of varying length among its parameters; what it returns are numbers and texts."""

    def __init__(self, statement: Select[Any] | Insert | Update | Delete) -> None:
        self.statement = statement
        self._compiled: dict[tuple[str, ...], _Compiled] = {}  # by the names of the values it is given

    def run(self, connection: Connection, values: Mapping[str, Any]) -> None:
        """Execute it with ``values``: its parameters, and for an insert or update the columns."""
        driver = driver_of(connection)
        if driver is None:
            connection.execute(self.statement, values)
        else:
            compiled = self._for(connection, values)
            driver.execute(compiled.sql, compiled.parameters(values))

    def run_each(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """As `run`, for each of ``rows``, all of which have the same names."""
        driver = driver_of(connection)
        if driver is None:
            connection.execute(self.statement, rows)
        else:
            compiled = self._for(connection, rows[0])
            driver.executemany(compiled.sql, [compiled.parameters(row) for row in rows])

    def first(self, connection: Connection, values: Mapping[str, Any]) -> Sequence[Any] | None:
        """As `run`; its first row, if there is one."""
        driver = driver_of(connection)
        if driver is None:
            return connection.execute(self.statement, values).first()
        compiled = self._for(connection, values)
        row: tuple[Any, ...] | None = driver.execute(compiled.sql, compiled.parameters(values)).fetchone()
        return row

    def _for(self, connection: Connection, values: Mapping[str, Any]) -> _Compiled:
        names = tuple(values)
        if (known := self._compiled.get(names)) is None:
            known = self._compiled[names] = self._compile(connection, names)
        return known

    def _compile(self, connection: Connection, names: Sequence[str]) -> _Compiled:
        dialect = connection.dialect
        compiled = self.statement.compile(dialect=dialect, column_keys=names)
        places: list[tuple[str, _Bind]] = []
        fixed: dict[str, Any] = {}
        for name in compiled.positiontup or ():
            parameter = compiled.binds[name]
            assert not parameter.expanding, f"{name} is a list"
            bind = parameter.type.dialect_impl(dialect).bind_processor(dialect) or _as_it_is
            if name in names:
                places.append((name, bind))
            else:
                assert not parameter.required, f"{name} has no value"
                fixed[name] = bind(parameter.effective_value)
                places.append((name, _as_it_is))
        return _Compiled(str(compiled), tuple(places), fixed)


def driver_of(connection: Connection) -> sqlite3.Connection | None:
    """SQLite's own connection, where that is the database."""
    driver = connection.connection.driver_connection
    return driver if isinstance(driver, sqlite3.Connection) else None
