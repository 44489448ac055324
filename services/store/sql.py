"""The row operations every query module shares: insert, find, list, and the guarded update.

Stands in the store. A guarded update names the state it expects and is judged by its row count, so that two
racing writers cannot both win. Statements are built and compiled once per shape and then reused (see
`services.store.prepared`). It never builds a query from text that came from outside.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Insert, Select, Table, Update, bindparam, select
from sqlalchemy.dialects import postgresql, sqlite

from services.domain.errors import ConflictError
from services.store import prepared
from services.store.prepared import Prepared, Row, Sizes, Statement
from services.store.tx import Tx

__all__ = [
    "Row",
    "change",
    "find",
    "find_all",
    "first",
    "insert",
    "insert_many",
    "insert_unique",
    "listed",
    "rows",
    "update",
    "update_many",
    "value",
]

Shape: TypeAlias = tuple[tuple[str, str], ...]
"""The columns of a condition and how each is compared: `is` (null), `in` (several values) or `eq`."""

STATEMENTS_KEPT = 1_024
WHERE = "where_"
LIMIT = "limit_"


def insert(tx: Tx, table: Table, **values: object) -> int:
    """Insert one row and return its (first) primary key, 0 for one that is no number.

    IntegrityError passes through.
    """
    return _insert(tx, table, values, is_unique_kept=False) or 0


def insert_unique(tx: Tx, table: Table, refusal: ConflictError, **values: object) -> int:
    """Insert one row, or raise `refusal` when a unique rule says that it exists already.

    The transaction goes on after a refusal. Any other broken rule is an IntegrityError.
    """
    number = _insert(tx, table, values, is_unique_kept=True)
    if number is None:
        raise refusal
    return number


def _insert(tx: Tx, table: Table, values: Mapping[str, object], *, is_unique_kept: bool) -> int | None:
    """Insert one row; return its first primary key (0 for no number), or None when it was there already."""
    key = next(iter(table.primary_key)).name
    names = tuple(values)
    dialect = tx.connection.dialect
    engine = dialect.name if is_unique_kept else None
    statement = _insertion(table, engine, is_asked=tx.is_postgresql and key not in values)
    number = prepared.inserted(tx.connection, prepared.prepare(dialect, statement, (), names), values)
    if number is None or key not in values:
        return number
    given = values[key]
    return given if isinstance(given, int) else 0


def insert_many(tx: Tx, table: Table, rows: Sequence[Mapping[str, object]]) -> None:
    """Insert many rows, all with the same columns, in one statement; nothing happens for none."""
    if rows:
        statement = _insertion(table, None, is_asked=False)
        compiled = prepared.prepare(tx.connection.dialect, statement, (), tuple(rows[0]))
        prepared.run_many(tx.connection, compiled, rows)


def find(tx: Tx, table: Table, *, lock: bool = False, **where: Any) -> Row | None:
    """Return the one row that matches, or None; with `lock`, hold it until the transaction ends."""
    shape, given, sizes = _taken(where)
    compiled = _compiled(tx, _select(table, shape, None, is_limited=False, is_locking=lock), sizes)
    return prepared.fetch_first(tx.connection, compiled, given)


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
    shape, given, sizes = _taken(where)
    if limit is not None:
        given[LIMIT] = limit
    compiled = _compiled(
        tx, _select(table, shape, order_by, is_limited=limit is not None, is_locking=lock), sizes
    )
    return prepared.fetch_all(tx.connection, compiled, given)


def update(tx: Tx, table: Table, where: Mapping[str, object], **values: object) -> int:
    """Update the rows that match `where` and return how many there were."""
    shape, given, sizes = _taken(where)
    given.update(values)
    return prepared.count_rows(
        tx.connection, _compiled(tx, _update(table, shape, tuple(values)), sizes), given
    )


def update_many(
    tx: Tx,
    table: Table,
    key: Sequence[str],
    rows: Sequence[Mapping[str, object]],
    expected: Mapping[str, object] | None = None,
) -> int:
    """Update many rows in one statement and return how many there were.

    Each of `rows` holds the columns of `key`, which say what row is meant (never null), and those to set; all
    hold the same. Rows that are not as `expected` (a value by column) stay as they are and do not count.
    Nothing happens for an empty sequence.
    """
    if not rows:
        return 0
    guard, guarded, sizes = _taken(expected or {})
    shape = (*((name, "eq") for name in key), *guard)
    names = tuple(name for name in rows[0] if name not in key)
    given = [
        {**guarded, **{WHERE + name if name in key else name: value for name, value in row.items()}}
        for row in rows
    ]
    return prepared.run_many(tx.connection, _compiled(tx, _update(table, shape, names), sizes), given)


def rows(tx: Tx, statement: Select[*tuple[Any, ...]]) -> list[Row]:
    """Return all rows of a select that was built for this call."""
    found = tx.connection.execute(statement)
    names = tuple(found.keys())
    return [MappingProxyType(dict(zip(names, row, strict=True))) for row in found]


def listed(tx: Tx, statement: Statement, **given: object) -> list[Row]:
    """Return all rows of a statement that is built once, with its parameters; a collection is an IN list."""
    return prepared.fetch_all(tx.connection, *_with(tx, statement, given))


def first(tx: Tx, statement: Statement, **given: object) -> Row | None:
    """Return the first row of a statement that is built once, or None."""
    return prepared.fetch_first(tx.connection, *_with(tx, statement, given))


def value(tx: Tx, statement: Statement, **given: object) -> Any:
    """Return the first column of the first row of a statement that is built once; None without a row."""
    row = prepared.fetch_first(tx.connection, *_with(tx, statement, given))
    return None if row is None else next(iter(row.values()))


def change(tx: Tx, statement: Statement, **given: object) -> int:
    """Run a change that is built once and return how many rows it touched."""
    return prepared.count_rows(tx.connection, *_with(tx, statement, given))


def _with(tx: Tx, statement: Statement, given: dict[str, object]) -> tuple[Prepared, dict[str, object]]:
    sizes = []
    for name, item in given.items():
        if isinstance(item, tuple | list | set | frozenset):
            given[name] = filled = prepared.padded(item)
            sizes.append((name, len(filled)))
    return _compiled(tx, statement, tuple(sizes)), given


def _compiled(tx: Tx, statement: Statement, sizes: Sizes) -> Prepared:
    return prepared.prepare(tx.connection.dialect, statement, sizes)


def _taken(where: Mapping[str, object]) -> tuple[Shape, dict[str, object], Sizes]:
    """Split a condition into its shape, the values of its parameters, and the lengths of its lists."""
    shape = []
    given: dict[str, object] = {}
    sizes: list[tuple[str, int]] = []
    for name, item in where.items():
        if item is None:
            shape.append((name, "is"))
            continue
        place = WHERE + name
        if isinstance(item, tuple | list | set | frozenset):
            shape.append((name, "in"))
            given[place] = filled = prepared.padded(item)
            sizes.append((place, len(filled)))
        else:
            shape.append((name, "eq"))
            given[place] = item
    return tuple(shape), given, tuple(sizes)


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
def _select(
    table: Table, shape: Shape, order_by: str | None, *, is_limited: bool, is_locking: bool
) -> Select[*tuple[Any, ...]]:
    statement = select(table).where(*_conditions(table, shape))
    if order_by is not None:
        statement = statement.order_by(table.c[order_by])
    if is_limited:
        statement = statement.limit(bindparam(LIMIT))
    return statement.with_for_update(key_share=True) if is_locking else statement


@lru_cache(maxsize=STATEMENTS_KEPT)
def _update(table: Table, shape: Shape, names: tuple[str, ...]) -> Update:
    changes = {name: bindparam(name, type_=table.c[name].type) for name in names}
    return table.update().where(*_conditions(table, shape)).values(changes)


@lru_cache(maxsize=STATEMENTS_KEPT)
def _insertion(table: Table, unique_on: str | None, *, is_asked: bool) -> Insert:
    """Return an insert that passes over rows there already on engine `unique_on`, asking for the new key."""
    statement: Insert = table.insert()
    if unique_on == "sqlite":
        statement = sqlite.insert(table).on_conflict_do_nothing()
    elif unique_on is not None:
        statement = postgresql.insert(table).on_conflict_do_nothing()
    return statement.returning(next(iter(table.primary_key))) if is_asked else statement.inline()
