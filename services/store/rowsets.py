"""Many rows as one parameter: how PostgreSQL takes a whole set of rows in one statement and one round trip.

Stands in the store under `services.store.sql`. The rows travel as one JSON text that the server unfolds with
`json_to_recordset`, each column with the type of the table. It never decides what is written, and never runs
a statement.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import (
    JSON,
    Float,
    LargeBinary,
    Table,
    TableValuedAlias,
    Text,
    bindparam,
    cast,
    column,
    func,
    select,
)
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.exc import StatementError
from sqlalchemy.sql.selectable import Select

from services.store import json_text
from services.store.values import Convert, taker

ROWS: Final = "rows_"
"""Name of the parameter that holds all rows."""


@lru_cache(maxsize=1_024)
def given(table: Table, names: tuple[str, ...]) -> TableValuedAlias:
    """Return the rows of the parameter as a relation `given` with columns of the table's types.

    Columns of JSON come as text, so that a JSON null and a missing value stay apart; `value_of` turns them
    back.
    """
    rows = cast(bindparam(ROWS, type_=Text()), JSON())
    columns = [column(name, _travelling_type(table, name)) for name in names]
    return func.json_to_recordset(rows).table_valued(*columns, name="given").render_derived(with_types=True)


def value_of(table: Table, relation: TableValuedAlias, name: str) -> Any:
    """Return a column of the relation as a value of the table's type."""
    found = relation.c[name]
    return cast(found, table.c[name].type) if isinstance(table.c[name].type, JSON) else found


def values_of(table: Table, names: tuple[str, ...]) -> Select[*tuple[Any, ...]]:
    """Return the select of all rows of the parameter, in the order given."""
    relation = given(table, names)
    return select(*[value_of(table, relation, name) for name in names])


def _travelling_type(table: Table, name: str) -> Any:
    kind = table.c[name].type
    return Text() if isinstance(kind, JSON) else kind


@lru_cache(maxsize=1_024)
def _folder(dialect: Dialect, table: Table, names: tuple[str, ...]) -> Callable[[Mapping[str, Any]], Any]:
    """Return what turns one row into what its JSON says, as few steps as the columns allow."""
    converts: list[tuple[str, Convert]] = []
    for name in names:
        kind = table.c[name].type
        if isinstance(kind, JSON):
            converts.append((name, _json_writer(dialect, kind)))
        elif isinstance(kind, Float):
            converts.append((name, _spelt))
        elif isinstance(kind, LargeBinary):
            converts.append((name, _hexadecimal))
    taken = taker(names)

    def fold(row: Mapping[str, Any]) -> dict[str, Any]:
        folded = dict(zip(names, taken(row), strict=True))
        for name, convert in converts:
            folded[name] = convert(folded[name])
        return folded

    return fold


def _json_writer(dialect: Dialect, kind: JSON) -> Convert:
    """Return what writes a value of a JSON column as text, without the driver's own wrapping."""
    processor: Any = JSON.bind_processor
    write: Convert | None = processor(kind, dialect)
    assert write is not None  # noqa: S101 (a JSON column always converts)
    return write


def _hexadecimal(value: bytes | None) -> str | None:
    return None if value is None else "\\x" + value.hex()


def folded(
    dialect: Dialect, table: Table, names: tuple[str, ...], rows: Sequence[Mapping[str, Any]]
) -> dict[str, str]:
    """Return the parameter that holds all rows.

    Raises StatementError for a value that is missing or cannot be stored.
    """
    fold = _folder(dialect, table, names)
    try:
        return {ROWS: json_text.write([fold(row) for row in rows])}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        msg = f"a value is missing or cannot be stored: {error!r}"
        raise StatementError(msg, f"rows of {table.name}", None, error) from error


def _spelt(value: Any) -> Any:
    """Return a number that JSON has no word for as the word that PostgreSQL reads."""
    return value if value is None or math.isfinite(value) else str(value)
