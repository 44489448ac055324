"""The four row operations every query module shares: insert, find, list, and the guarded update.

Stands in the store. A guarded update names the state it expects and is judged by its row count, so that two
racing writers cannot both win. It never builds a query from text that came from outside.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, RowMapping, Select, Table, select
from sqlalchemy.exc import IntegrityError

from services.domain.errors import ConflictError
from services.store.tx import Tx

Row: TypeAlias = RowMapping
"""One row as a mapping from column name to value."""


def insert(tx: Tx, table: Table, **values: object) -> int:
    """Insert one row and return its (first) primary key; IntegrityError passes through."""
    result = tx.connection.execute(table.insert().values(**values))
    key = result.inserted_primary_key
    return int(key[0]) if key is not None and isinstance(key[0], int) else 0


def insert_unique(tx: Tx, table: Table, refusal: ConflictError, **values: object) -> int:
    """Insert one row, or raise `refusal` when a unique rule says that it exists already."""
    try:
        with tx.connection.begin_nested():
            return insert(tx, table, **values)
    except IntegrityError as error:
        raise refusal from error


def insert_many(tx: Tx, table: Table, rows: Sequence[Mapping[str, object]]) -> None:
    """Insert many rows in one statement; nothing happens for an empty sequence."""
    if rows:
        tx.connection.execute(table.insert(), [dict(row) for row in rows])


def _condition(table: Table, name: str, value: object) -> ColumnElement[bool]:
    column = table.c[name]
    if value is None:
        return column.is_(None)
    if isinstance(value, tuple | list | set | frozenset):
        return column.in_(list(value))
    return column == value


def find(tx: Tx, table: Table, *, lock: bool = False, **where: Any) -> Row | None:
    """Return the one row that matches, or None; with `lock`, hold it until the transaction ends."""
    statement = select(table).where(*(_condition(table, name, value) for name, value in where.items()))
    if lock and tx.is_postgresql:
        statement = statement.with_for_update()
    return tx.connection.execute(statement).mappings().first()


def find_all(
    tx: Tx,
    table: Table,
    *,
    order_by: str = "id",
    limit: int | None = None,
    lock: bool = False,
    **where: object,
) -> list[Row]:
    """Return the rows that match, ordered by one column; with `lock`, hold them until the end."""
    statement = select(table).where(*(_condition(table, name, value) for name, value in where.items()))
    statement = statement.order_by(table.c[order_by]).limit(limit)
    return rows(tx, statement.with_for_update() if lock and tx.is_postgresql else statement)


def rows(tx: Tx, statement: Select[*tuple[Any, ...]]) -> list[Row]:
    """Return all rows of a select as mappings."""
    return list(tx.connection.execute(statement).mappings())


def update(tx: Tx, table: Table, where: Mapping[str, object], **values: object) -> int:
    """Update the rows that match `where` and return how many there were."""
    conditions = (_condition(table, name, value) for name, value in where.items())
    return tx.connection.execute(table.update().where(*conditions).values(**values)).rowcount
