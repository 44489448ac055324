"""The row operations every query module shares: insert, find, list, and the guarded update; one row or many.

Stands in the store. A guarded update names the state it expects and is judged by its row count, so that two
racing writers cannot both win. Statements are built and compiled once per shape and then reused (see
`services.store.prepared`); many rows are one statement on either engine: on SQLite the driver runs it for
each, on PostgreSQL they travel as one parameter (see `services.store.rowsets`). It never builds a query from
text that came from outside.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any, TypeAlias

from sqlalchemy import BigInteger, ColumnElement, Insert, Select, Table, Update, bindparam, cast, func, select
from sqlalchemy.dialects import postgresql, sqlite

from services.domain.errors import ConflictError
from services.store import prepared, rowsets
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
    "insert_many_unique",
    "insert_unique",
    "listed",
    "reserve_ids",
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
UPDATED_ONE_BY_ONE = 8
"""Up to so many rows of an update are sent to PostgreSQL one by one (in one round trip), which costs less."""
COLLECTIONS = (tuple, list, set, frozenset)


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
    key = _key(table)
    if table.name in tx.reserved and key not in values:
        values = {key: reserve_ids(tx, table, 1)[0], **values}
    names = tuple(values)
    dialect = tx.connection.dialect
    engine = dialect.name if is_unique_kept else None
    statement = _insertion(table, engine, is_asked=tx.is_postgresql and key not in values)
    number = prepared.inserted(tx.connection, prepared.prepare(dialect, statement, (), names), values)
    if number is None or key not in values:
        return number
    given = values[key]
    return given if isinstance(given, int) else 0


def reserve_ids(tx: Tx, table: Table, count: int) -> list[int]:
    """Return `count` new ids of a table, ascending, for rows that this transaction is about to insert.

    PostgreSQL takes them from the table's own sequence. SQLite, where this transaction is the only writer,
    goes on after the newest row and after what it reserved before; its later inserts into the table do so
    too. An id is never given twice as long as the newest row of a table is never deleted alone, which
    `services.store.housekeeping` keeps to.
    """
    if tx.is_postgresql:
        found = prepared.fetch_all(tx.connection, _compiled(tx, _next_ids(table), ()), {"count": count})
        return sorted(row["id"] for row in found)
    last = max(value(tx, _newest_id(table)) or 0, tx.reserved.get(table.name, 0))
    tx.reserved[table.name] = last + count
    return list(range(last + 1, last + count + 1))


def insert_many(tx: Tx, table: Table, rows: Sequence[Mapping[str, object]]) -> None:
    """Insert many rows, all with the same columns, in one statement; nothing happens for none."""
    if not rows:
        return
    dialect = tx.connection.dialect
    if tx.is_postgresql:
        names = tuple(rows[0])
        compiled = prepared.prepare(dialect, _insertion_of_all(table, names))
        prepared.count_rows(tx.connection, compiled, rowsets.folded(dialect, table, names, rows))
        return
    rows = _numbered(tx, table, rows)
    compiled = prepared.prepare(dialect, _insertion(table, None, is_asked=False), (), tuple(rows[0]))
    prepared.run_many(tx.connection, compiled, rows)


def insert_many_unique(
    tx: Tx, table: Table, rows: Sequence[Mapping[str, object]], key: Sequence[str]
) -> list[bool]:
    """Insert those of many rows that no unique rule refuses; return for each whether it was inserted.

    All rows have the same columns; those of `key` (never null) tell them apart. Of two rows with one key the
    first is inserted. Any other broken rule is an IntegrityError.
    """
    if not rows:
        return []
    dialect = tx.connection.dialect
    if not tx.is_postgresql:
        rows = _numbered(tx, table, rows)
        statement = _insertion(table, dialect.name, is_asked=False)
        compiled = prepared.prepare(dialect, statement, (), tuple(rows[0]))
        return [count == 1 for count in prepared.run_each(tx.connection, compiled, rows)]
    names = tuple(rows[0])
    compiled = prepared.prepare(dialect, _insertion_of_new(table, names, tuple(key)))
    found = prepared.fetch_all(tx.connection, compiled, rowsets.folded(dialect, table, names, rows))
    new = {tuple(row.values()) for row in found}
    answers = []
    for row in rows:
        identity = tuple(row[name] for name in key)
        answers.append(identity in new)
        new.discard(identity)
    return answers


def _numbered(tx: Tx, table: Table, rows: Sequence[Mapping[str, object]]) -> Sequence[Mapping[str, object]]:
    """Give ids to rows of a table in which this transaction (SQLite's) has reserved ids before."""
    key = _key(table)
    if table.name not in tx.reserved or key in rows[0]:
        return rows
    numbers = reserve_ids(tx, table, len(rows))
    return [{key: number, **row} for number, row in zip(numbers, rows, strict=True)]


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
    /,
    expected: Mapping[str, object] | None = None,
    **values: object,
) -> int:
    """Update many rows in one statement and return how many there were.

    Each of `rows` holds the columns of `key` (never null), which say what row is meant and what it must be
    like, and those to set; all hold the same columns, and no two mean the same row. Rows that are not as
    `expected` (a value, null or a collection by column, none of `key`) stay as they are and do not count.
    `values` are set in every row. Nothing happens for an empty sequence.
    """
    if not rows:
        return 0
    shape, shared, sizes = _taken(expected or {})
    shared.update(values)
    names = tuple(name for name in rows[0] if name not in key)
    dialect = tx.connection.dialect
    if tx.is_postgresql and len(rows) > UPDATED_ONE_BY_ONE:
        statement = _update_of_all(table, tuple(key), names, shape, tuple(values))
        shared.update(rowsets.folded(dialect, table, (*key, *names), rows))
        return prepared.count_rows(tx.connection, _compiled(tx, statement, sizes), shared)
    statement = _update_by_key(table, tuple(key), names, shape, tuple(values))
    given = [{**shared, **row} for row in rows] if shared else rows
    return prepared.run_many(tx.connection, _compiled(tx, statement, sizes), given)


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
        if isinstance(item, COLLECTIONS):
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
        if isinstance(item, COLLECTIONS):
            shape.append((name, "in"))
            given[place] = filled = prepared.padded(item)
            sizes.append((place, len(filled)))
        else:
            shape.append((name, "eq"))
            given[place] = item
    return tuple(shape), given, tuple(sizes)


