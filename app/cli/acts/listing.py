"""What most reading commands are: open the database, read one read model, print it.

Stands between the acts and the read models. It never writes.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from app.bootstrap import Platform
from app.cli.acts.opening import existing_platform
from app.cli.acts.printing import Column, print_item, print_page
from services.domain.errors import NotFoundError
from services.store.tx import Tx
from services.store.views import Page

ReadPage = Callable[..., Page]


def list_page(
    read: ReadPage,
    columns: Sequence[Column],
    what: str,
    *,
    filters: Mapping[str, object] | None = None,
    limit: int,
    cursor: str | None,
    oldest: bool,
    database: str | None,
    as_json: bool,
) -> None:
    """Print a page of a paged read model."""
    with existing_platform(database) as platform, platform.store.read() as tx:
        page = read(tx, limit=limit, cursor=cursor, oldest_first=oldest, **(filters or {}))
    print_page(cast(Mapping[str, Any], page), columns, what=what, as_json=as_json)


def show_one(
    read: Callable[[Platform, Tx], Mapping[str, Any] | None],
    what: str,
    *,
    database: str | None,
    as_json: bool,
) -> None:
    """Print one thing; raise NotFoundError when there is none. `what` names it, its id included."""
    with existing_platform(database) as platform, platform.store.read() as tx:
        found = read(platform, tx)
    if found is None:
        raise NotFoundError(f"there is no {what}")
    print_item(found, as_json=as_json)
