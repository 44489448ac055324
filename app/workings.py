"""The workings of the running platform as the pages show them: health and clockwork.

Stands between the pages and what judges the platform: the same tree and the same table that the API answers.
The checks of readiness run in bounded time, so that a page opens while something hangs. It never mends, runs
or pauses anything.
"""

import asyncio

from app.api.platform import ApiPlatform
from app.api.readiness import Readiness
from app.health_json import Asked, tree
from app.web.visits import Row
from services import evolution_ledger
from services.cron_runner import Role, control
from services.domain.checks import Layer
from services.domain.clock import SECOND_US, to_rfc3339
from services.domain.health_score import MOST
from services.operations import health, metric_watchdog
from services.store import health as queries
from services.store.tx import Tx


class PlatformWorkings:
    """The workings of one process; pages run in threads, so that each may wait for its checks."""

    def __init__(self, platform: ApiPlatform) -> None:
        self._platform = platform
        self._readiness = Readiness(platform)

    def score(self, tx: Tx) -> Row:
        """Return the health score with the points that each part takes and could take."""
        found = health.score_now(tx)
        return {"points": found.points, "lost": dict(found.parts), "most": dict(MOST)}

    def ledger_fault(self, tx: Tx) -> str | None:
        """Return why the ledger does not verify, or None."""
        return evolution_ledger.fault_told(tx)

    def health(self, tx: Tx) -> Row:
        """Return the whole tree, `failing_since` by check, and every watchdog's newest end of a run."""
        checks = asyncio.run(self._readiness.checks())
        found = tree(tx, checks, self._platform.jobs, self._platform.task_types, Asked())
        return {**found, "failing_since": _failing_since(tx), "watchdogs": self._watchdogs(tx)}

    def cron(self, tx: Tx) -> Row:
        """Return every job as the API shows it."""
        return dict(control.show(tx, self._platform.jobs))

    def _watchdogs(self, tx: Tx) -> list[Row]:
        """Return the jobs that watch the platform, each with the age of its newest end in seconds."""
        return [
            {
                "job": job.name,
                "summary": job.summary,
                "every_seconds": job.interval_us / SECOND_US,
                "age_seconds": None if age_us is None else age_us / SECOND_US,
            }
            for job in self._platform.jobs
            if job.role is Role.DIAGNOSTIC
            for age_us in (metric_watchdog.heartbeat_age_us(tx, job.name),)
        ]


def _failing_since(tx: Tx) -> Row:
    """Return since when reported checks fail, by layer and name, as RFC 3339 text."""
    return {
        f"{layer}:{row['component']}:{row['measurement']}": to_rfc3339(row["failing_since_us"])
        for layer in Layer
        for row in queries.checks(tx, layer)
        if row["failing_since_us"] is not None
    }