@lru_cache(maxsize=STATEMENTS_KEPT)
def _key(table: Table) -> str:
    """Return the name of the (first) primary key."""
    return str(next(iter(table.primary_key)).name)


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
def _update_by_key(
    table: Table, key: tuple[str, ...], names: tuple[str, ...], shape: Shape, shared: tuple[str, ...]
) -> Update:
    """Return an update of the row that the columns of `key` mean, to be run for each; see `update_many`."""
    matches = [table.c[name] == bindparam(name, type_=table.c[name].type) for name in key]
    return _update(table, shape, (*names, *shared)).where(*matches)


@lru_cache(maxsize=STATEMENTS_KEPT)
def _update_of_all(
    table: Table, key: tuple[str, ...], names: tuple[str, ...], shape: Shape, shared: tuple[str, ...]
) -> Update:
    """Return an update of every row that is given; see `update_many`."""
    relation = rowsets.given(table, (*key, *names))
    changes = {name: rowsets.value_of(table, relation, name) for name in names}
    changes |= {name: bindparam(name, type_=table.c[name].type) for name in shared}
    matches = [table.c[name] == relation.c[name] for name in key]
    return table.update().where(*matches, *_conditions(table, shape)).values(changes)


@lru_cache(maxsize=STATEMENTS_KEPT)
def _next_ids(table: Table) -> Select[*tuple[Any, ...]]:
    """Return the next ids of a table's sequence, `count` of them."""
    key = _key(table)
    sequence = select(func.pg_get_serial_sequence(table.name, key)).scalar_subquery()
    number = func.nextval(cast(sequence, postgresql.REGCLASS), type_=BigInteger()).label("id")
    return select(number).select_from(func.generate_series(1, bindparam("count", type_=BigInteger())))


@lru_cache(maxsize=STATEMENTS_KEPT)
def _newest_id(table: Table) -> Select[*tuple[Any, ...]]:
    return select(func.max(next(iter(table.primary_key))))


@lru_cache(maxsize=STATEMENTS_KEPT)
def _insertion_of_all(table: Table, names: tuple[str, ...]) -> Insert:
    return table.insert().from_select(names, rowsets.values_of(table, names)).inline()


@lru_cache(maxsize=STATEMENTS_KEPT)
def _insertion_of_new(table: Table, names: tuple[str, ...], key: tuple[str, ...]) -> Insert:
    """Return an insert of every row that is given and not there already, which tells the keys of the new."""
    statement = postgresql.insert(table).from_select(names, rowsets.values_of(table, names))
    return statement.on_conflict_do_nothing().returning(*[table.c[name] for name in key]).inline()


@lru_cache(maxsize=STATEMENTS_KEPT)
def _insertion(table: Table, unique_on: str | None, *, is_asked: bool) -> Insert:
    """Return an insert that passes over rows there already on engine `unique_on`, asking for the new key."""
    statement: Insert = table.insert()
    if unique_on == "sqlite":
        statement = sqlite.insert(table).on_conflict_do_nothing()
    elif unique_on is not None:
        statement = postgresql.insert(table).on_conflict_do_nothing()
    return statement.returning(next(iter(table.primary_key))) if is_asked else statement.inline()
