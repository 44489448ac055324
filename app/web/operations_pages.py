"""The page of operations: what waits for a person, dead letters, webhooks, every job and its runs.

Stands over the read models of layers 2 and 3. It names the commands that act; it never acts itself.
"""

from collections.abc import Sequence

from app.web.clockwork import job_rows, tick_row, webhook_rows
from app.web.visits import Row, Shown, Visit, next_link, rows

FAILED_ROWS = 100
DEAD_ROWS = 50
WEBHOOK_ROWS = 100
REVIEW_ROWS = 100
RUNS_SHOWN = 25


def one_or_many(count: int, one: str, many: str) -> str:
    """Return a count with its noun."""
    return f"{count:,} {one if count == 1 else many}"


def troubles(counts: Row, jobs: Sequence[Row], hooks: Sequence[Row]) -> list[Row]:
    """Return in a few words each what needs somebody, gravest first, with where it stands on the page."""
    bad = [row for row in jobs if row["is_bad"]]
    paused = [row for row in jobs if row["is_paused"]]
    loud = [row for row in hooks if row["is_loud"]]
    found = (
        (counts["reviews"], "#reviews", ("thing waits for a person", "things wait for a person")),
        (counts["dead"], "#dead-letters", ("dead letter", "dead letters")),
        (counts["failed"], "#failed", ("cause of failed work waits", "causes of failed work wait")),
        (len(loud), "#webhooks", ("webhook needs somebody", "webhooks need somebody")),
        (len(bad), "#jobs", ("job ended badly or was missed", "jobs ended badly or were missed")),
        (len(paused), "#jobs", ("job is paused", "jobs are paused")),
    )
    return [{"text": one_or_many(count, *nouns), "href": href} for count, href, nouns in found if count]


def operations(visit: Visit) -> Shown:
    """What failed and waits for somebody, dead letters, webhooks, jobs with their next and last runs."""
    cron = visit.workings.cron(visit.tx)
    jobs = job_rows(cron["jobs"])
    names = tuple(row["job"] for row in cron["jobs"])
    job = visit.chosen("job", names)
    cursor = visit.query.get("cursor") or None
    runs = visit.views.cron_history(visit.tx, job=job, limit=RUNS_SHOWN, cursor=cursor)
    hooks = webhook_rows(rows(visit.views.list_webhooks(visit.tx, limit=WEBHOOK_ROWS)), visit.now())
    failed = rows(visit.views.list_failed_work(visit.tx, limit=FAILED_ROWS))
    reviews = rows(visit.views.list_review_items(visit.tx, is_open=True, limit=REVIEW_ROWS))
    dead = visit.views.list_dead_letters(visit.tx, limit=DEAD_ROWS)
    pulse = visit.views.pulse(visit.tx)
    counts = {"reviews": len(reviews), "dead": pulse["dead_letters"], "failed": len(failed)}
    return Shown(
        "operations.html",
        {
            "troubles": troubles(counts, jobs, hooks),
            "points": cron["health_points"],
            "failed": failed,
            "jobs": jobs,
            "ticks": [tick_row(tick) for tick in rows(runs)],
            "job": job,
            "names": sorted(names),
            "next": next_link(visit, runs),
            "dead": rows(dead),
            "dead_count": pulse["dead_letters"],
            "reviews": reviews,
            "hooks": hooks,
        },
    )
