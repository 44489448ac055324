"""The clockwork in words: jobs with what is due and why, runs with how they ended, webhooks with their state.

Pure functions under the pages of health and operations. They never run, pause or send anything.
"""

from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from app.web.formats import between, duration, seconds_of
from app.web.visits import Row
from services.domain.states import DeliveryState, TickState

ENDED_BADLY: Final = (TickState.FAILED, TickState.OVERRUN, TickState.MISSED)
NEVER_RAN: Final = (TickState.MISSED, TickState.SKIPPED)
LATE_FROM_SECONDS: Final = 60.0
"""A job that is this much later than its jitter allows is called late."""


def tick_row(tick: Row) -> Row:
    """Return one run of a cron job with how long it took and how late it began."""
    return {
        **tick,
        "is_run": tick.get("state") not in NEVER_RAN,
        "took": between(tick.get("started_at"), tick.get("ended_at")),
        "late": between(tick.get("due_at"), tick.get("started_at")),
    }


def often(job: Row) -> str:
    """Return how often a job runs."""
    return f"daily at {job['daily_at']}" if job["daily_at"] else f"every {duration(job['every_seconds'])}"


def job_row(job: Row) -> Row:
    """Return one job with its state, its last run, and why it stands where it stands."""
    tick = tick_row(job["last_tick"]) if job["last_tick"] else None
    is_bad = tick is not None and tick["state"] in ENDED_BADLY
    late = tick["late_seconds"] if tick else 0.0
    why = job["paused_because"] or job["health_reason"] or (tick and (tick["error"] or tick["reason"]))
    return {
        **job,
        "state": "paused" if job["is_paused"] else tick["state"] if tick else None,
        "often": often(job),
        "tick": tick,
        "is_bad": is_bad,
        "is_late": bool(tick and tick["is_run"]) and late - (job["jitter_seconds"] or 0) > LATE_FROM_SECONDS,
        "is_moved": job["effective_priority"] != job["priority"],
        "is_loud": job["is_paused"] or is_bad,
        "why": why,
    }


def job_rows(jobs: Sequence[Row]) -> list[Row]:
    """Return jobs, those that are paused or ended badly first, then by name."""
    return sorted(map(job_row, jobs), key=lambda row: (not row["is_loud"], row["job"]))


def place_of(url: str) -> str:
    """Return scheme and host of an address; its path and its user often are secrets."""
    parts = urlsplit(url)
    try:
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return parts.scheme or "unreadable"
    return f"{parts.scheme}://{host}" + (f":{port}" if port else "")


def webhook_row(hook: Row, now: str) -> Row:
    """Return one webhook with its state in a word and the command that helps, if it needs one."""
    number, waiting = hook["webhook_id"], hook["deliveries"]
    quiet = hook["quiet_until"]
    is_quiet = quiet is not None and seconds_of(quiet) > seconds_of(now)
    dead = waiting.get(DeliveryState.DEAD, 0)
    state = (
        "paused"
        if not hook["is_active"]
        else "failing"
        if hook["failures_in_a_row"]
        else "quiet"
        if is_quiet
        else "active"
    )
    command = None
    if not hook["is_active"]:
        command = f"nacre webhook resume {number} --reason …"
    elif dead or hook["failures_in_a_row"]:
        command = f"nacre webhook deliveries {number}" + (" --state dead" if dead else "")
    return {
        **hook,
        "place": place_of(hook["url"]),
        "state": state,
        "waiting": waiting.get(DeliveryState.PENDING, 0),
        "dead": dead,
        "delivered": waiting.get(DeliveryState.DELIVERED, 0),
        "quiet_until": quiet if is_quiet else None,
        "command": command,
        "is_loud": state in ("paused", "failing") or dead > 0,
    }


def webhook_rows(hooks: Sequence[Row], now: str) -> list[Row]:
    """Return webhooks, those that need somebody first."""
    return sorted((webhook_row(one, now) for one in hooks), key=lambda one: not one["is_loud"])
