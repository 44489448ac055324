"""Statements compiled once: SQL and conversions are kept, and each run goes straight to the driver's cursor.

Stands in the store under `services.store.sql`. SQLAlchemy writes the SQL and decides how every type is
converted; connection, transaction, events and the kinds of errors stay SQLAlchemy's too. It never writes SQL
of its own, never begins, commits or rolls back anything, and runs nothing outside a transaction.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, TypeAlias, TypeVar

from sqlalchemy import JSON, Connection, Delete, Insert, Select, Update
from sqlalchemy.engine.interfaces import DBAPICursor, Dialect
from sqlalchemy.exc import DBAPIError, InvalidRequestError, StatementError
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import TypeEngine

from services.store import rowsets
from services.store.values import Convert, Reading, Row, binder, row_maker

__all__ = [
    "Prepared",
    "Row",
    "Sizes",
    "Statement",
    "control",
    "count_rows",
    "fetch_all",
    "fetch_first",
    "inserted",
    "padded",
    "prepare",
    "refusal",
    "run_each",
    "run_many",
]

Statement: TypeAlias = Select[*tuple[Any, ...]] | Insert | Update | Delete
Sizes: TypeAlias = tuple[tuple[str, int], ...]
"""How many values each list parameter has."""

Execute: TypeAlias = Callable[[Any, str, Any], None]
T = TypeVar("T")

STATEMENTS_KEPT = 2_048
PLANNED_ONCE_UP_TO = 8
"""Longest list whose statement PostgreSQL may keep the plan of."""
PADDED_UP_TO = 1_024
"""Longest list that is filled up to a power of two, so that few lengths are ever compiled."""


def _execute(cursor: DBAPICursor, text: str, bound: Any) -> None:
    cursor.execute(text, bound)


def _execute_planned_anew(cursor: Any, text: str, bound: Any) -> None:
    """Run a statement over a set of rows on PostgreSQL, planned for the tables as they are now.

    The driver would soon prepare it, and the server keep the plan: one that was made when a table was small
    reads all of it for every set of rows when it is large.
    """
    cursor.execute(text, bound, prepare=False)


class Prepared:
    """One statement for one dialect: its SQL, how parameters go in, and how rows come out."""

    __slots__ = ("_columns", "_lists", "_make", "bind", "dialect", "execute", "text")

    def __init__(
        self, dialect: Dialect, statement: Statement, sizes: Sizes, names: tuple[str, ...] | None
    ) -> None:
        """Compile; `names` are the columns that an insert or update gives (else what the statement holds)."""
        compiled = statement.compile(dialect=dialect, column_keys=None if names is None else list(names))
        assert isinstance(compiled, SQLCompiler)  # noqa: S101 (every statement of this store compiles to SQL)
        if compiled.insert_prefetch or compiled.update_prefetch:
            msg = "a default computed by Python needs a value in the statement"
            raise InvalidRequestError(msg)
        given = {name: [None] * size for name, size in sizes}
        required = {bind.key: None for bind in compiled.bind_names if bind.required}
        state = compiled.construct_expanded_state({**required, **given})
        is_set = any(size > PLANNED_ONCE_UP_TO for _, size in sizes)
        is_set = is_set or (isinstance(statement, Update) and rowsets.ROWS in required)
        is_planned_anew = is_set and dialect.name == "postgresql"
        self.execute: Final[Execute] = _execute_planned_anew if is_planned_anew else _execute
        self.dialect: Final = dialect
        self.text: Final = state.statement
        self._lists: Final = {name: state.parameter_expansion[name] for name, _ in sizes}
        self._columns: Final = tuple(column.type for column in statement.exported_columns)
        self._make: Callable[[Sequence[Any]], Row] | None = None
        given_later: dict[str, str] = {}
        converts: dict[str, Convert | None] = {}
        for bind, name in compiled.bind_names.items():
            convert = bind.type.dialect_impl(dialect).bind_processor(dialect)
            places = state.parameter_expansion.get(name, [name])
            converts |= dict.fromkeys(places, convert)
            if bind.required:
                given_later |= zip(places, places if bind.expanding else [bind.key], strict=True)
        constants = {
            name: None if name in given_later else _converted(converts.get(name), value)
            for name, value in state.parameters.items()
        }
        is_positional = state.positiontup is not None
        order = list(state.parameters) if state.positiontup is None else state.positiontup
        slots = [
            (place if is_positional else name, given_later[name], converts.get(name))
            for place, name in enumerate(order)
            if name in given_later
        ]
        start = [constants[name] for name in order] if is_positional else constants
        self.bind: Final = binder(start, slots)

    def bound(self, values: Mapping[str, Any]) -> Any:
        """Return the driver's parameters: the statement's own constants, and `values` converted by type.

        Raises StatementError for a value that is missing or cannot be converted.
        """
        try:
            return self.bind({**values, **dict(self._spread(values))} if self._lists else values)
        except (KeyError, TypeError, ValueError) as error:
            raise self._refused(error) from error

    def bound_all(self, rows: Iterable[Mapping[str, Any]]) -> list[Any]:
        """Return the driver's parameters for each of many rows; as `bound`."""
        if self._lists:
            return [self.bound(row) for row in rows]
        try:
            return list(map(self.bind, rows))
        except (KeyError, TypeError, ValueError) as error:
            raise self._refused(error) from error

    def _refused(self, error: Exception) -> StatementError:
        msg = f"a value is missing or cannot be stored: {error!r}"
        return StatementError(msg, self.text, None, error)

    def _spread(self, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        """Give every value of a list the name that it has in the compiled statement."""
        for name, places in self._lists.items():
            yield from zip(places, values[name], strict=True)

    def row(self, cursor: DBAPICursor, found: Sequence[Any]) -> Row:
        """Return one row of the cursor as a mapping, its values converted by the columns' types."""
        return (self._make or self._described(cursor))(found)

    def rows(self, cursor: DBAPICursor) -> list[Row]:
        """Return every row of the cursor."""
        make = self._make or self._described(cursor)
        return list(map(make, cursor.fetchall()))

    def _described(self, cursor: DBAPICursor) -> Callable[[Sequence[Any]], Row]:
        """Learn names and conversions of the columns from the first result; they stay the same."""
        described = cursor.description or ()
        columns = [
            Reading(str(column[0]), _result_convert(self.dialect, kind, column[1]), isinstance(kind, JSON))
            for kind, column in zip(self._columns, described, strict=True)
        ]
        self._make = row_maker(columns)
        return self._make


@lru_cache(maxsize=STATEMENTS_KEPT)
def prepare(
    dialect: Dialect, statement: Statement, sizes: Sizes = (), names: tuple[str, ...] | None = None
) -> Prepared:
    """Return the statement compiled for the dialect; the same object for the same statement object."""
    return Prepared(dialect, statement, sizes, names)


def padded(values: Collection[Any]) -> list[Any]:
    """Return the values of an IN list, the last one repeated up to a power of two; empty stays empty."""
    filled = list(values)
    if 0 < len(filled) <= PADDED_UP_TO:
        filled += filled[-1:] * ((1 << (len(filled) - 1).bit_length()) - len(filled))
    return filled


def fetch_all(connection: Connection, prepared: Prepared, values: Mapping[str, Any]) -> list[Row]:
    """Run the statement and return every row."""
    return _run(connection, prepared, prepared.bound(values), _all_rows)


def fetch_first(connection: Connection, prepared: Prepared, values: Mapping[str, Any]) -> Row | None:
    """Run the statement and return its first row, or None."""
    return _run(connection, prepared, prepared.bound(values), _first_row)


def count_rows(connection: Connection, prepared: Prepared, values: Mapping[str, Any]) -> int:
    """Run the statement and return how many rows it changed."""
    return _run(connection, prepared, prepared.bound(values), _row_count)


def run_many(connection: Connection, prepared: Prepared, rows: Sequence[Mapping[str, Any]]) -> int:
    """Run the statement once for each of `rows` in one call; return how many rows it changed."""
    bound = prepared.bound_all(rows)
    return _run(connection, prepared, bound, _row_count, _execute_many, is_many=True)


def run_each(connection: Connection, prepared: Prepared, rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """Run the statement for one row after the other; return how many rows each run changed."""
    counts: list[int] = []

    def execute(cursor: DBAPICursor, text: str, bound: Any) -> None:
        for values in bound:
            cursor.execute(text, values)
            counts.append(cursor.rowcount)

    bound = prepared.bound_all(rows)
    return _run(connection, prepared, bound, lambda _prepared, _cursor: counts, execute, is_many=True)


def inserted(connection: Connection, prepared: Prepared, values: Mapping[str, Any]) -> int | None:
    """Run an insert; return the number that the engine gave the row, or None when nothing was inserted.

    The number is what the statement returns, else the driver's `lastrowid`, else 0.
    """
    return _run(connection, prepared, prepared.bound(values), _inserted_number)


def control(connection: Connection, text: str) -> None:
    """Run a word of transaction control (a savepoint), which has neither values nor an answer."""
    cursor = connection.connection.cursor()
    try:
        cursor.execute(text)
    except connection.dialect.loaded_dbapi.Error as error:
        raise refusal(connection, cursor, error, text, ()) from error
    finally:
        cursor.close()


def _all_rows(prepared: Prepared, cursor: DBAPICursor) -> list[Row]:
    return prepared.rows(cursor)


def _first_row(prepared: Prepared, cursor: DBAPICursor) -> Row | None:
    found = cursor.fetchone()
    return None if found is None else prepared.row(cursor, found)


def _row_count(_prepared: Prepared, cursor: DBAPICursor) -> int:
    return cursor.rowcount


def _inserted_number(_prepared: Prepared, cursor: Any) -> int | None:
    if cursor.rowcount == 0:
        return None
    return int(cursor.fetchone()[0] if cursor.description else getattr(cursor, "lastrowid", 0))


def _execute_many(cursor: DBAPICursor, text: str, bound: Any) -> None:
    cursor.executemany(text, bound)


def _run(
    connection: Connection,
    prepared: Prepared,
    bound: Any,
    take: Callable[[Prepared, DBAPICursor], T],
    execute: Execute | None = None,
    *,
    is_many: bool = False,
) -> T:
    """Run on a cursor of the connection's transaction, within its events, and take the answer."""
    if not connection.in_transaction():
        msg = "a statement needs a transaction that is still open"
        raise InvalidRequestError(msg)
    text = prepared.text
    cursor = connection.connection.cursor()
    before, after = connection.dispatch.before_cursor_execute, connection.dispatch.after_cursor_execute
    try:
        if before:
            for tell in before:
                text, bound = tell(connection, cursor, text, bound, None, is_many)
        (execute or prepared.execute)(cursor, text, bound)
        if after:
            for tell in after:
                tell(connection, cursor, text, bound, None, is_many)
        return take(prepared, cursor)
    except connection.dialect.loaded_dbapi.Error as error:
        raise refusal(connection, cursor, error, text, bound, is_many=is_many) from error
    except (KeyboardInterrupt, SystemExit) as stop:
        connection.invalidate(stop)
        raise
    finally:
        cursor.close()


def refusal(
    connection: Connection,
    cursor: DBAPICursor,
    error: Any,
    text: str,
    bound: Any,
    *,
    is_many: bool = False,
) -> Exception:
    """Return SQLAlchemy's error of the driver's kind; a connection that was lost is given up."""
    dialect = connection.dialect
    is_lost = dialect.is_disconnect(error, connection.connection.dbapi_connection, cursor)
    if is_lost:
        connection.invalidate(error)
    translated: Exception = DBAPIError.instance(
        text,
        bound,
        error,
        dialect.loaded_dbapi.Error,
        hide_parameters=connection.engine.hide_parameters,
        connection_invalidated=is_lost,
        dialect=dialect,
        ismulti=is_many,
    )
    return translated


def _converted(convert: Convert | None, value: Any) -> Any:
    return value if convert is None else convert(value)


def _result_convert(dialect: Dialect, kind: TypeEngine[Any], driver_type: object) -> Convert | None:
    """Return how values of a column's type come out of this driver; None for as they are."""
    return kind.dialect_impl(dialect).result_processor(dialect, driver_type)
