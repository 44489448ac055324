"""The acts of `nacre cron`, `nacre dead-letter`, `nacre review` and `nacre db`.

Stand over the bus (L2), the cron runner (L3), the review queue and the migrations. They repair nothing by
themselves.
"""

import functools
from collections.abc import Mapping
from typing import Any

from app.bootstrap import Platform
from app.cli.acts.listing import list_page
from app.cli.acts.opening import (
    chosen_settings,
    existing_platform,
    naming_the_database,
    require_file,
)
from app.cli.acts.printing import instant, key, print_item, print_page
from services import event_bus
from services.domain.states import DeliveryState
from services.operations import review_queue
from services.store import migrate, views


def _interval(item: Mapping[str, Any]) -> str:
    return f"daily {item['daily_at']}" if item["daily_at"] else f"{item['every_seconds']:g} s"


def _last(item: Mapping[str, Any], field: str) -> str | None:
    return item["last_tick"][field] if item["last_tick"] else None


JOBS = (
    key("job"),
    ("every", _interval),
    key("budget_seconds", "budget s"),
    key("priority"),
    ("last", lambda item: _last(item, "state")),
    ("last due", lambda item: _last(item, "due_at")),
    key("summary"),
)
TICKS = (
    key("tick_id", "id"),
    key("job"),
    instant("due_at"),
    key("state"),
    instant("started_at"),
    instant("ended_at"),
    key("result"),
    key("error"),
)
DEAD_LETTERS = (
    key("delivery_id", "id"),
    key("event_type", "event"),
    key("aggregate"),
    key("subscriber"),
    key("attempts"),
    key("last_error", "last error"),
    instant("published_at"),
)
REVIEW_ITEMS = (
    key("item_id", "id"),
    key("kind"),
    key("subject"),
    key("context"),
    instant("opened_at"),
    instant("closed_at"),
)

list_ticks = functools.partial(list_page, views.cron_history, TICKS, "ticks")
list_dead_letters = functools.partial(list_page, views.list_dead_letters, DEAD_LETTERS, "dead letters")
list_review_items = functools.partial(list_page, views.list_review_items, REVIEW_ITEMS, "items for a person")


def list_jobs(*, database: str | None, as_json: bool) -> None:
    """Print the table of jobs with their last ticks."""
    with existing_platform(database) as platform, platform.store.read() as tx:
        latest = {tick["job"]: tick for tick in views.latest_ticks(tx)}
        items = _jobs(platform, latest)
    print_page({"items": items, "next_cursor": None}, JOBS, what="jobs", as_json=as_json)


def _jobs(platform: Platform, latest: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "job": job.name,
            "summary": job.summary,
            "every_seconds": job.every_seconds,
            "daily_at": job.daily_at,
            "budget_seconds": job.budget_seconds,
            "priority": job.priority,
            "last_tick": latest.get(job.name),
        }
        for job in platform.jobs
    ]


def replay(*, delivery_id: int, database: str | None, as_json: bool) -> None:
    """Put a dead letter back in line."""
    with existing_platform(database) as platform, platform.store.write(actor="operator") as tx:
        event_bus.replay_dead(tx, delivery_id)
    print_item({"delivery_id": delivery_id, "state": DeliveryState.PENDING.value}, as_json=as_json)


def close_review_item(*, item_id: int, database: str | None, as_json: bool) -> None:
    """Mark an item as seen to."""
    with existing_platform(database) as platform, platform.store.write(actor="operator") as tx:
        review_queue.close_item(tx, item_id)
    print_item({"item_id": item_id, "state": "closed"}, as_json=as_json)


def upgrade(*, database: str | None, as_json: bool) -> None:
    """Run the migrations up to the newest."""
    settings = chosen_settings(database)
    with naming_the_database(settings):
        migrate.upgrade(settings.database_url)
        revision = migrate.current_revision(settings.database_url)
    print_item({"database": settings.shown_database_url, "revision": revision}, as_json=as_json)


def current(*, database: str | None, as_json: bool) -> int:
    """Print the database's revision and the newest; return 1 when they differ."""
    settings = chosen_settings(database)
    with naming_the_database(settings):
        require_file(settings)
        found, newest = migrate.current_revision(settings.database_url), migrate.newest_revision()
    payload = {"database": settings.shown_database_url, "revision": found, "newest": newest}
    print_item(payload, as_json=as_json)
    return 0 if found == newest else 1
