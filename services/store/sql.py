"""The row operations every query module shares: insert, find, list, and the guarded update.

Stands in the store. A guarded update names the state it expects and is judged by its row count, so that two
racing writers cannot both win. Statements are built once per shape and then reused. It never builds a query
from text that came from outside.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, RowMapping, Select, Table, Update, bindparam, select
from sqlalchemy.exc import IntegrityError

from services.domain.errors import ConflictError
from services.store.tx import Tx

Row: TypeAlias = RowMapping
"""One row as a mapping from column name to value."""

Shape: TypeAlias = tuple[tuple[str, str], ...]
"""The columns of a condition and how each is compared: `is` (null), `in` (several values) or `eq`."""

STATEMENTS_KEPT = 1_024
WHERE = "where_"
UNIQUE_VIOLATION = "23505"
"""PostgreSQL's code for a broken unique rule."""


def insert(tx: Tx, table: Table, **values: object) -> int:
    """Insert one row and return its (first) primary key; IntegrityError passes through."""
    key = tx.connection.execute(table.insert(), values).inserted_primary_key
    return int(key[0]) if key is not None and isinstance(key[0], int) else 0


def insert_unique(tx: Tx, table: Table, refusal: ConflictError, **values: object) -> int:
    """Insert one row, or raise `refusal` when a unique rule says that it exists already."""
    try:
        with tx.connection.begin_nested():
            return insert(tx, table, **values)
    except IntegrityError as error:
        if _is_unique_violation(error):
            raise refusal from error
        raise


def _is_unique_violation(error: IntegrityError) -> bool:
    """Tell a broken unique rule from a missing reference or value, on either engine."""
    is_postgresql_unique = getattr(error.orig, "sqlstate", None) == UNIQUE_VIOLATION
    return is_postgresql_unique or "UNIQUE constraint failed" in str(error.orig)


def insert_many(tx: Tx, table: Table, rows: Sequence[Mapping[str, object]]) -> None:
    """Insert many rows in one statement; nothing happens for an empty sequence."""
    if rows:
        tx.connection.execute(table.insert(), [dict(row) for row in rows])


def find(tx: Tx, table: Table, *, lock: bool = False, **where: Any) -> Row | None:
    """Return the one row that matches, or None; with `lock`, hold it until the transaction ends."""
    statement = _select(table, _shape(where), None, lock and tx.is_postgresql)
    return tx.connection.execute(statement, _bound(where)).mappings().first()


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
    statement = _select(table, _shape(where), order_by, lock and tx.is_postgresql)
    if limit is not None:
        statement = statement.limit(limit)
    return list(tx.connection.execute(statement, _bound(where)).mappings())


def rows(tx: Tx, statement: Select[*tuple[Any, ...]]) -> list[Row]:
    """Return all rows of a select as mappings."""
    return list(tx.connection.execute(statement).mappings())


def update(tx: Tx, table: Table, where: Mapping[str, object], **values: object) -> int:
    """Update the rows that match `where` and return how many there were."""
    statement = _update(table, _shape(where), tuple(values))
    return tx.connection.execute(statement, {**_bound(where), **values}).rowcount


def _shape(where: Mapping[str, object]) -> Shape:
    return tuple((name, _comparison(value)) for name, value in where.items())


def _comparison(value: object) -> str:
    if value is None:
        return "is"
    return "in" if isinstance(value, tuple | list | set | frozenset) else "eq"


def _bound(where: Mapping[str, object]) -> dict[str, object]:
    return {
        WHERE + name: list(value) if isinstance(value, tuple | set | frozenset) else value
        for name, value in where.items()
        if value is not None
    }


def _conditions(table: Table, shape: Shape) -> list[ColumnElement[bool]]:
    return [_condition(table, name, comparison) for name, comparison in shape]


def _condition(table: Table, name: str, comparison: str) -> ColumnElement[bool]:
    column = table.c[name]
    if comparison == "is":
        return column.is_(None)
    if comparison == "in":
        return column.in_(bindparam(WHERE + name, expanding=True))
    return column == bindparam(WHERE + name)


@lru_cache(maxsize=STATEMENTS_KEPT)
def _select(table: Table, shape: Shape, order_by: str | None, is_locking: bool) -> Select[*tuple[Any, ...]]:  # noqa: FBT001 (a cache key)
    statement = select(table).where(*_conditions(table, shape))
    if order_by is not None:
        statement = statement.order_by(table.c[order_by])
    return statement.with_for_update(key_share=True) if is_locking else statement


@lru_cache(maxsize=STATEMENTS_KEPT)
def _update(table: Table, shape: Shape, names: tuple[str, ...]) -> Update:
    changes = {name: bindparam(name, type_=table.c[name].type) for name in names}
    return table.update().where(*_conditions(table, shape)).values(changes)
