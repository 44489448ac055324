"""The page of the platform's health: what is wrong, the score with its parts, layers, jobs and watchdogs.

Stands over the tree of health that the API answers too. It never checks, holds or mends anything.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from app.web.clockwork import job_rows
from app.web.formats import measured
from app.web.visits import Row, Shown, Visit
from services.domain.checks import GRAVITY, Layer, Status
from services.domain.priority import HEALTHY_FROM

LAYERS: Final[Mapping[str, str]] = {
    Layer.LIVE: "Is it up? A restart would mend it.",
    Layer.READY: "Can it do its work? If not, nothing is routed to it.",
    Layer.CORRECT: "Is what it says right? If not, an investigation opens and promotions are held.",
}
PARTS: Final[Mapping[str, str]] = {
    "metrics": "metrics out of their band",
    "checks": "checks of correctness",
    "bus": "dead letters and lag of the event bus",
    "cron": "jobs that ended badly or not at all",
    "invariants": "broken invariants",
    "budgets": "budgets used up",
    "reviews": "reviews older than a day",
}
AGENT: Final = "agent"
HEARTBEATS_MISSED: Final = 2
"""A watchdog that has not ended for so many of its intervals, and a minute, is late."""


def check_rows(tree: Row) -> list[Row]:
    """Return every check of the tree, the gravest first, with since when it fails."""
    found = []
    for name, group in tree["checks"].items():
        for check in group:
            component, _, measurement = name.rpartition(":")
            observed = check.get("observedValue")
            found.append(
                {
                    "component": component,
                    "measurement": measurement,
                    "type": check["componentType"],
                    "layer": check["layer"],
                    "status": check["status"],
                    "at": check["time"],
                    "observed": measured(observed, check.get("observedUnit")),
                    "output": check.get("output"),
                    "affected": check.get("affectedEndpoints", []),
                    "since": tree["failing_since"].get(f"{check['layer']}:{name}"),
                }
            )
    order = list(LAYERS)
    return sorted(
        found,
        key=lambda row: (-GRAVITY[Status(row["status"])], -order.index(row["layer"]), row["component"]),
    )


def wrong(checks: Sequence[Row]) -> list[Row]:
    """Return the checks that do not pass; what an agent does is its own affair."""
    return [row for row in checks if row["status"] != Status.PASS and row["type"] != AGENT]


def layer_rows(checks: Sequence[Row]) -> list[Row]:
    """Return of every layer how many of its checks pass, warn and fail, agents left out."""
    found = []
    for layer, asks in LAYERS.items():
        own = Counter(row["status"] for row in checks if row["layer"] == layer and row["type"] != AGENT)
        worst = max(own, key=lambda status: GRAVITY[Status(status)], default=str(Status.PASS))
        counts = {str(status): own[str(status)] for status in Status}
        found.append({"layer": layer, "asks": asks, "worst": worst, "all": sum(own.values()), **counts})
    return found


def part_rows(score: Row) -> list[Row]:
    """Return the parts of the score, those that took most first."""
    found = [
        {"part": part, "what": PARTS.get(part, part), "lost": lost, "most": score["most"][part]}
        for part, lost in score["lost"].items()
    ]
    return sorted(found, key=lambda row: -row["lost"])


def watchdog_rows(watchdogs: Sequence[Row]) -> list[Row]:
    """Return the watchdogs with whether each has ended a run lately, late ones first."""
    found = []
    for dog in watchdogs:
        age, limit = dog["age_seconds"], HEARTBEATS_MISSED * dog["every_seconds"] + 60
        state = "not run yet" if age is None else "late" if age > limit else "alive"
        found.append({**dog, "state": state})
    return sorted(found, key=lambda one: (one["state"] != "late", one["job"]))


def health(visit: Visit) -> Shown:
    """The whole of the platform's health on one page."""
    tree, cron = visit.workings.health(visit.tx), visit.workings.cron(visit.tx)
    checks = check_rows(tree)
    return Shown(
        "health.html",
        {
            "tree": tree,
            "score": tree["score"],
            "is_low": tree["score"]["points"] < HEALTHY_FROM,
            "parts_of_score": part_rows(tree["score"]),
            "wrong": wrong(checks),
            "checks": checks,
            "layers": layer_rows(checks),
            "jobs": job_rows(cron["jobs"]),
            "watchdogs": watchdog_rows(tree["watchdogs"]),
        },
    )
