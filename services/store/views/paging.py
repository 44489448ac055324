"""Keyset pages: the shape every list of the platform comes in, and the opaque cursor that continues it.

Stands under the read models. A page costs the same wherever it lies, misses nothing and repeats nothing
while rows are added. It never counts the rows of a table and never uses an offset.
"""

import base64
import binascii
import re
from typing import Any, TypedDict

from sqlalchemy import ColumnElement, Select

from services.domain.clock import to_rfc3339
from services.domain.errors import InvalidValueError
from services.store.sql import Row, rows
from services.store.tx import Tx

LIMIT_DEFAULT = 50
LIMIT_HIGHEST = 500
LARGEST_ID = 2**63 - 1

_NEWEST_FIRST = "n"
_OLDEST_FIRST = "o"
_CURSOR = re.compile(r"([no])(0|[1-9][0-9]{0,18})", re.ASCII)

JsonObject = dict[str, Any]


class Page(TypedDict):
    """One page: its items, and the cursor of the next page (None on the last one)."""

    items: list[JsonObject]
    next_cursor: str | None


def write_cursor(last_id: int, *, oldest_first: bool) -> str:
    """Return the opaque cursor that continues after `last_id` in the given order."""
    text = f"{_OLDEST_FIRST if oldest_first else _NEWEST_FIRST}{last_id}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(cursor: str, *, oldest_first: bool) -> int:
    """Return the id a cursor stands at; raise InvalidValueError (`invalid_cursor`) if it is not ours."""
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        text = base64.urlsafe_b64decode(padded).decode("ascii")
    except (ValueError, binascii.Error) as error:
        raise _invalid_cursor("it is not one that a page of this list returned") from error
    found = _CURSOR.fullmatch(text)
    if found is None or int(found[2]) > LARGEST_ID:
        raise _invalid_cursor("it is not one that a page of this list returned")
    if (found[1] == _OLDEST_FIRST) != oldest_first:
        raise _invalid_cursor("it belongs to the other order; keep `order` the same on every page")
    return int(found[2])


def _invalid_cursor(why: str) -> InvalidValueError:
    return InvalidValueError(
        f"the cursor cannot be used: {why}. Send next_cursor of the page before, or no cursor at all",
        field="query.cursor",
        code="invalid_cursor",
    )


def check_limit(limit: int) -> int:
    """Return `limit`; raise InvalidValueError unless it lies in 1..500."""
    if not 1 <= limit <= LIMIT_HIGHEST:
        raise InvalidValueError(f"limit must lie in 1..{LIMIT_HIGHEST}, not {limit}", field="query.limit")
    return limit


def fetch_page(
    tx: Tx,
    statement: Select[Any],
    key: ColumnElement[int],
    *,
    limit: int = LIMIT_DEFAULT,
    cursor: str | None = None,
    oldest_first: bool = False,
) -> tuple[list[Row], str | None]:
    """Return up to `limit` rows ordered by the integer `key`, and the cursor of what follows.

    Asks for one row more than the page holds, which is how it knows whether another page exists.
    Raises InvalidValueError for a limit outside 1..500 or a cursor that is not one of ours.
    """
    check_limit(limit)
    if cursor is not None:
        last = read_cursor(cursor, oldest_first=oldest_first)
        statement = statement.where(key > last if oldest_first else key < last)
    labelled = statement.add_columns(key.label("page_key"))
    found = rows(tx, labelled.order_by(key.asc() if oldest_first else key.desc()).limit(limit + 1))
    kept = found[:limit]
    if len(found) <= limit:
        return kept, None
    return kept, write_cursor(int(kept[-1]["page_key"]), oldest_first=oldest_first)


def at(instant_us: int | None) -> str | None:
    """Return an instant in microseconds as RFC 3339 text, or None when there is none."""
    return None if instant_us is None else to_rfc3339(instant_us)


def seconds_of(duration_us: int | None) -> float | None:
    """Return a duration in microseconds as seconds, or None when there is none."""
    return None if duration_us is None else duration_us / 1_000_000
