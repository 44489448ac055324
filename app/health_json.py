"""Health as application/health+json, and the whole tree of it.

Stands between the checks of the platform and those who ask: the API's probes, its operators and agents, and
`nacre health`. What strangers get says of a failure its kind and nothing more. It never checks anything.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services import evolution_ledger
from services.cron_runner import CronJob
from services.domain.checks import Check, Layer, Status, worst
from services.domain.health_score import MOST
from services.loop import LoopContext
from services.operations import health, vitals
from services.operations.vitals import JobFacts, Layered
from services.store.tx import Tx
from services.store.views.paging import at

JsonObject = dict[str, Any]
MEDIA_TYPE = "application/health+json"
DESCRIPTION = "health of the Nacre platform"
STATUS_CODES: Mapping[Status, int] = {Status.PASS: 200, Status.WARN: 200, Status.FAIL: 503}
AFFECTED: Mapping[str, tuple[str, ...]] = {
    "database": ("/api/v1",),
    "schema": ("/api/v1",),
    "writer": ("/api/v1/tasks", "/api/v1/bids", "/api/v1/batch"),
    "ledger": ("/api/v1/ledger", "/api/v1/proposals"),
    "config": ("/api/v1/parameters", "/api/v1/proposals"),
    "market": ("/api/v1/tasks",),
    "metrics": ("/api/v1/metrics",),
    "task_type": ("/api/v1/tasks", "/api/v1/proposals"),
}
"""What does not work as it should while a check of a component fails, by the component's first part."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What part of the tree is asked for: a layer, a component; None for all."""

    layer: Layer | None = None
    component: str | None = None

    def holds(self, layer: Layer, check: Check) -> bool:
        """Tell whether a check is in that part."""
        return self.layer in (None, layer) and self.component in (None, check.component)


def document(checks: Iterable[Check]) -> JsonObject:
    """Return checks as one object; strangers get only such as they may read the `output` of."""
    found = list(checks)
    grouped: dict[str, list[JsonObject]] = {}
    for check in found:
        grouped.setdefault(check.key, []).append(_shown(check))
    status = worst(check.status for check in found)
    return {"status": str(status), "description": DESCRIPTION, "checks": grouped}


def tree(
    tx: Tx,
    ready: Sequence[Check],
    jobs: Sequence[CronJob[LoopContext]],
    task_types: Iterable[str],
    asked: Asked,
) -> JsonObject:
    """Return the whole tree: score, hold, the platform's checks, and every job, agent and task type.

    The platform fails when one of its own checks does. A job or a task type that does not pass makes it a
    warning; an agent's state is its own affair.
    """
    own = [(Layer.READY, check) for check in ready] + vitals.platform_correctness(tx)
    facts = [JobFacts(job.name, job.interval_us) for job in jobs]
    parts = vitals.job_checks(tx, facts) + vitals.type_checks(tx, task_types)
    agents = vitals.agent_checks(tx)
    status = worst(check.status for _, check in own)
    if status is Status.PASS and any(check.status is not Status.PASS for _, check in parts):
        status = Status.WARN
    shown = [one for one in (*own, *parts, *agents) if asked.holds(*one)]
    if asked != Asked():
        status = worst(check.status for _, check in shown)
    score = health.score_now(tx)
    return {
        "status": str(status),
        "description": DESCRIPTION,
        "at": at(tx.now_us),
        "score": {"points": score.points, "lost": dict(score.parts), "most": dict(MOST)},
        "promotion_hold": health.promotion_hold(tx),
        "held_promotions": [
            {"experiment_id": one.experiment_id, "parameter": one.parameter, "to": one.value}
            for one in evolution_ledger.held_promotions(tx)
        ],
        "checks": _by_key(shown),
    }


def _by_key(found: Sequence[Layered]) -> dict[str, list[JsonObject]]:
    grouped: dict[str, list[JsonObject]] = {}
    for layer, check in found:
        grouped.setdefault(check.key, []).append({"layer": str(layer), **_shown(check)})
    return grouped


def _shown(check: Check) -> JsonObject:
    shown: JsonObject = {
        "componentId": check.component,
        "componentType": check.component_type,
        "status": str(check.status),
        "time": at(check.at_us),
    }
    if check.observed is not None:
        shown |= {"observedValue": check.observed, "observedUnit": check.unit or ""}
    if check.status is not Status.PASS:
        kind = check.component.partition("/")[0]
        endpoints = check.affected or AFFECTED.get(kind, ())
        shown |= {"affectedEndpoints": list(endpoints)} if endpoints else {}
    if check.output is not None:
        shown["output"] = check.output
    return shown
