"""Whole tables, out of a database and into another: what a backup is read by and a restore is written by.

Stands in the store, under `app.backup`. It goes by the tables that there are, at any revision, and moves
moves values as they are stored: JSON as its text, so that not a byte of it changes on the way between the
engines. It knows nothing of what the rows mean, and never changes a row that is there.
"""

import math
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NoReturn

from sqlalchemy import (
    JSON,
    Boolean,
    Float,
    Integer,
    LargeBinary,
    String,
    Text,
    cast,
    collate,
    column,
    delete,
    func,
    inspect,
    literal,
    select,
    table,
    text,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import TypeEngine

from services.domain.errors import ConflictError
from services.store.tx import Tx

REVISION_TABLE: Final = "alembic_version"
PAGE: Final = 1_000
PAGE_OF_BYTES: Final = 50
"""Rows that are held at a time; fewer of a table with bytes, whose rows may be large."""

BEGUN: Final = frozenset({"entrant_record"})
"""Tables that the migrations themselves write rows into."""

Values = Sequence[Any]


class Kind(StrEnum):
    """What a column holds, told alike for both engines."""

    INTEGER = "integer"
    FLOAT = "float"
    BOOLEAN = "boolean"
    TEXT = "text"
    JSON = "json"
    BYTES = "bytes"


KINDS: Final[Sequence[tuple[type[TypeEngine[Any]], Kind]]] = (
    (Boolean, Kind.BOOLEAN),
    (JSON, Kind.JSON),
    (LargeBinary, Kind.BYTES),
    (Float, Kind.FLOAT),
    (Integer, Kind.INTEGER),
    (String, Kind.TEXT),
)
READ_AS: Final[Mapping[Kind, TypeEngine[Any]]] = {Kind.BOOLEAN: Boolean(), Kind.BYTES: LargeBinary()}
"""Kinds that the drivers do not read alike by themselves."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A table as the database has it: its columns by name, and its primary key."""

    name: str
    columns: tuple[tuple[str, Kind], ...]
    key: tuple[str, ...]

    @property
    def kinds(self) -> dict[str, Kind]:
        """Return the kind of each column by name."""
        return dict(self.columns)


def shapes(tx: Tx) -> list[Shape]:
    """Return every table but the revision's, those that others refer to first."""
    found = inspect(tx.connection)
    names = [name for name, _ in found.get_sorted_table_and_fkc_names() if name is not None]
    return [
        Shape(
            name,
            tuple((str(one["name"]), _kind(name, one)) for one in found.get_columns(name)),
            tuple(found.get_pk_constraint(name)["constrained_columns"]),
        )
        for name in names
        if name != REVISION_TABLE
    ]


def _kind(table_name: str, described: Mapping[str, Any]) -> Kind:
    kind = next((kind for type_, kind in KINDS if isinstance(described["type"], type_)), None)
    if kind is None:
        msg = f"the column {table_name}.{described['name']} is of a type that no table of the platform has"
        raise ConflictError(msg, code="schema_unknown")
    return kind


def pages(tx: Tx, shape: Shape) -> Iterator[list[tuple[Any, ...]]]:
    """Yield every row in the order of its key, the same on both engines; a bounded number at a time."""
    kinds = shape.kinds
    source = table(shape.name, *(column(name, READ_AS.get(kind)) for name, kind in shape.columns))
    shown = [
        cast(source.c[name], Text) if kind is Kind.JSON else source.c[name] for name, kind in shape.columns
    ]
    order = [
        collate(source.c[name], "C") if tx.is_postgresql and kinds[name] is Kind.TEXT else source.c[name]
        for name in shape.key
    ]
    size = PAGE_OF_BYTES if Kind.BYTES in kinds.values() else PAGE
    floats = [place for place, (_, kind) in enumerate(shape.columns) if kind is Kind.FLOAT]
    statement = select(*shown).order_by(*order).execution_options(yield_per=size)
    for part in tx.connection.execute(statement).partitions():
        found = [tuple(row) for row in part]
        yield [_told(row, floats) for row in found] if floats else found


def _told(row: tuple[Any, ...], floats: Sequence[int]) -> tuple[Any, ...]:
    """Return the row with floats that JSON has no number for as text: inf, -inf, nan."""
    if all(row[place] is None or math.isfinite(row[place]) for place in floats):
        return row
    told = list(row)
    for place in floats:
        value = row[place]
        told[place] = value if value is None or math.isfinite(value) else repr(value)
    return tuple(told)


def filled(tx: Tx) -> list[str]:
    """Return the tables that hold at least one row, beside those that a new schema begins with."""
    return [
        shape.name
        for shape in shapes(tx)
        if shape.name not in BEGUN
        and tx.connection.execute(select(literal(1)).select_from(table(shape.name)).limit(1)).first()
    ]


def last_ids(tx: Tx, found: Iterable[Shape]) -> dict[str, int]:
    """Return the last id that was given in each table that numbers its rows; 0 before the first."""
    given = {}
    for shape in found:
        if shape.key != ("id",) or shape.kinds["id"] is not Kind.INTEGER:
            continue
        newest = tx.connection.execute(select(func.max(column("id"))).select_from(table(shape.name))).scalar()
        given[shape.name] = int(newest or 0)
        sequence = _sequence(tx, shape.name)
        if sequence is not None:
            asked = text(f"SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {sequence}")  # noqa: S608 (the name is the engine's own)
            given[shape.name] = max(given[shape.name], int(tx.connection.execute(asked).scalar_one()))
    return given


def set_last_ids(tx: Tx, given: Mapping[str, int]) -> None:
    """Let the next id of each table be above the last one given. SQLite goes by the newest row itself."""
    for name, last in given.items():
        sequence = _sequence(tx, name)
        if sequence is not None and last:
            tx.connection.execute(
                text("SELECT setval(:sequence, :last)"), {"sequence": sequence, "last": last}
            )


def _sequence(tx: Tx, name: str) -> str | None:
    """Return the quoted name of the sequence that numbers a table, None on SQLite."""
    if not tx.is_postgresql:
        return None
    asked = text("SELECT pg_get_serial_sequence(:name, 'id')")
    found = tx.connection.execute(asked, {"name": name}).scalar()
    return None if found is None else str(found)


def clear(tx: Tx) -> None:
    """Delete the rows that a new schema begins with."""
    for name in BEGUN & {shape.name for shape in shapes(tx)}:
        tx.connection.execute(delete(table(name)))


def load(tx: Tx, shape: Shape, names: Sequence[str], rows: Iterable[Values]) -> None:
    """Insert rows whose values stand in the order of `names`, as they come; memory stays bounded.

    Raises ConflictError (`row_refused`) naming the table when the database refuses a row.
    """
    quote = tx.connection.dialect.identifier_preparer.quote
    listed = ", ".join(quote(name) for name in names)
    kinds = shape.kinds
    floats = [place for place, name in enumerate(names) if kinds[name] is Kind.FLOAT]
    values = (_as_numbers(row, floats) for row in rows) if floats else rows
    cursor: Any = tx.connection.connection.cursor()
    try:
        if tx.is_postgresql:
            with cursor.copy(f"COPY {quote(shape.name)} ({listed}) FROM STDIN".encode()) as copy:
                for row in values:
                    copy.write_row(row)
            return
        marks = ", ".join("?" * len(names))
        cursor.executemany(f"INSERT INTO {quote(shape.name)} ({listed}) VALUES ({marks})", values)  # noqa: S608 (names of the schema)
    except (sqlite3.Error, OverflowError, tx.connection.dialect.loaded_dbapi.Error) as error:
        said = str(error).partition("\n")[0]
        msg = f"the database refuses a row of table {shape.name}: {said}"
        raise ConflictError(msg, code="row_refused", table=shape.name) from error
    finally:
        cursor.close()


def _as_numbers(row: Values, floats: Sequence[int]) -> Values:
    """Return the row with inf, -inf and nan as numbers again."""
    if not any(isinstance(row[place], str) for place in floats):
        return row
    told = list(row)
    for place in floats:
        if isinstance(row[place], str):
            told[place] = float(row[place])
    return told


def refuses_change(tx: Tx, name: str) -> bool:
    """Tell whether the database refuses to change and to delete rows of a table (there must be one)."""
    quoted = tx.connection.dialect.identifier_preparer.quote(name)
    acts = (f"UPDATE {quoted} SET type = type", f"DELETE FROM {quoted}")  # noqa: S608 (names of the schema)
    return all(_is_refused(tx, act) for act in acts)


def _is_refused(tx: Tx, act: str) -> bool:
    try:
        with tx.savepoint():
            tx.connection.execute(text(act))
            _take_back()
    except DBAPIError:
        return True
    except _DoneError:
        return False


class _DoneError(Exception):
    """The database let it happen."""


def _take_back() -> NoReturn:
    """Leave the savepoint with nothing of it kept."""
    raise _DoneError


def broken_references(tx: Tx) -> int:
    """Return how many rows refer to one that is not there; PostgreSQL lets none in."""
    if tx.is_postgresql:
        return 0
    return len(tx.connection.execute(text("PRAGMA foreign_key_check")).all())
