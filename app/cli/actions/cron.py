"""`nacre cron`: show the jobs, pause and resume one, have one run now.

Stands over the cron runner (L3) on the platform that the composition root opens without starting anything.
A run is asked for in the database, or done here, within its budget. It never goes around the runner.
"""

import os
from collections.abc import Mapping
from typing import Any

from app.bootstrap import job_names
from app.cli.actions.opening import reading
from app.cli.actions.operating import OPERATOR, opened_platform
from app.cli.actions.reading import KINDS
from app.cli.actions.screen import say_item, say_json, say_note, say_page
from app.known_names import check_name
from services.cron_runner import control, run_here
from services.domain.states import TickState
from services.store import sql, tables, views

COLUMNS = (
    "job", "next_due_at", "role", "every_seconds", "daily_at", "budget_seconds", "priority",
    "effective_priority", "misfire", "is_paused", "last_tick.state", "last_tick.due_at",
    "last_tick.late_seconds", "last_tick.reason", "summary",
)  # fmt: skip


def show_jobs(database: str | None, *, as_json: bool) -> int:
    """Print every job of the table with its next and its last tick."""
    with opened_platform(database) as platform, platform.store.read() as tx:
        shown = control.show(tx, platform.jobs)
    if as_json:
        return say_json(shown)
    say_note(f"health: {shown['health_points']} of 100")
    return say_page({"items": shown["jobs"], "next_cursor": None}, COLUMNS, as_json=False)


def show_history(database: str | None, asked: Mapping[str, Any], *, as_json: bool) -> int:
    """Print a page of ticks; raise InvalidValueError for a job that is not in the table and never ran."""
    with reading(database) as tx:
        page = views.cron_history(tx, **asked)
    if asked["job"] is not None and not page["items"]:
        check_name(asked["job"], job_names(), "job", "--job")
    return say_page(page, KINDS["tick"].columns, as_json=as_json)


def pause_job(database: str | None, name: str, *, reason: str, as_json: bool) -> int:
    """Let no tick of a job run until it is resumed."""
    with opened_platform(database) as platform, platform.store.write(actor=OPERATOR) as tx:
        done = control.pause(tx, control.job_named(platform.jobs, name), reason)
    return say_item(done, {}, as_json=as_json)


def resume_job(database: str | None, name: str, *, reason: str, as_json: bool) -> int:
    """Let a paused job run by its table again."""
    with opened_platform(database) as platform, platform.store.write(actor=OPERATOR) as tx:
        done = control.resume(tx, control.job_named(platform.jobs, name), reason)
    return say_item(done, {}, as_json=as_json)


def ask_run(database: str | None, name: str, *, reason: str, as_json: bool) -> int:
    """Ask the running platform to run a job now."""
    with opened_platform(database) as platform, platform.store.write(actor=OPERATOR) as tx:
        done = control.ask_run(tx, control.job_named(platform.jobs, name), reason)
    return say_item(done, {}, as_json=as_json)


def run_job_here(database: str | None, name: str, *, reason: str, as_json: bool) -> int:
    """Run a job in this process, within its budget; 1 unless it ended well."""
    with opened_platform(database) as platform:
        store, job = platform.store, control.job_named(platform.jobs, name)
        reason = control.checked(reason)
        with store.write(actor=OPERATOR) as tx:
            control.record(tx, "run_job", job, reason)
        process = f"nacre:{os.getpid()}"
        tick_id, state = run_here(store, platform.context, job, process, operator=OPERATOR, reason=reason)
        with store.read() as tx:
            tick = sql.find(tx, tables.cron_tick, id=tick_id) or {}
    shown = {"tick_id": tick_id, "job": name, "state": str(state)}
    shown |= {"result": tick.get("result"), "error": tick.get("error")}
    say_item(shown, {}, as_json=as_json)
    return 0 if state is TickState.DONE else 1
